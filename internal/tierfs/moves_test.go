package tierfs

import (
	"fmt"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

// held runs fn beside the test until it is done or waits for a pin or a mark.
func (r *rig) held(fs *FS, fn func()) (done chan struct{}) {
	r.Helper()
	done = make(chan struct{})
	go func() { defer close(done); fn() }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case <-done:
			return done
		default:
		}
		fs.moves.mu.Lock()
		waits := fs.moves.changed.rung != nil
		fs.moves.mu.Unlock()
		if waits {
			return done
		}
	}
	r.Fatal("it neither ends nor waits")
	return nil
}

// find looks a name up in a directory that the kernel holds.
func (r *rig) find(fs *FS, in *inode.Inode, name string) (rank int, err error) {
	r.Helper()
	var f found
	err = fs.resolve(in, name, &f, nil)
	return f.rank, err
}

func (r *rig) wantFound(fs *FS, in *inode.Inode, name string, want int) {
	r.Helper()
	if rank, err := r.find(fs, in, name); err != nil || rank != want {
		r.Errorf("%s: on tier %d, %v, want tier %d", name, rank, err, want)
	}
}

func (r *rig) wantPath(fs *FS, in *inode.Inode, want string) {
	r.Helper()
	if path, ok := fs.table.Path(in); !ok || path != want {
		r.Errorf("path %q, %v, want %q", path, ok, want)
	}
}

func (r *rig) look(fs *FS, name string, after func()) (*inode.Inode, error) {
	var f found
	root := fs.table.Root()
	return fs.look(root, name, &f, func(uint64) error {
		err := fs.resolve(root, name, &f, nil)
		if after != nil {
			after()
			after = nil
		}
		return err
	})
}

// TestLookupDuringARenameKeepsTheDirectoryWhole: the kernel revalidates a name
// without the parent's lock. A lookup that came when one tier was renamed and
// the other not took the directory for one of a single tier, and for a second
// its files on the other did not exist.
func TestLookupDuringARenameKeepsTheDirectoryWhole(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "a/p", "P")
	r.write(1, "a/f", "F")
	fs := r.open()
	in := r.admit(fs, "a")
	key, _ := fs.table.Home(in)
	root := fs.table.Root()

	end := fs.moves.mark([]*inode.Inode{in}, root)
	r.rename(1, "a", "b")
	var err error
	done := r.held(fs, func() { _, err = r.look(fs, "a", nil) })
	r.rename(0, "a", "b")
	fs.table.Moved(root, "a", root, "b", key, unix.S_IFDIR)
	end()
	<-done
	if err != unix.ENOENT {
		t.Errorf("lookup of the old name: %v, want ENOENT", err)
	}
	r.wantPath(fs, in, "b")
	r.wantFound(fs, in, "f", 1)
	r.wantFound(fs, in, "p", 0)
}

// TestLookupBeforeARenameEntersNothingAfterIt: what it found is out of date.
func TestLookupBeforeARenameEntersNothingAfterIt(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(0, "a")
	r.write(1, "a/f", "F")
	fs := r.open()
	in := r.admit(fs, "a")
	_, err := r.look(fs, "a", func() {
		if err := fs.rename(&fusedev.Request{}, &fusedev.RenameOp{Parent: inode.RootID, NewParent: inode.RootID, Name: "a", NewName: "b"}); err != nil {
			t.Fatal(err)
		}
	})
	if err != unix.ENOENT {
		t.Errorf("lookup of the old name: %v, want ENOENT", err)
	}
	r.wantPath(fs, in, "b")
	r.wantFound(fs, in, "f", 1)
}

// TestLookupSeesACopyMadeMeanwhile: a lookup had asked the primary when a file
// was created there, with its parent. For a second the file did not exist.
func TestLookupSeesACopyMadeMeanwhile(t *testing.T) {
	r := newRig(t, 2)
	r.write(1, "d/f", "F")
	fs := r.open()
	in := r.admit(fs, "d")
	again, err := r.look(fs, "d", func() {
		d, err := fs.makeParents(in, 0)
		if err != nil {
			t.Fatal(err)
		}
		d.Put()
		r.write(0, "d/new", "N")
	})
	if err != nil || again != in {
		t.Fatalf("%v, %v", again, err)
	}
	r.wantFound(fs, in, "new", 0)
	r.wantFound(fs, in, "f", 1)
}

