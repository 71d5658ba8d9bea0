package inode

import (
	"container/list"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// DirCache keeps descriptors of directories, so that a lookup costs one
// fstatat(2) a tier however deep it is. The least recently used go first.
//
// DirCache.mu is a leaf, taken after Table.mu.
type DirCache struct {
	max   int
	begun time.Time

	mu  sync.Mutex
	lru list.List // of *cached, the most recent first; GUARDED_BY(mu)
}

// cached is a directory descriptor that the cache holds for an inode.
type cached struct {
	in   *Inode
	rank int
	dir  *tier.Dir
	at   *list.Element
}

// absentFor is how long a tier is believed to lack a directory before it is
// asked again: one may be made there out of band.
const absentFor = time.Second

// NewDirCache holds max descriptors at most.
func NewDirCache(max int) *DirCache { return &DirCache{max: max, begun: time.Now()} }

// Get is the cached descriptor of in's copy on the tier with rank, for the
// caller to Put. It is nil when there is none, and ENOENT when the tier is
// known not to have the directory.
//
// stalled is for how long the tier has not answered: what was known of it when
// it stopped stays known until it answers again.
func (c *DirCache) Get(in *Inode, rank int, stalled time.Duration) (*tier.Dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &in.extra.copies[rank]
	if s.ref != nil && !s.ref.dir.Stale() {
		c.lru.MoveToFront(s.ref.at)
		return s.ref.dir.Get(), nil
	}
	if s.absent != 0 && int64(time.Since(c.begun)-stalled) < s.absent {
		return nil, unix.ENOENT
	}
	return nil, nil
}

// Add caches d, which it takes a reference of.
func (c *DirCache) Add(in *Inode, rank int, d *tier.Dir) {
	drop, stale := c.add(in, rank, d)
	for _, d := range []*tier.Dir{drop, stale} {
		if d != nil {
			d.Put()
		}
	}
}

// add is Add but for what the cache has no more, which is for the caller to Put.
func (c *DirCache) add(in *Inode, rank int, d *tier.Dir) (drop, stale *tier.Dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &in.extra.copies[rank]
	s.absent = 0
	if s.ref != nil && s.ref.dir.Stale() {
		stale = c.remove(s.ref)
	}
	if s.ref == nil {
		e := &cached{in: in, rank: rank, dir: d.Get()}
		e.at = c.lru.PushFront(e)
		s.ref = e
		if c.lru.Len() > c.max {
			drop = c.remove(c.lru.Back().Value.(*cached))
		}
	}
	return drop, stale
}

// Absent notes that the tier lacks the directory, unless another op has found or
// made it meanwhile.
func (c *DirCache) Absent(in *Inode, rank int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := &in.extra.copies[rank]; s.ref != nil && !s.ref.dir.Stale() {
		return
	}
	in.extra.copies[rank].absent = int64(time.Since(c.begun) + absentFor)
}

// Present takes Absent back.
func (c *DirCache) Present(in *Inode, rank int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in.extra.copies[rank].absent = 0
}

// Drop forgets the descriptor and the absence of in's copy.
func (c *DirCache) Drop(in *Inode, rank int) {
	c.mu.Lock()
	d := c.drop(in, rank)
	c.mu.Unlock()
	if d != nil {
		d.Put()
	}
}

// DropAll forgets every descriptor of a directory.
func (c *DirCache) DropAll(in *Inode) {
	c.mu.Lock()
	var gone []*tier.Dir
	for rank := range in.extra.copies {
		if d := c.drop(in, rank); d != nil {
			gone = append(gone, d)
		}
	}
	c.mu.Unlock()
	for _, d := range gone {
		d.Put()
	}
}

// LOCKS_REQUIRED(c.mu)
func (c *DirCache) drop(in *Inode, rank int) *tier.Dir {
	s := &in.extra.copies[rank]
	s.absent = 0
	if s.ref == nil {
		return nil
	}
	return c.remove(s.ref)
}

// DropTier forgets every descriptor on one tier.
func (c *DirCache) DropTier(rank int) {
	c.mu.Lock()
	var gone []*tier.Dir
	for e := c.lru.Front(); e != nil; {
		next := e.Next()
		if ref := e.Value.(*cached); rank < 0 || ref.rank == rank {
			gone = append(gone, c.remove(ref))
		}
		e = next
	}
	c.mu.Unlock()
	for _, d := range gone {
		d.Put()
	}
}

// Len is the number of descriptors held.
func (c *DirCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Len()
}

// remove takes e out and returns the directory for the caller to Put.
//
// LOCKS_REQUIRED(c.mu)
func (c *DirCache) remove(e *cached) *tier.Dir {
	c.lru.Remove(e.at)
	e.in.extra.copies[e.rank].ref = nil
	return e.dir
}
