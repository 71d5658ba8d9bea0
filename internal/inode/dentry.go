package inode

import (
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
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
	case in.dir != nil && (in == parent || len(in.dir.sub) > 0 && above(in, parent)):
		return // directories were moved into each other out of band: the kernel says ELOOP
	case in.parent == nil:
	case in.dir != nil:
		if in.parent.dir.sub[in.name] == in {
			delete(in.parent.dir.sub, in.name)
		}
	default:
		if !slices.Contains(in.more, dentry{parent, name}) {
			in.more = append(in.more, dentry{in.parent, in.name})
			in.more = slices.DeleteFunc(in.more, func(d dentry) bool { return d.parent == parent && d.name == name })
		} else {
			return
		}
	}
	in.parent, in.name = parent, name
	if in.dir != nil {
		if was := parent.dir.sub[name]; was != nil && was != in {
			was.parent, was.name = nil, "" // another directory has its name now
			t.dropLost(was)
		}
		if parent.dir.sub == nil {
			parent.dir.sub = map[string]*Inode{}
		}
		parent.dir.sub[name] = in
	}
}

// dropDentry forgets that name in parent leads to in.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) dropDentry(in, parent *Inode, name string) {
	if in.parent == parent && in.name == name {
		if in.dir != nil && parent.dir.sub[name] == in {
			delete(parent.dir.sub, name)
		}
		in.parent, in.name = nil, ""
		if n := len(in.more); n > 0 {
			in.parent, in.name = in.more[n-1].parent, in.more[n-1].name
			in.more = in.more[:n-1]
		}
		t.dropLost(in)
		return
	}
	in.more = slices.DeleteFunc(in.more, func(d dentry) bool { return d.parent == parent && d.name == name })
	if len(in.more) == 0 {
		in.more = nil
	}
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
	return in.parent == parent && in.name == name || slices.Contains(in.more, dentry{parent, name})
}

// Elsewhere is the live inode of the backing inode k if it is known under
// names, but not under this one, and when the kernel was first told of it, to
// within a tick or two.
func (t *Table) Elsewhere(k Key, parent *Inode, name string) (in *Inode, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in = t.byKey[k]
	if in == nil || in.parent == nil || in.parent == parent && in.name == name || slices.Contains(in.more, dentry{parent, name}) {
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

// Find is the live inode of a backing inode, nil if the kernel holds none.
func (t *Table) Find(k Key) *Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[k]
}

// Known are the directories that name in parent and the backing inode k stand
// for. They may be two while the one is replaced by the other.
func (t *Table) Known(parent *Inode, name string, k Key) (dirs []*Inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.byKey[k]; in != nil && in.dir != nil {
		dirs = append(dirs, in)
	}
	if in := parent.dir.sub[name]; in != nil && !slices.Contains(dirs, in) {
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
	if in.gone == nil {
		in.gone, file = file, nil
	}
	if file != nil {
		file.Close()
	}
}

// Stay takes Leave back: the name could not be removed. The descriptor is for
// the caller to close.
func (t *Table) Stay(in *Inode) (file *tier.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, in.gone = in.gone, nil
	if !in.dead || t.byKey[in.key] != nil {
		return file
	}
	t.release(in)
	in.dead = false
	t.byKey[in.key] = in
	if t.narrow || in.Ino != natural(in.key) {
		t.kept[in.Ino]++
	}
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
	return in.gone
}

// Moved is told that the backing inode k went from one name to another. A
// directory may be known under a lower copy: the highest was made out of band
// and is not looked up yet.
func (t *Table) Moved(parent *Inode, name string, newParent *Inode, newName string, k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.byKey[k]
	if in == nil {
		in = parent.dir.sub[name]
	}
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
