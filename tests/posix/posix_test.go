// Package posix runs go-fuse's conformance suite on the mount.
package posix

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// leftOut contradicts POSIX: it wants two descriptors of one process to
// conflict over an fcntl(2) lock. The suite leaves it out of its own native run.
const leftOut = "FcntlFlockLocksFile"

// TestSuite runs every case in a directory of its own: of a mount without
// fallback, of one with, and where only the fallback has the directory; with
// data passed through the kernel and through the daemon. xfs is among the
// tiers because the suite's large attributes need it.
func TestSuite(t *testing.T) {
	harness.Require(t, "root", "fuse")
	for _, place := range []struct {
		name            string
		fallbacks, home int
		filesystem      string
		opts, needs     []string
	}{
		{name: "without fallback", needs: []string{"passthrough"}},
		{name: "without fallback, on xfs", filesystem: "xfs"},
		{name: "with a fallback", fallbacks: 1, needs: []string{"passthrough"}},
		{name: "on the fallback", fallbacks: 1, home: 1, filesystem: "xfs", needs: []string{"passthrough"}},
		{name: "without fallback, through the daemon", opts: []string{"passthrough=off"}},
		{name: "on the fallback, through the daemon", fallbacks: 1, home: 1, opts: []string{"passthrough=off"}},
	} {
		t.Run(place.name, func(t *testing.T) {
			harness.Require(t, place.needs...)
			var tiers []string
			for rank := range place.fallbacks + 1 {
				if rank == place.home && place.filesystem != "" {
					tiers = append(tiers, harness.On(t, place.filesystem, "300M"))
				} else {
					tiers = append(tiers, harness.TempDir(t))
				}
			}
			suite(t, harness.NewOn(t, tiers, place.opts...), place.home)
		})
	}
}

func suite(t *testing.T, m *harness.Mount, home int) {
	for name := range posixtest.All {
		harness.Mkdir(t, m.Tiers[home]+"/"+name)
	}
	m.Up()
	for name, fn := range posixtest.All {
		if name != leftOut {
			t.Run(name, func(t *testing.T) { fn(t, m.Path(name)) })
		}
	}
}
