package tierfs

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// kept are the listings of directories that the kernel opens without asking us, as
// it does from the first ENOSYS for OPENDIR on (fc->no_opendir), for good. It keeps
// what it reads of each listing in its page cache, and gives that out until it is told
// otherwise. So nobody says when a client begins, and when it has ended, and
//
//  1. a directory has one listing, the newest, as long as the kernel holds its inode, or
//     there is room. A name keeps its position in it for all that time, so that a client
//     can go on in a newer one, and has each name once that is there all the while. Where
//     a listing was given up, and the directory is not as it was, who comes with a
//     position from before begins anew: he has names twice rather than not at all;
//  2. the kernel takes what it has read for complete when it is told of the end
//     (fuse_readdir_cache_end), and serves nobody from it before. If the listing is not true
//     by then, or is not to be kept, its pages are dropped before that answer: with a page
//     missing all is read from us again (fuse_readdir_cached);
//  3. when a change is heard of, what the kernel may have whole is dropped. What it has the
//     beginning of is not, as it would neither go on nor begin anew then, until it
//     forgets the directory (fuse_add_dirent_to_cache);
//  4. what the kernel keeps is to be of one listing. It takes rows that begin where those that
//     it has end, whoever reads them. So offsets name the listing, and one of which rows were
//     given to who has come from another is not kept (mixed). There are only so many serials:
//     before they begin again, the beginnings that the kernel may have are dropped.
//
// Of what clients change through the mount the kernel knows by itself: it compares
// the directory's version and mtime at each beginning. We hear of it before the
// client does (settle).
//
// A position that is not in the kernel's cache is asked of us, but not where the rows end
// with a page (fuse_readdir_cached: EOF); such a listing is not kept.
//
// LOCK ORDER: only those of the table and the shares come after kept.mu.
type kept struct {
	fs    *FS
	first sync.Once
	on    bool // the kernel opens directories by itself; set by first
	begun time.Time
	page  int   // of memory, in bytes
	long  int64 // is a listing of more bytes

	bare atomic.Int32 // how many directories are

	mu      sync.Mutex
	dirs    map[*inode.Inode]*keptDir // GUARDED_BY(mu)
	bytes   int64                     // of the listings that nobody pays for; GUARDED_BY(mu)
	tidying bool                      // a timer runs; GUARDED_BY(mu)
}

// keptDir is one directory that was listed; all of it is guarded by kept.mu.
type keptDir struct {
	list   *listing      // nil while the first is taken, and when it was given up
	turn   uint32        // counts changes
	takers int32         // who takes a listing now
	whole  bool          // the kernel may have one, to its end
	begun  time.Duration // when that was taken, since kept.begun
	due    bool          // and is told to drop it
	bare   bool          // and knew little of what is in it then
	next   int32         // the row after the last file that was looked up in order, if it is bare
	hits   int32         // and how many were
	used   time.Duration // when a listing was read last, since kept.begun
}

// unasked reports whether the kernel opens directories by itself. The first that is
// opened decides: there is no way back, and no handle may be open then.
func (k *kept) unasked() bool {
	k.first.Do(func() { k.on = k.fs.coherence.on.Load() })
	return k.on
}

