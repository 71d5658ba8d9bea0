package parity

import (
	"encoding/binary"

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

var ioctlScenarios = []scenario{
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
			r.err("clear", setFlags(fd, flags&^(flagNodump|flagNoatime)))
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
