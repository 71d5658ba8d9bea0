package tierfs

import (
	"sync"
	"sync/atomic"

	"github.com/tierfs/tierfs/internal/tier"
)

// unsynced are names that a move has removed from a tier, until that is durable.
//
// A batch syncs once, at its end, and by then clients have changed what it has moved,
// on another filesystem. Two threads, f going up to tier 0:
//
//	move f                          a client
//	tier 0 has f
//	tier 1 has none any more
//	                                writes f, durably
//	                                removes f, of which tier 0 has the only copy
//	the power goes: tier 0 has the removal on disk, tier 1 has not
//
// Then f would be there again, as it was before it was written; and a file that was
// renamed would have its old name too. The record does not tell: that the name
// has gone from the copy may as well be a copy that was lost. So who changes a name
// first makes durable what the move has done to it, as removeCopies does where
// two tiers still have the name.
type unsynced struct {
	n  atomic.Int32
	mu sync.Mutex
	m  map[entryName]removal // GUARDED_BY(mu)
}

// removal is what a move has removed names in: its directory on the tier with rank.
type removal struct {
	x    *transfer
	rank int
}

// add enters a name that is about to be removed, or has been.
//
// LOCKS_REQUIRED(the name)
func (u *unsynced) add(e entryName, r removal) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = map[entryName]removal{}
	}
	u.m[e] = r
	u.n.Store(int32(len(u.m)))
}

// of is the removal of a name, with all names of which it was the last.
func (u *unsynced) of(e entryName) (r removal, all []entryName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r, ok := u.m[e]
	if !ok {
		return r, nil
	}
	for other, of := range u.m {
		if of == r {
			all = append(all, other)
		}
	}
	return r, all
}

// synced forgets all of r, which were there before r was made durable.
func (u *unsynced) synced(r removal, all []entryName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range all {
		if u.m[e] == r {
			delete(u.m, e)
		}
	}
	u.n.Store(int32(len(u.m)))
}

// end forgets a move whose removals are durable, or will not be by it.
func (u *unsynced) end(x *transfer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for e, r := range u.m {
		if r.x == x {
			delete(u.m, e)
		}
	}
	u.n.Store(int32(len(u.m)))
}

// syncRemovals makes durable what moves have removed of the names, for who is about to
// change them. No move is at them meanwhile: the names are used, or the file is under way
// by another.
func (fs *FS) syncRemovals(names ...entryName) error {
	if fs.unsynced.n.Load() == 0 {
		return nil
	}
	for _, e := range names {
		r, all := fs.unsynced.of(e)
		if len(all) == 0 {
			continue
		}
		if err := fs.syncRemoval(r); err != nil {
			return err
		}
		fs.unsynced.synced(r, all)
	}
	return nil
}

// syncRemoval syncs the directory, and the trash if what was removed went there.
func (fs *FS) syncRemoval(r removal) error {
	d, err := fs.dir(r.x.dir, r.rank)
	if err != nil {
		return unlessAbsent(err) // the names went with it
	}
	defer d.Put()
	if r.rank != r.x.b.From {
		return tier.SyncNames(d)
	}
	trash, err := d.Tier.Private("trash")
	if err != nil {
		return err
	}
	defer trash.Put()
	return tier.SyncNames(d, trash)
}
