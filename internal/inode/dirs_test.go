package inode

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// shelf is a table over real tiers, each with the same directories.
type shelf struct {
	*testing.T
	base  string
	set   *tier.Set
	table *Table
}

func newShelf(t *testing.T, tiers int, names ...string) *shelf {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{T: t, base: base}
	var paths []string
	for rank := range tiers {
		paths = append(paths, filepath.Join(base, fmt.Sprint(rank)))
		for _, name := range names {
			if err := os.MkdirAll(filepath.Join(paths[rank], name), 0700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.set, err = tier.OpenSet(paths, tier.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.set.Close)
	roots := make([]unix.Stat_t, tiers)
	for rank, t := range s.set.Tiers() {
		if err := unix.Fstat(t.RootFD(), &roots[rank]); err != nil {
			s.Fatal(err)
		}
	}
	s.table = NewTable(roots, false, false)
	return s
}

// open opens name's copy on a tier, for the caller to Put.
func (s *shelf) open(rank int, name string) *tier.Dir {
	s.Helper()
	root := s.set.Tiers()[rank].RootDir()
	defer root.Put()
	d, err := root.OpenDir(name)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

// inode looks name up in the root, with a copy on every tier.
func (s *shelf) inode(name string) *Inode {
	s.Helper()
	var copies []Copy
	for rank := range s.set.Tiers() {
		d := s.open(rank, name)
		var st unix.Stat_t
		if err := d.StatSelf(&st); err != nil {
			s.Fatal(err)
		}
		d.Put()
		copies = append(copies, Copy{Rank: rank, Key: s.table.Key(rank, st.Dev, st.Ino)})
	}
	in, _, _ := s.table.Lookup(s.table.Root(), name, unix.S_IFDIR, copies, true)
	return in
}

// add caches name's copy on a tier.
func (s *shelf) add(c *DirCache, in *Inode, rank int, name string) {
	s.Helper()
	d := s.open(rank, name)
	c.Add(in, rank, d)
	d.Put()
}

// descriptors counts those on what lies in the tiers, the roots not among them.
func (s *shelf) descriptors() (n int) {
	s.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && strings.HasPrefix(to, s.base) && strings.Count(to[len(s.base):], "/") > 1 {
			n++
		}
	}
	return n
}

func (s *shelf) wantHeld(c *DirCache, held, descriptors int) {
	s.Helper()
	if n := c.Len(); n != held {
		s.Errorf("the cache holds %d descriptors, want %d", n, held)
	}
	if n := s.descriptors(); n != descriptors {
		s.Errorf("%d descriptors are open, want %d", n, descriptors)
	}
}

// wantCached wants a descriptor of the right directory, or none.
func (s *shelf) wantCached(c *DirCache, in *Inode, rank int, cached bool) {
	s.Helper()
	d, err := c.Get(in, rank, 0)
	if err != nil || (d != nil) != cached {
		s.Fatalf("inode %d on tier %d: %v, %v, want cached %v", in.ID, rank, d, err, cached)
	}
	if d == nil {
		return
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		s.Fatalf("inode %d on tier %d: %v", in.ID, rank, err)
	}
	if c := (Copy{Rank: rank, Key: s.table.Key(rank, st.Dev, st.Ino)}); !slices.Contains(s.table.Copies(in), c) {
		s.Errorf("inode %d: a descriptor of %v, want one of %v", in.ID, c, s.table.Copies(in))
	}
}

func TestDirCacheDropsTheLeastRecentlyUsed(t *testing.T) {
	s := newShelf(t, 1, "a", "b", "c", "d")
	c := NewDirCache(3)
	in := map[string]*Inode{}
	for _, name := range []string{"a", "b", "c"} {
		in[name] = s.inode(name)
		s.add(c, in[name], 0, name)
	}
	s.wantHeld(c, 3, 3)
	s.wantCached(c, in["a"], 0, true) // b is the oldest now
	in["d"] = s.inode("d")
	s.add(c, in["d"], 0, "d")
	s.wantHeld(c, 3, 3)
	for name, cached := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		s.wantCached(c, in[name], 0, cached)
	}
	for range 100 { // at its bound for good
		for name, in := range in {
			s.add(c, in, 0, name)
		}
	}
	s.wantHeld(c, 3, 3)
	c.DropTier(-1)
	s.wantHeld(c, 0, 0)
}

func TestDirCacheKeepsWhatIsInUseOpen(t *testing.T) {
	s := newShelf(t, 1, "a", "b")
	c := NewDirCache(1)
	a, b := s.inode("a"), s.inode("b")
	s.add(c, a, 0, "a")
	d, err := c.Get(a, 0, 0)
	if err != nil || d == nil {
		t.Fatal(d, err)
	}
	s.add(c, b, 0, "b")
	s.wantHeld(c, 1, 2)
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		t.Errorf("a descriptor in use was closed: %v", err)
	}
	d.Put()
	s.wantHeld(c, 1, 1)
	c.DropAll(b)
	s.wantHeld(c, 0, 0)
}

func TestDirCacheOfNoneHoldsNone(t *testing.T) {
	s := newShelf(t, 1, "a")
	c := NewDirCache(0)
	a := s.inode("a")
	s.add(c, a, 0, "a")
	s.wantHeld(c, 0, 0)
	s.wantCached(c, a, 0, false)
}

func TestDirCacheAddTwiceHoldsOne(t *testing.T) {
	s := newShelf(t, 2, "a")
	c := NewDirCache(10)
	a := s.inode("a")
	for range 3 {
		s.add(c, a, 0, "a")
		s.add(c, a, 1, "a")
	}
	s.wantHeld(c, 2, 2)
	c.Drop(a, 0)
	s.wantHeld(c, 1, 1)
	c.Drop(a, 0)
	s.wantCached(c, a, 0, false)
	s.wantCached(c, a, 1, true)
	c.DropAll(a)
	c.DropAll(a)
	s.wantHeld(c, 0, 0)
}

func TestDirCacheDropTierLeavesTheOthers(t *testing.T) {
	s := newShelf(t, 3, "a", "b")
	c := NewDirCache(10)
	a, b := s.inode("a"), s.inode("b")
	for rank := range 3 {
		s.add(c, a, rank, "a")
		s.add(c, b, rank, "b")
	}
	s.wantHeld(c, 6, 6)
	c.DropTier(1)
	s.wantHeld(c, 4, 4)
	for rank := range 3 {
		s.wantCached(c, a, rank, rank != 1)
		s.wantCached(c, b, rank, rank != 1)
	}
	c.DropTier(-1)
	s.wantHeld(c, 0, 0)
}

func TestDirCacheBelievesAnAbsenceForASecond(t *testing.T) {
	s := newShelf(t, 2, "a")
	c := NewDirCache(10)
	a := s.inode("a")
	c.Absent(a, 1)
	if d, err := c.Get(a, 1, 0); err != unix.ENOENT || d != nil {
		t.Errorf("absent: %v, %v", d, err)
	}
	s.wantCached(c, a, 0, false) // nobody said so of the primary
	c.begun = c.begun.Add(-absentFor)
	s.wantCached(c, a, 1, false)

	c.Absent(a, 1)
	s.add(c, a, 1, "a")
	s.wantCached(c, a, 1, true)
	c.Absent(a, 1)
	c.Drop(a, 1)
	s.wantCached(c, a, 1, false)
}

// A tier that hangs cannot be asked again: what it said last holds on, but no
// older word of it.
func TestDirCacheBelievesATierThatStalls(t *testing.T) {
	s := newShelf(t, 2, "a")
	c := NewDirCache(10)
	a := s.inode("a")
	c.Absent(a, 1)
	c.begun = c.begun.Add(-10 * absentFor)
	if d, err := c.Get(a, 1, 10*absentFor); err != unix.ENOENT || d != nil {
		t.Errorf("it said so just before it stalled: %v, %v", d, err)
	}
	if d, err := c.Get(a, 1, 8*absentFor); err != nil || d != nil {
		t.Errorf("it still answered after the word had expired: %v, %v", d, err)
	}
}

// Many ops at once, as workers do: nothing is closed under anybody's hands,
// nothing stays open.
func TestDirCacheServesManyAtOnce(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	s := newShelf(t, 2, names...)
	c := NewDirCache(4)
	var ins []*Inode
	for _, name := range names {
		ins = append(ins, s.inode(name))
	}
	var done sync.WaitGroup
	for w := range 8 {
		done.Go(func() {
			for i := range 400 {
				s.use(c, ins[(i*7+w)%len(ins)], i%2, names[(i*7+w)%len(ins)])
				switch i % 50 {
				case w:
					c.DropTier(i % 2)
				case 10 + w:
					c.DropAll(ins[i%len(ins)])
				}
			}
		})
	}
	done.Wait()
	if n := c.Len(); n > 4 {
		t.Errorf("the cache holds %d descriptors, want 4 at most", n)
	}
	c.DropTier(-1)
	s.wantHeld(c, 0, 0)
	wantInvariants(t, s.table)
}

// use does what FS.dir does.
func (s *shelf) use(c *DirCache, in *Inode, rank int, name string) {
	d, err := c.Get(in, rank, 0)
	if err == nil && d == nil {
		root := s.set.Tiers()[rank].RootDir()
		if d, err = root.OpenDir(name); err == nil {
			c.Add(in, rank, d)
		}
		root.Put()
	}
	if err != nil {
		s.Error(err)
		return
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil || !slices.Contains(s.table.Copies(in), Copy{Rank: rank, Key: s.table.Key(rank, st.Dev, st.Ino)}) {
		s.Errorf("%s on tier %d: %v, inode %d", name, rank, err, st.Ino)
	}
}
