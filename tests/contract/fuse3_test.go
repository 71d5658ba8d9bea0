package contract

import (
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// Without /sbin/mount.fuse.tierfs, mount(8) runs /sbin/mount.fuse, which runs
// `tierfs SPEC DIR -o OPTIONS` in a shell.
func TestMountsThroughMountFuse(t *testing.T) {
	harness.Require(t, "fusermount3") // of the same package
	harness.WithoutFuseHelper(t)
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	harness.Fstab(t, m.FstabLine("nofail", "x-systemd.automount"))
	for _, args := range [][]string{
		m.Args(), {"mount", m.Dir}, {"mount", "-a"}, {"mount", "-r", m.Dir},
	} {
		up(m, args...)
		harness.WantRead(t, m.Path("low"), "l")
		line := harness.MountsAt(m.Dir)[0]
		if line.Source != m.Primary || line.FSType != "fuse.tierfs" {
			t.Errorf("%q: source %q, type %q", args, line.Source, line.FSType)
		}
		harness.Must(t, "mount", "-a")
		if n := len(harness.MountsAt(m.Dir)); n != 1 {
			t.Errorf("%q: %d mounts after mount -a", args, n)
		}
		m.Down()
	}
	_, stderr, code := m.UpBy(command(m.Args("falback=/x")))
	if code != usage {
		t.Errorf("exit code %d, want %d", code, usage)
	}
	harness.Contains(t, stderr, `did you mean "fallback"?`)
	m.None()
}

func TestUserMountsThroughMountFuse(t *testing.T) {
	m := usersMount(t, "noauto", "user")
	harness.WithoutFuseHelper(t)
	harness.Fstab(t, m.FstabLine())
	if _, stderr := upBy(m, as(userA, "mount", m.Dir)); strings.Contains(stderr, "without effect") {
		t.Errorf("says %q", stderr)
	}
	if got := mustAs(t, userA, "cat", m.Path("low")); got != "l" {
		t.Errorf("the user reads %q", got)
	}
	mustAs(t, userA, "umount", m.Dir)
	m.Gone(0)
}

func TestTierfsWithAPathMounts(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	up(m, harness.CLI, m.Primary, m.Dir, "-o", m.Options())
	harness.WantRead(t, m.Path("low"), "l")
}
