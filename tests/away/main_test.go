// Package away takes the fallback from a mount in use: its filesystem hangs,
// dies, or comes back as another.
package away

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// pair is a mount whose fallback is a FUSE filesystem, tierfs again, that can
// be made to hang (SIGSTOP) and to die (SIGKILL).
type pair struct {
	*harness.Mount
	t    *testing.T
	low  *harness.Mount
	disk string // the directory behind the fallback
}

// up mounts with the options; "prim" is on the primary, "low" on the fallback,
// and both have the directory "both".
func up(t *testing.T, opts ...string) *pair {
	harness.Require(t, "root", "fuse")
	low := harness.New(t, 0, "attr_timeout=0", "entry_timeout=0")
	harness.Mkdir(t, low.Primary+"/both")
	harness.Mkdir(t, low.Primary+"/lowdir")
	harness.Write(t, low.Primary+"/low", "on the fallback")
	harness.Write(t, low.Primary+"/both/low", "on the fallback")
	low.Up()
	m := harness.NewOn(t, []string{harness.TempDir(t), low.Dir}, opts...)
	harness.Mkdir(t, m.Primary+"/both")
	harness.Write(t, m.Primary+"/prim", "on the primary")
	harness.Write(t, m.Primary+"/both/prim", "on the primary")
	m.Up()
	return &pair{Mount: m, t: t, low: low, disk: low.Primary}
}

// hang stops the fallback's daemon; resume lets it go on.
func (p *pair) hang() {
	p.t.Helper()
	p.low.Stop()
}

func (p *pair) resume() {
	p.t.Helper()
	if err := unix.Kill(p.low.Pid(), unix.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
}

// read is the errno of reading the file whole.
func (p *pair) read(rel string) error {
	_, err := os.ReadFile(p.Path(rel))
	return err
}
