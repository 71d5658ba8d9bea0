// Package callers tests whose rights count: files belong to who made them, and
// what a user may not do beside the mount, nobody may do through it.
package callers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// Ordinary users and groups.
const (
	alice, bob     = harness.UserA, harness.UserB
	staff, friends = 54401, 54402
)

// newMount is a mount with a directory "p" on the primary and "f" on the
// fallback, both open to everyone.
func newMount(t *testing.T, opts ...string) *harness.Mount {
	t.Helper()
	harness.Require(t, "root", "fuse")
	m := harness.New(t, 1, opts...)
	open(t, m)
	return m
}

func open(t *testing.T, m *harness.Mount) {
	t.Helper()
	for rank, name := range []string{"p", "f"} {
		harness.Mkdir(t, filepath.Join(m.Tiers[rank], name))
		harness.Chmod(t, filepath.Join(m.Tiers[rank], name), 0o777)
	}
}

// give makes a file in a tier with an owner and a mode.
func give(t *testing.T, path string, uid, gid int, mode uint32) {
	t.Helper()
	harness.Write(t, path, "content")
	harness.Chown(t, path, uid, gid)
	harness.Chmod(t, path, mode)
}

// want fails the test unless a file has this owner and these twelve mode bits,
// seen through the mount and in its tier.
func want(t *testing.T, m *harness.Mount, rel string, uid, gid int, mode uint32) {
	t.Helper()
	rank := 0
	if rel[0] == 'f' {
		rank = 1
	}
	for _, path := range []string{m.Path(rel), filepath.Join(m.Tiers[rank], rel)} {
		st := harness.Stat(t, path)
		if int(st.Uid) != uid || int(st.Gid) != gid || st.Mode&0o7777 != mode {
			t.Errorf("%s: owner %d:%d mode %o, want %d:%d %o", path, st.Uid, st.Gid, st.Mode&0o7777, uid, gid, mode)
		}
	}
}

// run runs one of the functions below as a user and fails the test unless it
// ends as wanted: an errno's name, or "ok".
func run(t *testing.T, c harness.Call, uid, gid int, groups []int, wanted string, args ...string) {
	t.Helper()
	stdout, stderr, code := c.AsUser(t, uid, gid, groups, args...)
	if code != 0 {
		t.Errorf("%s %q as %d:%d %v: %s", c, args, uid, gid, groups, stderr)
		return
	}
	if stdout != wanted+"\n" {
		t.Errorf("%s %q as %d:%d %v: %s, want %s", c, args, uid, gid, groups, stdout[:len(stdout)-1], wanted)
	}
}

// say prints the outcome of a call for run.
func say(err error) error {
	if err == nil {
		fmt.Println("ok")
		return nil
	}
	var no unix.Errno
	if !errors.As(err, &no) {
		return err
	}
	fmt.Println(unix.ErrnoName(no))
	return nil
}

// makeAll makes one thing of each type below a directory, under a umask.
var makeAll = harness.Func("makeAll", func(args []string) error {
	dir := args[0]
	mask := 0o022
	if len(args) > 1 {
		fmt.Sscanf(args[1], "%o", &mask)
	}
	unix.Umask(mask)
	fd, err := unix.Open(dir+"/file", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o666)
	unix.Close(fd)
	tmp, errT := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY, 0o666)
	if errT == nil {
		errT = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", tmp), unix.AT_FDCWD, dir+"/tmpfile", unix.AT_SYMLINK_FOLLOW)
	}
	return say(errors.Join(err, errT,
		unix.Mkdir(dir+"/dir", 0o777),
		unix.Symlink("x", dir+"/link"),
		unix.Mkfifo(dir+"/fifo", 0o666),
		unix.Mknod(dir+"/sock", unix.S_IFSOCK|0o666, 0),
		unix.Mknod(dir+"/node", unix.S_IFREG|0o666, 0)))
})

var makers = []string{"file", "tmpfile", "dir", "fifo", "sock", "node", "link"}

// call is one system call on a path.
var call = harness.Func("call", func(args []string) error {
	unix.Umask(0)
	path := args[1]
	mode := func() (n uint32) { fmt.Sscanf(args[2], "%o", &n); return n }
	open := func(flags int) (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0o644) }
	try := func(fd int, err error) error { unix.Close(fd); return err }
	switch args[0] {
	case "read":
		return say(try(open(unix.O_RDONLY)))
	case "write":
		return say(try(open(unix.O_WRONLY)))
	case "create":
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode())
		return say(try(fd, err))
	case "list":
		_, err := os.ReadDir(path)
		return say(err)
	case "append":
		fd, err := open(unix.O_WRONLY | unix.O_APPEND)
		if err == nil {
			_, err = unix.Write(fd, []byte("+"))
		}
		return say(err)
	case "overwrite":
		fd, err := open(unix.O_WRONLY)
		if err == nil {
			_, err = unix.Pwrite(fd, []byte("C"), 0)
		}
		return say(err)
	case "truncate":
		return say(unix.Truncate(path, 3))
	case "otrunc":
		return say(try(open(unix.O_WRONLY | unix.O_TRUNC)))
	case "chmod":
		return say(unix.Chmod(path, mode()))
	case "mkdir":
		return say(unix.Mkdir(path, mode()))
	case "unlink":
		return say(unix.Unlink(path))
	case "rename":
		return say(unix.Rename(path, args[2]))
	case "link":
		return say(unix.Link(path, args[2]))
	case "chgrp":
		var gid int
		fmt.Sscan(args[2], &gid)
		return say(unix.Chown(path, -1, gid))
	case "setxattr":
		return say(unix.Setxattr(path, args[2], []byte("v"), 0))
	case "getxattr":
		_, err := unix.Getxattr(path, args[2], make([]byte, 100))
		return say(err)
	case "mknod":
		return say(unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	}
	return fmt.Errorf("no call %q", args[0])
})

// acl is the extended attribute form of an ACL that gives one user perm and
// everyone else other; see <linux/posix_acl_xattr.h>.
func acl(owner, perm, other uint16, uid int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        int
	}{{1, owner, -1}, {2, perm, uid}, {4, other, -1}, {16, 7, -1}, {32, other, -1}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, uint32(e.id))
	}
	return b
}

func setACL(t *testing.T, path, attr string, value []byte) {
	t.Helper()
	if err := unix.Setxattr(path, "system.posix_acl_"+attr, value, 0); err != nil {
		t.Fatal(err)
	}
}
