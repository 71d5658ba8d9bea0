package inode

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Devices of the tiers in these tests; the root of each is number 2 there.
var testDevs = []uint64{0x801, 0x802, 0x803}

// newTable is a table over n tiers.
func newTable(n int, narrow bool) *Table { return makeTable(n, narrow, false) }

func makeTable(n int, narrow, keep bool) *Table {
	roots := make([]unix.Stat_t, n)
	for rank := range roots {
		roots[rank] = unix.Stat_t{Dev: testDevs[rank], Ino: 2}
	}
	return NewTable(roots, narrow, keep)
}

// key is backing inode ino on the tier with rank.
func (t *Table) testKey(rank int, ino uint64) Key { return t.Key(rank, testDevs[rank], ino) }

// file looks up a file in the root.
func file(t *Table, name string, k Key) *Inode {
	in, _, _ := t.Lookup(t.root, name, unix.S_IFREG|0644, []Copy{{Rank: t.Rank(k), Key: k}}, true)
	return in
}

// dir looks up a directory of the given copies.
func dir(t *Table, parent *Inode, name string, keys ...Key) *Inode {
	in, _, _ := t.Lookup(parent, name, unix.S_IFDIR|0755, copiesOf(t, keys...), true)
	return in
}

func copiesOf(t *Table, keys ...Key) (c []Copy) {
	for _, k := range keys {
		c = append(c, Copy{Rank: t.Rank(k), Key: k})
	}
	return c
}

func wantInvariants(t *testing.T, table *Table) {
	t.Helper()
	if err := table.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// name is a place in the model's tree.
type name struct {
	parent uint64
	name   string
}

// node is what the model knows of one inode that the kernel holds.
type node struct {
	in      *Inode
	typ     uint32
	ino     uint64
	lookups uint64
	key     Key
	dead    bool
	names   map[name]bool
	copies  map[int]Key
}

// model says what a table is to answer: plain maps, and no thought of memory.
type model struct {
	*testing.T
	table *Table
	r     *rand.Rand
	held  map[uint64]*node
	ever  map[uint64]*node // also those that are gone, which may have names in them
	byKey map[Key]*node
	sub   map[name]*node
	trace []string
}

func newModel(t *testing.T, seed uint64, narrow, keep bool) *model {
	table := makeTable(3, narrow, keep)
	root := &node{in: table.root, typ: unix.S_IFDIR, ino: table.root.Ino, lookups: 1, key: table.root.key(), names: map[name]bool{}}
	root.copies = map[int]Key{0: table.testKey(0, 2), 1: table.testKey(1, 2), 2: table.testKey(2, 2)}
	return &model{T: t, table: table, r: rand.New(rand.NewPCG(seed, 1)),
		held: map[uint64]*node{RootID: root}, ever: map[uint64]*node{RootID: root}, byKey: map[Key]*node{root.key: root}, sub: map[name]*node{}}
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
	m.trace = m.trace[max(0, len(m.trace)-12):]
}

// pick is one of the held inodes that fit, nil if none does.
func (m *model) pick(fits func(*node) bool) *node {
	ids := slices.Sorted(maps.Keys(m.held))
	m.r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		if fits(m.held[id]) {
			return m.held[id]
		}
	}
	return nil
}

func isDir(n *node) bool { return n.typ == unix.S_IFDIR }

// anyKey has few numbers, so that they meet often, and some with high bits.
func (m *model) anyKey(rank int) Key {
	ino := 10 + m.r.Uint64N(30)
	if rank > 0 && m.r.IntN(6) == 0 {
		ino |= 1 << (48 + m.r.UintN(16))
	}
	dev := testDevs[rank]
	if m.r.IntN(8) == 0 {
		dev += 0x1000 // a filesystem mounted inside the tier
	}
	return m.table.Key(rank, dev, ino)
}

func (m *model) anyCopies() (c []Copy) {
	for rank := m.r.IntN(3); rank < 3; rank++ {
		if len(c) == 0 || m.r.IntN(2) == 0 {
			c = append(c, Copy{Rank: rank, Key: m.anyKey(rank)})
		}
	}
	return c
}

func (m *model) anyName() string { return string(rune('a' + m.r.IntN(6))) }

// below reports whether n is top or lies below it.
func (m *model) below(n, top *node) bool {
	for n != nil && n != top {
		var up *node
		for at := range n.names {
			up = m.ever[at.parent]
		}
		n = up
	}
	return n == top
}

