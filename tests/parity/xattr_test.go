package parity

import (
	"strings"

	"golang.org/x/sys/unix"
)

// capBytes is a security.capability value: version 2, cap_net_raw+ep.
var capBytes = []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")

var xattrScenarios = []scenario{
	{"xattr/set, get, list, remove", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.must("symlink", unix.Symlink("f", "l"))
		for _, name := range []string{"f", "d", "l"} {
			r.err("set", unix.Setxattr(name, "user.one", []byte("1\x00\xff"), 0))
			r.err("set", unix.Setxattr(name, "user.two", nil, 0))
			r.err("set", unix.Setxattr(name, "user.tierfs.pin", []byte("none"), 0))
			r.xattr(name, "user.one")
			r.xattr(name, "user.two")
			r.xattrs(name)
			r.err("replace", unix.Setxattr(name, "user.one", []byte("other"), 0))
			r.err("remove", unix.Removexattr(name, "user.two"))
			r.err("remove again", unix.Removexattr(name, "user.two"))
			r.xattr(name, "user.two")
			r.xattrs(name)
		}
	}},
	{"xattr/create and replace", func(r *run) {
		r.file("f", "x")
		r.err("replace missing", unix.Setxattr("f", "user.k", []byte("v"), unix.XATTR_REPLACE))
		r.err("create", unix.Setxattr("f", "user.k", []byte("v"), unix.XATTR_CREATE))
		r.err("create again", unix.Setxattr("f", "user.k", []byte("w"), unix.XATTR_CREATE))
		r.err("replace", unix.Setxattr("f", "user.k", []byte("w"), unix.XATTR_REPLACE))
		r.err("both", unix.Setxattr("f", "user.k", []byte("w"), unix.XATTR_CREATE|unix.XATTR_REPLACE))
		r.err("unknown flag", unix.Setxattr("f", "user.k", []byte("w"), 64))
		r.xattr("f", "user.k")
	}},
	{"xattr/sizes", func(r *run) {
		r.file("f", "x")
		r.must("set", unix.Setxattr("f", "user.k", []byte("0123456789"), 0))
		n, err := unix.Getxattr("f", "user.k", nil)
		r.say("size %d %s", n, err)
		_, err = unix.Getxattr("f", "user.k", make([]byte, 5))
		r.err("small buffer", err)
		n, err = unix.Listxattr("f", nil)
		r.say("list size %d %s", n, err)
		_, err = unix.Listxattr("f", make([]byte, 3))
		r.err("small list buffer", err)
		r.err("3000 bytes", unix.Setxattr("f", "user.big", []byte(strings.Repeat("v", 3000)), 0))
		r.xattr("f", "user.big")
		r.err("too large for ext4", unix.Setxattr("f", "user.huge", make([]byte, 60000), 0))
		r.err("too large for any", unix.Setxattr("f", "user.huge", make([]byte, 65537), 0))
		r.err("name of 255", unix.Setxattr("f", "user."+strings.Repeat("n", 250), []byte("v"), 0))
		r.err("name of 256", unix.Setxattr("f", "user."+strings.Repeat("n", 251), []byte("v"), 0))
		r.err("no name", unix.Setxattr("f", "user.", []byte("v"), 0))
		r.err("empty name", unix.Setxattr("f", "", []byte("v"), 0))
	}},
	{"xattr/namespaces", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.must("mkfifo", unix.Mkfifo("p", 0o644))
		for _, name := range []string{"f", "d", "p"} {
			for _, attr := range []string{"user.k", "trusted.k", "security.k", "system.k", "unknown.k", "plain", "os2.k"} {
				r.err("set "+attr, unix.Setxattr(name, attr, []byte("v"), 0))
				r.xattr(name, attr)
				r.err("remove "+attr, unix.Removexattr(name, attr))
			}
			r.must("set", unix.Setxattr(name, "trusted.stays", []byte("v"), 0))
			r.xattrs(name)
		}
	}},
	{"xattr/by descriptor", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDONLY, 0o644)
		r.err("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
		r.must("rename", unix.Rename("f", "g"))
		b := make([]byte, 10)
		n, err := unix.Fgetxattr(fd, "user.k", b)
		r.say("fgetxattr %q %s", b[:max(n, 0)], err)
		r.err("fremovexattr", unix.Fremovexattr(fd, "user.k"))
		n, err = unix.Flistxattr(fd, b)
		r.say("flistxattr %d %s", n, err)
	}},
	{"xattr/change time", func(r *run) {
		r.file("f", "x")
		was := r.clock("f")
		r.must("set", unix.Setxattr("f", "user.k", []byte("v"), 0))
		r.moved("set", "f", was)
		was = r.clock("f")
		r.must("remove", unix.Removexattr("f", "user.k"))
		r.moved("remove", "f", was)
	}},
	{"xattr/capabilities are lost by a write", func(r *run) {
		r.file("f", "x")
		lost := func(what string, change func() error) {
			r.must("chmod", unix.Chmod("f", 0o755))
			r.err("set", unix.Setxattr("f", "security.capability", capBytes, 0))
			r.err(what, change())
			r.xattr("f", "security.capability")
		}
		lost("nothing", func() error { return nil })
		lost("write", func() error {
			_, err := unix.Write(r.open("f", unix.O_WRONLY, 0), []byte("y"))
			return err
		})
		lost("truncate", func() error { return unix.Truncate("f", 10) })
		lost("open with truncate", func() error {
			_, err := unix.Open("f", unix.O_WRONLY|unix.O_TRUNC, 0)
			return err
		})
		lost("chown", func() error { return unix.Chown("f", alice, staff) })
		lost("chmod", func() error { return unix.Chmod("f", 0o700) })
		lost("rename", func() error { return unix.Rename("f", "f") })
	}},
}
