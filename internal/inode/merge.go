package inode

import "golang.org/x/sys/unix"

// Copies are the tiers that had the directory when it was last looked up, the
// highest first.
func (t *Table) Copies(in *Inode) []Copy {
	return t.AppendCopies(nil, in)
}

// AppendCopies is Copies after c.
func (t *Table) AppendCopies(c []Copy, in *Inode) []Copy {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rank := range in.extra.copies { // by index: what DirCache guards is not to be read here
		if s := &in.extra.copies[rank]; s.present {
			c = append(c, Copy{Rank: rank, Key: s.key()})
		}
	}
	return c
}

// HasCopy reports whether k was a copy of the directory when it was last looked up.
func (t *Table) HasCopy(in *Inode, k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hasCopy(in, k)
}

// LOCKS_REQUIRED(t.mu)
func (t *Table) hasCopy(in *Inode, k Key) bool {
	s := &in.extra.copies[t.Rank(k)]
	return s.present && t.sameCopy(s.key(), k)
}

// AddCopy records that a tier has the directory now; as the highest copy it
// becomes the directory's identity.
func (t *Table) AddCopy(in *Inode, c Copy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &in.extra.copies[c.Rank]
	s.set(c.Key)
	t.saw(in, c.Key)
	if !in.dead && c.Rank <= t.Rank(in.key()) {
		t.rekey(in, c.Key)
	}
}

// Last fills in the merged attributes of a directory as they were last shown, and
// reports whether they ever were.
func (t *Table) Last(in *Inode, st *unix.Stat_t) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.extra.last == nil {
		return false
	}
	*st = *in.extra.last
	return true
}

// SetLast keeps the merged attributes.
func (t *Table) SetLast(in *Inode, st *unix.Stat_t) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.extra.last == nil {
		in.extra.last = new(unix.Stat_t)
	}
	*in.extra.last = *st
}
