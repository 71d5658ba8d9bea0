package tierfs

import (
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"github.com/tierfs/tierfs/internal/watch"
)

// coherence lets the kernel keep names and attributes for long, because a watch
// on every tier tells of what others change there, and the kernel is told.
//
// An answer that was found before a change must not be believed after it. Two
// threads:
//
//	LOOKUP f                        the watch
//	fstatat: f has 1 byte
//	                                f was written: 2 bytes
//	                                tells the kernel to ask for f anew
//	answers: 1 byte, for an hour
//
// So each change is stamped, before anything else is done about it, with the
// next count of a clock. An op notes the clock when it begins, and what it
// answers is for long only if nothing that it depends on was stamped since. And
// once it has answered it looks again: what was stamped in between is told to the
// kernel once more.
//
// The answer is then in the kernel, but its client may not have taken it yet. A
// name is safe: it is entered with the directory locked, which InvalEntry waits
// for, or it is one that InvalEntry has taken out of the tree. The attributes of
// an inode that the kernel has are safe: what was asked for before InvalAttr
// counts for nothing (fuse_change_attributes: attr_version). Only what SETATTR and
// LINK answer counts all the same (fuse_do_setattr, create_new_entry), so it is
// never for long. For an inode that the kernel does not have yet InvalAttr is
// ENOENT, and is tried until it does, or has forgotten it.
//
// Events that wait in the queue need no thought: they are told when they are read,
// which is after the answer. There is none of what clients change through the mount,
// but for data. The kernel drops what it has of a directory then, and of what is
// renamed, but takes an answer that was asked for before (fuse_dir_changed and
// fuse_update_ctime leave attr_version); so these are stamped too.
type coherence struct {
	fs     *FS
	kernel kernel
	on     atomic.Bool

	seed   maphash.Seed
	clock  atomic.Uint64
	all    atomic.Uint64             // the last stamp on everything
	stamps [stampSlots]atomic.Uint64 // the last stamps on names and backing inodes, by their hash
	told   struct{ names, attrs, sweeps atomic.Uint64 }
	lost   atomic.Int64 // when events were last said to be lost, in ns since 1970
	loud   atomic.Int32 // how many open files have Writers and are not Quiet

	orders    orders
	negatives negatives
	sweeper   sweeper
	root      beginning

	mu      sync.Mutex
	watches map[uint64]*watch.Watch // by device; GUARDED_BY(mu)
	why     error                   // why it is not on; GUARDED_BY(mu)
}

// kernel is what the kernel can be told of its own accord.
type kernel interface {
	InvalAttr(node uint64) error
	InvalList(node uint64) error
	InvalEntry(parent uint64, name string) error
	ExpireEntry(parent uint64, name string) error
}

// Cache says for how long the kernel may believe what it is told.
type Cache int

const (
	CacheAuto     Cache = iota // until it is told otherwise, where every tier can be watched and no TTL is 0
	CacheCoherent              // asked for by name
	CacheTimeout               // for EntryTTL, AttrTTL and NegativeTTL
)

const stampSlots = 4096

// keepFor is for how long the kernel is told to believe what will be taken back
// when it changes. An hour costs nothing, and is the most that a change of which
// no event tells (see semantics.md) stays hidden.
const keepFor = time.Hour

// moment is a count of the clock. What is read after it is as new as it; 0 is
// before everything.
type moment uint64

// Why caching is by timeouts although the tiers may be fit to be watched. An event
// takes some milliseconds, and a timeout of 0 asks for less.
var (
	errCacheTimeout = errors.New("cache=timeout")
	errNoTimeout    = errors.New("entry_timeout=0 or attr_timeout=0, and no cache=coherent")
)

func newCoherence(fs *FS) *coherence {
	c := &coherence{fs: fs, seed: maphash.MakeSeed(), watches: map[uint64]*watch.Watch{}, why: errCacheTimeout}
	c.clock.Store(1)
	c.orders.c, c.sweeper.c, c.negatives.c = c, c, c
	return c
}

// now is the moment at which an op begins.
func (c *coherence) now() moment {
	if !c.on.Load() {
		return 0
	}
	return moment(c.clock.Load())
}

// stamp marks what has the hash as changed.
func (c *coherence) stamp(hash uint64) { raise(&c.stamps[hash%stampSlots], c.clock.Add(1)) }

// stampInode marks the attributes of in: what is said of them may not be all that there is.
func (c *coherence) stampInode(in *inode.Inode) {
	if !c.on.Load() {
		return
	}
	c.fs.table.Keys(in, func(k inode.Key) bool {
		c.stamp(c.keyHash(k))
		return true
	})
}

