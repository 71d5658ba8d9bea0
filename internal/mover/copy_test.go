package mover

import (
	"context"
	"testing"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// TestAttributesThatAreNotPermitted have files stay for that: a tier that forbids
// chmod(2), as bindfs can, was an error for the log. An immutable file takes none.
func TestAttributesThatAreNotPermitted(t *testing.T) {
	r := newRig(t, 2, Policy{})
	mountTmpfs(t, r.at(1, ""), "1m")
	r.open(Policy{})
	r.file(0, "f", 1, day)
	d := r.Tiers()[0].RootDir()
	defer d.Put()
	src, err := d.Open("f", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	c := NewCopier(context.Background(), r.Tiers()[0], r.Tiers()[1], nil)
	for name, change := range map[string]func(st *unix.Stat_t){
		"owner": func(st *unix.Stat_t) { st.Uid++ },
		"mode":  func(st *unix.Stat_t) { st.Mode ^= 0777 },
		"times": func(st *unix.Stat_t) {},
	} {
		err := r.Try(r.Tiers()[1], 0644, func(dst *tier.File) error {
			var st unix.Stat_t
			if err := dst.Stat(&st); err != nil {
				return err
			}
			change(&st)
			fd, err := unix.Open(r.at(1, ".try"), unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			const immutable = 0x10 // FS_IMMUTABLE_FL
			if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, immutable); err != nil {
				t.Skipf("chattr +i on a tmpfs: %v", err)
			}
			defer unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0)
			return c.Attributes(src, dst, &st)
		})
		if want := (AttributesError{"its " + name}); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// An attribute that the other tier cannot hold keeps the file where it is, and nothing
// said which. What belongs to the filesystem stays behind.
func TestAttributeThatDoesNotFitIsNamed(t *testing.T) {
	if got, want := copyXattrError("system.odd", unix.EOPNOTSUPP), (AttributesError{"the attribute system.odd"}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	for name, err := range map[string]error{"btrfs.compression": unix.EOPNOTSUPP, selinux: unix.EPERM, "user.x": nil} {
		if got := copyXattrError(name, err); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := copyXattrError("user.x", unix.EDQUOT); got != unix.EDQUOT {
		t.Errorf("%v, want EDQUOT", got)
	}
}
