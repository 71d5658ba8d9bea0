package parity

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// asAlice runs fn as alice of staff and friends.
func (r *run) asAlice(fn func()) { r.as(alice, staff, []int{friends}, fn) }

// give makes a file of a given owner and mode.
func (r *run) give(name string, uid, gid int, mode uint32) {
	r.file(name, "content of "+name)
	r.must("chown", unix.Chown(name, uid, gid))
	r.must("chmod", unix.Chmod(name, mode))
}

// giveDir makes a directory of a given owner and mode.
func (r *run) giveDir(name string, uid, gid int, mode uint32) {
	r.dir(name)
	r.must("chown", unix.Chown(name, uid, gid))
	r.must("chmod", unix.Chmod(name, mode))
}

var userScenarios = []scenario{
	{"user/who may open", func(r *run) {
		i := 0
		for _, owner := range [][2]int{{alice, staff}, {bob, staff}, {bob, friends}, {bob, bob}} {
			for _, mode := range []uint32{0o700, 0o070, 0o007, 0o400, 0o040, 0o004, 0o200, 0o020, 0o002, 0o077, 0} {
				name := fmt.Sprintf("f%d", i)
				i++
				r.give(name, owner[0], owner[1], mode)
				r.asAlice(func() {
					r.tryOpen("read", name, unix.O_RDONLY, 0)
					r.tryOpen("write", name, unix.O_WRONLY, 0)
					r.tryOpen("truncate", name, unix.O_RDWR|unix.O_TRUNC, 0)
					r.err("access rx", unix.Access(name, unix.R_OK|unix.X_OK))
					r.err("access w", unix.Access(name, unix.W_OK))
					r.err("exists", unix.Access(name, unix.F_OK))
				})
			}
		}
	}},
	{"user/directories", func(r *run) {
		for i, mode := range []uint32{0o777, 0o755, 0o711, 0o744, 0o733, 0o700} {
			d := fmt.Sprintf("d%d", i)
			r.dir(d)
			r.file(d+"/f", "x")
			r.must("chmod", unix.Chmod(d, mode))
			r.asAlice(func() {
				r.say("mode %o", mode)
				r.list(d)
				r.stat(d + "/f")
				r.stat(d + "/missing")
				r.tryOpen("read", d+"/f", unix.O_RDONLY, 0)
				r.tryOpen("create", d+"/n", unix.O_CREAT|unix.O_WRONLY, 0o644)
				r.err("mkdir", unix.Mkdir(d+"/s", 0o755))
				r.err("link", unix.Link(d+"/n", d+"/l"))
				r.err("rename", unix.Rename(d+"/n", d+"/m"))
				r.err("unlink", unix.Unlink(d+"/m"))
				r.err("rmdir", unix.Rmdir(d+"/s"))
				r.err("chdir", unix.Access(d, unix.X_OK))
			})
		}
	}},
	{"user/owns what it makes", func(r *run) {
		r.must("chmod", unix.Chmod(".", 0o777))
		r.asAlice(func() {
			r.file("f", "x")
			r.dir("d")
			r.file("d/f", "x")
			r.must("mkfifo", unix.Mkfifo("p", 0o644))
			r.must("symlink", unix.Symlink("x", "l"))
			r.must("mknod", unix.Mknod("n", unix.S_IFREG|0o600, 0))
			r.must("mknod", unix.Mknod("s", unix.S_IFSOCK|0o600, 0))
			r.err("device", unix.Mknod("c", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
			fd := r.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
			r.fstat(fd)
			r.err("linkat", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/thread-self/fd/%d", fd), unix.AT_FDCWD, "t", unix.AT_SYMLINK_FOLLOW))
		})
		r.as(bob, friends, nil, func() { r.file("g", "x") })
		r.must("chmod", unix.Chmod(".", 0o755))
	}},
	{"user/set-group-ID directory", func(r *run) {
		r.giveDir("mine", bob, friends, 0o2777)
		r.giveDir("other", bob, bob, 0o2777)
		for _, d := range []string{"mine", "other"} {
			r.asAlice(func() {
				r.umask(0)
				r.file(d+"/f", "x")
				r.must("mkdir", unix.Mkdir(d+"/s", 0o755))
				r.tryOpen("create set-group-ID", d+"/g", unix.O_CREAT|unix.O_WRONLY, 0o2775)
				r.tryOpen("create set-group-ID", d+"/h", unix.O_CREAT|unix.O_WRONLY, 0o2745)
				r.err("mkdir set-group-ID", unix.Mkdir(d+"/t", 0o2775))
				r.err("mknod set-group-ID", unix.Mknod(d+"/n", unix.S_IFREG|0o2775, 0))
				r.err("chmod file", unix.Chmod(d+"/f", 0o2775))
				r.err("chmod directory", unix.Chmod(d+"/s", 0o2775))
				fd := r.open(d, unix.O_TMPFILE|unix.O_RDWR, 0o2775)
				r.fstat(fd)
			})
		}
	}},
	{"user/chmod of set-group-ID", func(r *run) {
		r.give("member", alice, friends, 0o755)
		r.give("stranger", alice, bob, 0o755)
		r.giveDir("dir", alice, bob, 0o755)
		r.asAlice(func() {
			for _, name := range []string{"member", "stranger", "dir"} {
				r.err("chmod "+name, unix.Chmod(name, 0o6755))
				r.stat(name)
			}
		})
	}},
	{"user/chmod and chown", func(r *run) {
		r.give("mine", alice, staff, 0o6755)
		r.give("theirs", bob, staff, 0o666)
		r.asAlice(func() {
			r.err("chmod mine", unix.Chmod("mine", 0o6711))
			r.err("chmod theirs", unix.Chmod("theirs", 0o600))
			r.err("chown mine away", unix.Chown("mine", bob, -1))
			r.err("chgrp mine to a group of mine", unix.Chown("mine", -1, friends))
			r.stat("mine")
			r.err("chgrp mine to another", unix.Chown("mine", -1, bob))
			r.err("chown mine to myself", unix.Chown("mine", alice, -1))
			r.err("chgrp theirs", unix.Chown("theirs", -1, friends))
			r.err("chown theirs to me", unix.Chown("theirs", alice, -1))
			r.stat("mine")
		})
	}},
	{"user/write clears set-id bits", func(r *run) {
		change := map[string]func(name string) error{
			"write": func(name string) error {
				fd := r.open(name, unix.O_WRONLY, 0)
				_, err := unix.Write(fd, []byte("y"))
				return err
			},
			"append": func(name string) error {
				fd := r.open(name, unix.O_WRONLY|unix.O_APPEND, 0)
				_, err := unix.Write(fd, []byte("y"))
				return err
			},
			"truncate":           func(name string) error { return unix.Truncate(name, 1) },
			"open with truncate": func(name string) error { r.open(name, unix.O_WRONLY|unix.O_TRUNC, 0); return nil },
			"ftruncate":          func(name string) error { return unix.Ftruncate(r.open(name, unix.O_WRONLY, 0), 1) },
			"fallocate":          func(name string) error { return unix.Fallocate(r.open(name, unix.O_WRONLY, 0), 0, 0, 20000) },
			"mere open":          func(name string) error { r.open(name, unix.O_RDWR, 0); return nil },
		}
		for _, what := range []string{"write", "append", "truncate", "open with truncate", "ftruncate", "fallocate", "mere open"} {
			for _, group := range []int{bob, staff} { // alice is a member of the second
				for i, mode := range []uint32{0o6777, 0o4777, 0o2777, 0o2767, 0o6767} {
					name := fmt.Sprintf("%s%d", what[:5], i)
					r.give(name, bob, group, mode)
					r.asAlice(func() { r.err(what, change[what](name)) })
					r.stat(name)
					r.must("unlink", unix.Unlink(name))
				}
			}
		}
	}},
	{"user/times", func(r *run) {
		r.give("mine", alice, staff, 0o400)
		r.give("writable", bob, staff, 0o666)
		r.give("readable", bob, staff, 0o644)
		now, omit := unix.Timespec{Nsec: unix.UTIME_NOW}, unix.Timespec{Nsec: unix.UTIME_OMIT}
		r.asAlice(func() {
			for _, name := range []string{"mine", "writable", "readable"} {
				for i, ts := range [][]unix.Timespec{{{Sec: 1}, {Sec: 2}}, {now, now}, {omit, omit}, {now, omit}} {
					r.err(fmt.Sprint(name, " ", i), unix.UtimesNanoAt(unix.AT_FDCWD, name, ts, 0))
				}
			}
		})
	}},
	{"user/sticky directory", func(r *run) {
		r.giveDir("tmp", bob, bob, 0o1777)
		for _, name := range []string{"a", "b", "c"} {
			r.give("tmp/"+name, bob, bob, 0o666)
		}
		r.asAlice(func() {
			r.file("tmp/mine", "x")
			r.err("unlink theirs", unix.Unlink("tmp/a"))
			r.err("rename theirs", unix.Rename("tmp/a", "tmp/z"))
			r.err("rename over theirs", unix.Rename("tmp/mine", "tmp/a"))
			r.err("exchange with theirs", unix.Renameat2(unix.AT_FDCWD, "tmp/mine", unix.AT_FDCWD, "tmp/a", unix.RENAME_EXCHANGE))
			r.tryOpen("write theirs", "tmp/a", unix.O_WRONLY, 0)
			r.err("rename mine", unix.Rename("tmp/mine", "tmp/still mine"))
			r.err("unlink mine", unix.Unlink("tmp/still mine"))
		})
		r.as(bob, bob, nil, func() { r.err("unlink by the owner", unix.Unlink("tmp/a")) })
	}},
	{"user/protected hard links", func(r *run) {
		r.must("chmod", unix.Chmod(".", 0o777))
		r.give("readable", bob, bob, 0o644)
		r.give("open", bob, bob, 0o666)
		r.give("set", bob, bob, 0o4777)
		r.asAlice(func() {
			for _, name := range []string{"readable", "open", "set"} {
				r.err("link "+name, unix.Link(name, "l-"+name))
			}
		})
		r.must("chmod", unix.Chmod(".", 0o755))
	}},
	{"user/extended attributes", func(r *run) {
		r.give("theirs", bob, bob, 0o644)
		r.give("writable", bob, bob, 0o666)
		r.give("secret", bob, bob, 0o600)
		r.giveDir("sticky", bob, bob, 0o1777)
		for _, name := range []string{"theirs", "writable", "secret"} {
			r.must("set", unix.Setxattr(name, "user.k", []byte("v"), 0))
			r.must("set", unix.Setxattr(name, "trusted.k", []byte("v"), 0))
			r.must("set", unix.Setxattr(name, "security.k", []byte("v"), 0))
		}
		r.asAlice(func() {
			for _, name := range []string{"theirs", "writable", "secret", "sticky"} {
				for _, attr := range []string{"user.k", "trusted.k", "security.k"} {
					r.xattr(name, attr)
					r.err("set "+attr, unix.Setxattr(name, attr, []byte("w"), 0))
					r.err("remove "+attr, unix.Removexattr(name, attr))
				}
				r.xattrs(name)
			}
			r.err("set a capability", unix.Setxattr("writable", "security.capability", capBytes, 0))
		})
	}},
	{"user/access time of another's file", func(r *run) {
		r.give("f", bob, bob, 0o644)
		r.asAlice(func() { r.tryOpen("without access time", "f", unix.O_RDONLY|unix.O_NOATIME, 0) })
	}},
	{"user/execution", func(r *run) {
		r.program("/bin/true", "yes", 0o755)
		r.program("/bin/true", "no", 0o744)
		r.program("/usr/bin/id", "id", 0o4755)
		r.must("chown", unix.Chown("id", bob, bob))
		r.must("chmod", unix.Chmod("id", 0o6755))
		r.asAlice(func() {
			r.err("access yes", unix.Access("yes", unix.X_OK))
			r.err("access no", unix.Access("no", unix.X_OK))
		})
		for _, name := range []string{"./yes", "./no", "./id"} {
			cmd := osCommand([]string{"/usr/bin/setpriv", "--reuid=2001", "--regid=2501", "--clear-groups", name})
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			out, err := cmd.CombinedOutput()
			r.say("%s: %s %s", name, out, exitName(err))
		}
	}},
	{"user/open descriptor outlives permission", func(r *run) {
		r.give("f", alice, staff, 0o600)
		r.asAlice(func() {
			fd := r.open("f", unix.O_RDWR, 0)
			r.must("chmod", unix.Chmod("f", 0))
			r.write(fd, "allowed")
			r.pread(fd, 7, 0)
			r.tryOpen("again", "f", unix.O_RDONLY, 0)
		})
	}},
	{"user/closed directory", func(r *run) {
		r.giveDir("d", alice, staff, 0o700)
		r.as(bob, bob, nil, func() {
			r.stat("d")
			r.stat("d/f")
			r.list("d")
			r.err("rmdir", unix.Rmdir("d"))
			r.err("rename", unix.Rename("d", "e"))
		})
		r.asAlice(func() {
			r.file("d/f", "x")
			r.list("d")
		})
	}},
}
