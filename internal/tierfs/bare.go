package tierfs

import "github.com/tierfs/tierfs/internal/inode"

// A client who looks at what he lists is better off with rows that have attributes, for
// which he would have to ask us. So one who looks up several files of a directory in the
// order of its listing has the kernel drop all those of which it knows but names.
const (
	lookedMost = 8  // files
	lookedSkip = 16 // rows that the kernel may know, or that are directories
)

// looked is told that a client has looked up a file.
func (k *kept) looked(dir *inode.Inode, name string) {
	if k.bare.Load() > 0 && k.inOrder(dir, name) {
		k.fs.coherence.orders.lists(k.allBare())
	}
}

// inOrder reports whether that is one of several in order.
func (k *kept) inOrder(dir *inode.Inode, name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[dir]
	if d == nil || !d.bare || d.list == nil {
		return false
	}
	for i := int(d.next); i < min(int(d.next)+lookedSkip, d.list.len()); i++ {
		if string(d.list.raw(d.list.row(i))) == name {
			d.next, d.hits = int32(i+1), d.hits+1
			return d.hits >= lookedMost
		}
	}
	d.next, d.hits = 0, 0
	return false
}

// allBare are the directories that are bare, which they are not any more.
func (k *kept) allBare() []*inode.Inode {
	return k.pick(func(d *keptDir) bool {
		bare := d.bare
		k.setBare(d, false)
		return bare
	})
}

// LOCKS_REQUIRED(k.mu)
func (k *kept) setBare(d *keptDir, bare bool) {
	switch {
	case bare && !d.bare:
		k.bare.Add(1)
	case d.bare && !bare:
		k.bare.Add(-1)
	}
	d.bare, d.next, d.hits = bare, 0, 0
}
