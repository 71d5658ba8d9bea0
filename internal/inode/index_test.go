package inode

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

// TestInodeFitsOneSize: 113 bytes would take 128.
func TestInodeFitsOneSize(t *testing.T) {
	if size := reflect.TypeFor[Inode]().Size(); size > 112 {
		t.Errorf("an inode has %d bytes", size)
	}
}

// TestIndexIsAMap does what a Go map does too, with hashes that often meet.
func TestIndexIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		x := &index[uint64]{key: func(in *Inode) uint64 { return in.Ino }, hash: func(n uint64) uint64 {
			return n%2<<63*(seed%2) | n%7<<50 | n
		}}
		want := map[uint64]*Inode{}
		for range 3000 {
			n := r.Uint64N(400)
			switch in := want[n]; {
			case in == nil && r.IntN(3) > 0:
				in = &Inode{Ino: n}
				x.put(in)
				want[n] = in
			case in != nil && r.IntN(2) == 0:
				if !x.remove(in) {
					t.Fatalf("seed %d: %d is not there to be removed", seed, n)
				}
				delete(want, n)
			case in != nil:
				if x.remove(&Inode{Ino: n}) {
					t.Fatalf("seed %d: another with the key %d was removed", seed, n)
				}
			}
			if got := x.get(n); got != want[n] {
				t.Fatalf("seed %d: %d is %v, want %v", seed, n, got, want[n])
			}
		}
		seen := 0
		for in := range x.all() {
			if seen++; want[in.Ino] != in {
				t.Fatalf("seed %d: lists %d, which is not there", seed, in.Ino)
			}
		}
		if seen != len(want) || x.len() != len(want) {
			t.Errorf("seed %d: lists %d of %d, want %d", seed, seen, x.len(), len(want))
		}
		for n, in := range want {
			if x.get(n) != in {
				t.Errorf("seed %d: %d is not there", seed, n)
			}
			x.remove(in)
		}
		for i := range x.parts {
			if x.parts[i].slots != nil {
				t.Fatalf("seed %d: an empty part has %d slots", seed, len(x.parts[i].slots))
			}
		}
	}
}

// TestIndexGivesMemoryBack: a million inodes that are forgotten leave a table
// that fits the rest.
func TestIndexGivesMemoryBack(t *testing.T) {
	x := &index[uint64]{key: func(in *Inode) uint64 { return in.Ino }, hash: func(n uint64) uint64 { return mix(Key{0, n}) }}
	var ins []*Inode
	for n := range uint64(100_000) {
		ins = append(ins, &Inode{Ino: n})
		x.put(ins[n])
	}
	slots := func() (n int) {
		for i := range x.parts {
			n += len(x.parts[i].slots)
		}
		return n
	}
	if n := slots(); n > 3*len(ins) {
		t.Errorf("%d slots for %d", n, len(ins))
	}
	for _, in := range ins[1000:] {
		x.remove(in)
	}
	if n := slots(); n > 10*1000 {
		t.Errorf("%d slots for 1000", n)
	}
}

func TestLockKeepsWritersApart(t *testing.T) {
	var l Lock
	var writing, reading, count int
	var wait sync.WaitGroup
	var mu sync.Mutex // of the books
	for i := range 8 {
		wait.Go(func() {
			for n := range 2000 {
				if (i+n)%4 == 0 {
					l.Lock()
					mu.Lock()
					if writing++; writing != 1 || reading != 0 {
						t.Errorf("a writer beside %d others and %d readers", writing-1, reading)
					}
					mu.Unlock()
					count++
					mu.Lock()
					writing--
					mu.Unlock()
					l.Unlock()
					continue
				}
				l.RLock()
				mu.Lock()
				if reading++; writing != 0 {
					t.Error("a reader beside a writer")
				}
				mu.Unlock()
				_ = count
				mu.Lock()
				reading--
				mu.Unlock()
				l.RUnlock()
			}
		})
	}
	wait.Wait()
	if count != 8*2000/4 {
		t.Errorf("%d writes, want %d", count, 8*2000/4)
	}
}

// Two ops that look at the same file do not wait for each other.
func TestReadersShareALock(t *testing.T) {
	var l Lock
	seen := 0
	l.RLock()
	l.RLock() // would hang
	seen++
	l.RUnlock()
	l.RUnlock()
	l.Lock()
	seen++
	l.Unlock()
	if seen != 2 {
		t.Error(seen)
	}
}
