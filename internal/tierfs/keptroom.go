package tierfs

import (
	"time"

	"github.com/tierfs/tierfs/internal/inode"
)

// There may be as much of listings as a million names take; those that were used longest
// ago are given up. One that is longer than a quarter of that is paid for by who has begun
// it, as long as somebody may go on.
const (
	keptBytes = 32 << 20

	tidyEvery  = time.Minute
	idleEnded  = 10 * time.Minute // for so long a long one that was read to its end is left unused
	idleMost   = time.Hour        // and for so long one that was not
	idleAtNeed = 10 * time.Second // or so long, when its owner needs the memory
)

// pool makes a listing nobody's, if it is not too long for that, and gives others up for
// it. The kernel is to drop what it has of the directories that it returns.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) pool(l *listing) (lost []*inode.Inode) {
	if l.size() > k.long {
		return nil
	}
	k.fs.memory.give(l.uid, l.paid)
	l.paid, l.pooled = 0, l.size()
	k.bytes += l.pooled
	for k.bytes > keptBytes {
		var old *keptDir
		var dir *inode.Inode
		seen := 0
		for in, d := range k.dirs { // the oldest of a few is old enough
			if d.list != nil && d.list != l && d.list.pooled > 0 && (old == nil || d.used < old.used) {
				dir, old = in, d
			}
			if seen++; seen >= 16 && old != nil {
				break
			}
		}
		if old == nil {
			break
		}
		if k.drop(dir, old); old.whole && dir.Listed().Places.Serial == 0 {
			lost = append(lost, dir)
		}
	}
	return lost
}

// drop gives up a directory's listing. What the kernel has of it may stay if its places are
// known.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) drop(in *inode.Inode, d *keptDir) {
	if d.list != nil {
		in.Listed().Places = d.list.places()
		k.free(d.list)
		d.list = nil
	}
}

// remove gives up all of a directory but its places: with noforget it may be asked for
// by a handle after the kernel has forgotten it, with all that it had, and gone on with.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) remove(in *inode.Inode, d *keptDir) {
	if d.list != nil {
		d.list.mixed = false
	}
	k.drop(in, d)
	k.setBare(d, false)
	if d.whole = false; d.takers == 0 {
		delete(k.dirs, in)
	}
}

// LOCKS_REQUIRED(k.mu)
func (k *kept) free(l *listing) {
	if l == nil {
		return
	}
	k.fs.memory.give(l.uid, l.paid)
	k.bytes -= l.pooled
	k.fs.freed(int(l.paid + l.pooled))
	l.paid, l.pooled = 0, 0
}

// relieve gives up what uid pays for and nobody has read for a while, or is of the
// directory that he lists anew, and reports whether there was any.
func (k *kept) relieve(uid uint32, in *inode.Inode) bool {
	return k.sweep(func(dir *inode.Inode, d *keptDir, idle time.Duration) bool {
		return d.list.uid == uid && (idle >= idleAtNeed || dir == in)
	})
}

// tidyLater sees to it that tidy runs.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) tidyLater() {
	if !k.tidying {
		k.tidying = true
		time.AfterFunc(tidyEvery, k.tidy)
	}
}

// tidy gives up what was paid for long enough, and has dropped what the kernel has had
// for as long as it may.
func (k *kept) tidy() {
	k.sweep(func(_ *inode.Inode, d *keptDir, idle time.Duration) bool {
		return idle >= idleMost || d.list.ended && idle >= idleEnded
	})
	now := time.Since(k.begun)
	k.fs.coherence.orders.lists(k.pick(func(d *keptDir) bool { return d.whole && now-d.begun >= keepFor }))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tidying = false; len(k.dirs) > 0 {
		k.tidyLater()
	}
}

// sweep gives up the listings that are paid for and that old says so of, and reports
// whether there was one.
func (k *kept) sweep(old func(in *inode.Inode, d *keptDir, idle time.Duration) bool) (any bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for in, d := range k.dirs {
		if d.list != nil && d.list.paid > 0 && old(in, d, time.Since(k.begun)-d.used) {
			k.drop(in, d)
			any = true
		}
	}
	return any
}
