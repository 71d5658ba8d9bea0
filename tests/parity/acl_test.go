package parity

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// Tags of <linux/posix_acl.h>.
const (
	tagOwner, tagUser, tagGroupOwner, tagGroup, tagMask, tagOther = 1, 2, 4, 8, 16, 32
)

type ace struct {
	tag, perm uint16
	id        int
}

// acl writes the extended attribute form of an ACL.
func acl(entries ...ace) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, uint32(e.id))
	}
	return b
}

// usual is an ACL that gives one more user something.
func usual(id int, perm uint16) []byte {
	return acl(ace{tagOwner, 7, -1}, ace{tagUser, perm, id}, ace{tagGroupOwner, 5, -1}, ace{tagMask, 7, -1}, ace{tagOther, 0, -1})
}

var aclScenarios = []scenario{
	{"acl/set and get", func(r *run) {
		r.file("f", "x")
		r.err("set", unix.Setxattr("f", aclAccess, usual(alice, 6), 0))
		r.stat("f")
		r.xattr("f", aclAccess)
		r.xattrs("f")
		r.err("minimal", unix.Setxattr("f", aclAccess, acl(ace{tagOwner, 6, -1}, ace{tagGroupOwner, 4, -1}, ace{tagOther, 4, -1}), 0))
		r.stat("f")
		r.xattr("f", aclAccess)
		r.must("set", unix.Setxattr("f", aclAccess, usual(alice, 6), 0))
		r.err("remove", unix.Removexattr("f", aclAccess))
		r.err("remove again", unix.Removexattr("f", aclAccess))
		r.stat("f")
	}},
	{"acl/refusals", func(r *run) {
		r.file("f", "x")
		r.must("symlink", unix.Symlink("f", "l"))
		r.err("default on a file", unix.Setxattr("f", aclDefault, usual(alice, 6), 0))
		r.err("no mask", unix.Setxattr("f", aclAccess, acl(ace{tagOwner, 6, -1}, ace{tagUser, 6, alice}, ace{tagGroupOwner, 4, -1}, ace{tagOther, 4, -1}), 0))
		r.err("garbage", unix.Setxattr("f", aclAccess, []byte("garbage"), 0))
		r.err("wrong version", unix.Setxattr("f", aclAccess, []byte{9, 0, 0, 0}, 0))
		r.err("on a link", unix.Lsetxattr("l", aclAccess, usual(alice, 6), 0))
		r.xattr("f", aclAccess)
	}},
	{"acl/chmod changes the mask", func(r *run) {
		r.file("f", "x")
		r.must("set", unix.Setxattr("f", aclAccess, usual(alice, 6), 0))
		r.err("chmod", unix.Chmod("f", 0o640))
		r.xattr("f", aclAccess)
		r.stat("f")
		r.err("chmod", unix.Chmod("f", 0o707))
		r.xattr("f", aclAccess)
		r.stat("f")
	}},
	{"acl/inherited", func(r *run) {
		r.dir("d")
		r.err("set", unix.Setxattr("d", aclDefault, usual(alice, 7), 0))
		r.xattrs("d")
		r.umask(0o077)
		r.file("d/f", "x")
		r.must("mkdir", unix.Mkdir("d/s", 0o777))
		r.must("mkfifo", unix.Mkfifo("d/p", 0o666))
		r.must("mknod", unix.Mknod("d/n", unix.S_IFREG|0o640, 0))
		r.must("symlink", unix.Symlink("x", "d/l"))
		r.must("mkdir", unix.Mkdir("d/s/t", 0o700))
		r.tryOpen("create", "d/s/t/x", unix.O_CREAT|unix.O_WRONLY, 0o777)
		fd := r.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o666)
		r.err("linkat", unix.Linkat(fd, "", unix.AT_FDCWD, "d/tmp", unix.AT_EMPTY_PATH))
		r.err("remove", unix.Removexattr("d", aclDefault))
		r.file("d/plain", "x")
	}},
	{"acl/decides who may", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.file("d/f", "y")
		r.must("set", unix.Setxattr("f", aclAccess, usual(alice, 4), 0))
		r.must("set", unix.Setxattr("d", aclAccess, acl(ace{tagOwner, 7, -1}, ace{tagUser, 0, alice}, ace{tagGroupOwner, 5, -1}, ace{tagGroup, 5, friends}, ace{tagMask, 5, -1}, ace{tagOther, 5, -1}), 0))
		for _, who := range []int{alice, bob} {
			r.as(who, staff, []int{friends}, func() {
				r.say("user %d", who)
				r.tryOpen("read", "f", unix.O_RDONLY, 0)
				r.tryOpen("write", "f", unix.O_WRONLY, 0)
				r.err("access", unix.Access("f", unix.R_OK))
				r.tryOpen("in the directory", "d/f", unix.O_RDONLY, 0)
				r.list("d")
				r.tryOpen("create", "d/n", unix.O_CREAT|unix.O_WRONLY, 0o644)
			})
		}
	}},
	{"acl/mask limits a named user", func(r *run) {
		r.file("f", "x")
		r.must("set", unix.Setxattr("f", aclAccess, acl(ace{tagOwner, 6, -1}, ace{tagUser, 6, alice}, ace{tagGroupOwner, 0, -1}, ace{tagGroup, 6, friends}, ace{tagMask, 4, -1}, ace{tagOther, 0, -1}), 0))
		r.as(alice, staff, nil, func() {
			r.tryOpen("read", "f", unix.O_RDONLY, 0)
			r.tryOpen("write", "f", unix.O_WRONLY, 0)
		})
		r.as(bob, staff, []int{friends}, func() {
			r.tryOpen("read", "f", unix.O_RDONLY, 0)
			r.tryOpen("write", "f", unix.O_WRONLY, 0)
		})
	}},
	{"acl/by its owner", func(r *run) {
		r.file("f", "x")
		r.must("chown", unix.Chown("f", alice, staff))
		r.as(bob, staff, nil, func() { r.err("another sets", unix.Setxattr("f", aclAccess, usual(bob, 6), 0)) })
		r.as(alice, staff, nil, func() { r.err("the owner sets", unix.Setxattr("f", aclAccess, usual(bob, 6), 0)) })
		r.as(bob, friends, nil, func() {
			r.tryOpen("write", "f", unix.O_WRONLY, 0)
			r.xattr("f", aclAccess)
			r.err("another removes", unix.Removexattr("f", aclAccess))
		})
		r.stat("f")
	}},
	{"acl/set clears a stranger's set-group-ID", func(r *run) {
		r.file("f", "x")
		r.must("chown", unix.Chown("f", alice, friends))
		r.must("chmod", unix.Chmod("f", 0o2770))
		r.as(alice, staff, nil, func() { r.err("set", unix.Setxattr("f", aclAccess, usual(bob, 6), 0)) })
		r.stat("f")
		r.must("chmod", unix.Chmod("f", 0o2770))
		r.as(alice, staff, []int{friends}, func() { r.err("set by a member", unix.Setxattr("f", aclAccess, usual(bob, 4), 0)) })
		r.stat("f")
	}},
}
