package tierfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

// keptRig serves tiers to a kernel that opens directories by itself. Changes are
// heard of when a test says so.
func keptRig(t *testing.T, kernel kernel) (*rig, *FS) {
	r := newRig(t, 2)
	fs := r.open()
	fs.coherence.kernel = kernel
	fs.coherence.on.Store(true)
	fs.SetAlone(true)
	if !fs.kept.unasked() {
		t.Fatal("the kernel is to ask when it opens a directory")
	}
	return r, fs
}

// dirCache is what the kernel has of one directory, after fs/fuse/readdir.c of Linux
// 6.18, but for the mtime, so that nothing depends on it.
type dirCache struct {
	cached  bool
	size    int
	pos     uint64
	version int
	change  int // the directory's version when it was begun
	pages   map[int][]dirent
}

type dirent struct {
	name string
	off  uint64
	at   int // in its page
}

func (c *dirCache) reset() { c.cached, c.size, c.pos, c.version = false, 0, 0, c.version+1 }

// add is fuse_add_dirent_to_cache.
func (c *dirCache) add(page int, e dirent, pos uint64) {
	if c.cached || pos != c.pos {
		return
	}
	size := fusedev.DirentSize(len(e.name))
	index, at := c.size/page, c.size%page
	if at+size > page {
		index, at = index+1, 0
	}
	if at == 0 {
		c.pages[index] = nil
	} else if _, ok := c.pages[index]; !ok {
		return
	}
	e.at = at
	c.pages[index] = append(c.pages[index], e)
	c.size, c.pos = index*page+at+size, e.off
}

// direntKernel is a kernel with one directory and its readers.
type direntKernel struct {
	t      *testing.T
	fs     *FS
	dir    *inode.Inode
	page   int
	change int // the directory's version
	cache  dirCache
}

func (k *direntKernel) InvalAttr(uint64) error           { return nil }
func (k *direntKernel) InvalEntry(uint64, string) error  { return nil }
func (k *direntKernel) ExpireEntry(uint64, string) error { return nil }
func (k *direntKernel) InvalList(uint64) error           { clear(k.cache.pages); return nil }

// direntReader is one open directory.
type direntReader struct {
	k   *direntKernel
	pos uint64

	at, version int // in the cache
	atPos       uint64

	asked func() // takes an answer that is there
	asks  int
	names []string
	ended bool
}

// read is one getdents(2) for so many rows. It stops where it has asked the daemon, and the
// answer is there, which the next one takes.
func (r *direntReader) read(room int) {
	if r.asked != nil {
		r.asked()
		r.asked = nil
		return
	}
	if r.cached(room) {
		return
	}
	r.asks++
	l, at, err := r.k.fs.kept.read(r.k.dir, 0, r.pos)
	if err != nil {
		r.k.t.Fatal(err)
	}
	var rows []dirent
	for i := at; i < min(at+4, l.len()); i++ {
		rows = append(rows, dirent{name: l.name(l.row(i)), off: l.offset(i)})
	}
	r.asked = func() { r.take(rows, room) }
}

// take is what fuse_readdir_uncached does with an answer.
func (r *direntReader) take(rows []dirent, room int) {
	if len(rows) == 0 {
		if c := &r.k.cache; c.pos == r.pos {
			c.cached = true
		}
		r.ended = true
	}
	for _, e := range rows {
		r.k.cache.add(r.k.page, e, r.pos)
		if room--; room < 0 {
			return
		}
		r.names = append(r.names, e.name)
		r.pos = e.off
	}
}

