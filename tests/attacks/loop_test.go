package attacks

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestLoopsOfLinksEnd: links that lead to each other, over several tiers, by
// relative targets and by targets inside a tier, which the mount shows relative.
// To follow them is ELOOP, as it is natively; they can be looked at and removed.
func TestLoopsOfLinksEnd(t *testing.T) {
	m := harness.New(t, 1)
	primary, fallback := m.Tiers[0], m.Tiers[1]
	links := map[string]string{ // each on the tier of its path
		primary + "/self":   "self",
		primary + "/a":      "b",
		fallback + "/b":     "a",
		primary + "/over":   fallback + "/under",
		fallback + "/under": primary + "/over",
		primary + "/root":   primary,
	}
	for path, target := range links {
		harness.Symlink(t, target, path)
	}
	m.Up()
	for _, rel := range []string{"self", "a", "b", "over", "under"} {
		_, err := os.Stat(m.Path(rel))
		harness.WantErrno(t, "stat "+rel, err, unix.ELOOP)
		_, err = os.ReadDir(m.Path(rel + "/x"))
		harness.WantErrno(t, "list below "+rel, err, unix.ELOOP)
		harness.WantErrno(t, "create at "+rel, os.WriteFile(m.Path(rel), nil, 0o644), unix.ELOOP)
		if _, err := os.Readlink(m.Path(rel)); err != nil {
			t.Errorf("readlink %s: %v", rel, err)
		}
	}
	long := "root"
	for range 50 { // more than the kernel follows (path_resolution(7): 40)
		long += "/root"
	}
	_, err := os.Stat(m.Path(long))
	harness.WantErrno(t, "fifty links to the root", err, unix.ELOOP)
	for _, rel := range []string{"self", "a", "b", "over", "under", "root"} {
		if err := os.Remove(m.Path(rel)); err != nil {
			t.Error(err)
		}
	}
	harness.WantList(t, m.Dir)
	m.Down()
}
