package inode

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Table maps the kernel's node IDs to inodes.
//
// LOCK ORDER: Inode.Mu, then the pins and marks of directories, then Table.mu,
// then DirCache.mu. An Inode is held across disk I/O, and the Table must stay
// free for every other op, so nothing waits while it holds Table.mu.
//
// Invariants, for every inode of byID:
//  1. lookups > 0, or it is the root, or IDs are kept and it has a name or is
//     just being removed (Leave);
//  2. byKey leads from its key to it, unless it is dead;
//  3. two live inodes never show the same Ino;
//  4. a directory has one name, and subs leads from that to it.
type Table struct {
	narrow bool // inodes=32
	begun  time.Time
	keep   bool // noforget: an ID is good for as long as its file is there
	slots  atomic.Pointer[[]slot]

	mu     sync.Mutex
	byName []bool        // by rank, see ByName; GUARDED_BY(mu)
	byID   index[uint64] // GUARDED_BY(mu)
	byKey  index[Key]    // GUARDED_BY(mu)
	subs   index[dentry] // the directories by their names; GUARDED_BY(mu)
	// kept are the inodes that show a number which is not, or no longer, that of
	// their key, by the number; in a narrow table, all of them.
	kept index[uint64]  // GUARDED_BY(mu)
	seen map[Key]*Inode // the directories by all their copies, see Saw; GUARDED_BY(mu)
	next uint64         // GUARDED_BY(mu): the newest node ID; IDs are never reused
	root *Inode

	ranks atomic.Int32 // how many copies a directory may have
	fresh [2]sync.Pool // of *Inode: files, and directories, to be
}

// NewTable makes a table with its root, whose copies are the tiers' roots:
// roots[rank] is the stat of each.
func NewTable(roots []unix.Stat_t, narrow, keep bool) *Table {
	t := &Table{narrow: narrow, begun: time.Now(), keep: keep, next: RootID, seen: map[Key]*Inode{}}
	seed := maphash.MakeSeed()
	number := func(n uint64) uint64 { return mix(Key{0, n}) }
	t.byID.key, t.byID.hash = func(in *Inode) uint64 { return in.ID }, number
	t.kept.key, t.kept.hash = func(in *Inode) uint64 { return in.Ino }, number
	t.byKey.key, t.byKey.hash = (*Inode).key, mix
	t.subs.key = func(in *Inode) dentry { return dentry{in.parent, in.name} }
	t.subs.hash = func(d dentry) uint64 { return maphash.String(seed, d.name) ^ number(d.parent.ID) }

	t.slots.Store(&[]slot{{0, roots[0].Dev}})
	key := t.Key(0, roots[0].Dev, roots[0].Ino)
	t.root = &Inode{ID: RootID, Ino: t.number(key), Type: unix.S_IFDIR, slot: key.Slot, ino: key.Ino, lookups: 1}
	t.ranks.Store(int32(len(roots)))
	t.root.extra = &extra{copies: make([]copyState, len(roots))}
	for rank := range roots {
		k := t.Key(rank, roots[rank].Dev, roots[rank].Ino)
		t.root.extra.copies[rank].set(k)
		t.saw(t.root, k)
	}
	t.admit(t.root)
	return t
}

// Extend makes room for one tier more in every directory, the new tier's root
// being st.
func (t *Table) Extend(st *unix.Stat_t, c *DirCache) {
	rank := len(t.root.extra.copies)
	key := t.Key(rank, st.Dev, st.Ino)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for in := range t.byID.all() {
		if in.IsDir() {
			in.extra.copies = append(in.extra.copies, copyState{})
		}
	}
	t.root.extra.copies[rank].set(key)
	t.saw(t.root, key)
	t.ranks.Store(int32(rank + 1))
}

// ByName is told that a directory of the tier with rank may have another number
// whenever it is asked (tier.TellByNode). It is known by its name there: the one that
// is found under that is the same, as long as nobody has removed it in the mount.
func (t *Table) ByName(rank int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byName = append(t.byName, make([]bool, max(0, rank+1-len(t.byName)))...)
	t.byName[rank] = true
}

// sameCopy reports whether a copy of a directory that was the backing inode was can be
// k now, under the same name.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) sameCopy(was, k Key) bool {
	rank := t.Rank(k)
	return was == k || was.Slot == k.Slot && rank < len(t.byName) && t.byName[rank]
}

// Root is the root directory.
func (t *Table) Root() *Inode { return t.root }

// Get is the inode that the kernel means by id; nil for one it should not know.
func (t *Table) Get(id uint64) *Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID.get(id)
}

// Len counts the inodes that the kernel holds or that are kept for it.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID.len()
}