func (m *model) addName(n *node, at name) {
	if n.in == m.table.root {
		return
	}
	if !isDir(n) {
		n.names[at] = true
		return
	}
	for old := range n.names {
		delete(m.sub, old)
	}
	if other := m.sub[at]; other != nil && other != n {
		clear(other.names)
		m.lost(other)
	}
	n.names = map[name]bool{at: true}
	m.sub[at] = n
}

func (m *model) dropName(n *node, at name) {
	if n.names[at] && m.sub[at] == n {
		delete(m.sub, at)
	}
	delete(n.names, at)
}

func (m *model) bury(n *node) {
	if !n.dead {
		delete(m.byKey, n.key)
	}
	n.dead = true
	if n.lookups == 0 {
		m.gone(n)
	}
}

// lost buries a kept inode without a name.
func (m *model) lost(n *node) {
	if n.lookups == 0 && len(n.names) == 0 {
		m.bury(n)
	}
}

// gone takes out an inode that has left the table. A file without an inode has
// no names; in those of a directory there may still be something.
func (m *model) gone(n *node) {
	for at := range n.names {
		if m.sub[at] == n {
			delete(m.sub, at)
		}
	}
	delete(m.held, n.in.ID)
}

// lookup does one in the table and in the model.
func (m *model) lookup(parent *node, base string, typ uint32, copies []Copy, complete bool) {
	n := m.byKey[copies[0].Key]
	if n != nil && n.typ != typ {
		m.bury(n)
		n = nil
	}
	if n == nil && typ == unix.S_IFDIR {
		n = m.sameDir(parent, base, copies)
	}
	if n != nil && isDir(n) && m.below(parent, n) {
		return // a directory in itself: TestADirectoryIsNeverPutBelowItself
	}
	if n != nil && n.key != copies[0].Key {
		delete(m.byKey, n.key)
		n.key = copies[0].Key
		m.byKey[n.key] = n
	}
	want := m.changes(n, copies, complete)
	in, changed, _ := m.table.Lookup(parent.in, base, typ|0644, copies, complete)
	m.note("lookup %d/%s %o %v complete=%v: %d", parent.in.ID, base, typ, copies, complete, in.ID)
	if n == nil {
		n = m.admit(in, typ, copies[0].Key)
	}
	if n.in != in {
		m.Fatalf("lookup gave inode %d, want %d", in.ID, n.in.ID)
	}
	n.lookups++
	m.addName(n, name{parent.in.ID, base})
	if !isDir(n) {
		return
	}
	if !slices.Equal(changed, want) {
		m.Fatalf("changed %v, want %v", changed, want)
	}
	m.setCopies(n, copies, complete)
}

func (m *model) sameDir(parent *node, base string, copies []Copy) *node {
	n := m.sub[name{parent.in.ID, base}]
	if n == nil || n.dead {
		return nil
	}
	for _, c := range copies {
		if k, ok := n.copies[c.Rank]; ok && k == c.Key {
			return n
		}
	}
	return nil
}

