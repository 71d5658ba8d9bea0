package tierfs

import (
	"testing"

	"github.com/tierfs/tierfs/internal/inode"
)

// lists holds n listings of directories of 10 names, and says for each whether it
// had names alone; looks is what the client does then.
func lists(h *habits, pid uint32, n int, looks bool) (plain []bool) {
	for i := range n {
		dir := &inode.Inode{ID: uint64(100 + i)}
		plain = append(plain, h.plain(pid, dir, 10, true))
		if looks {
			h.looked(pid, dir)
		}
	}
	return plain
}

func count(all []bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func TestWhoGoesByNamesIsGivenNames(t *testing.T) {
	var h habits
	got := lists(&h, 7, 100, false)
	if count(got) != 100 {
		t.Errorf("names alone in %d of 100 listings, want all", count(got))
	}
	// It changes its ways: one listing is lost.
	if got = lists(&h, 7, 9, true); !got[0] || count(got) != 1 {
		t.Errorf("when it begins to look: %v, want names alone in the first", got)
	}
}

// Who goes down the tree while he lists goes on with names in each listing, until he looks.
func TestListingGoesOnAsItBegan(t *testing.T) {
	var h habits
	dir, below := &inode.Inode{ID: 2}, &inode.Inode{ID: 3}
	h.plain(7, dir, 10, true)
	h.plain(7, below, 10, true)
	if !h.plain(7, below, 1000, false) || !h.plain(7, dir, 1000, false) {
		t.Error("a listing of names goes on with all")
	}
	if h.plain(8, dir, 10, false) {
		t.Error("another client's goes on with names")
	}
	h.looked(7, below)
	if h.plain(7, dir, 10, false) {
		t.Error("after a look it goes on with names")
	}
}

func TestWhoLooksIsSeldomTried(t *testing.T) {
	var h habits
	if n := count(lists(&h, 7, 1000, true)); n < 2 || n > 11 {
		t.Errorf("%d of 1000 listings had names alone, want some and few", n)
	}
}

// What is looked up in another directory, or by another client, says nothing.
func TestOnlyLookingAtWhatWasListedCounts(t *testing.T) {
	var h habits
	dir, other := &inode.Inode{ID: 2}, &inode.Inode{ID: 3}
	if !h.plain(7, dir, 10, true) {
		t.Fatal("the first listing is no trial")
	}
	h.looked(7, other)
	h.looked(8, dir)
	if !h.plain(7, other, 1000, true) {
		t.Error("a client that looked at nothing of what it listed is given all")
	}
}

func TestAFirstTrialIsOfASmallDirectory(t *testing.T) {
	var h habits
	dir := &inode.Inode{ID: 2}
	if h.plain(7, dir, strangerRows+1, true) {
		t.Error("a trial of a client that nobody knows has many rows")
	}
	if h.plain(7, dir, trialRows+1, true) {
		t.Error("a trial has many rows")
	}
	if !h.plain(7, dir, trialRows, true) {
		t.Error("no trial after a large directory")
	}
}

// Two clients with one place do not take each other's habits over.
func TestClientsOfOnePlaceForget(t *testing.T) {
	var h habits
	const many = strangerRows + 1
	lists(&h, 7, 3, false)
	if h.plain(7+uint32(len(h)), &inode.Inode{ID: 2}, many, true) {
		t.Error("a client that nobody knows is given the names of many files alone")
	}
	if h.plain(7, &inode.Inode{ID: 2}, many, true) {
		t.Error("the first client's habits outlast the second's")
	}
}
