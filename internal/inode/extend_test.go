package inode

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A fallback that a remount adds: the root has it at once, every directory as
// soon as it is looked up again.
func TestExtendGivesEveryDirectoryRoomForTheNewTier(t *testing.T) {
	table := newTable(2, false)
	c := NewDirCache(4)
	k := table.testKey(0, 10)
	d := dir(table, table.root, "d", k)
	f := file(table, "f", table.testKey(1, 11))
	table.Extend(&unix.Stat_t{Dev: testDevs[2], Ino: 2}, c)
	wantInvariants(t, table)
	if copies := table.Copies(table.root); len(copies) != 3 || copies[2] != (Copy{Rank: 2, Key: table.testKey(2, 2)}) {
		t.Errorf("the root's copies are %v", copies)
	}
	if copies := table.Copies(d); len(copies) != 1 {
		t.Errorf("the directory's copies are %v", copies)
	}
	if got, err := c.Get(d, 2, 0); got != nil || err != nil {
		t.Errorf("the directory on the new tier: %v, %v", got, err)
	}
	low := table.testKey(2, 20)
	again, changed, _ := table.Lookup(table.root, "d", unix.S_IFDIR, copiesOf(table, k, low), true)
	if again != d || len(changed) != 1 || changed[0] != 2 {
		t.Errorf("inode %d, changed %v", again.ID, changed)
	}
	if _, rank := table.Home(f); rank != 1 {
		t.Errorf("the file went to tier %d", rank)
	}
	wantInvariants(t, table)
}

// Lookups and descriptors are in use while a tier is added.
func TestExtendWhileInUse(t *testing.T) {
	s := newShelf(t, 2, "a")
	c := NewDirCache(4)
	a := s.inode("a")
	var done sync.WaitGroup
	for rank := range 2 {
		done.Go(func() {
			for range 300 {
				s.use(c, a, rank, "a")
				s.table.Copies(a)
				s.inode("a")
				c.DropAll(a)
			}
		})
	}
	for ino := range uint64(20) {
		s.table.Extend(&unix.Stat_t{Dev: 0x99, Ino: ino}, c)
	}
	done.Wait()
	c.DropTier(-1)
	s.wantHeld(c, 0, 0)
	wantInvariants(t, s.table)
}

// The root of a tier may be bound to a name inside it (mount --bind): the kernel
// takes no such loop, but the lookup must not make one tier of several.
func TestLookupOfTheRootKeepsItsCopies(t *testing.T) {
	s := newShelf(t, 2, "a")
	own := s.table.Copies(s.table.root)
	in, _, _ := s.table.Lookup(s.table.root, "loop", unix.S_IFDIR, own[:1], true)
	if in != s.table.root {
		t.Fatalf("inode %d", in.ID)
	}
	if copies := s.table.Copies(in); len(copies) != 2 {
		t.Errorf("the root's copies are %v", copies)
	}
	s.table.Forget(in, 1)
	wantInvariants(t, s.table)
}