// changes are the ranks whose copies of n are others after a lookup.
func (m *model) changes(n *node, copies []Copy, complete bool) (ranks []int) {
	if n == nil {
		return nil
	}
	had := n.copies
	for rank := range 3 {
		i := slices.IndexFunc(copies, func(c Copy) bool { return c.Rank == rank })
		k, ok := had[rank]
		if i >= 0 && (!ok || k != copies[i].Key) || i < 0 && ok && complete {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

func (m *model) setCopies(n *node, copies []Copy, complete bool) {
	if complete {
		clear(n.copies)
	}
	for _, c := range copies {
		n.copies[c.Rank] = c.Key
	}
}

// admit takes in a new inode, whose number must be nobody else's: its own if
// that is free, else one of the reserved range, or in a narrow table any of 32
// bits.
func (m *model) admit(in *Inode, typ uint32, k Key) *node {
	taken := map[uint64]bool{}
	for id, n := range m.held {
		taken[n.ino] = true
		if id >= in.ID {
			m.Fatalf("the new inode %d has an ID of old, %d is held", in.ID, id)
		}
	}
	own := natural(k)
	fits := own == uint64(uint32(own)) && own != 0
	switch {
	case taken[in.Ino]:
		m.Errorf("inode %d shows %#x, which is taken", in.ID, in.Ino)
	case m.table.narrow && (in.Ino == 0 || in.Ino>>32 != 0):
		m.Errorf("inode %d shows %#x", in.ID, in.Ino)
	case (!m.table.narrow || fits) && !taken[own] && in.Ino != own:
		m.Errorf("inode %d shows %#x, its own number %#x is free", in.ID, in.Ino, own)
	case !m.table.narrow && taken[own] && in.Ino < reserved:
		m.Errorf("inode %d shows %#x, not of the reserved range", in.ID, in.Ino)
	}
	n := &node{in: in, typ: typ, ino: in.Ino, key: k, names: map[name]bool{}, copies: map[int]Key{}}
	m.held[in.ID], m.ever[in.ID] = n, n
	m.byKey[k] = n
	return n
}

func (m *model) lookupNew() {
	parent := m.pick(isDir)
	if m.r.IntN(2) == 0 {
		rank := m.r.IntN(3)
		m.lookup(parent, m.anyName(), unix.S_IFREG, []Copy{{Rank: rank, Key: m.anyKey(rank)}}, true)
		return
	}
	m.lookup(parent, m.anyName(), unix.S_IFDIR, m.anyCopies(), m.r.IntN(5) > 0)
}

// lookupAgain looks a known name up, where a directory may have got a copy
// above, or lost one.
func (m *model) lookupAgain() {
	n := m.pick(func(n *node) bool { return !n.dead && len(n.names) > 0 })
	if n == nil {
		return
	}
	at := m.anyOf(n.names)
	if !isDir(n) {
		m.lookup(m.ever[at.parent], at.name, n.typ, []Copy{{Rank: m.table.Rank(n.key), Key: n.key}}, true)
		return
	}
	var copies []Copy
	for rank := range 3 {
		k, ok := n.copies[rank]
		switch m.r.IntN(6) {
		case 0:
			k, ok = m.anyKey(rank), true
		case 1:
			ok = false
		}
		if ok {
			copies = append(copies, Copy{Rank: rank, Key: k})
		}
	}
	if len(copies) > 0 {
		m.lookup(m.ever[at.parent], at.name, n.typ, copies, m.r.IntN(5) > 0)
	}
}

func (m *model) anyOf(names map[name]bool) name {
	all := slices.SortedFunc(maps.Keys(names), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.parent, b.parent), cmp.Compare(a.name, b.name))
	})
	return all[m.r.IntN(len(all))]
}

// forget takes lookups back as the kernel does: a directory's last ones only
// when it holds nothing in there.
func (m *model) forget() {
	n := m.pick(func(n *node) bool { return n.in.ID != RootID && n.lookups > 0 })
	if n == nil {
		return
	}
	count := 1 + m.r.Uint64N(n.lookups)
	if count == n.lookups {
		if m.pick(func(c *node) bool { return hasNameIn(c, n.in.ID) }) != nil {
			return
		}
		if m.r.IntN(10) == 0 {
			count += 5 // more than it has: no harm
		}
	}
	m.note("forget %d, %d of %d", n.in.ID, count, n.lookups)
	idle := forget(m.table, n.in, count)
	n.lookups -= min(count, n.lookups)
	if idle != (n.lookups == 0) {
		m.Fatalf("inode %d with %d lookups left: idle is %v", n.in.ID, n.lookups, idle)
	}
	if idle && (!m.table.keep || n.dead || len(n.names) == 0) {
		m.bury(n)
	}
}

func hasNameIn(n *node, parent uint64) bool {
	for at := range n.names {
		if at.parent == parent {
			return true
		}
	}
	return false
}

func (m *model) removed() {
	n := m.pick(func(n *node) bool { return !n.dead && len(n.names) > 0 })
	if n == nil {
		return
	}
	at := m.anyOf(n.names)
	last := isDir(n) || len(n.names) == 1 && m.r.IntN(3) > 0
	m.note("removed %d/%s, inode %d, last=%v", at.parent, at.name, n.in.ID, last)
	if in := remove(m.table, m.ever[at.parent].in, at.name, n.key, last); in != n.in {
		m.Fatalf("removed gave %v, want inode %d", in, n.in.ID)
	}
	m.dropName(n, at)
	if last {
		m.bury(n)
	}
	m.lost(n)
	m.table.Forget(n.in, 0)
}

