package tierfs

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestForgottenDirectoryLeavesNoDescriptor: an op that the watchdog has
// answered for comes back from a slow tier when the kernel has forgotten the
// directory already.
func TestForgottenDirectoryLeavesNoDescriptor(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(0, "d/sub")
	r.mkdir(1, "d/sub")
	fs := r.open()
	d, sub := r.admit(fs, "d"), r.admit(fs, "d/sub")
	late := func() {
		for rank := range 2 {
			if dir, err := fs.dir(sub, rank); err == nil {
				dir.Put()
			}
		}
	}
	late()
	if fs.dirs.Len() == 0 {
		t.Fatal("nothing is cached of a directory in use")
	}
	fs.forget(sub.ID, 1)
	fs.forget(d.ID, 2)
	late()
	if n := fs.dirs.Len(); n != 0 {
		t.Errorf("%d descriptors are cached of directories that are forgotten", n)
	}
}

// Another daemon has the tiers' locks and moves a file up and down: a lookup
// that asks the one tier before it comes and the other after it has gone would
// find none, and so would a listing.
func TestAFileThatAnotherDaemonMovesIsAlwaysThere(t *testing.T) {
	r := newRig(t, 2)
	r.write(1, "f", "content")
	fs := r.open()
	root := fs.table.Root()
	end := time.Now().Add(3 * time.Second)
	var steps atomic.Int64 // odd while the file is under way
	sure := func(look func() error) {
		before := steps.Load()
		if err := look(); err != nil && steps.Load()-before <= 2-before%2 { // one move, not two
			t.Error(err)
		}
	}
	var clients sync.WaitGroup
	for range 8 { // so many that they lose the processor between two calls
		clients.Go(func() {
			for time.Now().Before(end) {
				sure(func() error { return fs.resolve(root, "f", &found{}, nil) })
				sure(func() error {
					l := &listing{}
					err := fs.list(root, 0, l)
					fs.memory.give(0, l.paid)
					if err == nil && l.len() != 3 {
						err = fmt.Errorf("a listing has %d entries", l.len())
					}
					return err
				})
			}
		})
	}
	for from := 1; time.Now().Before(end); from = 1 - from {
		steps.Add(1)
		if err := os.Link(r.at(from, "f"), r.at(1-from, "f")); err != nil {
			t.Fatal(err)
		}
		r.remove(from, "f")
		steps.Add(1)
		time.Sleep(10 * time.Millisecond)
	}
	clients.Wait()
}

// TestLookupLeavesNoGarbage: what was found and what is said of it were on the heap,
// with the request a kilobyte for each lookup, so the collector ran five times as often
// as the inodes alone make it.
func TestLookupLeavesNoGarbage(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "")
	fs := r.open()
	root := fs.table.Root()
	l := &listing{}
	if err := fs.list(root, 0, l); err != nil || l.len() != 3 {
		t.Fatal(err, l.len())
	}
	for what, look := range map[string]func() uint64{
		"lookup": func() uint64 {
			var f found
			in, err := fs.look(root, "f", &f, func(uint64) error { return fs.resolve(root, "f", &f, nil) })
			if err != nil {
				t.Fatal(err)
			}
			e := fs.entry(in, &f.st, entryName{root, "f"}, 1)
			return e.Node
		},
		"row": func() uint64 {
			var f found
			e, _ := fs.rowEntry(root, l, l.row(2), "f", &f)
			return e.Node
		},
	} {
		n := testing.AllocsPerRun(100, func() {
			if look() == 0 {
				t.Fatal("not found")
			}
		})
		if n > 2 { // the copy that was found, and the name for fstatat(2)
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