// tick is the unit of the table's clock. It counts beyond a year, and a file
// that is made in the same one as a mark of the kernel's coarse clock may seem
// to be older.
const tick = 10 * time.Millisecond

// admit enters a new inode.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) admit(in *Inode) {
	t.byID.put(in)
	t.byKey.put(in)
	in.since = t.now()
	t.keepNumber(in)
}

// now is the time by the table's clock.
func (t *Table) now() uint32 { return uint32(time.Since(t.begun) / tick) }

// keepNumber enters in's number in kept, or takes it out, as it has to be.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) keepNumber(in *Inode) {
	switch want, is := t.narrow || in.dead || in.Ino != natural(in.key()), t.kept.get(in.Ino) == in; {
	case want && !is:
		t.kept.put(in)
	case is && !want:
		t.kept.remove(in)
	}
}

// Copy is one tier's copy of what a name leads to.
type Copy struct {
	Rank int
	Key  Key
	Life uint32 // tells it from others that had its number (sys.Life); 0: not known
}

// Lookup finds or makes the inode for name in parent and counts one lookup.
// copies[0] is the winner; a merged directory has more. mode tells the type.
// complete says that every tier was asked, so that the others have no copy.
// changed are the ranks whose copy of a directory that was known is another than
// before, or new; doubt says that one of them had been asked before, so that the
// tier has changed.
func (t *Table) Lookup(parent *Inode, name string, mode uint32, copies []Copy, complete bool) (in *Inode, changed []int, doubt bool) {
	typ := uint16(mode & unix.S_IFMT)
	fresh := t.borrow(typ)
	defer func() {
		if in != fresh {
			t.giveBack(fresh)
		}
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	in = t.byKey.get(copies[0].Key)
	if in != nil && (!in.Is(mode) || in.another(copies[0].Life)) { // the number was given to a new file out of band
		t.bury(in)
		in = nil
	}
	if in == nil && typ == unix.S_IFDIR && parent != nil {
		in = t.sameDir(parent, name, copies)
	}
	known := in != nil
	if !known {
		t.next++
		key := copies[0].Key
		in = fresh
		in.ID, in.slot, in.ino, in.Ino = t.next, key.Slot, key.Ino, t.number(key)
		if n := len(t.root.extra.copies); in.IsDir() && len(in.extra.copies) != n {
			in.extra.copies = make([]copyState, n)
		}
		t.admit(in)
	}
	in.lookups++
	if copies[0].Life != 0 {
		in.life = copies[0].Life
	}
	t.addDentry(in, parent, name)
	if in.IsDir() && in != t.root { // a tier's root may be bound to a name inside it
		changed, doubt = t.setCopies(in, copies, complete)
	}
	if !known {
		return in, nil, false
	}
	return in, changed, doubt
}

// borrow is an inode to be. It is made before the table is locked, since the allocator may
// wait for memory, and everybody would wait with it.
func (t *Table) borrow(typ uint16) *Inode {
	dir := typ == unix.S_IFDIR
	if in, ok := t.pool(dir).Get().(*Inode); ok {
		in.Type = typ
		return in
	}
	in := &Inode{Type: typ}
	if dir {
		n := t.ranks.Load()
		in.extra = &extra{copies: make([]copyState, n), seen: make([]Key, 0, n)}
	}
	return in
}

// giveBack is told that it was not needed.
func (t *Table) giveBack(in *Inode) { t.pool(in.IsDir()).Put(in) }

func (t *Table) pool(dir bool) *sync.Pool {
	if dir {
		return &t.fresh[1]
	}
	return &t.fresh[0]
}

// another reports whether life is that of a file which has the number of in
// after it.
func (in *Inode) another(life uint32) bool { return in.life != 0 && life != 0 && in.life != life }

// Another is the same for callers without the table's lock.
func (t *Table) Another(in *Inode, life uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return in.another(life)
}

// Hold counts one lookup of an inode that the kernel knows by its ID alone
// (LOOKUP of "." and ".."). It fails for one whose file is gone.
func (t *Table) Hold(in *Inode) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.dead || t.byID.get(in.ID) != in {
		return false
	}
	in.lookups++
	return true
}

// sameDir recognises a directory whose winning copy changed: one was made
// above it, or the highest one was removed. It has the same name and shares a
// copy with what is known.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) sameDir(parent *Inode, name string, copies []Copy) *Inode {
	in := t.subs.get(dentry{parent, name})
	if in == nil || in.dead {
		return nil
	}
	for _, c := range copies {
		if t.hasCopy(in, c.Key) {
			t.rekey(in, copies[0].Key)
			return in
		}
	}
	return nil
}

