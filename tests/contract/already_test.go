package contract

import (
	"slices"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestSecondMountIsRefused(t *testing.T) {
	m := harness.New(t, 1)
	other := harness.New(t, 0)
	m.Up()
	pid := m.Pid()
	for _, args := range [][]string{
		m.Args(),
		{"mount", "-f", "-t", "fuse.tierfs", m.Primary, m.Dir},
		{"mount", "-t", "fuse.tierfs", other.Primary, m.Dir},
		helper(m.Primary, m.Dir+"/"),
		helper(m.Dir, m.Dir), // the mount itself as its tier
		helper(other.Primary, m.Dir, "-o", "foreground"),
	} {
		_, stderr, code := harness.Run(t, args...)
		if code != failed {
			t.Errorf("%q: exit code %d, want %d", args, code, failed)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", "already mounted")
		if n := len(harness.MountsAt(m.Dir)); n != 1 {
			t.Fatalf("%q: %d mounts", args, n)
		}
	}
	if m.Pid() != pid {
		t.Errorf("another daemon")
	}
}

func TestDeadMountIsNamedAsSuch(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	unix.Kill(m.Pid(), unix.SIGKILL)
	m.Gone(128 + int(unix.SIGKILL))
	_, stderr, code := harness.Run(t, helper(m.Primary, m.Dir)...)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "umount -l")
	harness.Must(t, "umount", "-l", m.Dir)
	m.Up()
}

// A mount point may well be a disk of its own.
func TestMountPointMayBeAnotherFilesystem(t *testing.T) {
	for _, fstype := range []string{"tmpfs", "ext4"} {
		m := harness.New(t, 1)
		m.Dir = harness.On(t, fstype, "16M")
		harness.Write(t, m.Dir+"/covered", "")
		m.Up()
		harness.WantList(t, m.Dir)
		m.Down()
		harness.Exists(t, m.Dir+"/covered")
		if n := len(harness.MountsAt(m.Dir)); n != 1 {
			t.Errorf("%d mounts are left at the disk", n)
		}
	}
}

// Two mounts of the same tiers: the second serves as well, and says that it
// leaves the moving to the first.
func TestSameTiersMayBeMountedTwice(t *testing.T) {
	m := harness.New(t, 1)
	twin := harness.NewOn(t, m.Tiers)
	m.Up()
	twin.Up()
	harness.Write(t, m.Path("f"), "one")
	harness.WantRead(t, twin.Path("f"), "one")
	if sources := []string{harness.MountsAt(m.Dir)[0].Dev, harness.MountsAt(twin.Dir)[0].Dev}; slices.Equal(sources[:1], sources[1:]) {
		t.Errorf("both have device %s", sources[0])
	}
}
