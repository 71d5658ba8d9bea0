package tierfs

import (
	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// statfsUnit is the block size that sums of several filesystems are counted
// in.
const statfsUnit = 4096

// statfs sums the distinct filesystems of the tiers, or shows the primary
// alone.
func (fs *FS) statfs(op *fuseops.StatFSOp) error {
	if fs.options.Load().StatfsPrimary || !fs.union {
		var st unix.Statfs_t
		if err := fs.set.Primary().Statfs(&st); err != nil {
			return err
		}
		fillStatfs(op, &st, uint64(st.Frsize))
		op.IoSize = uint32(st.Bsize)
		return nil
	}
	return fs.statfsSum(op)
}

func (fs *FS) statfsSum(op *fuseops.StatFSOp) (err error) {
	fs.set.Distinct(func(t *tier.Tier) {
		var st unix.Statfs_t
		if t.Suspect() { // its last figures stand
			if st = t.LastSpace(); st.Frsize == 0 {
				return
			}
		} else if now, e := t.Space(); e == nil {
			st = now
		} else {
			if !tier.Fails(e) {
				err = e
			}
			return
		}
		fillStatfs(op, &st, statfsUnit)
	})
	return err
}

// fillStatfs adds st to op, in blocks of unit bytes. The size for transfers is
// the same, as it is on local filesystems: many multiply by the wrong one.
func fillStatfs(op *fuseops.StatFSOp, st *unix.Statfs_t, unit uint64) {
	scale := func(blocks uint64) uint64 {
		if uint64(st.Frsize) == unit {
			return blocks
		}
		return blocks * uint64(st.Frsize) / unit
	}
	op.BlockSize = uint32(unit)
	op.IoSize = uint32(unit)
	op.Blocks += scale(st.Blocks)
	op.BlocksFree += scale(st.Bfree)
	op.BlocksAvailable += scale(st.Bavail)
	if sys.CountsInodes(st) {
		op.Inodes += st.Files
		op.InodesFree += st.Ffree
	}
}
