package fusedev

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While requests always wait, though each is quick, a second worker reads; and none
// but the first once one client is left.
func TestCrowdIsServedByMoreReaders(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("no second CPU")
	}
	var working, together atomic.Int32
	k := serve(t, Config{}, func(r *Request, op any) error {
		if n := working.Add(1); n > 1 {
			together.Add(1)
		}
		defer working.Add(-1)
		for begun := time.Now(); time.Since(begun) < 50*time.Microsecond; {
		}
		return unix.ENOENT
	})
	alone := func() bool { // who is kept from the CPU lets a request wait as well, so one time will do
		for range 50 {
			k.want(k.call(opLookup, 1, "missing"), unix.ENOENT, 0)
		}
		return k.s.least.Load() <= 1
	}
	for begun := time.Now(); !alone(); {
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("%d readers for one client", k.s.least.Load())
		}
	}
	var clients [8]chan answer
	crowded := func() bool { return k.s.least.Load() > 1 && together.Load() > 0 } // a slow op alone makes for the second
	for begun := time.Now(); time.Since(begun) < 5*time.Second && !crowded(); {
		for i, c := range clients {
			if c != nil {
				k.want(k.take(c), unix.ENOENT, 0)
			}
			_, clients[i] = k.send(opLookup, 1, "missing")
		}
	}
	if !crowded() {
		t.Error("one reader for eight clients")
	}
	for _, c := range clients {
		k.want(k.take(c), unix.ENOENT, 0)
	}
	for begun := time.Now(); k.s.readers.Load() > 1; {
		k.want(k.call(opLookup, 1, "missing"), unix.ENOENT, 0)
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("%d readers stay for one client", k.s.readers.Load())
		}
	}
}

// One client does not make a crowd by what it does not wait for.
func TestEveryOtherRequestThatWaitsIsNoCrowd(t *testing.T) {
	var c crowd
	for i := range 1000 {
		if c.look(i%2 == 0, false) {
			t.Fatal("a crowd")
		}
	}
}
