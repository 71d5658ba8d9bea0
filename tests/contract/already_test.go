package contract

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
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
		{"mount", "-f", "-t", "fuse.tierfs", other.Primary, m.Dir},
		{"mount", "-t", "fuse.tierfs", other.Primary, m.Dir},
		helper(m.Primary, m.Dir+"/"),
		helper(m.Dir, m.Dir), // the mount itself as its tier
		helper(other.Primary, m.Dir, "-o", "foreground"),
	} {
		_, stderr, code := harness.Run(t, args...)
		if code != failed {
			t.Errorf("%q: exit code %d, want %d", args, code, failed)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", fmt.Sprintf("already mounted: %s by daemon %d;", m.Primary, pid))
		if n := len(harness.MountsAt(m.Dir)); n != 1 {
			t.Fatalf("%q: %d mounts", args, n)
		}
	}
	if m.Pid() != pid {
		t.Errorf("another daemon")
	}
}

// TestOfTwoMountsAtOnceOneIsRefused: both find the mount point vacant, then wait for the
// lock of a tier, whose holder is not to be seen here, equally long. The second went upon
// the first, where clients had a daemon that moves nothing.
func TestOfTwoMountsAtOnceOneIsRefused(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	m.Down()
	lock, err := os.OpenFile(m.Primary+"/.tierfs/lock", os.O_RDWR|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	both := append([]string{"-c", `"$@" & "$@"; echo $?; wait $!; echo $?`, "sh"}, m.Args()...)
	stdout, stderr, _ := m.UpBy(exec.Command("sh", both...))
	if codes := strings.Fields(stdout); !slices.Contains(codes, "0") || !slices.Contains(codes, "32") {
		t.Errorf("exit codes %q, want 0 and 32", codes)
	}
	harness.Contains(t, stderr, "already mounted")
	if n := len(harness.MountsAt(m.Dir)); n != 1 {
		t.Errorf("%d mounts", n)
	}
}

// TestFakeOfWhatIsMountedChecksTheLine: mount -f on a mounted ext4 is 0 as well.
func TestFakeOfWhatIsMountedChecksTheLine(t *testing.T) {
	for _, over := range []bool{false, true} {
		m := harness.New(t, 1)
		if over {
			m.Dir = m.Primary
		}
		m.Up()
		pid := m.Pid()
		harness.Fstab(t, m.FstabLine())
		for _, args := range [][]string{{"mount", "-f", m.Dir}, {"mount", "-f", "-a"}, append(m.Args(), "-fv"), helper(append(m.Args()[3:], "-f")...)} {
			if _, stderr, code := harness.Run(t, args...); code != ok || stderr != "" {
				t.Errorf("%q: exit code %d, %q", args, code, stderr)
			}
			one(m, pid)
		}
		for opts, want := range map[string]int{"nosuch": usage, "fallback=/nosuch": failed} {
			_, stderr, code := harness.Run(t, append(m.Args(opts), "-f")...)
			if over && want == failed {
				want = ok // the tiers cannot be seen
			}
			if code != want || want != ok && !strings.Contains(stderr, "nosuch") {
				t.Errorf("%s: exit code %d, want %d; %q", opts, code, want, stderr)
			}
		}
		m.Down()
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
