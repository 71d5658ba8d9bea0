package daemon

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Go's collector runs when the heap has grown by a share of what was alive. The
// default, 100 %, lets a million inodes that take 170 MB stand in 340 MB; with
// 40 % it runs more often, which is dear for a small heap. So the heap is made
// to look larger by a piece that is never touched and thus takes no memory.
const (
	gcPercent = 40
	gcBallast = 16 << 20
)

// young is about what is allocated before the collector first runs. It is had from the
// system at once, in large pages where those are given on request: page by page it takes
// a tenth to a fifth of the time of a new mount's new names, on a virtual machine where a
// page fault takes 13 µs.
const young = 8 << 20

// enough is how much has to be given up before memory goes back to the system
// at once, and calm how long nothing more may be given up before that: then it
// is not wanted again. The collector alone would take minutes.
const (
	enough = 8 << 20
	calm   = time.Second
)

// Memory sees to it that the process occupies little more than it uses.
type Memory struct {
	ballast []byte
	freed   atomic.Int64
	due     chan struct{}
}

// NewMemory sets how the collector works.
func NewMemory() *Memory {
	debug.SetGCPercent(gcPercent)
	m := &Memory{ballast: make([]byte, gcBallast), due: make(chan struct{}, 1)}
	_ = unix.Madvise(m.ballast, unix.MADV_DONTNEED) // where it was used before, it has just been touched
	touch(make([]byte, young))
	runtime.GC() // frees it for what comes
	return m
}

// touch has the system give memory for b.
func touch(b []byte) {
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

// Freed is told that so many bytes are of no use any more. It costs next to
// nothing.
func (m *Memory) Freed(bytes int) {
	if m.freed.Add(int64(bytes)) < enough {
		return
	}
	select {
	case m.due <- struct{}{}:
	default:
	}
}

// Run gives memory back, until ctx ends.
func (m *Memory) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.due:
		}
		if !m.settle(ctx) {
			return
		}
		m.freed.Store(0)
		debug.FreeOSMemory()
	}
}

// settle waits until nothing more is given up; false if ctx ends before.
func (m *Memory) settle(ctx context.Context) bool {
	for before := int64(-1); before != m.freed.Load(); {
		before = m.freed.Load()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(calm):
		}
	}
	return true
}
