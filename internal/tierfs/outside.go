package tierfs

import (
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"github.com/tierfs/tierfs/internal/watch"
	"golang.org/x/sys/unix"
)

// listener hears of what others do on one filesystem.
type listener struct {
	c *coherence
	w *watch.Watch
}

// Named is told of a name that came or went in a directory.
func (l listener) Named(n watch.Name) {
	l.each(n.Dir, func(rank int, in *inode.Inode) {
		if in.IsDir() {
			l.c.named(in, rank, n)
		}
	})
}

// Changed is told of a change of a file or directory itself.
func (l listener) Changed(o watch.Object) {
	l.each(o, func(_ int, in *inode.Inode) {
		l.heard(in)
		l.c.attr(in.ID)
	})
}

// each calls fn for each inode that the kernel holds of the backing inode o, in each
// tier that is on this filesystem. It is stamped before the table is
// asked: an op that has looked at it and is not in the table yet will see that.
func (l listener) each(o watch.Object, fn func(rank int, in *inode.Inode)) {
	if o.Dev != l.w.Dev {
		return
	}
	for rank, t := range l.c.fs.Tiers() {
		if t.Dev() != l.w.Dev {
			continue
		}
		k := l.c.fs.table.Key(rank, o.Dev, o.Ino)
		l.c.stamp(l.c.keyHash(k))
		for _, in := range l.c.fs.table.Holders(k) {
			if in != nil {
				fn(rank, in)
			}
		}
	}
}

// lostAgain is for how long no more is said of lost events.
const lostAgain = time.Minute

// Lost is told that events are missing.
func (l listener) Lost() {
	c := l.c
	now, last := time.Now().UnixNano(), c.lost.Load()
	if (last == 0 || now-last > int64(lostAgain)) && c.lost.CompareAndSwap(last, now) {
		c.fs.log.Info("more changes in the tiers than could be kept track of; everything is looked up anew, and what follows of this kind within a minute is not told")
	}
	c.everything()
}

// Ended is told that there will be no more.
func (l listener) Ended(err error) { l.c.end(err) }

// named deals with a name that has changed in d's directory on the tier with
// rank.
//
// Of a directory that is known under the name, this copy may be new, or gone. The
// descriptor and the absence that are known of it are dropped; a new one is known
// at once, so that what happens in it next is heard. What is below is in doubt if
// the copy came or went with content, or if it is a file, which ends the merging.
func (c *coherence) named(d *inode.Inode, rank int, n watch.Name) {
	if c.fs.hidden(d, n.Name) {
		return
	}
	c.stamp(c.nameHash(d, n.Name))
	c.relisted(d)
	sub := c.fs.table.Sub(d, n.Name)
	if sub == nil {
		c.orders.entry(d, n.Name)
		return
	}
	var st unix.Stat_t
	if n.IsDir() && n.Came() && c.fs.statAt(d, rank, n.Name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		c.fs.table.Saw(sub, c.fs.table.Key(rank, st.Dev, st.Ino))
	}
	c.fs.dirs.Drop(sub, rank)
	if n.Moved() || !n.IsDir() || n.Orphaned {
		c.below(sub)
	}
	c.orders.again(d, n.Name, sub)
}

// A file that a client has open for writing in passthrough is soon left out of the
// watch: each event costs a write of a page half its time. To begin and to end that
// costs more than the event of a file that is written in one go, so it begins
//
//   - when the watch tells of the file for the second time,
//   - when it loses its last name, as it is not told of any more then,
//   - at once if many files are written that the watch still tells of: who writes to
//     more of them than the queue holds has everything looked up anew.
//
// It ends with the last handle that writes. The attributes have their timeout as long as
// the file is open (attrs), and those that the kernel has from before are taken
// back at an open for writing.

// loudMost is how many files are many.
const loudMost = 64

// written is told of an open for writing in passthrough.
//
// LOCKS_REQUIRED(Inode.Mu)
func (c *coherence) written(o *inode.Opened) {
	if o.Writers++; o.Writers == 1 && c.loud.Add(1) > loudMost {
		c.hush(o, c.watchOf(o.File.Tier))
	}
}

// heard is called when the watch tells of a file. It goes by its own watch, as coherence.mu
// may be held over a tier.
func (l listener) heard(in *inode.Inode) {
	ifOpen(in, func(o *inode.Opened) {
		if o.Heard {
			l.c.hush(o, l.w)
		}
		o.Heard = o.Writers > 0
	})
}

