package tierfs

import (
	"slices"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
)

// kept are the listings that the kernel has in its page cache, so that a
// directory is listed again without us but for OPENDIR, which decides: what the
// kernel has may be read, is dropped and filled anew by this open, or is left
// alone.
//
// The kernel fills its cache with the rows that are read one after the other from
// the beginning, whoever reads them, and gives them out by offset alone. So
//
//  1. all who fill and read it at one time have rows of one listing, which is true
//     (now); after a change whoever comes does neither until those are gone;
//  2. an offset names the listing that it is of, so that rows of another are never
//     taken for the next ones: who has read the cache, or rewinds, may go on in a
//     listing of before the change;
//  3. a listing is there as long as an open may come to us for the rest of it, as
//     when its pages were taken from the kernel;
//  4. a change that is heard of while a directory is listed is counted, and then
//     the listing is not true.
//
// Of what clients change through the mount the kernel knows by itself: it compares
// the directory's version and mtime at each beginning. We hear of it before the
// client does (settle).
//
// LOCK ORDER: only those of the table and the shares come after kept.mu.
type kept struct {
	fs *FS

	mu    sync.Mutex
	dirs  map[*inode.Inode]*keptDir // GUARDED_BY(mu)
	bytes int64                     // of those that are true now; GUARDED_BY(mu)
	clock uint64                    // GUARDED_BY(mu)
}

// keptDir is one directory; all of it is guarded by kept.mu.
type keptDir struct {
	opens int        // that read or fill the kernel's cache
	turn  uint32     // counts changes
	lists []*listing // what these may go on from, the newest last
	now   *listing   // what the kernel has, all or the beginning, if it is true
	used  uint64     // when it was last, by the clock
}

const (
	keptBytes = 32 << 20 // of listings that nobody has open: a million names
	keptLists = 8        // of one directory
)

// offset of the row after row i: what a client seeks to. The upper bits of the 31
// that old programs have room for tell listings of a directory apart that are
// there at the same time; what is not shared with other opens has 0 there.
const (
	offsetBits = 24
	offsetMask = 1<<offsetBits - 1
	maxSerial  = 1<<(31-offsetBits) - 1
)

func (l *listing) offset(i int) uint64 { return uint64(l.serial)<<offsetBits | uint64(i+1) }

// index is the row at an offset.
func (l *listing) index(off uint64) int {
	if l.len() <= offsetMask && off>>offsetBits <= maxSerial {
		off &= offsetMask
	}
	return int(off)
}

// open decides how a handle is to use the kernel's cache. fit says whether a
// listing serves this client.
func (k *kept) open(h *dirHandle, fit func(l *listing) bool) (flags uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[h.in]
	if d == nil {
		d = &keptDir{}
		k.dirs[h.in] = d
	}
	if d.now != nil && time.Since(d.now.begun) > keepFor {
		k.spoil(d)
	}
	switch {
	case d.now != nil && fit(d.now):
		flags = fusedev.OpenCacheDir | fusedev.OpenKeepCache
		if d.opens == 0 {
			if !k.pay(d.now, h.uid) {
				return fusedev.OpenKeepCache
			}
			d.lists = append(d.lists, k.own(d.now))
		}
	case d.now != nil, d.opens > 0:
		return fusedev.OpenKeepCache
	default:
		flags = fusedev.OpenCacheDir
	}
	k.clock++
	d.used = k.clock
	d.opens++
	h.caches = true
	return flags
}

// close ends what open began.
//
// LOCKS_REQUIRED(h.mu)
func (k *kept) close(h *dirHandle) {
	if !h.caches {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[h.in]
	h.caches = false
	if d.opens--; d.opens > 0 {
		return
	}
	for _, l := range d.lists {
		k.disown(l)
	}
	d.lists = nil
	if d.now == nil {
		delete(k.dirs, h.in)
	}
}

// pay takes the memory for a listing that nobody has open. As long as somebody
// has, it is his, and then it is among keptBytes alone.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) pay(l *listing, uid uint32) bool {
	if l.owners == 0 && k.fs.memory.take(uid, l.size()) {
		l.uid, l.paid = uid, l.size()
	}
	return l.paid > 0
}

// LOCKS_REQUIRED(k.mu)
func (k *kept) own(l *listing) *listing {
	l.owners++
	return l
}

// LOCKS_REQUIRED(k.mu)
func (k *kept) disown(l *listing) {
	if l.owners--; l.owners == 0 {
		k.fs.memory.give(l.uid, l.paid)
		k.fs.freed(int(l.paid))
		l.paid = 0
	}
}