// cached is fuse_readdir_cached, and reports whether it has served.
func (r *direntReader) cached(room int) bool {
	c := &r.k.cache
	if r.atPos != r.pos {
		r.atPos, r.at = 0, 0
	}
	for found := false; ; {
		if !c.cached {
			if r.pos == 0 && c.size == 0 {
				c.change = r.k.change
			}
			return false
		}
		if r.pos == 0 && c.change != r.k.change {
			c.reset()
			continue
		}
		if r.version != c.version {
			r.atPos, r.at = 0, 0
		}
		if r.atPos == 0 {
			r.version = c.version
		}
		size := r.k.page
		if r.at/r.k.page == c.size/r.k.page {
			size = c.size % r.k.page
		}
		if r.at%r.k.page == size {
			r.ended = true
			return true
		}
		rows, ok := c.pages[r.at/r.k.page]
		if !ok {
			if r.version == c.version {
				c.reset()
			}
			continue
		}
		for _, e := range rows {
			if e.at < r.at%r.k.page {
				continue
			}
			if r.atPos == r.pos {
				found = true
				if room--; room < 0 {
					return true
				}
				r.names = append(r.names, e.name)
				r.pos = e.off
			}
			r.atPos = e.off
			r.at += fusedev.DirentSize(len(e.name))
		}
		if size < r.k.page {
			return found
		}
		r.at = (r.at + r.k.page - 1) / r.k.page * r.k.page
		found = false // each page is looked at by itself
	}
}

// Readers go through a directory that clients and others change, in any order that
// they can come in, with pages dropped. Each has each name once that is there all the while,
// or twice where listings were given up, and none that is gone and was heard of before he began.
func TestListingsInTheKernelsCache(t *testing.T) {
	k := &direntKernel{t: t}
	rig, fs := keptRig(t, k)
	k.fs = fs
	rig.mkdir(0, "d")
	rig.mkdir(1, "d")
	steady := map[string]bool{".": true, "..": true}
	for i := range 9 {
		name := "steady" + strings.Repeat("-", i*3) + fmt.Sprint(i)
		rig.write(i%2, "d/"+name, "x")
		steady[name] = true
	}
	k.dir = rig.admit(fs, "d")
	seeds := 150
	if testing.Short() {
		seeds = 20
	}
	var served, passes int
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		k.page = 128 + 64*r.IntN(4)
		fs.kept.page = k.page
		k.cache = dirCache{pages: map[int][]dirent{}}
		other := map[string]int{} // and on which tier
		var gone []string
		var late []func() // what happens some time
		readers := make([]direntReader, 4)
		var begun [4]struct {
			there map[string]bool // all the while since he began
			gone  []string        // before he began
		}
		begin := func(i int) {
			readers[i] = direntReader{k: k}
			b := &begun[i]
			b.there, b.gone = maps.Clone(steady), nil
			for name := range other {
				b.there[name] = true
			}
			if len(late) == 0 {
				b.gone = slices.Clone(gone)
			} else {
				b.there = maps.Clone(steady)
			}
		}
		for i := range readers {
			begin(i)
		}
		change := func(n int) {
			if name := fmt.Sprint("other", seed, "-", n); len(other) < 3 || r.IntN(2) == 0 {
				other[name] = r.IntN(2)
				rig.write(other[name], "d/"+name, "x")
				return
			}
			names := slices.Sorted(maps.Keys(other))
			name := names[r.IntN(len(names))]
			rig.remove(other[name], "d/"+name)
			delete(other, name)
			gone = append(gone, name)
			for i := range begun {
				delete(begun[i].there, name)
			}
		}
		order := func() {
			if fs.kept.recall(k.dir) {
				k.InvalList(k.dir.ID)
			}
		}
		active := 1 // readers
		for n := range 1500 {
			if n%100 == 0 {
				active = 1 + r.IntN(len(readers))
				for i := active; i < len(readers); i++ {
					for c := &readers[i]; !c.ended; {
						c.read(5)
					}
					begin(i)
				}
			}
			switch x := r.IntN(200); {
			case x < 3: // a client
				change(n)
				fs.kept.changed(k.dir)
				k.change++
			case x < 6: // behind the mount
				change(n)
				late = append(late, func() {
					if fs.kept.changed(k.dir) {
						late = append(late, order)
					}
				})
			case x < 30 && len(late) > 0:
				first := late[0]
				late = late[1:]
				first()
			case x < 32: // the kernel needs memory
				delete(k.cache.pages, r.IntN(3))
			case x < 33 && seed%2 == 0: // and we do
				if d := fs.kept.dirs[k.dir]; d != nil {
					fs.kept.mu.Lock()
					fs.kept.drop(k.dir, d)
					fs.kept.mu.Unlock()
				}
			case x < 34 && seed%3 == 0: // another daemon moves files, or not any more
				if !fs.alone.Load() {
					fs.SetAlone(true)
				} else if fs.alone.Store(false); len(fs.kept.clear()) > 0 {
					late = append(late, order)
				}
			case x < 35: // somebody stops in the middle
				begin(r.IntN(len(readers)))
			case x < 37: // nobody has it open, and the kernel forgets it
				fs.kept.forgotten(k.dir)
				k.cache = dirCache{pages: map[int][]dirent{}}
				for i := range readers {
					begin(i)
				}
			default:
				i := r.IntN(active)
				c := &readers[i]
				asked := c.asked != nil
				if c.read(1 + r.IntN(6)); !c.ended {
					continue
				}
				passes++
				if !asked {
					served++
				}
				count := map[string]int{}
				for _, name := range c.names {
					if count[name]++; count[name] > 1 && (seed%2 == 1 || c.asks == 0) {
						t.Fatalf("seed %d, step %d: %s is listed twice: %q", seed, n, name, c.names)
					}
				}
				for name := range begun[i].there {
					if count[name] == 0 {
						t.Fatalf("seed %d, step %d: %s is not listed: %q", seed, n, name, c.names)
					}
				}
				for _, name := range begun[i].gone {
					if count[name] > 0 {
						t.Fatalf("seed %d, step %d: %s is listed, and was gone before: %q", seed, n, name, c.names)
					}
				}
				begin(i)
			}
		}
		for name, rank := range other {
			rig.remove(rank, "d/"+name)
		}
		fs.SetAlone(true)
		fs.kept.forgotten(k.dir)
		if len(fs.kept.dirs) > 0 || fs.kept.bytes != 0 || fs.memory.used != 0 {
			t.Fatalf("%d directories are kept that nobody has, of %d bytes, and %d are paid for", len(fs.kept.dirs), fs.kept.bytes, fs.memory.used)
		}
	}
	t.Logf("%d listings, %d of them from the cache to the end", passes, served)
	if served < passes/30 {
		t.Errorf("of %d listings the cache has served %d", passes, served)
	}
}

