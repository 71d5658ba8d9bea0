package tierfs

import (
	"sync"
	"time"
)

// bell wakes those who wait for something that a mutex guards to change. It is
// used with that mutex held.
type bell struct {
	rung chan struct{} // closed at the next ring; nil while nobody waits
}

// wait lets go of mu until the bell rings, or reports false when over fires.
func (b *bell) wait(mu *sync.Mutex, over <-chan time.Time) bool {
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	rung := b.rung
	mu.Unlock()
	defer mu.Lock()
	select {
	case <-rung:
		return true
	case <-over:
		return false
	}
}

func (b *bell) ring() {
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}
