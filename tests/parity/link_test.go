package parity

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var linkScenarios = []scenario{
	{"link/both names are one file", func(r *run) {
		r.dir("d")
		r.file("f", "content")
		r.err("link", unix.Link("f", "d/g"))
		r.stat("f")
		r.stat("d/g")
		r.sameInode("two names", r.lstat("f"), r.lstat("d/g"))
		r.must("chmod", unix.Chmod("d/g", 0o600))
		r.stat("f")
		r.must("truncate", unix.Truncate("f", 3))
		r.stat("d/g")
		r.read("d/g")
		r.must("setxattr", unix.Setxattr("f", "user.k", []byte("v"), 0))
		r.xattr("d/g", "user.k")
		a, b := r.lstat("f"), r.lstat("d/g")
		r.say("same ctime %v", a.Ctim == b.Ctim)
		r.must("unlink", unix.Unlink("f"))
		r.stat("d/g")
		r.read("d/g")
	}},
	{"link/change time", func(r *run) {
		r.file("f", "x")
		was := r.clock("f")
		r.must("link", unix.Link("f", "g"))
		r.moved("link", "f", was)
		was = r.clock("f")
		r.must("unlink", unix.Unlink("g"))
		r.moved("unlink", "f", was)
		was = r.clock("f")
		r.must("rename", unix.Rename("f", "h"))
		r.moved("rename", "h", was)
	}},
	{"link/refusals", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.err("directory", unix.Link("d", "e"))
		r.err("existing", unix.Link("f", "d"))
		r.err("itself", unix.Link("f", "f"))
		r.err("missing", unix.Link("no", "e"))
		r.err("missing parent", unix.Link("f", "no/e"))
		r.err("unknown flag", unix.Linkat(unix.AT_FDCWD, "f", unix.AT_FDCWD, "e", 0x8000))
	}},
	{"link/of a symlink", func(r *run) {
		r.file("f", "x")
		r.must("symlink", unix.Symlink("f", "l"))
		r.err("link", unix.Link("l", "m"))
		r.stat("m")
		r.err("followed", unix.Linkat(unix.AT_FDCWD, "l", unix.AT_FDCWD, "n", unix.AT_SYMLINK_FOLLOW))
		r.stat("n")
		r.stat("l")
	}},
	{"link/of special files", func(r *run) {
		r.must("mkfifo", unix.Mkfifo("p", 0o644))
		r.must("mknod", unix.Mknod("c", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
		r.err("fifo", unix.Link("p", "p2"))
		r.err("device", unix.Link("c", "c2"))
		r.stat("p2")
		r.stat("c")
	}},
	{"link/a thousand", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for i := range 1000 {
			r.must("link", unix.Link("f", fmt.Sprintf("d/%d", i)))
		}
		r.stat("f")
		for i := range 999 {
			r.must("unlink", unix.Unlink(fmt.Sprintf("d/%d", i)))
		}
		r.stat("f")
	}},
	{"symlink/targets", func(r *run) {
		for i, target := range []string{"f", "../x/../y", "/absolute/path", "dangling", "trailing/", "//double", ".", strings.Repeat("long/", 50), "\xff\xfe", "a\nb"} {
			name := fmt.Sprintf("l%d", i)
			r.err("symlink", unix.Symlink(target, name))
			b := make([]byte, 5000)
			n, err := unix.Readlink(name, b)
			r.say("readlink %s %s", brief(b[:max(n, 0)]), err)
			r.stat(name)
		}
		r.err("empty", unix.Symlink("", "e"))
		r.err("4095 bytes", unix.Symlink(strings.Repeat("t", 4095), "t4095"))
		r.stat("t4095")
		b := make([]byte, 5000)
		n, err := unix.Readlink("t4095", b)
		r.say("readlink %s %s", brief(b[:max(n, 0)]), err)
		r.err("4096 bytes", unix.Symlink(strings.Repeat("t", 4096), "t4096"))
	}},
	{"symlink/read", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.must("symlink", unix.Symlink("target", "l"))
		b := make([]byte, 3)
		n, err := unix.Readlink("l", b)
		r.say("small buffer %q %s", b[:max(n, 0)], err)
		_, err = unix.Readlink("f", b)
		r.err("file", err)
		_, err = unix.Readlink("d", b)
		r.err("directory", err)
		_, err = unix.Readlink("no", b)
		r.err("missing", err)
	}},
	{"symlink/attributes", func(r *run) {
		r.must("symlink", unix.Symlink("nowhere", "l"))
		r.err("lchown", unix.Lchown("l", alice, staff))
		r.err("chown", unix.Chown("l", alice, staff))
		r.err("chmod", unix.Chmod("l", 0o600))
		r.err("lutimes", unix.UtimesNanoAt(unix.AT_FDCWD, "l", []unix.Timespec{{Sec: 42}, {Sec: 43, Nsec: 7}}, unix.AT_SYMLINK_NOFOLLOW))
		r.err("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, "l", []unix.Timespec{{Sec: 42}, {Sec: 43}}, 0))
		st := r.lstat("l")
		r.say("mtime %v", st.Mtim)
		r.err("lsetxattr user", unix.Lsetxattr("l", "user.k", []byte("v"), 0))
		r.err("lsetxattr trusted", unix.Lsetxattr("l", "trusted.k", []byte("v"), 0))
		r.xattr("l", "trusted.k")
		r.xattrs("l")
		r.stat("l")
	}},
	{"symlink/stat is no reading", func(r *run) {
		target := strings.Repeat("long/enough/to/be/a/tier's/", 5) // whose size is worth a look
		r.must("symlink", unix.Symlink(target, "l"))
		was := r.clock("l")
		for _, owner := range []int{alice, bob} {
			r.must("lchown", unix.Lchown("l", owner, staff))
			r.moved("lchown", "l", was)
			was = r.clock("l")
		}
		r.stat("l")
		_, err := unix.Readlink("l", make([]byte, 500))
		r.err("readlink", err)
		r.must("lchown", unix.Lchown("l", alice, staff))
		r.moved("readlink", "l", was)
	}},
	{"symlink/mode cannot be changed", func(r *run) {
		r.file("f", "x")
		r.must("symlink", unix.Symlink("f", "l"))
		r.err("chmod", unix.Chmod("l", 0o600))
		r.stat("f")
		r.err("fchmodat2", unix.Fchmodat(unix.AT_FDCWD, "l", 0o640, unix.AT_SYMLINK_NOFOLLOW))
		r.stat("l")
		r.stat("f")
	}},
	{"symlink/replaced by a file and back", func(r *run) {
		for range 3 {
			r.must("symlink", unix.Symlink("nowhere", "x"))
			r.stat("x")
			r.must("unlink", unix.Unlink("x"))
			r.file("x", "file")
			r.read("x")
			r.must("unlink", unix.Unlink("x"))
			r.dir("x")
			r.stat("x")
			r.must("rmdir", unix.Rmdir("x"))
		}
	}},
}
