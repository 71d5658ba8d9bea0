package tierfs

import (
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
)

// unsyncedMove is a filesystem of three tiers on which a move of f to tier 1 has not made
// durable that tier 0 has f no more.
func unsyncedMove(t *testing.T) (*rig, *FS, *transfer) {
	t.Helper()
	r := newRig(t, 3)
	r.write(1, "d/f", "content")
	time.Sleep(settleTime)
	fs := r.open()
	r.mkdir(0, "d")
	r.mkdir(0, ".tierfs/trash")
	x := &transfer{fs: fs, b: &mover.Batch{From: 0, To: 1}, dir: r.admit(fs, "d")}
	fs.unsynced.add(entryName{x.dir, "f"}, removal{x, 0})
	return r, fs, x
}

// TestMoveSyncsTheMoveBeforeIt: the file goes on to tier 2 before the batch that has
// brought it to tier 1 has ended. After a power cut the record of that batch would give
// tier 0 an old version that hides the file.
func TestMoveSyncsTheMoveBeforeIt(t *testing.T) {
	r, fs, x := unsyncedMove(t)
	r.breakTrash()
	r.move(fs, 1, 2, "d", "f")
	r.want(1, "d/f", true)
	r.want(2, "d/f", false)
	wantUnsynced(t, fs, x.dir, "f")
}

// breakTrash has the primary's trash not be synced.
func (r *rig) breakTrash() {
	r.Helper()
	r.remove(0, ".tierfs/trash")
	r.write(0, ".tierfs/trash", "no directory")
}

func TestNameIsSyncedWithTheOthersOfItsMove(t *testing.T) {
	_, fs, x := unsyncedMove(t)
	other := &transfer{fs: fs, b: x.b, dir: x.dir}
	for name, of := range map[string]removal{"g": {x, 0}, "copy": {x, 1}, "other": {other, 0}} {
		fs.unsynced.add(entryName{x.dir, name}, of)
	}
	if err := fs.syncRemovals(entryName{x.dir, "stranger"}, entryName{x.dir, "f"}); err != nil {
		t.Fatal(err)
	}
	wantUnsynced(t, fs, x.dir, "copy", "other")
	fs.unsynced.end(x)
	wantUnsynced(t, fs, x.dir, "other")
	fs.unsynced.end(other)
	wantUnsynced(t, fs, x.dir)
}

func wantUnsynced(t *testing.T, fs *FS, dir *inode.Inode, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, all := fs.unsynced.of(entryName{dir, name}); len(all) != 1 {
			t.Errorf("%s is durable", name)
		}
	}
	if n := int(fs.unsynced.n.Load()); n != len(names) {
		t.Errorf("%d names are not durable, want %d", n, len(names))
	}
}

// TestNameWhoseRemovalCannotBeSyncedStays: to go on would be to rely on the record, which
// cannot tell.
func TestNameWhoseRemovalCannotBeSyncedStays(t *testing.T) {
	r, fs, x := unsyncedMove(t)
	r.breakTrash()
	if err := fs.syncRemovals(entryName{x.dir, "f"}); err == nil {
		t.Error("no error")
	}
	wantUnsynced(t, fs, x.dir, "f")
}

// TestSyncBeforeARemovalIsNotOfIt: a client removes f, which has moved, while g of the same
// batch is about to go. The sync for f counted for g too, so that nothing was synced for who
// removed g next.
func TestSyncBeforeARemovalIsNotOfIt(t *testing.T) {
	r, fs := newSettled(t, 0, "g")
	root := fs.table.Root()
	f, g := entryName{root, "f"}, entryName{root, "g"}
	asked := make(chan error, 1)
	checked := 0
	atFault = func(point string) {
		switch point {
		case "checked":
			if checked++; checked < 2 {
				return
			}
			dir := fs.Tiers()[0].RootDir()
			defer dir.Put()
			times, err := fs.times.keep(dir.Self())
			if err != nil {
				t.Fatal(err)
			}
			times.mu.Lock() // keeps g from going, when it has been entered
			go func() {
				defer fs.times.leave(times)
				defer times.mu.Unlock()
				for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
					if _, all := fs.unsynced.of(g); len(all) > 0 {
						break
					}
				}
				asked <- fs.syncRemovals(f)
			}()
		case "moved":
			wantUnsynced(t, fs, root, "g")
		}
	}
	defer func() { atFault = nil }()
	for _, o := range r.move(fs, 0, 1, "", "f", "g") {
		r.wantOutcome(o, mover.Moved)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
}
