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
// LOCK ORDER: pins and marks come after Inode.Mu and before Table.mu.
type moves struct {
	table *inode.Table
	ended atomic.Uint64 // counts the marks that have ended

	mu      sync.Mutex
	pins    map[*inode.Inode]int  // GUARDED_BY(mu)
	marks   map[*inode.Inode]bool // GUARDED_BY(mu)
	changed chan struct{}         // closed when a pin or mark goes while somebody waits; GUARDED_BY(mu)
}

func newMoves(t *inode.Table) *moves {
	return &moves{table: t, pins: map[*inode.Inode]int{}, marks: map[*inode.Inode]bool{}}
}

// pin holds the directories and all above them in place until unpin.
func (m *moves) pin(dirs ...*inode.Inode) (unpin func()) {
	chain := m.take(nil, dirs)
	return func() { m.drop(nil, chain) }
}

// mark announces that dirs are about to be renamed or removed, and holds the
// directories parents and all above them in place. Until end, nobody goes
// through dirs by their names. What is no directory, or not known, is left out.
func (m *moves) mark(dirs []*inode.Inode, parents ...*inode.Inode) (end func()) {
	dirs = slices.DeleteFunc(slices.Clone(dirs), func(in *inode.Inode) bool { return in == nil || !in.IsDir() })
	chain := m.take(dirs, parents)
	return func() {
		m.ended.Add(1)
		m.drop(dirs, chain)
	}
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
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		<-changed
		m.mu.Lock()
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

func (m *moves) drop(marks, chain []*inode.Inode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range chain {
		if m.pins[in]--; m.pins[in] == 0 {
			delete(m.pins, in)
		}
	}
	for _, in := range marks {
		delete(m.marks, in)
	}
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}
