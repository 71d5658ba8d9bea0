package tierfs

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tierfs/tierfs/internal/inode"
)

// moves keeps directories where they are while somebody goes through them.
//
// Who walks down by names, makes parents or writes a path into a record pins
// the directories on the way. Who renames or removes a directory marks it, and
// pins the way to both its names. A mark waits for the pins on its directory,
// a pin for the mark. Both are taken in one step, all or none, so that nobody
// holds one while he waits for another, and a mark is held over system calls
// only. So a tier that hangs in the middle stops those who go through that
// directory, and no one else: with one lock for the whole tree, a frozen
// fallback would stop the primary.
//
// A lookup pins nothing: it asks the tiers one after the other, and must not
// tell the table what is out of date by then. Two threads, a on tiers 0 and 1:
//
//	LOOKUP a                        rename a b
//	                                rename on tier 1
//	tier 0 has a, tier 1 does not
//	                                rename on tier 0, Table.Moved
//	a is the directory of tier 0
//
// Directory b would have its old name again and lack its files of tier 1. In the
// same way a copy that is made meanwhile would be taken for absent. So what a
// lookup found is entered only if nothing was moved or made in that parent since
// it began, and nothing is being moved.
//
// LOCK ORDER: pins and marks come after Inode.Mu and before Table.mu.
type moves struct {
	table  *inode.Table
	counts [64]atomic.Uint64 // marks that have ended and copies made, by the parent's ID

	mu      sync.Mutex
	pins    map[*inode.Inode]int  // GUARDED_BY(mu)
	marks   map[*inode.Inode]bool // GUARDED_BY(mu)
	changed bell                  // rung when a pin or mark goes; GUARDED_BY(mu)
}

func newMoves(t *inode.Table) *moves {
	return &moves{table: t, pins: map[*inode.Inode]int{}, marks: map[*inode.Inode]bool{}}
}

// pin holds the directories and all above them in place until unpin.
func (m *moves) pin(dirs ...*inode.Inode) (unpin func()) {
	chain := m.take(nil, dirs)
	return func() { m.drop(nil, chain, nil) }
}

// mark announces that dirs are about to be renamed or removed, and holds the
// directories parents and all above them in place. Until end, nobody goes
// through dirs by their names. What is no directory, or not known, is left out.
func (m *moves) mark(dirs []*inode.Inode, parents ...*inode.Inode) (end func()) {
	dirs = slices.DeleteFunc(slices.Clone(dirs), func(in *inode.Inode) bool { return in == nil || !in.IsDir() })
	chain := m.take(dirs, parents)
	return func() { m.drop(dirs, chain, parents) }
}

// count is how often something in parent was moved or made.
func (m *moves) count(parent *inode.Inode) uint64 { return m.counter(parent).Load() }

func (m *moves) counter(parent *inode.Inode) *atomic.Uint64 {
	return &m.counts[parent.ID%uint64(len(m.counts))]
}

// made is told that a tier has one of parent's directories now, before the table
// is.
func (m *moves) made(parent *inode.Inode) { m.counter(parent).Add(1) }

// enter runs fn, which tells the table of the directory k that a lookup of name
// in parent has found, begun at the count began. It does not, and reports false,
// if that may be out of date.
func (m *moves) enter(parent *inode.Inode, name string, k inode.Key, began uint64, fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count(parent) != began || m.moving(parent, name, k) {
		return false
	}
	fn()
	return true
}

// await waits until the directory under that name or key is not being moved.
func (m *moves) await(parent *inode.Inode, name string, k inode.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.moving(parent, name, k) {
		m.changed.wait(&m.mu, nil)
	}
}

// LOCKS_REQUIRED(m.mu)
func (m *moves) moving(parent *inode.Inode, name string, k inode.Key) bool {
	return len(m.marks) > 0 && slices.ContainsFunc(m.table.Known(parent, name, k), func(in *inode.Inode) bool { return m.marks[in] })
}

// take waits until it can have all it wants, and returns what it pinned.
func (m *moves) take(marks, dirs []*inode.Inode) []*inode.Inode {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		chain := m.table.Ancestors(dirs)
		if m.free(marks, chain) {
			for _, in := range chain {
				m.pins[in]++
			}
			for _, in := range marks {
				m.marks[in] = true
			}
			return chain
		}
		m.changed.wait(&m.mu, nil)
	}
}

// LOCKS_REQUIRED(m.mu)
func (m *moves) free(marks, chain []*inode.Inode) bool {
	for _, in := range marks {
		if m.pins[in] > 0 || m.marks[in] {
			return false
		}
	}
	return len(m.marks) == 0 || !slices.ContainsFunc(chain, func(in *inode.Inode) bool { return m.marks[in] })
}

func (m *moves) drop(marks, chain, parents []*inode.Inode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range parents {
		m.counter(p).Add(1)
	}
	for _, in := range chain {
		if m.pins[in]--; m.pins[in] == 0 {
			delete(m.pins, in)
		}
	}
	for _, in := range marks {
		delete(m.marks, in)
	}
	m.changed.ring()
}
