package callers

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// createMany makes a directory and files in it.
var createMany = harness.Func("createMany", func(args []string) error {
	unix.Umask(0o022)
	if err := unix.Mkdir(args[0], 0o755); err != nil {
		return err
	}
	n, _ := strconv.Atoi(args[1])
	for i := range n {
		fd, err := unix.Open(fmt.Sprintf("%s/%d", args[0], i), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
})

func asUser(cmd *exec.Cmd, uid, gid int) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Dir = "/"
	return cmd
}

// rank of the directories that newMount makes.
var rank = map[string]int{"p": 0, "f": 1}

func TestModeBitsDecide(t *testing.T) {
	m := newMount(t)
	for d, i := range rank {
		give(t, m.Tiers[i]+"/"+d+"/secret", bob, friends, 0o600)
		give(t, m.Tiers[i]+"/"+d+"/group", bob, friends, 0o640)
		give(t, m.Tiers[i]+"/"+d+"/mine", alice, staff, 0o600)
		harness.Mkdir(t, m.Tiers[i]+"/"+d+"/closed")
		give(t, m.Tiers[i]+"/"+d+"/closed/in", alice, staff, 0o666)
		harness.Chown(t, m.Tiers[i]+"/"+d+"/closed", bob, friends)
		harness.Chmod(t, m.Tiers[i]+"/"+d+"/closed", 0o700)
	}
	m.Up()
	for d := range rank {
		path := func(name string) string { return m.Path(d + "/" + name) }
		run(t, call, alice, staff, nil, "EACCES", "read", path("secret"))
		run(t, call, alice, staff, nil, "EACCES", "read", path("group"))
		run(t, call, alice, staff, []int{friends}, "ok", "read", path("group"))
		run(t, call, alice, staff, []int{friends}, "EACCES", "write", path("group"))
		run(t, call, alice, friends, nil, "ok", "read", path("group"))
		run(t, call, alice, staff, nil, "ok", "write", path("mine"))
		run(t, call, alice, staff, nil, "EACCES", "read", path("closed/in"))
		run(t, call, alice, staff, nil, "EACCES", "list", path("closed"))
		run(t, call, alice, staff, nil, "EACCES", "create", path("closed/new"), "644")
		run(t, call, alice, staff, nil, "EACCES", "unlink", path("closed/in"))
		run(t, call, alice, staff, nil, "EPERM", "chmod", path("secret"), "666")
		run(t, call, alice, staff, nil, "EPERM", "chgrp", path("secret"), strconv.Itoa(staff))
		run(t, call, alice, staff, nil, "EPERM", "mknod", path("device"))
		run(t, call, 0, 0, nil, "ok", "read", path("secret"))
	}
}

func TestStickyDirectory(t *testing.T) {
	m := newMount(t)
	for d, i := range rank {
		harness.Chmod(t, m.Tiers[i]+"/"+d, 0o1777)
		give(t, m.Tiers[i]+"/"+d+"/theirs", bob, friends, 0o666)
		give(t, m.Tiers[i]+"/"+d+"/mine", alice, staff, 0o666)
	}
	m.Up()
	for d := range rank {
		path := func(name string) string { return m.Path(d + "/" + name) }
		run(t, call, alice, staff, nil, "EPERM", "unlink", path("theirs"))
		run(t, call, alice, staff, nil, "EPERM", "rename", path("theirs"), path("x"))
		run(t, call, alice, staff, nil, "EPERM", "rename", path("mine"), path("theirs"))
		run(t, call, alice, staff, nil, "ok", "rename", path("mine"), path("y"))
		run(t, call, alice, staff, nil, "ok", "unlink", path("y"))
	}
}

// TestACLDecides: without POSIX ACLs in the mount a user whom an ACL denies
// would read by the group's bits, which are the ACL's mask.
func TestACLDecides(t *testing.T) {
	m := newMount(t)
	for d, i := range rank {
		give(t, m.Tiers[i]+"/"+d+"/denied", bob, staff, 0o644)
		setACL(t, m.Tiers[i]+"/"+d+"/denied", "access", acl(6, 0, 4, alice))
		give(t, m.Tiers[i]+"/"+d+"/granted", bob, staff, 0o600)
		setACL(t, m.Tiers[i]+"/"+d+"/granted", "access", acl(6, 6, 0, alice))
		harness.Mkdir(t, m.Tiers[i]+"/"+d+"/dir")
		give(t, m.Tiers[i]+"/"+d+"/dir/in", bob, staff, 0o644)
		setACL(t, m.Tiers[i]+"/"+d+"/dir", "access", acl(7, 0, 5, alice))
	}
	m.Up()
	for d := range rank {
		path := func(name string) string { return m.Path(d + "/" + name) }
		run(t, call, alice, staff, nil, "EACCES", "read", path("denied"))
		run(t, call, alice+9, friends, nil, "ok", "read", path("denied"))
		run(t, call, alice, friends, nil, "ok", "write", path("granted"))
		run(t, call, alice+9, staff, nil, "EACCES", "read", path("granted"))
		run(t, call, alice, staff, nil, "EACCES", "list", path("dir"))
		run(t, call, alice, staff, nil, "EACCES", "read", path("dir/in"))
		run(t, call, alice+9, friends, nil, "ok", "read", path("dir/in"))
	}
}

// TestACLSetThroughTheMountCounts at once, and removed it counts no more.
func TestACLSetThroughTheMountCounts(t *testing.T) {
	m := newMount(t)
	for d, i := range rank {
		give(t, m.Tiers[i]+"/"+d+"/x", bob, friends, 0o600)
	}
	m.Up()
	for d := range rank {
		path := m.Path(d + "/x")
		run(t, call, alice, staff, nil, "EACCES", "read", path)
		harness.Must(t, "setfacl", "-m", "u:54321:r", path)
		run(t, call, alice, staff, nil, "ok", "read", path)
		run(t, call, alice, staff, nil, "EACCES", "write", path)
		if got, want := harness.Must(t, "getfacl", "-cpn", path), harness.Must(t, "getfacl", "-cpn", m.Tiers[rank[d]]+"/"+d+"/x"); got != want {
			t.Errorf("shown\n%s\nbacking\n%s", got, want)
		}
		harness.Must(t, "setfacl", "-b", path)
		run(t, call, alice, staff, nil, "EACCES", "read", path)
	}
}

func TestNoaclTurnsACLsOff(t *testing.T) {
	m := newMount(t, "noacl")
	give(t, m.Primary+"/p/x", bob, staff, 0o644)
	setACL(t, m.Primary+"/p/x", "access", acl(6, 0, 4, alice))
	m.Up()
	run(t, call, alice, staff, nil, "ok", "read", m.Path("p/x"))
	run(t, call, alice, friends, nil, "ok", "read", m.Path("p/x"))
}

func TestPrivateMountIsClosedToOthers(t *testing.T) {
	m := newMount(t)
	// mount(8) takes "private" for a kind of propagation and keeps it.
	m.UpBy(exec.Command(harness.FuseHelper, m.Primary, m.Dir, "-o", m.Options("private")))
	run(t, call, alice, staff, nil, "EACCES", "list", m.Dir)
	run(t, call, 0, 0, nil, "ok", "list", m.Dir)
}

func TestAttributeNamespaces(t *testing.T) {
	m := newMount(t)
	for d, i := range rank {
		give(t, m.Tiers[i]+"/"+d+"/x", alice, staff, 0o644)
		give(t, m.Tiers[i]+"/"+d+"/y", bob, friends, 0o644)
	}
	m.Up()
	for d, i := range rank {
		x, y := m.Path(d+"/x"), m.Path(d+"/y")
		for _, attr := range []string{"user.k", "trusted.k", "security.k"} {
			run(t, call, 0, 0, nil, "ok", "setxattr", x, attr)
			run(t, call, 0, 0, nil, "ok", "getxattr", x, attr)
			if _, err := unix.Getxattr(m.Tiers[i]+"/"+d+"/x", attr, make([]byte, 10)); err != nil {
				t.Errorf("%s on the backing file: %v", attr, err)
			}
		}
		run(t, call, alice, staff, nil, "ok", "setxattr", x, "user.mine")
		run(t, call, alice, staff, nil, "EPERM", "setxattr", x, "trusted.mine")
		run(t, call, alice, staff, nil, "EPERM", "setxattr", x, "security.mine")
		run(t, call, alice, staff, nil, "ENODATA", "getxattr", x, "trusted.k")
		run(t, call, alice, staff, nil, "EACCES", "setxattr", y, "user.mine")
	}
}
