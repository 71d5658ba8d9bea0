package parity

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// File flags of <linux/fs.h>.
const (
	flagNodump    = 0x40
	flagImmutable = 0x10
	flagAppend    = 0x20
	flagNoatime   = 0x80
)

// getFlags and setFlags are chattr(1)'s requests.
func getFlags(fd int) (uint32, error) {
	var arg [64]byte
	err := ioctl(fd, unix.FS_IOC_GETFLAGS, &arg)
	return binary.NativeEndian.Uint32(arg[:]), err
}

func setFlags(fd int, flags uint32) error {
	var arg [64]byte
	binary.NativeEndian.PutUint32(arg[:], flags)
	return ioctl(fd, unix.FS_IOC_SETFLAGS, &arg)
}

// touch sets the times to now, which is allowed where a given time is not.
func touch(r *run, name string) {
	now, omit := unix.Timespec{Nsec: unix.UTIME_NOW}, unix.Timespec{Nsec: unix.UTIME_OMIT}
	was := r.clock(name)
	r.err("touch", unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{now, now}, 0))
	r.moved("touch", name, was)
	r.err("touch one", unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{now, omit}, 0))
	r.err("given times", unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
}

// fsxattr is struct fsxattr of <linux/fs.h>.
type fsxattr struct{ xflags, extsize, nextents, projid, cowextsize uint32 }

// Requests and flags of ioctl_fsxattr(2).
const (
	fsGetXattr       = 0x801c581f
	fsSetXattr       = 0x401c5820
	xflagNodump      = 0x80
	xflagImmutable   = 0x8
	xflagProjInherit = 0x200
)

func (x *fsxattr) get(fd int) error {
	var arg [64]byte
	err := ioctl(fd, fsGetXattr, &arg)
	for i, field := range []*uint32{&x.xflags, &x.extsize, &x.nextents, &x.projid, &x.cowextsize} {
		*field = binary.NativeEndian.Uint32(arg[4*i:])
	}
	return err
}

func (x *fsxattr) set(fd int) error {
	var arg [64]byte
	for i, field := range []uint32{x.xflags, x.extsize, x.nextents, x.projid, x.cowextsize} {
		binary.NativeEndian.PutUint32(arg[4*i:], field)
	}
	return ioctl(fd, fsSetXattr, &arg)
}

// setFsxattr changes one thing of a file and writes down what it has then.
func (r *run) setFsxattr(what string, fd int, change func(x *fsxattr)) {
	var x fsxattr
	r.must("get", x.get(fd))
	change(&x)
	var st, now unix.Stat_t
	r.must("fstat", unix.Fstat(fd, &st))
	time.Sleep(12 * time.Millisecond) // see clock
	r.err(what, x.set(fd))
	r.must("fstat", unix.Fstat(fd, &now))
	r.say("ctime %s", order(st.Ctim, now.Ctim))
	r.err("get", x.get(fd))
	r.say("flags %x extent size %d project %d", x.xflags, x.extsize, x.projid)
}