// TestRenameTakesACopyMadeMeanwhile: the file created in it would be left
// behind, in a directory that came back under the old name.
func TestRenameTakesACopyMadeMeanwhile(t *testing.T) {
	r := newRig(t, 2)
	r.write(1, "d/f", "F")
	fs := r.open()
	in := r.admit(fs, "d")
	unpin := fs.moves.pin(in) // as by a create
	var err error
	done := r.held(fs, func() {
		err = fs.rename(&fusedev.Request{}, &fusedev.RenameOp{Parent: inode.RootID, NewParent: inode.RootID, Name: "d", NewName: "e"})
	})
	d, e := fs.makePinned(in, 0)
	if e != nil {
		t.Fatal(e)
	}
	d.Put()
	r.write(0, "d/new", "N")
	unpin()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	r.wantContent(0, "e/new", "N")
	r.wantContent(1, "e/f", "F")
	r.want(0, "d", false)
	r.wantPath(fs, in, "e")
}

// TestRemovalTakesACopyMadeMeanwhile: the directory would still be there, on the
// other tier, or what was created in it.
func TestRemovalTakesACopyMadeMeanwhile(t *testing.T) {
	for _, made := range []int{0, 1} {
		for _, file := range []bool{false, true} {
			t.Run(fmt.Sprintf("on tier %d, file: %v", made, file), func(t *testing.T) {
				r := newRig(t, 2)
				r.mkdir(1-made, "d")
				fs := r.open()
				in := r.admit(fs, "d")
				unpin := fs.moves.pin(in)
				var err error
				done := r.held(fs, func() { err = fs.rmdir(&fusedev.Request{}, inode.RootID, "d") })
				d, e := fs.makePinned(in, made)
				if e != nil {
					t.Fatal(e)
				}
				d.Put()
				want := error(nil)
				if file {
					r.write(made, "d/new", "N")
					want = unix.ENOTEMPTY
				}
				unpin()
				<-done
				if err != want {
					t.Errorf("%v, want %v", err, want)
				}
				r.want(0, "d", file)
				r.want(1, "d", file)
			})
		}
	}
}

// TestRenamedDirectoryIsFoundAlthoughACopyCameOutOfBand above the one that it
// is known by.
func TestRenamedDirectoryIsFoundAlthoughACopyCameOutOfBand(t *testing.T) {
	r := newRig(t, 2)
	r.write(1, "d/f", "F")
	fs := r.open()
	in := r.admit(fs, "d")
	r.mkdir(0, "d")
	op := &fusedev.RenameOp{Parent: inode.RootID, NewParent: inode.RootID, Name: "d", NewName: "e"}
	if err := fs.rename(&fusedev.Request{}, op); err != unix.ESTALE {
		t.Errorf("before the kernel has looked again: %v, want ESTALE", err)
	}
	if err := r.mv(fs, "d", "e"); err != nil {
		t.Fatal(err)
	}
	r.wantPath(fs, in, "e")
	r.wantFound(fs, in, "f", 1)
}

// TestDirectoryWithoutANameIsStale: nobody knows where it is, which is not to
// say that its files do not exist.
func TestDirectoryWithoutANameIsStale(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "a/f", "F")
	fs := r.open()
	in := r.admit(fs, "a")
	r.rename(0, "a", "b")
	r.mkdir(0, "a")
	r.admit(fs, "a") // takes the name
	fs.dirs.DropAll(in)
	if _, err := r.find(fs, in, "f"); err != unix.ESTALE {
		t.Errorf("%v, want ESTALE", err)
	}
}

// TestCachedDirectoryGoesWhenItsNameDoes: a copy found between two lookups was
// cached and, once moved away behind the mount, merged for ever.
func TestCachedDirectoryGoesWhenItsNameDoes(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(0, "d")
	fs := r.open()
	in := r.admit(fs, "d")
	r.write(1, "d/f", "F")
	fs.dirs.Drop(in, 1) // a second later
	r.wantFound(fs, in, "f", 1)
	r.rename(1, "d", "moved")
	if again := r.admit(fs, "d"); again != in {
		t.Fatalf("another inode: %d, was %d", again.ID, in.ID)
	}
	if rank, err := r.find(fs, in, "f"); err != unix.ENOENT {
		t.Errorf("a file of another directory: on tier %d, %v", rank, err)
	}
}
