package tierfs

import (
	"fmt"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
)

// keeper opens and lists one directory as the kernel's clients do.
type keeper struct {
	*testing.T
	fs  *FS
	dir *inode.Inode
}

// newKeeper has a directory of files, and no other listing in memory.
func newKeeper(t *testing.T, files int) *keeper {
	r, fs, _ := coherentRig(t)
	for i := range files {
		r.write(i%2, fmt.Sprint("file", i), "x")
	}
	return &keeper{t, fs, fs.table.Root()}
}

func (k *keeper) open(uid uint32, want uint32) *dirHandle {
	k.Helper()
	h := &dirHandle{in: k.dir, uid: uid}
	if flags := k.fs.kept.open(h, func(*listing) bool { return true }); flags != want {
		k.Errorf("opened with the flags %#x, want %#x", flags, want)
	}
	return h
}

func (k *keeper) at(h *dirHandle, off uint64) *listing {
	k.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := k.fs.listingAt(h, off)
	if err != nil {
		k.Fatal(err)
	}
	return l
}

func (k *keeper) close(all ...*dirHandle) {
	for _, h := range all {
		h.released.Store(true)
		k.fs.dropRows(h)
	}
}

const (
	fills = fusedev.OpenCacheDir
	reads = fusedev.OpenCacheDir | fusedev.OpenKeepCache
	apart = fusedev.OpenKeepCache
)

// Who comes after a change neither fills nor reads until all from before have gone,
// and these go on in the listing that they have begun.
func TestKeptListings(t *testing.T) {
	k := newKeeper(t, 10)
	first := k.open(0, fills)
	old := k.at(first, 0)
	second := k.open(1, reads)
	if l := k.at(second, old.offset(3)); l != old {
		t.Error("a client who has read the cache is given another listing")
	}
	k.fs.kept.changed(k.dir)
	third := k.open(0, apart)
	if l := k.at(third, 0); l == old || l.serial != 0 {
		t.Error("a client who came after a change has the old listing, or one that is shared")
	}
	fresh := k.at(second, 0)
	if fresh == old || fresh.serial == old.serial {
		t.Error("a rewind after a change gives the old listing, or one that is taken for it")
	}
	if k.at(first, old.offset(3)) != old || k.at(first, fresh.offset(3)) != fresh || k.at(third, 5) == fresh {
		t.Error("offsets lead to other listings than they are of")
	}
	k.close(third, second, first)
	k.close(k.open(0, fills))
	h := k.open(0, fills)
	k.at(h, 0)
	k.close(h)
	k.close(k.open(0, reads))
	if used := k.fs.memory.used; used != 0 {
		t.Errorf("%d bytes are paid for still", used)
	}
	k.fs.kept.clear()
	if n := len(k.fs.kept.dirs); n > 0 || k.fs.kept.bytes != 0 {
		t.Errorf("%d directories of %d bytes are kept after all has changed", n, k.fs.kept.bytes)
	}
}

// A listing is not true if a change was heard of while it was taken.
func TestChangeWhileAListingIsTaken(t *testing.T) {
	k := newKeeper(t, 10)
	h := k.open(0, fills)
	l := &listing{turn: k.fs.kept.turn(h)}
	k.fs.kept.changed(k.dir)
	k.fs.kept.add(h, l)
	k.close(k.open(0, apart), h)
	k.close(k.open(0, fills))
}

// A file that has moved shows its old number as long as the kernel holds it, and
// a listing of then has that.
func TestListingIsNotTrueOnceAMovedFileShowsAnotherNumber(t *testing.T) {
	k := newKeeper(t, 1)
	in, f, err := k.fs.lookUp(k.dir, "file0")
	if err != nil {
		t.Fatal(err)
	}
	home := f.copies[0].Key
	for _, key := range []inode.Key{{Slot: home.Slot, Ino: home.Ino + 1}, home} {
		moved := key != home
		k.fs.table.Rehome(in, key)
		h := k.open(0, fills)
		k.at(h, 0)
		k.close(h)
		k.fs.forget(in.ID, 1)
		want := uint32(reads)
		if moved {
			want = fills
		}
		k.close(k.open(0, want))
		if in, _, err = k.fs.lookUp(k.dir, "file0"); err != nil {
			t.Fatal(err)
		}
		k.fs.kept.changed(k.dir)
	}
}

// However many are kept, they take no more than they may, and a client who rewinds
// all the time no more than a few.
func TestKeptListingsAreBounded(t *testing.T) {
	k := newKeeper(t, 1000)
	h := k.open(7, fills)
	other := k.open(7, apart)
	for range 300 {
		k.at(h, 0)
		k.fs.kept.changed(k.dir)
	}
	if n := len(k.fs.kept.dirs[k.dir].lists); n > keptLists {
		t.Errorf("%d listings of one directory", n)
	}
	if used := k.fs.memory.used; used > 10*100_000 {
		t.Errorf("%d bytes are paid for", used)
	}
	k.close(h, other)
	var all []*dirHandle
	for range 4000 {
		k.dir = &inode.Inode{Type: k.dir.Type}
		h := &dirHandle{in: k.dir}
		k.fs.kept.open(h, nil)
		l := &listing{begun: time.Now()}
		for i := range 500 {
			l.add(fmt.Sprint("a name of some length ", i), 1, 0, 0)
		}
		k.fs.kept.mu.Lock()
		l.firm = true
		k.fs.kept.hold(k.fs.kept.dirs[h.in], l)
		k.fs.kept.mu.Unlock()
		all = append(all, h)
		if k.fs.kept.bytes > keptBytes {
			t.Fatalf("%d bytes are kept", k.fs.kept.bytes)
		}
	}
	k.close(all...)
	if k.fs.kept.clear(); k.fs.memory.used != 0 || k.fs.kept.bytes != 0 {
		t.Errorf("%d bytes are paid for, %d kept", k.fs.memory.used, k.fs.kept.bytes)
	}
}
