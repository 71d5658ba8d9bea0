package parity

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var attrScenarios = []scenario{
	{"attr/every mode", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for _, mode := range []uint32{0, 0o777, 0o4755, 0o2755, 0o1755, 0o7777, 0o2644, 0o6000, 0o444} {
			r.err("chmod", unix.Chmod("f", mode))
			r.stat("f")
			r.err("chmod", unix.Chmod("d", mode))
			r.stat("d")
		}
	}},
	{"attr/chmod", func(r *run) {
		r.file("f", "x")
		r.must("symlink", unix.Symlink("f", "l"))
		was := r.clock("f")
		r.err("through a link", unix.Chmod("l", 0o600))
		r.moved("chmod", "f", was)
		r.err("missing", unix.Chmod("no", 0o600))
		fd := r.open("f", unix.O_RDONLY, 0)
		r.err("fchmod of a reader", unix.Fchmod(fd, 0o640))
		r.fstat(fd)
	}},
	{"attr/chown", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		was := r.clock("f")
		r.err("both", unix.Chown("f", alice, staff))
		r.moved("chown", "f", was)
		r.stat("f")
		r.err("owner only", unix.Chown("f", bob, -1))
		r.stat("f")
		r.err("group only", unix.Chown("f", -1, friends))
		r.stat("f")
		r.err("nothing", unix.Chown("f", -1, -1))
		r.err("large", unix.Chown("f", 4000000000, 4000000001))
		r.stat("f")
		r.err("directory", unix.Chown("d", alice, staff))
		r.stat("d")
	}},
	{"attr/chown clears set-id bits", func(r *run) {
		r.file("f", "x")
		for _, mode := range []uint32{0o6755, 0o4755, 0o2755, 0o4644} {
			r.must("chmod", unix.Chmod("f", mode))
			r.err("chown", unix.Chown("f", alice, staff))
			r.stat("f")
		}
		r.dir("d")
		r.must("chmod", unix.Chmod("d", 0o6755))
		r.err("chown a directory", unix.Chown("d", alice, staff))
		r.stat("d")
	}},
	{"attr/chown of nothing clears set-id bits", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for _, mode := range []uint32{0o6755, 0o4755, 0o2755, 0o4644, 0o2644, 0o644} {
			r.must("chmod", unix.Chmod("f", mode))
			was := r.clock("f")
			r.err("chown", unix.Chown("f", -1, -1))
			r.moved("chown", "f", was)
			r.stat("f")
		}
		r.must("chmod", unix.Chmod("d", 0o6755))
		was := r.clock("d")
		r.err("chown a directory", unix.Chown("d", -1, -1))
		r.moved("chown", "d", was)
		r.stat("d")
		r.must("chown", unix.Chown("f", alice, staff))
		r.must("chmod", unix.Chmod("f", 0o6755))
		r.as(alice, staff, nil, func() { r.err("by the owner", unix.Chown("f", -1, -1)) })
		r.stat("f")
		was = r.clock("f")
		r.as(bob, staff, nil, func() { r.err("by another", unix.Chown("f", -1, -1)) })
		r.moved("by another", "f", was)
	}},
	{"attr/chmod keeps root's set-group-ID", func(r *run) {
		r.file("f", "x")
		r.must("chown", unix.Chown("f", alice, staff))
		r.err("chmod", unix.Chmod("f", 0o2755))
		r.stat("f")
		r.umask(0)
		r.must("mknod", unix.Mknod("g", unix.S_IFREG|0o6755, 0))
		r.stat("g")
	}},
	{"attr/statx", func(r *run) {
		r.file("f", strings.Repeat("x", 5000))
		r.dir("d")
		r.must("symlink", unix.Symlink("f", "l"))
		for _, name := range []string{"f", "d", "l"} {
			var sx unix.Statx_t
			err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &sx)
			r.say("statx %s: %s mask %x mode %o nlink %d owner %d:%d", name, err, sx.Mask&(unix.STATX_BASIC_STATS|unix.STATX_BTIME), sx.Mode, sx.Nlink, sx.Uid, sx.Gid)
			r.say("born with its inode: %v", sx.Btime.Sec > 0 && sx.Btime.Sec <= sx.Ctime.Sec)
		}
	}},
	{"attr/birth time stays", func(r *run) {
		r.file("f", "x")
		birth := func(name string) (sx unix.Statx_t) {
			r.must("statx", unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_BTIME, &sx))
			return sx
		}
		before := birth("f")
		r.clock("f")
		r.must("chmod", unix.Chmod("f", 0o600))
		r.must("rename", unix.Rename("f", "g"))
		fd := r.open("g", unix.O_RDWR, 0)
		r.write(fd, "more")
		r.say("same birth %v", before.Btime == birth("g").Btime)
		var sx unix.Statx_t
		r.err("by descriptor", unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &sx))
		r.say("same birth %v", before.Btime == sx.Btime)
	}},
	{"attr/access as root", func(r *run) {
		r.file("f", "x")
		r.must("chmod", unix.Chmod("f", 0))
		for mode := range uint32(8) {
			r.err(fmt.Sprint("access ", mode), unix.Access("f", mode))
		}
		r.must("chmod", unix.Chmod("f", 0o100))
		r.err("execute", unix.Access("f", unix.X_OK))
		r.err("bad mode", unix.Access("f", 99))
		r.tryOpen("read without permission", "f", unix.O_RDWR, 0)
	}},
	{"attr/sticky bit on files", func(r *run) {
		r.file("f", "x")
		r.err("chmod", unix.Chmod("f", 0o1777))
		r.stat("f")
	}},
}

