package life

import (
	"os"
	"os/exec"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// TestATierIsMadeReadOnlyWhileMounted: as an administrator does before a check of the
// disk, and systemd at shutdown. The lock of the tier, which was open for writing, made
// that EBUSY. It is held on: another daemon on the same tiers moves nothing.
func TestATierIsMadeReadOnlyWhileMounted(t *testing.T) {
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")})
	m.Put(1, "low", "below")
	m.Up()
	harness.Write(t, m.Path("f"), "x")
	for rank, name := range []string{"f", "low"} {
		harness.Eventually(t, "a remount read-only", func() bool { // close(2) does not wait for the daemon, which may have f open
			return exec.Command("mount", "-o", "remount,ro", m.Tiers[rank]).Run() == nil
		})
		harness.WantRead(t, m.Path("f"), "x")
		harness.WantRead(t, m.Path("low"), "below")
		harness.WantErrno(t, "chmod", unix.Chmod(m.Path(name), 0o600), unix.EROFS)
		harness.Must(t, "mount", "-o", "remount,rw", m.Tiers[rank])
		if err := os.Chmod(m.Path(name), 0o600); err != nil {
			t.Error(err)
		}
	}
	fd, err := unix.Open(m.Tier(1, ".tierfs/lock"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	harness.WantErrno(t, "the lock", unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB), unix.EAGAIN)
	unix.Close(fd)
	m.Down()
}
