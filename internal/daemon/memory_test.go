package daemon

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// returned is what the heap had from the system and has given back. What the process
// occupies does not tell: the race detector has memory of its own for each piece, and
// more for one that is freed.
func returned() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapReleased
}

func TestMemoryGoesBackToTheSystem(t *testing.T) {
	m := NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	pile := make([][]byte, 1000)
	for i := range pile {
		pile[i] = make([]byte, 64<<10)
		for at := 0; at < len(pile[i]); at += 4096 {
			pile[i][at] = 1
		}
	}
	before := returned()
	runtime.KeepAlive(pile)
	pile = nil
	for range 1000 {
		m.Freed(64 << 10)
	}
	for end := time.Now().Add(30 * time.Second); returned() < before+40<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of 64 MB %d bytes were given back", returned()-before)
		}
	}
	cancel()
	<-done
	runtime.KeepAlive(m)
}