var ioctlScenarios = []scenario{
	{"ioctl/extended flags and projects", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for _, name := range []string{"f", "d"} {
			fd := r.open(name, unix.O_RDONLY, 0)
			r.setFsxattr("nodump", fd, func(x *fsxattr) { x.xflags |= xflagNodump })
			r.setFsxattr("no flag", fd, func(x *fsxattr) { x.xflags = 0 })
			r.setFsxattr("project", fd, func(x *fsxattr) { x.projid = 42 })
			r.setFsxattr("inherit the project", fd, func(x *fsxattr) { x.xflags |= xflagProjInherit })
			r.setFsxattr("extent size", fd, func(x *fsxattr) { x.extsize = 4096 })
		}
		fd := r.open("d", unix.O_RDONLY, 0)
		r.file("d/f", "x")
		r.dir("d/s")
		for _, name := range []string{"d/f", "d/s"} {
			var x fsxattr
			r.must("get", x.get(r.open(name, unix.O_RDONLY, 0)))
			r.say("%s: flags %x project %d", name, x.xflags, x.projid)
		}
		r.err("link from another project", unix.Link("f", "d/g"))
		r.setFsxattr("no project", fd, func(x *fsxattr) { x.projid, x.xflags = 0, 0 })
	}},
	{"ioctl/extended flags of another's file", func(r *run) {
		r.file("f", "x")
		r.must("chmod", unix.Chmod("f", 0o666))
		for _, owner := range []int{bob, alice} {
			r.must("chown", unix.Chown("f", owner, staff))
			r.as(alice, staff, nil, func() {
				fd := r.open("f", unix.O_RDWR, 0)
				r.setFsxattr("nodump", fd, func(x *fsxattr) { x.xflags |= xflagNodump })
				r.setFsxattr("immutable", fd, func(x *fsxattr) { x.xflags |= xflagImmutable })
				r.setFsxattr("project", fd, func(x *fsxattr) { x.projid = 7 })
			})
		}
	}},
	{"ioctl/flags", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		for _, name := range []string{"f", "d"} {
			fd := r.open(name, unix.O_RDONLY, 0)
			flags, err := getFlags(fd)
			r.say("get %x %s", flags, err)
			r.err("set", setFlags(fd, flags|flagNodump|flagNoatime))
			flags, err = getFlags(fd)
			r.say("get %x %s", flags, err)
			r.command("lsattr", "-d", name)
			was := r.clock(name)
			r.err("clear", setFlags(fd, flags&^(flagNodump|flagNoatime)))
			r.moved("clear", name, was)
		}
	}},
	{"ioctl/immutable", func(r *run) {
		r.file("f", "x")
		fd := r.open("f", unix.O_RDWR, 0)
		flags, err := getFlags(fd)
		r.must("get", err)
		r.err("set", setFlags(fd, flags|flagImmutable))
		r.tryOpen("write", "f", unix.O_WRONLY, 0)
		r.tryOpen("read", "f", unix.O_RDONLY, 0)
		r.err("unlink", unix.Unlink("f"))
		r.err("rename", unix.Rename("f", "g"))
		r.err("link", unix.Link("f", "g"))
		r.err("chmod", unix.Chmod("f", 0o600))
		r.err("truncate", unix.Truncate("f", 0))
		r.err("setxattr", unix.Setxattr("f", "user.k", []byte("v"), 0))
		r.must("clear", setFlags(fd, flags))
		r.err("unlink", unix.Unlink("f"))
	}},
	{"ioctl/append only", func(r *run) {
		r.file("f", "base")
		fd := r.open("f", unix.O_RDONLY, 0)
		flags, err := getFlags(fd)
		r.must("get", err)
		r.err("set", setFlags(fd, flags|flagAppend))
		r.tryOpen("write", "f", unix.O_WRONLY, 0)
		r.tryOpen("append", "f", unix.O_WRONLY|unix.O_APPEND, 0)
		r.err("unlink", unix.Unlink("f"))
		r.err("truncate", unix.Truncate("f", 0))
		touch(r, "f")
		r.must("clear", setFlags(fd, flags))
		r.read("f")
	}},
	{"ioctl/append-only directory", func(r *run) {
		r.dir("d")
		r.file("d/f", "x")
		fd := r.open("d", unix.O_RDONLY, 0)
		flags, err := getFlags(fd)
		r.must("get", err)
		r.err("set", setFlags(fd, flags|flagAppend))
		r.file("d/g", "y")
		r.err("unlink", unix.Unlink("d/f"))
		r.err("rename", unix.Rename("d/f", "d/h"))
		r.err("chmod", unix.Chmod("d", 0o700))
		touch(r, "d")
		r.must("clear", setFlags(fd, flags))
	}},
	{"ioctl/flags of another's file", func(r *run) {
		r.file("f", "x")
		r.must("chmod", unix.Chmod("f", 0o666))
		r.as(alice, staff, nil, func() {
			fd := r.open("f", unix.O_RDWR, 0)
			flags, err := getFlags(fd)
			r.say("get %x %s", flags, err)
			r.err("set", setFlags(fd, flags|flagNodump))
		})
		r.must("chown", unix.Chown("f", alice, staff))
		r.as(alice, staff, nil, func() {
			fd := r.open("f", unix.O_RDWR, 0)
			flags, _ := getFlags(fd)
			r.err("set by the owner", setFlags(fd, flags|flagNodump))
			r.err("immutable by the owner", setFlags(fd, flags|flagImmutable))
		})
	}},
	{"ioctl/unknown", func(r *run) {
		r.file("f", "0123456789")
		r.dir("d")
		for _, name := range []string{"f", "d"} {
			fd := r.open(name, unix.O_RDONLY, 0)
			for _, req := range []uint{unix.TCGETS, 0x1234, 0x5678, 0xdead0000 | 0x40040000, unix.BLKGETSIZE64} {
				var arg [64]byte
				r.err("ioctl", ioctl(fd, req, &arg))
			}
		}
		fd := r.open("f", unix.O_RDONLY, 0)
		unix.Seek(fd, 3, unix.SEEK_SET)
		n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		r.say("bytes to read %d %s", n, err)
	}},
}