// read is the listing for a client that reads a directory at an offset, and the row
// there.
func (k *kept) read(in *inode.Inode, uid uint32, off uint64) (l *listing, at int, err error) {
	l, at, err = k.find(in, off)
	if l == nil && err == nil {
		if l, err = k.take(in, uid, off > 0); err == nil && off > 0 { // it may have the positions of before
			var now *listing
			if now, at, err = k.find(in, off); now != nil {
				l = now
			}
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if at == l.len() && l.err == nil && !k.end(in, l) {
		k.fs.coherence.kernel.InvalList(in.ID)
	}
	return l, at, nil
}

// find is read if nothing need be taken from the tiers. Who begins is given a listing
// that the kernel may keep. One of which a client is told the end has ended from now on.
func (k *kept) find(in *inode.Inode, off uint64) (l *listing, at int, err error) {
	spent := false
	defer func() {
		if spent {
			k.fs.coherence.kernel.InvalList(in.ID)
		}
	}()
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	if d == nil || d.list == nil || off == 0 && !k.holds(d) {
		return nil, 0, nil
	}
	switch l = d.list; {
	case off > 0:
		var of uint8
		at, of = l.seek(off)
		switch {
		case at < 0 && !k.holds(d):
			return nil, 0, nil
		case at >= 0 && l.misses(of):
			return nil, 0, unix.EIO
		}
		at, l.mixed = max(at, 0), l.mixed || of != l.serial
		l.ended = l.ended || at == l.len()
	case l.mixed:
		again := *l
		again.mixed, again.ended, again.adds = false, false, false
		l = &again
		spent = k.put(in, d, l)
	}
	d.used = time.Since(k.begun)
	return l, at, nil
}

// holds reports whether a directory's listing is true, and is so until a change is heard of.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) holds(d *keptDir) bool {
	l := d.list
	return l.firm && l.turn == d.turn && time.Since(l.begun) < keepFor &&
		k.fs.coherence.on.Load() && k.fs.alone.Load() && !k.fs.set.Away()
}

// take takes a listing from the tiers. With midway a client is to have it who has read
// some of another.
func (k *kept) take(in *inode.Inode, uid uint32, midway bool) (*listing, error) {
	turn := k.begin(in)
	defer k.done(in)
	defer k.fs.names.list(in)()
	l, err := k.fs.newListing(in, uid)
	if err != nil {
		return nil, err
	}
	l.turn, l.mixed = turn, midway
	l.firm = l.err == nil && !l.mounts && k.fs.coherence.watched(in) && !slices.ContainsFunc(k.fs.Tiers(), (*tier.Tier).ListingRenews)
	l, spent := k.enter(in, l)
	if spent {
		k.fs.coherence.kernel.InvalList(in.ID)
	}
	return l, nil
}

func (k *kept) begin(in *inode.Inode) (turn uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	if d == nil {
		d = &keptDir{}
		k.dirs[in] = d
	}
	d.takers++
	return d.turn
}

// done ends what begin began. The kernel may have forgotten the directory meanwhile, if
// the watchdog has answered for us.
func (k *kept) done(in *inode.Inode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	if d.takers--; d.takers == 0 && !k.fs.table.Holds(in.ID) {
		k.remove(in, d)
	}
}

// enter makes l the directory's listing, unless there is one by now that is as new, which
// it returns then. spent is that of put.
func (k *kept) enter(in *inode.Inode, l *listing) (now *listing, spent bool) {
	var followed *listing
	for {
		k.mu.Lock()
		d := k.dirs[in]
		base := d.list
		if base != nil && (base.begun.After(l.begun) || k.holds(d)) {
			base.mixed = base.mixed || l.mixed
			d.used = time.Since(k.begun)
			k.mu.Unlock()
			k.fs.memory.give(l.uid, l.paid)
			return base, false
		}
		if base == followed {
			spent = k.put(in, d, l)
			k.free(base)
			lost := k.pool(l)
			d.used = time.Since(k.begun)
			k.tidyLater()
			k.mu.Unlock()
			k.fs.coherence.orders.lists(lost)
			return l, spent
		}
		k.mu.Unlock()
		l.follow(base)
		followed = base
	}
}

// put makes l the directory's listing. spent says that serials begin again, and what the
// kernel has is to be dropped.
//
// LOCKS_REQUIRED(k.mu)
func (k *kept) put(in *inode.Inode, d *keptDir, l *listing) (spent bool) {
	if d.list == nil && l.takes(in.Listed().Places) {
		d.list = l
		return false
	}
	spent = l.number(&in.Listed().Last, d.list)
	d.list = l
	return spent
}

// end is told that a listing was read to its end, before the kernel is. It reports
// whether that may keep it.
func (k *kept) end(in *inode.Inode, l *listing) (keep bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.dirs[in]; d != nil && d.list == l {
		d.used = time.Since(k.begun)
		keep = k.holds(d) && !l.mixed && l.size() <= k.long && !l.fillsPages(k.page)
		d.whole, d.begun = keep, l.begun.Sub(k.begun)
		k.setBare(d, keep && !k.fs.knows(in, l))
	}
	return keep
}

// changed is told that the names in a directory are others, and reports whether the
// kernel may have it whole as it was.
func (k *kept) changed(in *inode.Inode) (whole bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	if d == nil {
		return false
	}
	d.turn++
	return d.whole
}

// recall is asked before the kernel is told to drop what it has, and reports whether
// that is needed.
func (k *kept) recall(in *inode.Inode) (whole bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[in]
	if d == nil {
		return false
	}
	whole, d.whole, d.due = d.whole, false, false
	k.setBare(d, false)
	return whole
}

// clear is told that all may have changed, and returns the directories that the kernel
// may have whole, for whom it gives orders.
func (k *kept) clear() (whole []*inode.Inode) {
	return k.pick(func(d *keptDir) bool {
		d.turn++
		if !d.whole || d.due {
			return false
		}
		d.due = true
		return true
	})
}

// pick are the directories of which fn, which may change them, says so.
func (k *kept) pick(fn func(d *keptDir) bool) (all []*inode.Inode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for in, d := range k.dirs {
		if fn(d) {
			all = append(all, in)
		}
	}
	return all
}

// forgotten is told that the kernel has forgotten a directory, so that nobody reads it.
func (k *kept) forgotten(in *inode.Inode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.dirs[in]; d != nil {
		k.remove(in, d)
	}
}