var timeScenarios = []scenario{
	{"time/set", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for _, ts := range [][2]unix.Timespec{
			{{Sec: 1, Nsec: 1}, {Sec: 2, Nsec: 999999999}},
			{{Sec: 0}, {Sec: 0}},
			{{Sec: -1000}, {Sec: -1, Nsec: 500000000}},
			{{Sec: 4102444800}, {Sec: 8000000000, Nsec: 123456789}},
			{{Sec: 1 << 40}, {Sec: -(1 << 40)}},
		} {
			for _, name := range []string{"f", "d"} {
				r.err("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, name, ts[:], 0))
				st := r.lstat(name)
				r.say("%s: atime %v mtime %v", name, st.Atim, st.Mtim)
			}
		}
		r.err("bad nanoseconds", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Nsec: 1 << 30}, {Nsec: 0}}, 0))
		r.err("missing", unix.UtimesNanoAt(unix.AT_FDCWD, "no", []unix.Timespec{{}, {}}, 0))
	}},
	{"time/omit and now", func(r *run) {
		r.file("f", "x")
		omit, now := unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW}
		set := func(what string, a, m unix.Timespec) {
			r.must("reset", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 100, Nsec: 5}, {Sec: 200, Nsec: 6}}, 0))
			was := r.clock("f")
			r.err(what, unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{a, m}, 0))
			r.moved(what, "f", was)
		}
		set("omit both", omit, omit)
		set("omit atime", omit, unix.Timespec{Sec: 300})
		set("omit mtime", unix.Timespec{Sec: 300}, omit)
		set("now both", now, now)
		set("now atime", now, omit)
		set("now mtime", omit, now)
		set("now and value", now, unix.Timespec{Sec: 50})
		r.must("reset", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 100}, {Sec: 200}}, 0))
		was := r.clock("f")
		r.err("null", rawCall(unix.SYS_UTIMENSAT, r.open("f", unix.O_RDONLY, 0), 0, 0, 0))
		r.moved("null", "f", was)
	}},
	{"time/access time follows reads", func(r *run) {
		r.file("f", "content")
		r.dir("d")
		r.file("d/x", "y")
		r.must("symlink", unix.Symlink("f", "l"))
		old := []unix.Timespec{{Sec: 1000}, {Sec: 2000}}
		for _, name := range []string{"f", "d", "l"} {
			r.must("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, name, old, unix.AT_SYMLINK_NOFOLLOW))
		}
		f := r.clock("f")
		fd := r.open("f", unix.O_RDONLY, 0)
		r.moved("open", "f", f)
		r.pread(fd, 3, 0)
		r.moved("read", "f", f)
		d := r.clock("d")
		r.list("d")
		r.moved("list", "d", d)
	}},
	{"time/follows stores into a mapping", func(r *run) {
		r.file("f", strings.Repeat("x", 5000))
		changed := func(what string, was times) { // its atime depends on whose page cache it is
			st := r.lstat("f")
			r.say("%s: mtime %s ctime %s", what, order(was.mtime, st.Mtim), order(was.ctime, st.Ctim))
		}
		for range 2 {
			was := r.clock("f")
			fd := r.open("f", unix.O_RDWR, 0)
			m, err := unix.Mmap(fd, 0, 5000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			r.must("mmap", err)
			r.say("reads %q", m[0])
			changed("mmap", was)
			m[0] = 'y'
			r.must("msync", unix.Msync(m, unix.MS_SYNC))
			changed("store", was)
			was = r.clock("f")
			m[1] = 'z'
			r.must("munmap", unix.Munmap(m))
			r.must("close", unix.Close(fd))
			changed("store, munmap and close", was)
		}
	}},
	{"time/set on an open file", func(r *run) {
		r.file("f", "x")
		fd := r.open("f", unix.O_RDWR, 0)
		r.write(fd, "y")
		r.err("futimens", futimens(fd, unix.Timespec{Sec: 5, Nsec: 6}, unix.Timespec{Sec: 7, Nsec: 8}))
		st := r.lstat("f")
		r.say("atime %v mtime %v", st.Atim, st.Mtim)
		r.must("close", unix.Close(fd))
		st = r.lstat("f")
		r.say("after close: atime %v mtime %v", st.Atim, st.Mtim)
	}},
	{"time/set survives a rename and a link", func(r *run) {
		r.file("f", "x")
		r.must("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 5, Nsec: 6}, {Sec: 7, Nsec: 8}}, 0))
		r.must("rename", unix.Rename("f", "g"))
		r.must("link", unix.Link("g", "h"))
		r.must("chmod", unix.Chmod("h", 0o600))
		st := r.lstat("g")
		r.say("mtime %v", st.Mtim)
	}},
}
