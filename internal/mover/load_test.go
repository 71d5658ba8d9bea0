package mover

import (
	"math"
	"testing"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// A copy takes blocks of the target's size, and none for holes.
func TestNeed(t *testing.T) {
	const ext4 = unix.EXT4_SUPER_MAGIC
	for _, c := range []struct {
		size, blocks int64
		network      bool
		fs           int64
		unit         int64
		want         int64
	}{
		{size: 1, blocks: 8, fs: ext4, unit: 4096, want: 4096},
		{size: 1, blocks: 8, fs: ext4, unit: 1024, want: 1024},
		{size: 5000, blocks: 16, fs: ext4, unit: 1024, want: 5120},
		{size: 1 << 40, blocks: 9, fs: ext4, unit: 4096, want: 8192},
		{size: 1 << 40, fs: ext4, unit: 4096, want: 0},
		{size: 1, blocks: 8, network: true, fs: unix.NFS_SUPER_MAGIC, unit: 1 << 20, want: 512},
		{size: 1, blocks: 8, fs: unix.XFS_SUPER_MAGIC, unit: 4096, want: 4096 + 512},
	} {
		var fs unix.Statfs_t
		put(&fs.Type, c.fs)
		put(&fs.Frsize, c.unit)
		st := unix.Stat_t{Size: c.size, Blocks: c.blocks}
		if got := Need(&st, &tier.Tier{Network: c.network}, &fs); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// put assigns to a field that is not of one size on all machines.
func put[T int32 | int64](to *T, v int64) { *to = T(v) }

// The inodes of a filesystem are planned with those of missing directories, each of
// which is made once, and one is kept for the record.
func TestPlanCountsDirectoriesOnce(t *testing.T) {
	r := newRig(t, 2, Policy{})
	j := r.m.newPlan(kindScan, nil)
	to := r.Tiers()[1]
	if got := j.parents(to, "a/b/c").inodes; got != 3*inodeParts {
		t.Errorf("%d parts for three directories", got)
	}
	j.make(to, "a/b")
	if got := j.parents(to, "a/b/c").inodes; got != inodeParts {
		t.Errorf("%d parts for one directory", got)
	}
	r.file(1, "d/f", 1, 0)
	if got := j.parents(to, "d"); got != (load{}) {
		t.Errorf("%v for a directory that is there", got)
	}
	full := &Full{Inodes: 3, counts: true}
	full.plan(load{inodes: inodeParts})
	if one := (load{inodes: inodeParts}); !full.takes(one) || full.takes(one.plus(one)) || !full.NoInodes {
		t.Errorf("%+v", full)
	}
}

// TestInodesWithoutNumber: a filesystem may say that all of 64 bits are free, and a plan
// that takes files away adds to them.
func TestInodesWithoutNumber(t *testing.T) {
	full := &Full{Inodes: math.MaxUint64, counts: true}
	full.plan(load{inodes: -8 * inodeParts})
	if !full.takes(load{inodes: inodeParts}) {
		t.Error("they do not do for one file")
	}
}
