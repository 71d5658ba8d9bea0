package tierfs

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHandles(t *testing.T) {
	var h handles[string]
	a, b := h.add("a"), h.add("b")
	if a == b || a == 0 || h.len() != 2 {
		t.Errorf("handles %d and %d of %d", a, b, h.len())
	}
	if v, err := h.get(a, nil); v != "a" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if v, ok := h.remove(a); v != "a" || !ok {
		t.Errorf("removed %q, %v", v, ok)
	}
	if v, ok := h.remove(a); v != "" || ok {
		t.Errorf("removed twice: %q, %v", v, ok)
	}
	for _, id := range []uint64{a, 0, 99} {
		if v, err := h.get(id, func(string) { t.Error("held what is not there") }); v != "" || err != unix.EBADF {
			t.Errorf("handle %d: %q, %v", id, v, err)
		}
	}
	if c := h.add("c"); c <= b || h.len() != 2 {
		t.Errorf("a number was used again: %d", c)
	}
}

// An op that found its handle has taken hold of it before a release can remove
// it: who removes it knows of the op.
func TestHandleIsHeldBeforeItCanBeRemoved(t *testing.T) {
	type counted struct {
		mu      sync.Mutex
		users   int
		removed bool
	}
	var h handles[*counted]
	var done sync.WaitGroup
	for range 200 {
		c := &counted{users: 1}
		id := h.add(c)
		for range 3 {
			done.Go(func() {
				h.get(id, func(c *counted) {
					c.mu.Lock()
					defer c.mu.Unlock()
					if c.removed {
						t.Error("held after it was removed")
					}
					c.users++
				})
			})
		}
		done.Go(func() {
			if c, ok := h.remove(id); ok {
				c.mu.Lock()
				c.removed = true
				c.mu.Unlock()
			}
		})
	}
	done.Wait()
	if h.len() != 0 {
		t.Errorf("%d handles are left", h.len())
	}
}
