package inode

import "fmt"

// CheckInvariants reports the first invariant of the table that does not hold.
// Tests call it after every step, and a daemon built with the tag invariants
// after every operation; it looks at everything.
func (t *Table) CheckInvariants() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for in := range t.byID.all() {
		if err := t.checkInode(in); err != nil {
			return fmt.Errorf("inode %d: %w", in.ID, err)
		}
	}
	for in := range t.byKey.all() {
		if in.dead || t.byID.get(in.ID) != in {
			return fmt.Errorf("inode %d: is under key %v, dead: %v", in.ID, in.key(), in.dead)
		}
	}
	below := map[*Inode]int{}
	for in := range t.subs.all() {
		below[in.parent]++
		if !in.IsDir() || t.byID.get(in.ID) != in {
			return fmt.Errorf("inode %d: is under the name %q of a directory", in.ID, in.name)
		}
	}
	kids := map[*Inode]int{}
	for in := range t.byID.all() {
		kids[in.parent]++
	}
	for in := range t.byID.all() {
		if in.IsDir() && (int(in.extra.subs) != below[in] || int(in.extra.kids) != kids[in]) {
			return fmt.Errorf("inode %d: counts %d directories below and %d kids, %d and %d are", in.ID, in.extra.subs, in.extra.kids, below[in], kids[in])
		}
	}
	return t.checkNumbers()
}

// checkInode looks at one inode and its place in the table.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkInode(in *Inode) error {
	switch {
	case t.byID.get(in.ID) != in || in.ID > t.next:
		return fmt.Errorf("is not under its ID; the newest is %d", t.next)
	case in.lookups == 0 && !t.keep:
		return fmt.Errorf("has no lookups")
	case in.lookups == 0 && in.parent == nil && !in.dead:
		return fmt.Errorf("has neither lookups nor a name")
	case !in.dead && t.byKey.get(in.key()) != in:
		return fmt.Errorf("key %v leads elsewhere", in.key())
	case !in.IsDir() && in.extra != nil && in.extra.names == nil && in.extra.gone == nil:
		return fmt.Errorf("has room for what it has not")
	case in.parent == nil && len(in.further()) > 0:
		return fmt.Errorf("has %d further names but no first", len(in.further()))
	case in.IsDir():
		return t.checkDir(in)
	}
	seen := map[dentry]bool{{in.parent, in.name}: true}
	for _, d := range in.further() {
		if d.parent == nil || seen[d] {
			return fmt.Errorf("name %q is doubled or nowhere", d.name)
		}
		seen[d] = true
	}
	return nil
}

// checkDir looks at a directory's name, its subdirectories and its copies.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkDir(in *Inode) error {
	if len(in.further()) > 0 {
		return fmt.Errorf("a directory with %d further names", len(in.further()))
	}
	if in.parent != nil && t.subs.get(dentry{in.parent, in.name}) != in {
		return fmt.Errorf("is not under its name %q in directory %d", in.name, in.parent.ID)
	}
	for up, n := in.parent, 0; up != nil; up, n = up.parent, n+1 {
		if n > 1<<16 {
			return fmt.Errorf("its parents go round in a circle")
		}
	}
	return t.checkCopies(in)
}

// checkCopies holds a directory's copies to their tiers, and its identity to
// be one of them.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkCopies(in *Inode) error {
	if len(in.extra.copies) != len(t.root.extra.copies) {
		return fmt.Errorf("has room for %d copies", len(in.extra.copies))
	}
	own := false
	for rank := range in.extra.copies { // by index: what DirCache guards is not to be read here
		s := &in.extra.copies[rank]
		if !s.present {
			continue
		}
		if t.Rank(s.key()) != rank {
			return fmt.Errorf("its copy on tier %d has a key of tier %d", rank, t.Rank(s.key()))
		}
		own = own || s.key() == in.key()
	}
	if !own && !in.dead {
		return fmt.Errorf("no copy has its key %v", in.key())
	}
	return nil
}

// checkNumbers holds the numbers shown to be distinct, and kept to a recount.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkNumbers() error {
	shown := make(map[uint64]*Inode, t.byID.len())
	kept := 0
	for in := range t.byID.all() {
		if other := shown[in.Ino]; other != nil {
			return fmt.Errorf("inodes %d and %d both show %#x", in.ID, other.ID, in.Ino)
		}
		shown[in.Ino] = in
		want := t.narrow || in.dead || in.Ino != natural(in.key())
		if is := t.kept.get(in.Ino) == in; is != want {
			return fmt.Errorf("inode %d shows %#x, kept: %v", in.ID, in.Ino, is)
		}
		if want {
			kept++
		}
	}
	if kept != t.kept.len() {
		return fmt.Errorf("%d numbers are kept, a recount gives %d", t.kept.len(), kept)
	}
	return nil
}
