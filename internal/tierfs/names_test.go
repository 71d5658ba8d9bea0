package tierfs

import (
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
)

func TestNamesKeepTheMoverAndOthersApart(t *testing.T) {
	n := newNames()
	dir, other := &inode.Inode{ID: 2}, &inode.Inode{ID: 3}
	a, b := entryName{dir, "a"}, entryName{dir, "b"}
	mayTake := func(want bool, when string) {
		t.Helper()
		done, ok := n.take(a, 10*time.Millisecond)
		if ok != want {
			t.Errorf("%s: taken %v", when, ok)
		}
		if ok {
			done()
		}
	}
	mayTake(true, "nobody uses it")
	used := n.use(a, b)
	again := n.use(a)
	mayTake(false, "two use it")
	used()
	mayTake(false, "one uses it")
	again()
	mayTake(true, "nobody uses it any more")
	listed := n.list(dir)
	mayTake(false, "its directory is listed")
	listed()
	defer n.list(other)()
	defer n.use(b)()
	mayTake(true, "others are used")
}

// Each waits for the mover and then goes on.
func TestNamesWaitForTheMover(t *testing.T) {
	n := newNames()
	dir := &inode.Inode{ID: 2}
	a := entryName{dir, "a"}
	for what, wait := range map[string]func(){
		"a use":            func() { n.use(entryName{dir, "b"}, a)() },
		"a listing":        func() { n.list(dir)() },
		"a lookup":         func() { n.await(a) },
		"the mover itself": func() { done, _ := n.take(a, time.Minute); done() },
	} {
		done, ok := n.take(a, 0)
		if !ok {
			t.Fatalf("%s: the name cannot be taken", what)
		}
		through := make(chan struct{})
		go func() { wait(); close(through) }()
		select {
		case <-through:
			t.Errorf("%s did not wait", what)
		case <-time.After(20 * time.Millisecond):
		}
		done()
		<-through
	}
}

func TestALookupThatAMoveCrossedDoesNotCount(t *testing.T) {
	n := newNames()
	a := entryName{&inode.Inode{ID: 2}, "a"}
	began := n.count(a)
	enters := func(want bool, when string) {
		t.Helper()
		ran := false
		if ok := n.enter(a, began, func() { ran = true }); ok != want || ran != want {
			t.Errorf("%s: entered %v, ran %v", when, ok, ran)
		}
	}
	enters(true, "nothing happened")
	done, _ := n.take(a, 0)
	enters(false, "while it is taken")
	done()
	enters(false, "after it was")
	began = n.count(a)
	enters(true, "begun anew")
}

// What a higher tier hides is no concern of who looks for the name.
func TestAClaimKeepsOnlyChangesAway(t *testing.T) {
	n := newNames()
	dir := &inode.Inode{ID: 2}
	a := entryName{dir, "a"}
	listed := n.list(dir)
	began := n.count(a)
	done, ok := n.claim(a, 0)
	if !ok {
		t.Fatal("a listing keeps it")
	}
	listed()
	n.list(dir)()
	n.await(a)
	if !n.enter(a, began, func() {}) {
		t.Error("a lookup does not count")
	}
	if _, ok := n.take(a, 0); ok {
		t.Error("taken meanwhile")
	}
	if _, ok := n.claim(a, 0); ok {
		t.Error("claimed twice")
	}
	used := make(chan struct{})
	go func() { n.use(a)(); close(used) }()
	select {
	case <-used:
		t.Error("used meanwhile")
	case <-time.After(20 * time.Millisecond):
	}
	done()
	<-used
	if !n.enter(a, began, func() {}) {
		t.Error("a lookup does not count afterwards")
	}
}
