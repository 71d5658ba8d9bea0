package inode

import (
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// addDentry records that name in parent leads to in. A directory has one name;
// a file may have several.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) addDentry(in, parent *Inode, name string) {
	if parent == nil || in == t.root { // an unnamed file, or a directory loop out of band
		return
	}
	switch {
	case in.parent == parent && in.name == name:
		return
	case in.IsDir():
		if in != parent && (in.extra.subs == 0 || !above(in, parent)) {
			t.nameDir(in, parent, name)
		} // else directories were moved into each other out of band: the kernel says ELOOP
		return
	case in.parent == nil:
	case slices.Contains(in.further(), dentry{parent, name}):
		return
	default:
		in.setFurther(append(in.further(), dentry{in.parent, in.name}))
	}
	t.setName(in, parent, name)
}

// setName makes a name the first one of in, nil and "" for none.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) setName(in, parent *Inode, name string) {
	if in.parent != parent && t.byID.get(in.ID) == in {
		if in.parent != nil {
			in.parent.extra.kids--
		}
		if parent != nil {
			parent.extra.kids++
		}
	}
	in.parent, in.name = parent, name
}

// nameDir gives a directory its name, which it takes from another.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) nameDir(in, parent *Inode, name string) {
	if in.parent != nil {
		t.unnameDir(in)
	}
	if was := t.subs.get(dentry{parent, name}); was != nil {
		t.unnameDir(was)
		t.setName(was, nil, "")
		t.dropLost(was)
	}
	t.setName(in, parent, name)
	t.subs.put(in)
	parent.extra.subs++
}

// unnameDir takes a directory out of subs, if its name still leads to it.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) unnameDir(in *Inode) {
	if t.subs.remove(in) {
		in.parent.extra.subs--
	}
}

// dropDentry forgets that name in parent leads to in.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) dropDentry(in, parent *Inode, name string) {
	others := slices.DeleteFunc(in.further(), func(d dentry) bool { return d.parent == parent && d.name == name })
	if in.parent == parent && in.name == name {
		if in.IsDir() {
			t.unnameDir(in)
		}
		first := dentry{}
		if n := len(others); n > 0 {
			first, others = others[n-1], others[:n-1]
		}
		t.setName(in, first.parent, first.name)
	}
	in.setFurther(others)
	t.dropLost(in)
}

// dropLost removes an inode whose last name is gone and which the kernel does
// not hold. One that is being removed (Leave) holds a descriptor, and Forget
// removes it.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) dropLost(in *Inode) {
	if in.parent == nil && in.lookups == 0 && !in.dead {
		t.kill(in)
		t.drop(in)
	}
}

// Ancestors are the directories dirs and all above them but the root, which
// never moves, each once.
func (t *Table) Ancestors(dirs []*Inode) []*Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*Inode
	var seen map[*Inode]bool
	for i, in := range dirs {
		if i == 1 { // a path may be very deep: no search in a list for each directory
			seen = make(map[*Inode]bool, len(all))
			for _, in := range all {
				seen[in] = true
			}
		}
		for ; in != nil && in != t.root && !seen[in]; in = in.parent {
			all = append(all, in)
			if seen != nil {
				seen[in] = true
			}
		}
	}
	return all
}

// above reports whether in is dir or one of the directories above it.
//
// LOCKS_REQUIRED(t.mu)
func above(in, dir *Inode) bool {
	for ; dir != nil; dir = dir.parent {
		if dir == in {
			return true
		}
	}
	return false
}

// Dentry is one name of the inode; ok is false when none is known.
func (t *Table) Dentry(in *Inode) (parent *Inode, name string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return in.parent, in.name, in.parent != nil
}

// Named reports whether the kernel was told that name in parent leads to in.
func (t *Table) Named(in, parent *Inode, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return in.parent == parent && in.name == name || slices.Contains(in.further(), dentry{parent, name})
}

// Elsewhere is the live inode of the backing inode k if it is known under
// names, but not under this one, and when the kernel was first told of it, to
// within a tick or two.
func (t *Table) Elsewhere(k Key, parent *Inode, name string) (in *Inode, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in = t.byKey.get(k)
	if in == nil || in.parent == nil || in.parent == parent && in.name == name || slices.Contains(in.further(), dentry{parent, name}) {
		return nil, time.Time{}
	}
	return in, t.begun.Add(time.Duration(in.since+2) * tick)
}

