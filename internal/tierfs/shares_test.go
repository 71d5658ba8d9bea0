package tierfs

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSharesLeaveSomethingForTheNextUser(t *testing.T) {
	s := newShares(1000)
	s.owner = 0
	greedy := func(uid uint32) (n int64) {
		for s.take(uid, 1) {
			n++
		}
		return n
	}
	if got := greedy(1); got != 500 {
		t.Errorf("the first user takes %d of 1000", got)
	}
	if got := greedy(2); got != 250 {
		t.Errorf("the second takes %d of 500", got)
	}
	if got := greedy(0); got != 250 {
		t.Errorf("root takes %d of 250", got)
	}
	if s.take(3, 1) || s.take(0, 1) {
		t.Error("more than there is")
	}
	s.give(1, 500)
	if got := greedy(3); got != 250 {
		t.Errorf("after the first has given back, the third takes %d of 500", got)
	}
	s.give(2, 250)
	s.give(3, 250)
	s.give(0, 250)
	if s.used != 0 || len(s.by) != 0 {
		t.Errorf("all is given back, yet %d are used by %v", s.used, s.by)
	}
}

func TestWhoRunsTheDaemonTakesAll(t *testing.T) {
	s := newShares(10)
	s.owner = 1000
	for i := range 10 {
		if !s.take(1000, 1) {
			t.Fatalf("refused after %d of 10", i)
		}
	}
}

// A user who opens a long directory again and again must not use up the
// daemon's memory.
func TestListingsAreBoundedByUser(t *testing.T) {
	r := newRig(t, 2)
	for i := range 2500 {
		r.write(i%2, fmt.Sprintf("d/%0200d", i), "")
	}
	fs := r.open()
	var f found
	if err := fs.resolve(fs.table.Root(), "d", &f, nil); err != nil {
		t.Fatal(err)
	}
	d := fs.admit(fs.table.Root(), "d", &f)
	var open []uint64
	read := func(uid uint32) error {
		id := fs.lists.add(&dirHandle{in: d, uid: uid})
		open = append(open, id)
		_, l, done, err := fs.rows(id, 0)
		if err == nil {
			if l.len() != 2502 {
				t.Errorf("%d rows", l.len())
			}
			done()
		}
		return err
	}
	if err := read(1); err != nil {
		t.Fatal(err)
	}
	if err := read(1); err != unix.ENOMEM {
		t.Errorf("a user's second listing of 600 KB out of 2 MB: %v", err)
	}
	if err := read(2); err != nil {
		t.Errorf("another user's: %v", err)
	}
	for range 3 {
		if err := read(0); err == unix.ENOMEM {
			break
		} else if err != nil || fs.memory.used > 2<<20 {
			t.Errorf("root's: %v, %d bytes are used", err, fs.memory.used)
		}
	}
	for _, id := range open {
		fs.releaseDir(id)
	}
	if fs.memory.used != 0 {
		t.Errorf("all is released, yet %d bytes are used", fs.memory.used)
	}
	if err := read(0); err != nil {
		t.Error(err)
	}
	if _, _, done, err := fs.rows(open[len(open)-1], 0); err != nil { // rewinddir
		t.Error(err)
	} else {
		fs.releaseDir(open[len(open)-1]) // while it is read
		done()
	}
	if fs.memory.used != 0 {
		t.Errorf("released during a read, %d bytes are used", fs.memory.used)
	}
}
