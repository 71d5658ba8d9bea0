package move

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestNothingMovesToOrFromADetachedDisk: after umount -l of a tier's disk it is
// served on, but somebody means to take it off. What went there would be gone
// with it.
func TestNothingMovesToOrFromADetachedDisk(t *testing.T) {
	t.Parallel()
	for _, detached := range []int{0, 1} {
		tiers := []string{harness.TempDir(t), harness.TempDir(t)}
		for _, tier := range tiers {
			harness.Must(t, "mount", "-t", "tmpfs", "tierdisk", tier)
			t.Cleanup(func() { _ = unix.Unmount(tier, unix.MNT_DETACH) })
		}
		m := newMountOn(t, tiers)
		m.Put(0, "high", "high")
		m.Put(1, "low", "low")
		m.Up()
		harness.Must(t, "umount", "-l", tiers[detached])
		harness.Eventually(t, "the daemon knows of it", func() bool {
			out, _, _ := harness.Run(t, harness.CLI, "status", m.Dir)
			return strings.Contains(out, "unmount pending")
		})
		time.Sleep(quiet)
		m.carry("demote", "high").wantSkip(t, "high", "away")
		m.carry("promote", "low").wantSkip(t, "low", "away")
		for _, rel := range []string{"high", "low"} {
			harness.WantRead(t, m.Path(rel), rel)
			rank := map[string]int{"high": 0, "low": 1}[rel]
			if rank != detached && !harness.Exists(t, m.Tier(rank, rel)) {
				t.Errorf("%s has left the disk that stays", rel)
			}
		}
		harness.Must(t, "umount", m.Dir) // the descriptors have other names than before
		m.Gone(0)
	}
}