// give makes a listing a handle's, in place of another; nil for none.
//
// LOCKS_REQUIRED(h.mu)
func (k *kept) give(h *dirHandle, l *listing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l != nil {
		k.own(l)
	}
	if h.rows != nil {
		k.disown(h.rows)
	}
	h.rows = l
}

// find is the listing that an offset which a client of the handle has is of, nil
// if it is not there. At the beginning it is the newest, if nothing has changed.
func (k *kept) find(h *dirHandle, off uint64) *listing {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[h.in]
	if off == 0 {
		if l := d.newest(); l != nil && l.firm && l.turn == d.turn && k.fs.coherence.on.Load() {
			return l
		}
		return nil
	}
	for _, l := range d.lists {
		if l.serial != 0 && uint64(l.serial) == off>>offsetBits {
			return l
		}
	}
	return nil
}

// turn counts the changes of a directory that a handle which caches lists now.
func (k *kept) turn(h *dirHandle) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dirs[h.in].turn
}

// add takes a listing in that a handle which caches has taken.
func (k *kept) add(h *dirHandle, l *listing) {
	if l.len() > offsetMask {
		return
	}
	l.firm = l.err == nil && !l.mounts && k.fs.coherence.watched(h.in) && !slices.ContainsFunc(k.fs.Tiers(), (*tier.Tier).ListingRenews)
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[h.in]
	k.spoil(d)
	l.serial = d.free()
	d.lists = append(d.lists, k.own(l))
	if len(d.lists) > keptLists {
		k.disown(d.lists[0])
		d.lists = d.lists[1:]
	}
	if l.firm && l.turn == d.turn && d.opens == 1 {
		k.hold(d, l)
	}
}

// hold makes a listing what the kernel has.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) hold(d *keptDir, l *listing) {
	if size := l.size(); size <= keptBytes/4 {
		k.bytes += size
		d.now = l
		k.trim()
	}
}

// free is a serial that none of the lists has, the next after the newest.
func (d *keptDir) free() uint8 {
	serial := uint8(0)
	if l := d.newest(); l != nil {
		serial = l.serial
	}
	for {
		serial = serial%maxSerial + 1
		taken := false
		for _, l := range d.lists {
			taken = taken || l.serial == serial
		}
		if !taken {
			return serial
		}
	}
}

// end is told that a listing was read to its end by a handle which caches, and
// reports whether it is not true any more, and the kernel is to be told.
func (k *kept) end(h *dirHandle, l *listing) (stale bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.ended = true
	return l.turn != k.dirs[h.in].turn
}

// read reports whether somebody who may rewind it has a directory open of which the
// kernel has all, be it true or not. One of which the kernel has the beginning alone
// is read through us; its pages must stay, as the kernel goes on after the last
// row that it has or not at all (fuse_add_dirent_to_cache).
func (k *kept) read(in *inode.Inode) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	return d != nil && d.read()
}

// LOCKS_REQUIRED(kept.mu)
func (d *keptDir) read() bool {
	l := d.newest()
	return d.opens > 0 && l != nil && l.ended
}

// newest is the listing that was taken last, nil if there is none.
//
// LOCKS_REQUIRED(kept.mu)
func (d *keptDir) newest() *listing {
	if n := len(d.lists); n > 0 {
		return d.lists[n-1]
	}
	return nil
}

// trim drops what was used longest ago while there is too much.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) trim() {
	for k.bytes > keptBytes {
		var in *inode.Inode
		seen := 0
		for dir, d := range k.dirs { // the oldest of a few is old enough
			if d.now != nil && (in == nil || d.used < k.dirs[in].used) {
				in = dir
			}
			if seen++; seen >= 16 && in != nil {
				break
			}
		}
		if in == nil {
			return
		}
		k.drop(in)
	}
}

// spoil is told that what the kernel has of a directory does not hold.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) spoil(d *keptDir) {
	if d.now != nil {
		k.bytes -= d.now.size()
		d.now = nil
	}
}

// LOCKS_REQUIRED(k.mu)
func (k *kept) drop(in *inode.Inode) (read bool) {
	d := k.dirs[in]
	if d == nil {
		return false
	}
	d.turn++
	if k.spoil(d); d.opens == 0 {
		delete(k.dirs, in)
	}
	return d.read()
}

// changed is told that the names in a directory are others, and returns read.
func (k *kept) changed(in *inode.Inode) (read bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drop(in)
}

// clear is told that all may have changed, and returns the directories of which read
// is true.
func (k *kept) clear() (read []*inode.Inode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for in := range k.dirs {
		if k.drop(in) {
			read = append(read, in)
		}
	}
	return read
}