// Renumber is told that the directory in was found under its name, and is the backing
// inode k on its home tier. It reports whether it can be (ByName).
func (t *Table) Renumber(in *Inode, k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renumber(in, k)
}

// LOCKS_REQUIRED(t.mu)
func (t *Table) renumber(in *Inode, k Key) bool {
	if other := t.live(k, unix.S_IFDIR); other != nil || in.dead || !t.sameCopy(in.key(), k) {
		return other == in
	}
	in.extra.copies[t.Rank(k)].set(k)
	t.saw(in, k)
	t.rekey(in, k)
	return true
}

// Covered reports that k, which name in parent leads to now, is not the copy by
// which the directory of that name is known.
func (t *Table) Covered(parent *Inode, name string, k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.subs.get(dentry{parent, name})
	return in != nil && !in.dead && in.key() != k
}

// rekey gives in another backing inode; it goes on showing its number.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) rekey(in *Inode, key Key) {
	if in.key() == key {
		return
	}
	if other := t.byKey.get(key); other != nil && other != in {
		t.bury(other)
	}
	t.byKey.remove(in)
	in.slot, in.ino, in.life = key.Slot, key.Ino, 0
	t.byKey.put(in)
	t.keepNumber(in)
}

// Rehome is told that the file in was moved to another tier, where it is the
// backing inode k. It goes on as it was, under its number. It fails for a file
// that has lost its last name.
func (t *Table) Rehome(in *Inode, k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.dead {
		return false
	}
	t.rekey(in, k)
	in.since = t.now() // its backing inode is new
	return true
}

// Held reports whether an inode has more lookups than n, which are the caller's own:
// the kernel holds it, or is about to.
func (t *Table) Held(in *Inode, n uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return in.lookups > n
}

// bury is kill for an inode that nobody brings back: if the kernel does not
// hold it, it is gone.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) bury(in *Inode) {
	if in == t.root {
		return
	}
	t.kill(in)
	if in.lookups == 0 {
		t.drop(in)
	}
}

// kill takes in out of byKey: what has its backing number from now on is
// another file. The kernel may hold it still, so its number stays taken.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) kill(in *Inode) {
	if in.dead || in == t.root {
		return
	}
	t.byKey.remove(in)
	in.dead = true
	t.keepNumber(in)
}

// setCopies records which tiers have the directory, and returns the ranks
// where that changed, and whether one of these had been asked before.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) setCopies(in *Inode, copies []Copy, complete bool) (changed []int, doubt bool) {
	state := in.extra.copies
	i := 0
	for rank := range state {
		s := &state[rank]
		switch {
		case i < len(copies) && copies[i].Rank == rank:
			if !s.present || s.key() != copies[i].Key {
				changed = append(changed, rank)
				doubt = doubt || s.asked
			}
			s.set(copies[i].Key)
			t.saw(in, copies[i].Key)
			i++
		case complete && s.present:
			changed, doubt = append(changed, rank), true
			s.present = false
		case complete:
			s.asked = true
		}
	}
	return changed, doubt
}

// Forget takes n lookups back. An inode without any is idle; unless IDs are
// kept and its file is there it is gone, and the file that it held (Leave) is
// for the caller to close. listed is the directory, if any, in whose listings the
// file has shown a number that it does not show any more.
func (t *Table) Forget(in *Inode, n uint64) (idle bool, listed *Inode, file *tier.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in.lookups -= min(n, in.lookups)
	if in.lookups > 0 || in == t.root {
		return false, nil, nil
	}
	if !t.keep || in.dead || in.parent == nil {
		if in.parent != nil && in.Ino != t.free(in.key()) {
			listed = in.parent
		}
		t.drop(in)
	}
	return true, listed, in.setGone(nil)
}

// drop removes an inode.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) drop(in *Inode) {
	if t.byID.get(in.ID) != in {
		return
	}
	t.byID.remove(in)
	t.byKey.remove(in)
	t.kept.remove(in)
	t.unsee(in)
	in.dead = true
	if in.parent == nil {
		return
	}
	in.parent.extra.kids--
	if in.IsDir() {
		t.unnameDir(in)
	}
}

// Kids counts what the kernel knows in a directory: the inodes that have their first
// name there.
func (t *Table) Kids(dir *Inode) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(dir.extra.kids)
}

// Shown is the number that a listing gives to a backing inode.
func (t *Table) Shown(k Key) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.byKey.get(k); in != nil {
		return in.Ino
	}
	return t.number(k)
}

// Home is the inode's key and with it its home tier.
func (t *Table) Home(in *Inode) (Key, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return in.key(), t.Rank(in.key())
}