// nameless is called when a file has lost its last name.
func (c *coherence) nameless(in *inode.Inode) {
	ifOpen(in, func(o *inode.Opened) { c.hush(o, c.watchOf(o.File.Tier)) })
}

// ifOpen runs fn if clients have the file open and nobody has it locked, who may wait
// for a disk: the watch must not, and what is missed only costs time.
func ifOpen(in *inode.Inode, fn func(o *inode.Opened)) {
	if !in.InUse() || !in.Mu.TryLock() {
		return
	}
	defer in.Mu.Unlock()
	if o := in.Opened(); o != nil {
		fn(o)
	}
}

// hush leaves out what is written to a file from now on; if that fails, it is not
// tried again. A file that has a name on two tiers of one filesystem is two inodes,
// of which the other may not be open.
//
// LOCKS_REQUIRED(Inode.Mu)
func (c *coherence) hush(o *inode.Opened, w *watch.Watch) {
	if o.Writers == 0 || o.Quiet || w == nil || c.shared(o.File) {
		return
	}
	o.Quiet = true
	c.loud.Add(-1)
	_ = w.Ignore(o.File.FD)
}

// shared reports whether a file has several names, and another tier may have one.
func (c *coherence) shared(f *tier.File) bool {
	for _, t := range c.fs.Tiers() {
		if t != f.Tier && t.Dev() == f.Tier.Dev() {
			var st unix.Stat_t
			return f.Stat(&st) != nil || st.Nlink > 1
		}
	}
	return false
}

// closed is told of the close of a handle that writes; with the last the file is
// watched again. What others wrote until then made no event, so that the kernel is
// told once, of a name on another tier too. And it must not be missed by who has
// asked for the attributes before and answers after: he may find the file closed, and
// would answer for long.
//
// LOCKS_REQUIRED(in.Mu)
func (c *coherence) closed(in *inode.Inode, o *inode.Opened) {
	if o.Writers--; o.Writers > 0 {
		return
	}
	quiet := o.Quiet
	o.Heard, o.Quiet = false, false
	c.stampInode(in)
	if !quiet {
		c.loud.Add(-1)
		return
	}
	w := c.watchOf(o.File.Tier)
	if w == nil {
		return
	}
	_ = w.Heed(o.File.FD) // the mark may be gone by itself
	var st unix.Stat_t
	if o.File.Stat(&st) == nil {
		listener{c, w}.each(watch.Object{Dev: st.Dev, Ino: st.Ino}, func(_ int, in *inode.Inode) { c.attr(in.ID) })
	}
}

// private leaves out what happens in a directory of our own, which no client sees.
func (c *coherence) private(d *tier.Dir) {
	if w := c.watchOf(d.Tier); w != nil {
		_ = w.IgnoreIn(d.FD()) // before Linux 6.0 it is read for nothing
	}
}

func (c *coherence) watchOf(t *tier.Tier) *watch.Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches[t.Dev()]
}

// renew is told that we have changed a name in d of our own accord.
func (c *coherence) renew(d *inode.Inode, name string) {
	if c.on.Load() {
		c.stamp(c.nameHash(d, name))
		c.relisted(d)
		c.orders.entry(d, name)
	}
}

// made is told that a tier has the directory in, of parent, too now, made by us: the
// watch leaves our own changes out, and the kernel does not know of this one. Who
// was quicker than AddCopy and has put something into it was not heard.
func (c *coherence) made(parent, in *inode.Inode, d *tier.Dir) {
	if !c.on.Load() {
		return
	}
	c.relisted(parent)
	c.attr(in.ID)
	if empty, err := isEmpty(d, "."); err != nil || !empty {
		c.below(in)
	}
}

// again looks a name up that is, or was, that of the directory sub, as a client
// would: so the table learns of its copies. If it is the same directory still, or
// may be, on a tier that is away, its name stays where it is in the kernel, with
// those who are in it and what is mounted below.
func (c *coherence) again(d *inode.Inode, name string, sub *inode.Inode) {
	in, _, err := c.fs.lookUp(d, name)
	if err == nil {
		defer c.fs.forget(in.ID, 1)
	}
	c.attr(sub.ID)
	if err == nil && in == sub || err != nil && !absent(err) {
		c.kernel.ExpireEntry(d.ID, name)
	} else {
		c.kernel.InvalEntry(d.ID, name)
	}
}
