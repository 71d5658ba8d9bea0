package tierfs

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
)

// names keeps a name still while the file under it changes its home.
//
// For that moment, a few system calls, the mover takes the name. Who changes or
// removes the name uses it, and who lists its directory uses all names in that:
// both wait for the mover, and the mover for them. What goes on beneath the file
// that is seen, on the way down before and on the way up after, only claims the
// name: a lower tier that hangs must not keep anybody from a file on a higher one.
//
// A lookup uses nothing, as it must not wait; it asks the tiers one after the
// other, and may see neither the file nor its copy. Two threads, f going up:
//
//	LOOKUP f                        move f to tier 0
//	tier 0 has no f
//	                                f is on tier 0, gone from tier 1
//	tier 1 has no f
//
// So what a lookup found, or did not find, holds only if the name was not taken
// since it began.
//
// LOCK ORDER: a name comes before Inode.Mu. The mover waits for it for a bounded
// time, and with nothing else held but pins.
type names struct {
	seed   maphash.Seed
	counts [256]atomic.Uint64 // how often names were taken, by their hash; grow with mu held
	sum    atomic.Uint64      // how often any was; grows with mu held

	mu      sync.Mutex
	used    map[entryName]int    // GUARDED_BY(mu)
	listed  map[*inode.Inode]int // GUARDED_BY(mu)
	taken   map[entryName]grip   // GUARDED_BY(mu)
	changed bell                 // rung when a use or a name is given back; GUARDED_BY(mu)
}

type entryName struct {
	parent *inode.Inode
	name   string
}

// grip is how the mover has a name.
type grip int

const (
	loose   grip = iota
	claimed      // nobody changes or removes it
	taken        // nor looks it up, nor lists its directory
)

func newNames() *names {
	return &names{used: map[entryName]int{}, listed: map[*inode.Inode]int{}, taken: map[entryName]grip{}, seed: maphash.MakeSeed()}
}

// use keeps the mover from the names until done.
func (n *names) use(all ...entryName) (done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.anyTaken(all) {
		n.changed.wait(&n.mu, nil)
	}
	for _, e := range all {
		n.used[e]++
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range all {
			if n.used[e]--; n.used[e] == 0 {
				delete(n.used, e)
			}
		}
		n.changed.ring()
	}
}

// LOCKS_REQUIRED(n.mu)
func (n *names) anyTaken(all []entryName) bool {
	for _, e := range all {
		if n.taken[e] != loose {
			return true
		}
	}
	return false
}

// list keeps the mover from all names in a directory until done.
func (n *names) list(dir *inode.Inode) (done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.takenIn(dir) {
		n.changed.wait(&n.mu, nil)
	}
	n.listed[dir]++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.listed[dir]--; n.listed[dir] == 0 {
			delete(n.listed, dir)
		}
		n.changed.ring()
	}
}

// LOCKS_REQUIRED(n.mu)
func (n *names) takenIn(dir *inode.Inode) bool {
	for e, g := range n.taken { // one or two
		if g == taken && e.parent == dir {
			return true
		}
	}
	return false
}

// take takes the name for the mover until done, unless others use it for
// longer than patience.
func (n *names) take(e entryName, patience time.Duration) (done func(), ok bool) {
	return n.grasp(e, taken, patience)
}

// claim is take where no more than what a higher tier hides is touched.
func (n *names) claim(e entryName, patience time.Duration) (done func(), ok bool) {
	return n.grasp(e, claimed, patience)
}

func (n *names) grasp(e entryName, g grip, patience time.Duration) (done func(), ok bool) {
	var late <-chan time.Time
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.used[e] > 0 || n.taken[e] != loose || g == taken && n.listed[e.parent] > 0 {
		if late == nil { // mostly nobody uses it
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		}
		if !n.changed.wait(&n.mu, late) {
			return nil, false
		}
	}
	n.taken[e] = g
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.taken, e)
		if g == taken {
			n.slot(e).Add(1)
			n.sum.Add(1)
		}
		n.changed.ring()
	}, true
}

func (n *names) slot(e entryName) *atomic.Uint64 {
	return &n.counts[(maphash.String(n.seed, e.name)^e.parent.ID)%uint64(len(n.counts))]
}

// count is how often the name was taken.
func (n *names) count(e entryName) uint64 { return n.slot(e).Load() }

// total is how often any name was taken.
func (n *names) total() uint64 { return n.sum.Load() }

// enter runs fn, which makes known what a lookup of the name has found, begun at
// the count began. It does not, and reports false, if that may be out of date.
func (n *names) enter(e entryName, began uint64, fn func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count(e) != began || n.taken[e] == taken {
		return false
	}
	fn()
	return true
}

// await waits while the mover has the name.
func (n *names) await(e entryName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.taken[e] == taken {
		n.changed.wait(&n.mu, nil)
	}
}
