package away

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestDeadFallbackComesBackOnlyAsTheRightMember: when the fallback's filesystem
// dies and is unmounted, an empty directory is left. Taking it for the tier
// would show every document in it as deleted.
func TestDeadFallbackComesBackOnlyAsTheRightMember(t *testing.T) {
	p := up(t, "entry_timeout=0", "attr_timeout=0")
	if err := unix.Kill(p.low.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.low.Gone(128 + int(unix.SIGKILL))
	harness.Eventually(t, "EIO", func() bool { return errors.Is(p.read("low"), unix.EIO) })
	if err := unix.Unmount(p.low.Dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	harness.Mkdir(t, p.low.Dir+"/impostor")
	probes(t, p)
	if err := p.read("low"); !errors.Is(err, unix.EIO) {
		t.Errorf("with an empty directory in its place: %v, want EIO", err)
	}
	harness.WantErrno(t, "create", makeFile(p.Path("low")), unix.EIO)
	if n := strings.Count(p.Log(), "it carries no mark, its disk is probably not mounted; mount it"); n != 1 {
		t.Errorf("the log says %d times why the tier stays away", n)
	}

	harness.Remove(t, p.low.Dir+"/impostor")
	p.low.Up()
	harness.Eventually(t, "the tier is back", func() bool { return p.read("low") == nil })
	harness.WantRead(t, p.Path("low"), "on the fallback")
	harness.WantList(t, p.Path("both"), "low", "prim")
}

// probes waits until the daemon has looked at the tier's root again.
func probes(t *testing.T, p *pair) {
	t.Helper()
	for range 25 {
		unix.Nanosleep(&unix.Timespec{Nsec: 100e6}, nil)
		if err := p.read("low"); err == nil {
			t.Fatal("an impostor was taken for the tier")
		}
	}
}
