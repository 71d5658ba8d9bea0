package tierfs

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/watch"
	"golang.org/x/sys/unix"
)

// toldKernel notes what the kernel is told. Of the nodes in late it does not know
// yet.
type toldKernel struct {
	mu    sync.Mutex
	names []string // expired ones too
	taken []string // out of the tree
	nodes []uint64
	late  map[uint64]bool
}

func (k *toldKernel) InvalAttr(node uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.late[node] {
		return unix.ENOENT
	}
	k.nodes = append(k.nodes, node)
	return nil
}

func (k *toldKernel) InvalEntry(_ uint64, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names, k.taken = append(k.names, name), append(k.taken, name)
	return nil
}

func (k *toldKernel) InvalList(node uint64) error { return k.InvalAttr(node) }

func (k *toldKernel) ExpireEntry(_ uint64, name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names = append(k.names, name)
	return nil
}

func (k *toldKernel) hears(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		done := ok()
		k.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the kernel was not told of %s", what)
		}
	}
}

// coherentRig serves tiers, coherent, to a kernel that takes notes.
func coherentRig(t *testing.T) (*rig, *FS, *toldKernel) {
	r := newRig(t, 2)
	r.write(1, "f", "x")
	fs := r.open()
	k := &toldKernel{late: map[uint64]bool{}}
	fs.coherence.kernel = k
	if err := fs.coherence.begin(); err != nil {
		t.Skip(err)
	}
	return r, fs, k
}

// An answer that is found before a change and given after it is not for long; one
// that is given before and taken after is taken back.
func TestAnswerThatCrossesAChange(t *testing.T) {
	_, fs, k := coherentRig(t)
	root := fs.table.Root()
	at := entryName{root, "f"}
	since := fs.coherence.now()
	in, f, err := fs.lookUp(root, "f")
	if err != nil {
		t.Fatal(err)
	}
	e := fs.entry(in, &f.st, at, since)
	if e.EntryTTL != keepFor || e.AttrTTL != keepFor {
		t.Fatalf("believed for %v and %v although nothing changes", e.EntryTTL, e.AttrTTL)
	}
	fs.coherence.stamp(fs.coherence.nameHash(root, "f"))
	fs.coherence.stampInode(in)
	if late := fs.entry(in, &f.st, at, since); late.EntryTTL == keepFor || late.AttrTTL == keepFor {
		t.Errorf("believed for %v and %v although it has changed", late.EntryTTL, late.AttrTTL)
	}
	fs.coherence.confirm(e, in, at, since)
	k.hears(t, "the name", func() bool { return slices.Contains(k.names, "f") })
	k.hears(t, "the attributes", func() bool { return slices.Contains(k.nodes, in.ID) })
}

// What was found of a directory before a client changes what is in it is not for long
// after that: the watch leaves it out, and the kernel takes the answer.
func TestDirectoryThatAClientChangesMeanwhile(t *testing.T) {
	r, fs, _ := coherentRig(t)
	for _, name := range []string{"d/f", "d/g", "e/f"} {
		r.write(0, name, "x")
	}
	r.mkdir(0, "d/sub")
	d, e := r.admit(fs, "d"), r.admit(fs, "e")
	req := &fusedev.Request{}
	for _, c := range []struct {
		what    string
		changed []*inode.Inode
		change  func() error
	}{
		{"unlink", []*inode.Inode{d}, func() error { return fs.unlink(req, d.ID, "f") }},
		{"rmdir", []*inode.Inode{d}, func() error {
			r.admit(fs, "d/sub")
			return fs.rmdir(req, d.ID, "sub")
		}},
		{"rename", []*inode.Inode{d, e, r.admit(fs, "d/g")}, func() error { return r.mv(fs, "d/g", "e/h") }},
		{"exchange", []*inode.Inode{e, r.admit(fs, "e/f")}, func() error {
			return fs.rename(req, &fusedev.RenameOp{Parent: e.ID, NewParent: e.ID, Name: "h", NewName: "f", Flags: unix.RENAME_EXCHANGE})
		}},
	} {
		since := fs.coherence.now()
		found := make([]unix.Stat_t, len(c.changed))
		for i, in := range c.changed {
			if err := fs.stat(nil, in, &found[i]); err != nil {
				t.Fatal(err)
			}
			if ttl := fs.attrs(in, &found[i], since).AttrTTL; ttl != keepFor {
				t.Fatalf("%s: believed for %v although nothing changes", c.what, ttl)
			}
		}
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for i, in := range c.changed {
			if fs.attrs(in, &found[i], since).AttrTTL == keepFor {
				t.Errorf("%s: what was found of inode %d before is believed for an hour", c.what, i)
			}
		}
	}
}