// readAll lists a directory to its end, as the kernel does.
func readAll(t *testing.T, fs *FS, in *inode.Inode, uid uint32) *listing {
	t.Helper()
	l, _, err := fs.kept.read(in, uid, 0)
	if err == nil {
		_, _, err = fs.kept.read(in, uid, l.offset(l.len()-1))
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A listing is not true if a change was heard of while it was taken.
func TestChangeWhileAListingIsTaken(t *testing.T) {
	_, fs := keptRig(t, &toldKernel{})
	root := fs.table.Root()
	turn := fs.kept.begin(root)
	fs.kept.changed(root)
	l, _ := fs.kept.enter(root, &listing{turn: turn, firm: true, begun: time.Now()})
	fs.kept.done(root)
	if again := readAll(t, fs, root, 0); again == l {
		t.Error("a listing from before a change is given to who begins after it")
	} else if readAll(t, fs, root, 0) != again {
		t.Error("a listing is taken anew although nothing has changed")
	}
}

// A file that has moved shows its old number as long as the kernel holds it, and
// a listing of then has that.
func TestListingIsNotTrueOnceAMovedFileShowsAnotherNumber(t *testing.T) {
	k := &toldKernel{}
	r, fs := keptRig(t, k)
	r.write(0, "f", "x")
	root := fs.table.Root()
	in, f, err := fs.lookUp(root, "f")
	if err != nil {
		t.Fatal(err)
	}
	home := f.copies[0].Key
	for _, key := range []inode.Key{{Slot: home.Slot, Ino: home.Ino + 1}, home} {
		moved := key != home
		fs.table.Rehome(in, key)
		l := readAll(t, fs, root, 0)
		fs.forget(in.ID, 1)
		if again := readAll(t, fs, root, 0); (again != l) != moved {
			t.Errorf("moved %v: a listing is taken anew: %v", moved, again != l)
		}
		if moved {
			k.hears(t, "the listing", func() bool { return slices.Contains(k.nodes, root.ID) })
		}
		if in, _, err = fs.lookUp(root, "f"); err != nil {
			t.Fatal(err)
		}
		fs.kept.changed(root)
	}
}

// Listings take no more than they may. What the kernel has of one that is given up stays, and is
// dropped when the directory changes.
func TestKeptListingsAreBounded(t *testing.T) {
	_, fs := keptRig(t, &toldKernel{})
	var all []*inode.Inode
	for n := range 4000 {
		in := inode.NewTable([]unix.Stat_t{{}}, false, false).Root()
		all = append(all, in)
		l := &listing{firm: true, begun: time.Now()}
		for i := range 500 {
			l.add(fmt.Sprint("a name of some length ", i), 1, 0, 0)
		}
		fs.kept.begin(in)
		fs.kept.enter(in, l)
		fs.kept.done(in)
		if fs.kept.bytes > keptBytes || fs.memory.used != 0 {
			t.Fatalf("%d bytes are kept, and %d paid for", fs.kept.bytes, fs.memory.used)
		}
		if !fs.kept.end(in, l) {
			t.Fatalf("listing %d is not kept", n)
		}
	}
	left := 0
	for _, in := range all {
		if fs.kept.dirs[in].list != nil {
			left++
		}
		if !fs.kept.changed(in) {
			t.Fatal("a directory has changed that the kernel has whole, and it is not to be told")
		}
	}
	if left < 500 || left > 3000 {
		t.Errorf("%d listings are left", left)
	}
}

// Who lists a long directory anew, and reads it to no end, takes the memory for it once. A
// client goes on in one that was given up if the directory is as it was.
func TestLongListings(t *testing.T) {
	r, fs := keptRig(t, &toldKernel{})
	for i := range 2500 {
		r.write(i%2, fmt.Sprintf("d/%0200d", i), "")
		r.write(i%2, fmt.Sprintf("e/%0200d", i), "")
	}
	fs.kept.long = 100_000
	d, e := r.admit(fs, "d"), r.admit(fs, "e")
	for range 3 {
		if l, _, err := fs.kept.read(d, 1, 0); err != nil || fs.memory.by[1] < l.size() || fs.memory.by[1] > 2*l.size() {
			t.Fatalf("%d bytes are paid for (%v)", fs.memory.by[1], err)
		}
		fs.kept.changed(d)
	}
	if _, _, err := fs.kept.read(e, 1, 0); err != unix.ENOMEM {
		t.Errorf("a user's second listing of 600 KB out of 2 MB: %v", err)
	}
	l := readAll(t, fs, d, 2)
	if fs.kept.dirs[d].whole {
		t.Error("a long listing is kept")
	}
	age := func(by time.Duration) { fs.kept.begun = fs.kept.begun.Add(-by) }
	age(idleAtNeed)
	if _, _, err := fs.kept.read(e, 1, 0); err != nil {
		t.Errorf("when the first is old: %v", err)
	}
	if age(idleEnded); fs.memory.by[2] == 0 {
		t.Error("a listing is given up without need")
	}
	if fs.kept.tidy(); fs.memory.by[2] != 0 || fs.memory.by[1] == 0 {
		t.Errorf("after a time %d bytes are paid for a listing that was read to its end, %d for one that was not", fs.memory.by[2], fs.memory.by[1])
	}
	if again, at, err := fs.kept.read(d, 2, l.offset(1000)); again == l || at != 1001 || err != nil || again.offset(1000) != l.offset(1000) {
		t.Errorf("who comes back goes on at %d (%v)", at, err)
	}
	fs.kept.forgotten(d)
	if again, at, err := fs.kept.read(d, 2, l.offset(1000)); at != 1001 || err != nil || again.offset(1000) != l.offset(1000) {
		t.Errorf("who comes back when the kernel has forgotten the directory goes on at %d (%v)", at, err)
	}
	age(idleMost)
	if fs.kept.tidy(); fs.memory.used != 0 {
		t.Errorf("nobody reads, and %d bytes are paid for", fs.memory.used)
	}
	r.write(0, "d/more", "")
	if _, at, err := fs.kept.read(d, 2, l.offset(1000)); at != 0 || err != nil {
		t.Errorf("who comes back to a directory that has changed goes on at %d (%v)", at, err)
	}
}

// A tier does not tell of its names for once. Who has begun before that goes on where he was, and who
// has begun then has an error.
func TestListingsWhenATierFails(t *testing.T) {
	r, fs := keptRig(t, &toldKernel{})
	for _, name := range []string{"a", "b", "f"} {
		r.write(0, "d/"+name, "")
	}
	d := r.admit(fs, "d")
	good := readAll(t, fs, d, 0)
	part := &listing{err: unix.EIO, begun: time.Now()}
	for _, name := range []string{".", "..", "new"} {
		part.add(name, 1, 0, unix.DT_REG)
	}
	part.add(good.name(good.row(4)), 1, 0, unix.DT_REG)
	fs.kept.changed(d)
	fs.kept.begin(d)
	fs.kept.enter(d, part)
	fs.kept.done(d)
	if l, at, err := fs.kept.read(d, 0, part.offset(1)); l != part || at != 2 || err != nil {
		t.Errorf("who has begun in it goes on at %d of another (%v)", at, err)
	}
	fs.kept.changed(d)
	full := readAll(t, fs, d, 0)
	if l, at, err := fs.kept.read(d, 0, good.offset(2)); l != full || at != 3 || err != nil {
		t.Errorf("who has begun before goes on at %d (%v)", at, err)
	}
	if _, _, err := fs.kept.read(d, 0, part.offset(1)); err != unix.EIO {
		t.Errorf("who has begun when a tier failed: %v", err)
	}
	r.write(0, "d/more", "")
	fs.kept.changed(d)
	readAll(t, fs, d, 0)
	if _, _, err := fs.kept.read(d, 0, part.offset(1)); err != unix.EIO {
		t.Errorf("who has begun when a tier failed, later: %v", err)
	}
}

// What is mixed of two listings is not kept when it was given up and is taken anew.
func TestMixedListingThatIsGivenUp(t *testing.T) {
	r, fs := keptRig(t, &toldKernel{})
	for _, name := range []string{"a", "b", "c", "d"} {
		r.write(0, "d/"+name, "")
	}
	d := r.admit(fs, "d")
	drop := func() {
		fs.kept.mu.Lock()
		defer fs.kept.mu.Unlock()
		fs.kept.drop(d, fs.kept.dirs[d])
	}
	l := readAll(t, fs, d, 0)
	drop()
	r.remove(0, "d/a")
	fs.kept.changed(d)
	l, _, _ = fs.kept.read(d, 0, l.offset(3))
	drop()
	last, _, _ := fs.kept.read(d, 0, 0) // somebody begins
	fs.kept.read(d, 0, l.offset(3))
	if _, at, _ := fs.kept.read(d, 0, last.offset(last.len()-1)); at != last.len() || fs.kept.dirs[d].whole {
		t.Error("a listing is kept that begins with another")
	}
	if readAll(t, fs, d, 0); !fs.kept.dirs[d].whole {
		t.Error("the next is not kept")
	}
}

// More directories than orders are kept of are all dropped when the watch ends.
func TestManyListingsWhenTheWatchEnds(t *testing.T) {
	k := &toldKernel{}
	_, fs := keptRig(t, k)
	const dirs = maxOrders + orderRoom
	for range dirs {
		fs.kept.dirs[&inode.Inode{Type: unix.S_IFDIR}] = &keptDir{whole: true}
	}
	fs.EndCoherence(unix.EIO)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		n := len(k.nodes)
		k.mu.Unlock()
		if n >= dirs {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("of %d directories %d were dropped", dirs, n)
		}
	}
}

// Listings of names alone are dropped when a client looks the names up one after the other,
// and not for one who looks up this and that.
func TestClientWhoLooksAtWhatTheKernelLists(t *testing.T) {
	k := &toldKernel{}
	r, fs := keptRig(t, k)
	for i := range 40 {
		r.write(i%2, fmt.Sprint("d/f", i), "")
		r.write(i%2, fmt.Sprint("e/f", i), "")
	}
	r.write(0, "known/f", "")
	d, e, known := r.admit(fs, "d"), r.admit(fs, "e"), r.admit(fs, "known")
	r.admit(fs, "known/f")
	l := readAll(t, fs, d, 0)
	readAll(t, fs, e, 0)
	readAll(t, fs, known, 0)
	if n := fs.kept.bare.Load(); n != 2 {
		t.Errorf("of %d directories the kernel knows but names, want 2", n)
	}
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(40) {
		fs.kept.looked(d, l.name(l.row(2+i)))
		fs.kept.looked(e, "f0")
	}
	if n := fs.kept.bare.Load(); n != 2 {
		t.Error("who looks up this and that is taken for one who lists")
	}
	for i := 2; i < l.len(); i += 4 {
		fs.kept.looked(d, l.name(l.row(i)))
	}
	k.hears(t, "both", func() bool { return slices.Contains(k.nodes, d.ID) && slices.Contains(k.nodes, e.ID) })
	if slices.Contains(k.nodes, known.ID) || fs.kept.bare.Load() != 0 {
		t.Error("a listing is dropped of whose files the kernel knows, or some are left")
	}
	readAll(t, fs, d, 0)
	if fs.forget(d.ID, 1); fs.kept.bare.Load() != 0 {
		t.Error("a directory is counted that the kernel has forgotten")
	}
}

// What the kernel has of listings is dropped when they would be others from now on, and none is
// kept then.
func TestListingsThatAreNotToBeKept(t *testing.T) {
	for what, change := range map[string]func(fs *FS){
		"a tier is away":             func(fs *FS) { fs.TierLost() },
		"another daemon moves files": func(fs *FS) { fs.SetAlone(false) },
		"the watch ends":             func(fs *FS) { fs.EndCoherence(unix.EIO) },
		"a listing is as old as it may get": func(fs *FS) {
			fs.kept.dirs[fs.table.Root()].list.begun = time.Now().Add(-keepFor)
			fs.kept.begun = fs.kept.begun.Add(-keepFor)
			fs.kept.tidy()
		},
	} {
		k := &toldKernel{}
		_, fs := keptRig(t, k)
		root := fs.table.Root()
		l := readAll(t, fs, root, 0)
		if !fs.kept.dirs[root].whole {
			t.Fatal("the listing is not kept")
		}
		change(fs)
		k.hears(t, what, func() bool { return slices.Contains(k.nodes, root.ID) })
		if readAll(t, fs, root, 0) == l {
			t.Errorf("%s, and the listing from before is given to who begins", what)
		}
		if whole := fs.kept.dirs[root].whole; whole && what != "a tier is away" && !strings.HasPrefix(what, "a listing") {
			t.Errorf("%s, and a listing is kept", what)
		}
	}
}
