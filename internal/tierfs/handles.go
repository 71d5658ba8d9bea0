package tierfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// handles maps the numbers that the kernel holds for open(2)s to what they
// mean. The kernel sends no op on a handle after its release, but an op that
// the watchdog has answered for may still be running then.
type handles[T any] struct {
	mu   sync.RWMutex
	m    map[uint64]T // GUARDED_BY(mu)
	next uint64       // GUARDED_BY(mu)
}

func (h *handles[T]) add(v T) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil {
		h.m = make(map[uint64]T)
	}
	h.next++
	h.m[h.next] = v
	return h.next
}

// get looks a handle up. hold, if not nil, is called on it before it can be
// removed.
func (h *handles[T]) get(id uint64, hold func(T)) (T, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	v, ok := h.m[id]
	if !ok {
		return v, unix.EBADF
	}
	if hold != nil {
		hold(v)
	}
	return v, nil
}

func (h *handles[T]) remove(id uint64) (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.m[id]
	delete(h.m, id)
	return v, ok
}

func (h *handles[T]) len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.m)
}