// stampCopies is stampInode for what was surveyed.
func (c *coherence) stampCopies(all []copyAt) {
	for i := range all {
		c.stamp(c.keyHash(c.fs.key(&all[i])))
	}
}

// stampAll marks everything.
func (c *coherence) stampAll() { raise(&c.all, c.clock.Add(1)) }

// raise sets a to v unless it is higher: two may stamp at once.
func raise(a *atomic.Uint64, v uint64) {
	for old := a.Load(); old < v && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

func (c *coherence) nameHash(parent *inode.Inode, name string) uint64 {
	return maphash.String(c.seed, name) ^ parent.ID*0x9e3779b97f4a7c15
}

func (c *coherence) keyHash(k inode.Key) uint64 {
	return (k.Ino + uint64(k.Slot)<<32) * 0x9e3779b97f4a7c15 >> 20
}

// since reports whether what has the hash was stamped after the moment.
func (c *coherence) since(hash uint64, m moment) bool {
	return c.stamps[hash%stampSlots].Load() > uint64(m)
}

// quiet reports whether nothing at all was stamped since the moment.
func (c *coherence) quiet(m moment) bool { return c.clock.Load() == uint64(m) }

// nameHolds reports whether what a name was found to mean at the moment holds
// until the kernel is told otherwise.
func (c *coherence) nameHolds(at entryName, m moment) bool {
	if m == 0 || !c.on.Load() || at.parent == nil || c.all.Load() > uint64(m) || c.since(c.nameHash(at.parent, at.name), m) {
		return false
	}
	return c.fs.table.Outer(at.parent)
}

// attrHolds is the same for the attributes of in.
func (c *coherence) attrHolds(in *inode.Inode, m moment) bool {
	if m == 0 || !c.on.Load() || c.all.Load() > uint64(m) {
		return false
	}
	return c.fs.table.OuterKeys(in, func(k inode.Key) bool { return !c.since(c.keyHash(k), m) })
}

// watched reports whether all of a directory is on the filesystems that are watched.
func (c *coherence) watched(in *inode.Inode) bool {
	return c.on.Load() && c.fs.table.Outer(in)
}

// relisted is told that the names in d are others, or what a listing says of them,
// other than by a client's operation, of which the kernel knows.
func (c *coherence) relisted(d *inode.Inode) {
	c.relist(d)
	c.attr(d.ID)
}

// relist is told that a listing of d would be another.
func (c *coherence) relist(d *inode.Inode) {
	if c.fs.kept.changed(d) {
		c.orders.list(d)
	}
}

// confirm is called when an answer is with the kernel: what has changed while it
// was given is taken back.
func (c *coherence) confirm(e fusedev.Entry, in *inode.Inode, at entryName, m moment) {
	if m == 0 || c.quiet(m) && c.on.Load() {
		return
	}
	if at.parent != nil && e.EntryTTL == keepFor && !c.nameHolds(at, m) {
		c.orders.entry(at.parent, at.name)
	}
	if in != nil && e.AttrTTL == keepFor && !c.attrHolds(in, m) {
		c.attr(in.ID)
	}
}

// attr makes the kernel ask for the attributes of an inode anew.
func (c *coherence) attr(id uint64) {
	if c.kernel == nil || id == inode.RootID && !c.root.over() {
		return
	}
	c.told.attrs.Add(1)
	if c.kernel.InvalAttr(id) != nil && c.fs.table.Holds(id) {
		c.orders.retry(id)
	}
}

// beginning is the time until the kernel has the attributes of the mount's root.
//
// It makes that inode by itself, owned by root and closed to everybody else, and
// asks for the attributes at the first use. It drops the answer if InvalAttr comes
// before it (fuse_change_attributes), and whoever has asked is refused: EACCES. Any
// other inode comes with its attributes. So nothing is told of the root in this
// time, and what is answered expires by itself.
type beginning struct{ answered atomic.Int64 } // when it was first, in ns since 1970

// beginningLasts is longer than a client takes to take an answer that it has.
const beginningLasts = time.Second

// beginningTTL is for how long those answers hold. Every path begins with the root,
// so to have none is a question more for each name; an event may take as long.
const beginningTTL = 20 * time.Millisecond

// answer is called for each answer that has the root's attributes.
func (b *beginning) answer() {
	if b.answered.Load() == 0 {
		b.answered.CompareAndSwap(0, time.Now().UnixNano())
	}
}

func (b *beginning) over() bool {
	first := b.answered.Load()
	return first != 0 && time.Now().UnixNano()-first > int64(beginningLasts)
}

// start watches the tiers' filesystems, if all of them can be.
func (c *coherence) start(s *fusedev.Server) error {
	if !s.Revocable() {
		return c.refuse(errors.New("the kernel is older than Linux 6.12"))
	}
	if !c.fs.root {
		return c.refuse(errors.New("only root may watch a filesystem"))
	}
	return c.begin()
}

// begin watches all tiers, or none.
func (c *coherence) begin() error {
	for _, t := range c.fs.Tiers() {
		if err := c.watch(t, false); err != nil {
			c.close()
			return c.refuse(err)
		}
	}
	c.refuse(nil)
	c.on.Store(true)
	return nil
}

// startCache begins coherent caching if it is wanted and can be had.
func (fs *FS) startCache(s *fusedev.Server) {
	fs.coherence.kernel = s
	o := fs.options.Load()
	switch {
	case fs.cache == CacheTimeout:
		return
	case fs.cache == CacheAuto && (o.EntryTTL == 0 || o.AttrTTL == 0):
		fs.coherence.refuse(errNoTimeout)
		return
	}
	switch err := fs.coherence.start(s); {
	case err != nil && fs.cache == CacheCoherent:
		fs.log.Warn("cache=coherent: cannot be, so names and attributes are cached for entry_timeout and attr_timeout; see to the cause, or give cache=auto", "err", err)
	case err != nil:
		fs.log.Info("names and attributes are cached for entry_timeout and attr_timeout", "err", err)
	}
}

// refuse notes why the kernel is given timeouts.
func (c *coherence) refuse(why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = why
	return why
}

// watch sees to it that the filesystem of a tier is watched; anew, if it may be
// another one under the same number. Once the watch has ended nobody would close
// one: close takes mu after end has said so.
func (c *coherence) watch(t *tier.Tier, anew bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if anew && !c.on.Load() || !anew && c.watches[t.Dev()] != nil {
		return nil
	}
	w, err := watch.Open(t.RootFD())
	if err != nil {
		return &tierError{t.Root, err}
	}
	if old := c.watches[t.Dev()]; old != nil {
		go old.Close()
	}
	c.watches[t.Dev()] = w
	w.Run(listener{c, w})
	return nil
}

// tierError names the tier that something is about.
type tierError struct {
	root string
	err  error
}

func (e *tierError) Error() string { return "tier " + e.root + ": " + e.err.Error() }
func (e *tierError) Unwrap() error { return e.err }

// include watches one more tier, or one that has come back. What the kernel was
// told before is in doubt.
func (c *coherence) include(t *tier.Tier) {
	if !c.on.Load() {
		return
	}
	if err := c.watch(t, true); err != nil {
		c.end(err)
		return
	}
	c.unwatch()
	c.everything()
}

// unwatch ends the watches on filesystems that no tier is on any more: one would
// keep its disk busy.
func (c *coherence) unwatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for dev, w := range c.watches {
		if !slices.ContainsFunc(c.fs.Tiers(), func(t *tier.Tier) bool { return t.Dev() == dev }) {
			delete(c.watches, dev)
			go w.Close()
		}
	}
}