// hold is what a handle gives: LOOKUP of ".".
func (m *model) hold() {
	n := m.pick(func(n *node) bool { return n.in.ID != RootID })
	if n == nil {
		return
	}
	m.note("hold %d", n.in.ID)
	if m.table.Hold(n.in) == n.dead {
		m.Fatalf("inode %d, dead: %v, is held: %v", n.in.ID, n.dead, !n.dead)
	}
	if !n.dead {
		n.lookups++
	}
}

// misses is a handle whose file is not where it was.
func (m *model) misses() {
	n := m.pick(func(n *node) bool { return n.in.ID != RootID })
	if n == nil {
		return
	}
	m.note("lost %d", n.in.ID)
	m.table.Lost(n.in)
	if n.lookups == 0 {
		m.bury(n)
	}
}

// stays is a removal that the tier refuses.
func (m *model) stays() {
	n := m.pick(func(n *node) bool { return !n.dead && n.in.ID != RootID })
	if n == nil {
		return
	}
	m.note("leave and stay, inode %d", n.in.ID)
	m.table.Leave(n.in, nil)
	if m.table.Find(n.key, n.typ) != nil {
		m.Fatalf("inode %d is found while it leaves", n.in.ID)
	}
	m.table.Stay(n.in)
}

// found is what a tier has under a number, which may be of another type than what had it.
func (m *model) found() {
	k, typ := m.anyKey(m.r.IntN(3)), []uint32{unix.S_IFREG, unix.S_IFDIR}[m.r.IntN(2)]
	m.note("found %o %v", typ, k)
	var in *Inode
	if typ == unix.S_IFDIR {
		in, _ = m.table.FindDir(m.table.root, m.anyName(), k)
	} else {
		in = m.table.Find(k, typ|0644)
	}
	var want *Inode
	if n := m.byKey[k]; n != nil && n.typ == typ {
		want = n.in
	}
	if in != want {
		m.Fatalf("found %v, want %v", in, want)
	}
}

func (m *model) moved() {
	n := m.pick(func(n *node) bool { return !n.dead && len(n.names) > 0 })
	if n == nil {
		return
	}
	to := m.pick(func(p *node) bool { return isDir(p) && !m.below(p, n) })
	from, at := m.anyOf(n.names), name{to.in.ID, m.anyName()}
	m.note("moved %v to %v, inode %d", from, at, n.in.ID)
	m.table.Moved(m.ever[from.parent].in, from.name, to.in, at.name, n.key, n.typ)
	m.dropName(n, from)
	m.addName(n, at)
}

func (m *model) stale() {
	n := m.pick(func(n *node) bool { return !isDir(n) && len(n.names) > 0 })
	if n == nil {
		return
	}
	at := m.anyOf(n.names)
	m.note("stale %v, inode %d", at, n.in.ID)
	m.table.Stale(n.in, m.ever[at.parent].in, at.name)
	m.dropName(n, at)
	m.lost(n)
}

// addCopy makes a directory on a tier that lacks it.
func (m *model) addCopy() {
	n := m.pick(func(n *node) bool { return isDir(n) && !n.dead && n.in.ID != RootID && len(n.copies) < 3 })
	if n == nil {
		return
	}
	rank := 0
	for _, has := n.copies[rank]; has; _, has = n.copies[rank] {
		rank++
	}
	k := m.anyKey(rank)
	m.note("copy of %d on tier %d: %v", n.in.ID, rank, k)
	m.table.AddCopy(n.in, Copy{Rank: rank, Key: k})
	n.copies[rank] = k
	if rank >= m.table.Rank(n.key) {
		return
	}
	if other := m.byKey[k]; other != nil {
		m.bury(other)
	}
	delete(m.byKey, n.key)
	n.key = k
	m.byKey[k] = n
}

// path is n's path in the model, ok while it has a name up to the root.
func (m *model) path(n *node) (string, bool) {
	var names []string
	for n.in.ID != RootID {
		if len(n.names) == 0 {
			return "", false
		}
		for at := range n.names { // a directory has one
			names = append(names, at.name)
			n = m.ever[at.parent]
		}
	}
	slices.Reverse(names)
	return strings.Join(names, "/"), true
}

