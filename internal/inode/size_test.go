package inode

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"
)

// maxBytes is the bound of the design for an inode that the kernel caches.
// The collector lets some garbage pile up on top of what is alive.
const maxBytes = 190

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million files, a thousand in each directory, with names of their own as
// the wire gives them. The maps cost most right after they have grown, so they
// are measured before and after that.
func TestBytesPerInode(t *testing.T) {
	counts := []int{900_000, 1_000_000}
	switch {
	case testing.Short():
		t.Skip("-short: a million inodes take a second")
	case raced:
		t.Skip("-race: a million inodes take too long")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // what is alive is measured, not what piles up
	before := heap()
	table := newTable(2, false)
	var d *Inode
	for i := range counts[len(counts)-1] {
		if i%1000 == 0 {
			d = dir(table, table.root, fmt.Sprint("directory ", i), table.testKey(0, uint64(1e9+i)))
		}
		table.Lookup(d, fmt.Sprintf("document-%07d.pdf", i), unix.S_IFREG, copiesOf(table, table.testKey(0, uint64(10+i))), true)
		for _, n := range counts {
			if i+1 == n {
				wantBytes(t, n, heap()-before)
			}
		}
	}
	runtime.KeepAlive(table)
}

func wantBytes(t *testing.T, n int, bytes uint64) {
	t.Helper()
	each := float64(bytes) / float64(n)
	t.Logf("%d inodes: %.0f B each", n, each)
	if each > maxBytes {
		t.Errorf("%d inodes take %.0f B each, more than %d", n, each, maxBytes)
	}
}

// What a million of them cost is what the kernel was told of once: all of it
// comes back.
func TestForgottenInodesLeaveNothing(t *testing.T) {
	table := newTable(1, true)
	var ins []*Inode
	for i := range 1000 {
		ins = append(ins, file(table, fmt.Sprint(i), table.testKey(0, uint64(10+i))))
	}
	for _, in := range ins {
		forget(table, in, 1)
	}
	if table.byID.len() != 1 || table.byKey.len() != 1 || table.kept.len() != 1 || table.subs.len() != 0 {
		t.Errorf("left: %d by ID, %d by key, %d kept numbers, %d directories", table.byID.len(), table.byKey.len(), table.kept.len(), table.subs.len())
	}
}
