package inode

import (
	"fmt"
	"maps"
)

// CheckInvariants reports the first invariant of the table that does not hold.
// Tests call it after every step, and a daemon built with the tag invariants
// after every operation; it looks at everything.
func (t *Table) CheckInvariants() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, in := range t.byID {
		if err := t.checkInode(id, in); err != nil {
			return fmt.Errorf("inode %d: %w", id, err)
		}
	}
	for key, in := range t.byKey {
		if in.dead || in.key != key || t.byID[in.ID] != in {
			return fmt.Errorf("inode %d: is under key %v, has %v, dead: %v", in.ID, key, in.key, in.dead)
		}
	}
	return t.checkNumbers()
}

// checkInode looks at one inode and its place in the table.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkInode(id uint64, in *Inode) error {
	switch {
	case in.ID != id || id > t.next:
		return fmt.Errorf("has the ID %d, the newest is %d", in.ID, t.next)
	case in.lookups == 0 && !t.keep:
		return fmt.Errorf("has no lookups")
	case in.lookups == 0 && in.parent == nil && !in.dead:
		return fmt.Errorf("has neither lookups nor a name")
	case !in.dead && t.byKey[in.key] != in:
		return fmt.Errorf("key %v leads elsewhere", in.key)
	case in.IsDir() != (in.dir != nil):
		return fmt.Errorf("type %o and directory state %v do not agree", in.Type, in.dir)
	case in.parent == nil && len(in.more) > 0:
		return fmt.Errorf("has %d further names but no first", len(in.more))
	case in.dir != nil:
		return t.checkDir(in)
	}
	seen := map[dentry]bool{{in.parent, in.name}: true}
	for _, d := range in.more {
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
	if len(in.more) > 0 {
		return fmt.Errorf("a directory with %d further names", len(in.more))
	}
	if in.parent != nil && in.parent.dir.sub[in.name] != in {
		return fmt.Errorf("is not under its name %q in directory %d", in.name, in.parent.ID)
	}
	for name, c := range in.dir.sub {
		if c.parent != in || c.name != name || t.byID[c.ID] != c {
			return fmt.Errorf("its subdirectory %q is inode %d, whose name is %q", name, c.ID, c.name)
		}
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
	if len(in.dir.copies) != len(t.root.dir.copies) {
		return fmt.Errorf("has room for %d copies", len(in.dir.copies))
	}
	own := false
	for rank := range in.dir.copies { // by index: what DirCache guards is not to be read here
		s := &in.dir.copies[rank]
		if !s.present {
			continue
		}
		if t.Rank(s.key) != rank {
			return fmt.Errorf("its copy on tier %d has a key of tier %d", rank, t.Rank(s.key))
		}
		own = own || s.key == in.key
	}
	if !own && !in.dead {
		return fmt.Errorf("no copy has its key %v", in.key)
	}
	return nil
}

// checkNumbers holds the numbers shown to be distinct, and kept to a recount.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) checkNumbers() error {
	shown := make(map[uint64]*Inode, len(t.byID))
	kept := map[uint64]int{}
	for _, in := range t.byID {
		if other := shown[in.Ino]; other != nil {
			return fmt.Errorf("inodes %d and %d both show %#x", in.ID, other.ID, in.Ino)
		}
		shown[in.Ino] = in
		if t.narrow || in.dead || in.Ino != natural(in.key) {
			kept[in.Ino]++
		}
	}
	if !maps.Equal(kept, t.kept) {
		return fmt.Errorf("kept is %v, a recount gives %v", t.kept, kept)
	}
	return nil
}