// check compares everything that the table tells with the model.
func (m *model) check() {
	if err := m.table.CheckInvariants(); err != nil {
		m.Error(err)
	}
	if m.table.Len() != len(m.held) {
		m.Errorf("%d inodes, want %d", m.table.Len(), len(m.held))
	}
	for id, n := range m.held {
		if m.table.Get(id) != n.in {
			m.Errorf("inode %d is not to be had", id)
		}
		m.checkNode(n)
	}
	if m.Failed() {
		m.Fatalf("after\n%s", strings.Join(m.trace, "\n"))
	}
}

func (m *model) checkNode(n *node) {
	id := n.in.ID
	if n.in.Ino != n.ino {
		m.Errorf("inode %d showed %#x, now %#x", id, n.ino, n.in.Ino)
	}
	if key, rank := m.table.Home(n.in); key != n.key || rank != m.table.Rank(n.key) {
		m.Errorf("inode %d is at home at %v, want %v", id, key, n.key)
	}
	if shown := m.table.Shown(n.key); !n.dead && shown != n.ino {
		m.Errorf("a listing shows %#x for inode %d, stat %#x", shown, id, n.ino)
	}
	parent, base, ok := m.table.Dentry(n.in)
	if ok != (len(n.names) > 0) || ok && !n.names[name{parent.ID, base}] {
		m.Errorf("inode %d is under %q (%v), want one of %v", id, base, ok, n.names)
	}
	if !isDir(n) {
		return
	}
	got, ok := m.table.Path(n.in)
	if want, wantOK := m.path(n); ok != wantOK || got != want {
		m.Errorf("the path of %d is %q %v, want %q %v", id, got, ok, want, wantOK)
	}
	copies := map[int]Key{}
	for _, c := range m.table.Copies(n.in) {
		copies[c.Rank] = c.Key
	}
	if !maps.Equal(copies, n.copies) {
		m.Errorf("the copies of %d are %v, want %v", id, copies, n.copies)
	}
}

// step does something at random.
func (m *model) step() {
	switch k := m.r.IntN(23); {
	case k < 5:
		m.lookupNew()
	case k < 9:
		m.lookupAgain()
	case k < 13:
		m.forget()
	case k < 15:
		m.removed()
	case k < 17:
		m.moved()
	case k < 18:
		m.stale()
	case k < 19:
		m.stays()
	case k < 20:
		m.hold()
	case k < 21:
		m.misses()
	case k < 22:
		m.found()
	default:
		m.addCopy()
	}
}

func TestTableAgreesWithAModel(t *testing.T) {
	for i := range uint64(12) {
		for _, narrow := range []bool{false, true} {
			seed, keep := i/2, i%2 == 1
			t.Run(fmt.Sprintf("narrow=%v,keep=%v,seed=%d", narrow, keep, seed), func(t *testing.T) {
				m := newModel(t, seed, narrow, keep)
				for range 300 {
					m.step()
					m.check()
				}
			})
		}
	}
}

func TestForgottenIDIsNeverUsedAgain(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	first := file(table, "a", k)
	id := first.ID
	if !forget(table, first, 1) || table.Get(id) != nil {
		t.Fatal("a forgotten inode is still there")
	}
	again := file(table, "a", k)
	if again.ID <= id || again.Ino != 10 {
		t.Errorf("the inode came back as %d with number %d", again.ID, again.Ino)
	}
	wantInvariants(t, table)
}

func TestRootIsNeverForgotten(t *testing.T) {
	table := newTable(2, false)
	if forget(table, table.Root(), 99) || table.Get(RootID) != table.Root() {
		t.Error("the root is gone")
	}
}

// mv d e; mkdir d in a tier, behind the mount: the kernel may hold both.
func TestDirectoryWhoseNameAnotherTookHasNone(t *testing.T) {
	table := newTable(1, false)
	old := dir(table, table.root, "d", table.testKey(0, 10))
	now := dir(table, table.root, "d", table.testKey(0, 11))
	if old == now {
		t.Fatal("two directories are one inode")
	}
	if path, ok := table.Path(old); ok {
		t.Errorf("the old one is still %q, which is another", path)
	}
	if path, ok := table.Path(now); path != "d" || !ok {
		t.Errorf("the new one is %q, %v", path, ok)
	}
	wantInvariants(t, table)
	forget(table, old, 1)
	wantInvariants(t, table)
}