// end gives the kernel timeouts from now on, and takes back what it was told.
func (c *coherence) end(why error) {
	if !c.on.CompareAndSwap(true, false) {
		return
	}
	c.refuse(why)
	c.fs.log.Warn("changes in the tiers cannot be watched any more, so names and attributes are cached for entry_timeout and attr_timeout; mount anew to have them watched", "err", why)
	c.sweeper.add()
	go c.close()
}

// EndCoherence gives the kernel timeouts from now on, for a reason.
func (fs *FS) EndCoherence(why error) { fs.coherence.end(why) }

// close ends the watches.
func (c *coherence) close() {
	c.mu.Lock()
	all := c.watches
	c.watches = map[uint64]*watch.Watch{}
	c.mu.Unlock()
	for _, w := range all {
		w.Close()
	}
}

// Coherent reports whether the kernel caches until it is told of a change, or
// else why not.
func (fs *FS) Coherent() (bool, error) {
	fs.coherence.mu.Lock()
	defer fs.coherence.mu.Unlock()
	return fs.coherence.on.Load(), fs.coherence.why
}

// Doubt makes the kernel look everything up anew: something changed of which the
// watch does not tell.
func (fs *FS) Doubt() { fs.coherence.everything() }

// Watched are the figures of coherent caching.
type Watched struct {
	watch.Counts
	Names, Attrs, Sweeps uint64 // what the kernel was told
}

// Watched counts what was watched so far.
func (fs *FS) Watched() (w Watched) {
	c := fs.coherence
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.watches {
		n := one.Counts()
		w.Read += n.Read
		w.Own += n.Own
		w.Told += n.Told
	}
	w.Names, w.Attrs, w.Sweeps = c.told.names.Load(), c.told.attrs.Load(), c.told.sweeps.Load()
	return w
}