// The client that has the answer may not have taken it yet when the attributes
// change: the kernel is told until it knows the inode.
func TestInodeThatTheKernelDoesNotKnowYet(t *testing.T) {
	_, fs, k := coherentRig(t)
	in, _, err := fs.lookUp(fs.table.Root(), "f")
	if err != nil {
		t.Fatal(err)
	}
	k.late[in.ID] = true
	fs.coherence.attr(in.ID)
	time.Sleep(5 * time.Millisecond)
	k.mu.Lock()
	k.late[in.ID] = false
	k.mu.Unlock()
	k.hears(t, "the attributes", func() bool { return slices.Contains(k.nodes, in.ID) })
}

// When the watch fails, timeouts are back, and what was told for long is taken
// back, also that a name does not exist.
func TestEndOfTheWatch(t *testing.T) {
	_, fs, k := coherentRig(t)
	root := fs.table.Root()
	in, _, err := fs.lookUp(root, "f")
	if err != nil {
		t.Fatal(err)
	}
	if e := fs.negative(entryName{root, "none"}, fs.coherence.now()); e.EntryTTL != keepFor {
		t.Fatalf("an absence is believed for %v", e.EntryTTL)
	}
	fs.coherence.watchOf(fs.Tiers()[0]).Stop()
	k.hears(t, "everything", func() bool {
		return slices.Contains(k.names, "f") && slices.Contains(k.names, "none") && slices.Contains(k.nodes, in.ID)
	})
	if on, why := fs.Coherent(); on || why == nil {
		t.Errorf("coherent %v, %v", on, why)
	}
	if m := fs.coherence.now(); m != 0 {
		t.Errorf("an op begins at %d", m)
	}
}

// A directory is in the hands of a client that waits for a disk, and names come and go
// in it behind the mount, more than are kept. With a listing that the kernel has, which
// is to be taken back too, that locked itself out, and with it the whole mount.
func TestMoreChangesThanAreKept(t *testing.T) {
	_, fs, k := coherentRig(t)
	root := fs.table.Root()
	fs.kept.dirs[root] = &keptDir{list: &listing{}, whole: true}
	k.mu.Lock() // whoever tells the kernel waits
	done := make(chan bool)
	go func() {
		for range maxOrders + orderMost + 1 {
			fs.coherence.orders.entry(root, "name")
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("an order waits for the kernel")
	}
	k.nodes = nil
	k.mu.Unlock()
	k.hears(t, "the listing", func() bool { return slices.Contains(k.nodes, root.ID) })
	k.hears(t, "everything", func() bool { return slices.Contains(k.names, "name") && fs.Watched().Sweeps > 0 })
}

// A tier comes back while the watch ends: nobody closes one that is entered then.
func TestNoWatchAfterTheEnd(t *testing.T) {
	_, fs, _ := coherentRig(t)
	c := fs.coherence
	c.on.Store(false)
	c.close()
	if err := c.watch(fs.Tiers()[0], true); err != nil {
		t.Error(err)
	}
	if w := c.watchOf(fs.Tiers()[0]); w != nil {
		t.Error("it is watched")
		c.close()
	}
}

// The absence of a directory on a tier is known for a while. It must not outlive
// the directory's coming, or what is in it stays hidden for as long as the kernel
// believes so.
func TestDirectoryThatComesToAnotherTier(t *testing.T) {
	r, fs, _ := coherentRig(t)
	r.mkdir(0, "d")
	root := fs.table.Root()
	d, _, err := fs.lookUp(root, "d")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.at(1, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Its event is our own here, so it is told by hand.
	var st unix.Stat_t
	if err := unix.Stat(r.at(1, ""), &st); err != nil {
		t.Fatal(err)
	}
	listener{fs.coherence, &watch.Watch{Dev: st.Dev}}.Named(watch.Name{Dir: watch.Object{Dev: st.Dev, Ino: st.Ino}, Name: "d", Mask: unix.FAN_CREATE | unix.FAN_ONDIR})
	r.write(1, "d/new", "x")
	if _, _, err := fs.lookUp(d, "new"); err != nil {
		t.Errorf("what is in it: %v", err)
	}
}

// A directory is removed on one tier while the other, which has it too, is away: who is
// in it stays there, and what is mounted below.
func TestDirectoryRemovedWhileItsOtherTierIsAway(t *testing.T) {
	r, fs, k := coherentRig(t)
	for rank := range 2 {
		r.mkdir(rank, "sub")
	}
	root, sub := fs.table.Root(), r.admit(fs, "sub")
	r.remove(0, "sub")
	low, err := fs.dir(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer low.Put()
	list, err := low.List()
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	_ = list.ReadDir(func(sys.Dirent) error { return unix.ENOTCONN }) // as of a server that is gone
	if !fs.Tiers()[1].Away() {
		t.Fatal("the tier is not away")
	}
	fs.coherence.again(root, "sub", sub)
	if !slices.Contains(k.names, "sub") || slices.Contains(k.taken, "sub") {
		t.Errorf("the kernel was told of %q, and to remove %q", k.names, k.taken)
	}
}