// Stale drops a name that turned out to lead elsewhere.
func (t *Table) Stale(in, parent *Inode, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropDentry(in, parent, name)
}

// Find is the live inode of a backing inode, nil if the kernel holds none. mode tells
// the type: an inode of another has lost its number out of band, or has it since the
// caller looked.
func (t *Table) Find(k Key, mode uint32) *Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live(k, mode)
}

// live is Find for those who have the lock.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) live(k Key, mode uint32) *Inode {
	if in := t.byKey.get(k); in != nil && in.Is(mode) {
		return in
	}
	return nil
}

// FindDir is Find for a directory that name in parent leads to, and reports whether it had
// another number before.
func (t *Table) FindDir(parent *Inode, name string, k Key) (in *Inode, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.live(k, unix.S_IFDIR); in != nil {
		return in, false
	}
	if in := t.subs.get(dentry{parent, name}); in != nil && t.renumber(in, k) {
		return in, true
	}
	return nil, false
}

// Known are the directories that name in parent and the backing inode k stand
// for. They may be two while the one is replaced by the other.
func (t *Table) Known(parent *Inode, name string, k Key) (dirs []*Inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.byKey.get(k); in != nil && in.IsDir() {
		dirs = append(dirs, in)
	}
	if in := t.subs.get(dentry{parent, name}); in != nil && !slices.Contains(dirs, in) {
		dirs = append(dirs, in)
	}
	return dirs
}

// Leave is told that the file or directory in is about to lose its last name.
// From then on its backing number may belong to a new file at once (ext4 does
// that), so it leads to in no more. file, if not nil, is a descriptor of it: a
// client that has looked the name up but not opened the file, or has it open
// with O_PATH, still reaches it through that until the kernel forgets in.
func (t *Table) Leave(in *Inode, file *tier.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kill(in)
	if t.gone(in) == nil {
		in.setGone(file)
	} else if file != nil {
		file.Close()
	}
}

// Stay takes Leave back: the name could not be removed. The descriptor is for
// the caller to close.
func (t *Table) Stay(in *Inode) (file *tier.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file = in.setGone(nil)
	if !in.dead || t.byKey.get(in.key()) != nil {
		return file
	}
	in.dead = false
	t.byKey.put(in)
	t.keepNumber(in)
	return file
}

// Lost is told that in's file is not where it was. If the kernel does not hold
// the inode, it is gone.
func (t *Table) Lost(in *Inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.lookups == 0 {
		t.bury(in)
	}
}

// Removed is told that name in parent does not lead to in any more.
func (t *Table) Removed(in, parent *Inode, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropDentry(in, parent, name)
}

// Gone is the descriptor from Leave, nil without one.
func (t *Table) Gone(in *Inode) *tier.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gone(in)
}

// LOCKS_REQUIRED(t.mu)
func (t *Table) gone(in *Inode) *tier.File {
	if in.extra == nil {
		return nil
	}
	return in.extra.gone
}

// Moved is told that the backing inode k went from one name to another. mode tells
// the type.
func (t *Table) Moved(parent *Inode, name string, newParent *Inode, newName string, k Key, mode uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.live(k, mode)
	if in == nil {
		return
	}
	in.lookups++ // it is to outlive the moment without a name
	t.dropDentry(in, parent, name)
	t.addDentry(in, newParent, newName)
	in.lookups--
}

// Path is the inode's path in the mount without a leading slash, "" for the
// root; ok is false when it has no name.
//
// It may be out of date at once unless the directories above are pinned.
func (t *Table) Path(in *Inode) (path string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	size := 0
	for ; in != t.root; in = in.parent {
		if in.parent == nil || len(names) > 1<<16 {
			return "", false
		}
		names = append(names, in.name)
		size += len(in.name) + 1
	}
	if len(names) == 0 {
		return "", true
	}
	b := make([]byte, 0, size)
	for _, name := range slices.Backward(names) {
		b = append(append(b, name...), '/')
	}
	return string(b[:len(b)-1]), true
}
