package inode

import "slices"

// Saw is told that k is, or just was, a copy of the directory in: what happens in
// it concerns that one. A copy that another directory has since is that one's.
func (t *Table) Saw(in *Inode, k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID.get(in.ID) == in {
		t.saw(in, k)
	}
}

// LOCKS_REQUIRED(t.mu)
func (t *Table) saw(in *Inode, k Key) {
	if t.seen[k] == in {
		return
	}
	t.seen[k] = in
	if !slices.Contains(in.extra.seen, k) {
		in.extra.seen = append(in.extra.seen, k)
	}
}

// unsee forgets the copies of a directory that goes.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) unsee(in *Inode) {
	if !in.IsDir() {
		return
	}
	for _, k := range in.extra.seen {
		if t.seen[k] == in {
			delete(t.seen, k)
		}
	}
	in.extra.seen = nil
}

// Holders are the inodes that the backing inode k belongs to: the file, or the
// directory that has it as one of its copies. They are two where the copy was
// removed and its number is another's by now; nil stands for none.
func (t *Table) Holders(k Key) [2]*Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := [2]*Inode{t.seen[k], t.byKey.get(k)}
	if all[0] == all[1] {
		all[1] = nil
	}
	return all
}

// Sub is the directory that is known as name in parent.
func (t *Table) Sub(parent *Inode, name string) *Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.subs.get(dentry{parent, name})
}

// Holds reports whether the kernel was told of the ID and has not forgotten it.
func (t *Table) Holds(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.byID.get(id)
	return in != nil && (in.lookups > 0 || in == t.root)
}

// Keys calls fn for each backing inode of in until it says no, and reports
// whether it never did.
func (t *Table) Keys(in *Inode, fn func(Key) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !in.IsDir() {
		return fn(in.key())
	}
	for rank := range in.extra.copies {
		if s := &in.extra.copies[rank]; s.present && !fn(s.key()) {
			return false
		}
	}
	return true
}

// Outer reports whether in is in its tiers' own filesystems, with all its copies: not
// in one that is mounted inside a tier, nor in one that a tier was before it came back
// as another.
func (t *Table) Outer(in *Inode) bool {
	return t.OuterKeys(in, func(Key) bool { return true })
}

// OuterKeys reports whether in is Outer, and fn says yes to each of its backing inodes.
func (t *Table) OuterKeys(in *Inode, fn func(Key) bool) bool {
	return t.Keys(in, func(k Key) bool { return k.Slot == t.root.extra.copies[t.Rank(k)].slot && fn(k) })
}

// Known is one name that the kernel may know; an inode without one has no parent.
type Known struct {
	ID     uint64
	Parent *Inode
	Name   string
	Dir    *Inode // if it is a directory
}

// Below calls fn for all names in and below the directories of roots, or for
// all, without roots. It looks at a part of the table at a time, so nobody waits
// for long; what comes in meanwhile may be left out.
func (t *Table) Below(roots []*Inode, fn func(Known)) {
	for i := range t.byID.parts {
		for _, k := range t.belowIn(i, roots) {
			fn(k)
		}
	}
}

func (t *Table) belowIn(i int, roots []*Inode) (all []Known) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, in := range t.byID.parts[i].slots {
		if in == nil {
			continue
		}
		k := Known{ID: in.ID}
		if in.IsDir() {
			k.Dir = in
		}
		add := func(d dentry) {
			if len(roots) == 0 || under(d.parent, roots) {
				k.Parent, k.Name = d.parent, d.name
				all = append(all, k)
			}
		}
		add(dentry{in.parent, in.name})
		for _, d := range in.further() {
			add(d)
		}
	}
	return all
}

// Under reports whether dir is one of roots or below one.
func (t *Table) Under(dir *Inode, roots []*Inode) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(roots) == 0 || under(dir, roots)
}

// LOCKS_REQUIRED(Table.mu)
func under(dir *Inode, roots []*Inode) bool {
	for _, root := range roots {
		if above(root, dir) {
			return true
		}
	}
	return false
}