// The kernel has dropped the inode that it had of a FUSE tier's directory, and has
// another now, with another number.
func TestDirectoryGoesByItsNameWhereNumbersChange(t *testing.T) {
	table := newTable(2, false)
	table.ByName(1)
	k := func(n uint64) Key { return table.testKey(1, n) }
	d, e := dir(table, table.root, "d", k(20)), dir(table, table.root, "e", k(30))
	shown := d.Ino
	if table.Renumber(d, k(30)) || !table.Renumber(d, k(21)) {
		t.Error("it does not go by its name, or has the number of another")
	}
	for _, change := range []bool{true, false} {
		if in, changed := table.FindDir(table.root, "d", k(22)); in != d || changed != change {
			t.Errorf("it is not found by its name, or changed %v, want %v", changed, change)
		}
	}
	for _, keys := range [][]Key{{k(23)}, {table.testKey(0, 10), k(24)}} { // the second time with a copy above
		if in := dir(table, table.root, "d", keys...); in != d || in.Ino != shown {
			t.Errorf("with %v it is another inode", keys)
		}
		if key, _ := table.Home(d); key != keys[0] {
			t.Errorf("its home is %v, want %v", key, keys[0])
		}
	}
	table.Leave(e, nil)
	if table.Renumber(e, k(31)) || dir(table, table.root, "e", k(32)) == e {
		t.Error("one that was removed has come back")
	}
	wantInvariants(t, table)
}

// rmdir d in the primary behind the mount, then a create in it: the directory
// is made there again, from the fallback's copy, as another backing inode.
func TestDirectoryMadeAgainAtHomeIsItsNewCopy(t *testing.T) {
	table := newTable(2, false)
	d := dir(table, table.root, "d", table.testKey(0, 10), table.testKey(1, 20))
	k := table.testKey(0, 11)
	table.AddCopy(d, Copy{Rank: 0, Key: k})
	if key, rank := table.Home(d); key != k || rank != 0 {
		t.Errorf("its home is %v, want %v", key, k)
	}
	wantInvariants(t, table)
}

// A primary that was away is back as another mount of its disk.
func TestRootIsItsNewCopy(t *testing.T) {
	table := newTable(2, false)
	shown := table.root.Ino
	k := table.testKey(0, 11)
	table.AddCopy(table.root, Copy{Rank: 0, Key: k})
	if key, rank := table.Home(table.root); key != k || rank != 0 || table.Find(k, unix.S_IFDIR) != table.root {
		t.Errorf("its home is %v, want %v", key, k)
	}
	if table.root.Ino != shown {
		t.Errorf("it shows %#x, and %#x before", table.root.Ino, shown)
	}
	wantInvariants(t, table)
}

// A directory's number was given to a file, behind the mount, while the kernel
// held the directory; a create in it then makes it on a higher tier. The file
// must stay who it is.
func TestCopyOfABuriedDirectoryLeavesItsNumbersNewOwnerAlone(t *testing.T) {
	table := newTable(3, false)
	k := table.testKey(1, 10)
	d := dir(table, table.root, "d", k, table.testKey(2, 20))
	f := file(table, "f", k)
	if f == d {
		t.Fatal("a file is a directory")
	}
	table.AddCopy(d, Copy{Rank: 0, Key: table.testKey(0, 30)})
	if again := file(table, "f", k); again != f {
		t.Errorf("the file was inode %d and is %d now", f.ID, again.ID)
	}
	wantInvariants(t, table)
	forget(table, d, 1)
	wantInvariants(t, table)
	if in := dir(table, table.root, "x", table.testKey(0, 30)); in == d {
		t.Error("a lookup gave an inode that is gone")
	}
}

// a/b exists; behind the mount b goes up and a goes into it. A process in b
// asks for a there before anybody has seen b's new place.
func TestADirectoryIsNeverPutBelowItself(t *testing.T) {
	table := newTable(1, false)
	ka := table.testKey(0, 10)
	a := dir(table, table.root, "a", ka)
	b := dir(table, a, "b", table.testKey(0, 11))
	dir(table, b, "a", ka)
	wantInvariants(t, table)
	dir(table, table.root, "b", table.testKey(0, 11))
	wantInvariants(t, table)
	if path, ok := table.Path(b); path != "b" || !ok {
		t.Errorf("b is at %q, %v", path, ok)
	}
}

func TestDirectoryInItselfIsRefused(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	a := dir(table, table.root, "a", k)
	dir(table, a, "a", k)
	wantInvariants(t, table)
}
