package faults

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// TestServerThatDiesInTheMiddle: both disks are gone at once, and what was begun
// stays as it is until they are back. Then it is taken back, without a new mount.
func TestServerThatDiesInTheMiddle(t *testing.T) {
	b := newBench(t, "tier_timeout=5")
	p := faultfs.Plan{Disk: -1, Ops: changing, Errno: unix.EIO, Stays: true, Die: true}
	rows := []string{"create", "mkdir, mknod, symlink", "link", "unlink", "rmdir", "rename of a file", "rename of a directory", "exchange"}
	for _, o := range ops {
		if !slices.Contains(rows, o.row) || !harness.Soak && o.name != "rename of a merged directory over an empty one on the fallback" {
			continue
		}
		p.Nth = 0
		for _, call := range b.callsOf(o, p) {
			if p.Nth++; !harness.Soak && call.Op != "RENAME2" {
				continue
			}
			b.die(o, p, call)
		}
	}
	b.settled(1)
}

// die runs the op on disks that die at the call, and brings them back.
func (b *bench) die(o op, p faultfs.Plan, at faultfs.Call) {
	b.t.Helper()
	c := &trial{op: o, plan: p, dir: b.fresh(), at: at}
	b.disks.Arm(p)
	c.err = o.do(b.Path(c.dir))
	b.disks.Revive()
	b.wellAgain()
	e := known[o.name]
	harness.Eventually(b.t, c.String()+", and it is done or taken back", func() bool {
		got := look(b.Path(c.dir))
		return got.diff(e.before) == "" || c.err == nil && got.diff(e.after) == ""
	})
	c.outcome = b.judge(c, e)
	b.cases = append(b.cases, c)
}
