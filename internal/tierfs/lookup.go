package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

func (fs *FS) lookup(r *fusedev.Request, op *fusedev.LookupOp) error {
	if op.Name == "." || op.Name == ".." {
		return fs.lookupNode(r, op.Parent, op.Name == "..")
	}
	p, err := fs.getDir(op.Parent)
	if err != nil {
		return err
	}
	if fs.hidden(p, op.Name) {
		return unix.ENOENT
	}
	since, at := fs.coherence.now(), entryName{p, op.Name}
	var f found
	var spare *inode.Inode
	in, err := fs.look(p, op.Name, &f, func(began uint64) error {
		return fs.resolve(p, op.Name, &f, func() {
			if spare == nil {
				spare = fs.spareEntry(r, p, op.Name, &f, began)
			}
		})
	})
	if err == nil {
		if !in.IsDir() {
			fs.habits.looked(r.PID, p)
			fs.kept.looked(p, op.Name)
		}
		fs.tellEntry(r, in, spare, &f.st, at, f.holds(since))
		return nil
	}
	if e := fs.negative(at, since); err == unix.ENOENT && e.EntryTTL > 0 {
		r.Entry(&e)
		fs.coherence.confirm(e, nil, at, since)
	} else {
		r.Fail(err)
	}
	if spare != nil && !r.SpareSent() {
		fs.forget(spare.ID, 1)
	}
	return nil
}

// look counts a lookup of what resolve finds under name in p. A directory that
// is renamed, removed or made on a tier meanwhile is asked for again, and a file
// that changes its home.
func (fs *FS) look(p *inode.Inode, name string, f *found, resolve func(began uint64) error) (in *inode.Inode, err error) {
	at := entryName{p, name}
	since := fs.coherence.now()
	defer func() {
		// The table may know less of the directory by now than before the change.
		if in != nil && in.IsDir() && since > 0 && fs.coherence.since(fs.coherence.nameHash(p, name), since) {
			fs.dirs.DropAll(in)
			fs.coherence.orders.again(p, name, in)
		}
	}()
	for {
		began, taken := fs.moves.count(p), fs.names.count(at)
		err := resolve(began)
		if err != nil && !absent(err) {
			return nil, err
		}
		if err == nil {
			fs.recall(p, name, f)
		}
		if err != nil || !f.isDir() {
			if fs.names.enter(at, taken, func() {
				if err == nil {
					in = fs.tell(p, name, f)
				}
			}) {
				return in, err
			}
			fs.names.await(at)
			continue
		}
		key := f.copies[0].Key
		if fs.moves.enter(p, name, key, began, func() { in = fs.tell(p, name, f) }) {
			return in, nil
		}
		fs.moves.await(p, name, key)
	}
}

// lookupNode serves LOOKUP of "." and "..", which the kernel sends when it is
// given a handle of an inode that it has forgotten (fuse_get_dentry,
// fuse_get_parent): the inode itself, and the directory above it.
func (fs *FS) lookupNode(r *fusedev.Request, id uint64, up bool) error {
	in, err := fs.get(id)
	if err != nil {
		return err
	}
	if up {
		in, _, _ = fs.table.Dentry(in)
	}
	if in == nil || !fs.table.Hold(in) {
		return unix.ESTALE
	}
	var st unix.Stat_t
	err = fs.stat(nil, in, &st)
	if err == nil && st.Nlink == 0 || absent(err) {
		err = unix.ESTALE
	}
	if err != nil {
		fs.forget(in.ID, 1)
		if err == unix.ESTALE {
			fs.table.Lost(in)
		}
		return err
	}
	fs.tellEntry(r, in, nil, &st, entryName{}, 0)
	return nil
}

// tellEntry answers with an entry for what a name was found to mean at a moment.
func (fs *FS) tellEntry(r *fusedev.Request, in, spare *inode.Inode, st *unix.Stat_t, at entryName, since moment) {
	var e fusedev.Entry
	fs.answer(r, in, spare, func() bool {
		e = fs.entry(in, st, at, since)
		return r.Entry(&e)
	})
	fs.coherence.confirm(e, in, at, since)
}

// negative is what the kernel is told of a name that no tier had at a moment. It
// is noted before it is judged: a sweep that comes in between takes it back.
func (fs *FS) negative(at entryName, since moment) fusedev.Entry {
	e := fusedev.Entry{EntryTTL: fs.options.Load().NegativeTTL}
	if since > 0 {
		fs.coherence.negatives.add(at.parent, at.name)
	}
	if fs.coherence.nameHolds(at, since) {
		e.EntryTTL = keepFor
	}
	return e
}

// spareEntry leaves what is known of a directory with the watchdog, while its
// lower tiers are asked. The lookup that it counts is the kernel's if it is
// sent. There is none, and no inode, for a directory that is being moved; nor if
// one was made above the one that the name led to so far: that it is the same
// one, only the lower tiers can tell.
func (fs *FS) spareEntry(r *fusedev.Request, p *inode.Inode, name string, f *found, began uint64) (in *inode.Inode) {
	key := f.copies[0].Key
	if fs.table.Covered(p, name, key) {
		return nil
	}
	if !fs.moves.enter(p, name, key, began, func() {
		var changed []int
		var doubt bool
		in, changed, doubt = fs.table.Lookup(p, name, f.st.Mode, f.copies, false)
		fs.changedCopies(in, changed, doubt)
	}) {
		return nil
	}
	st := f.st
	fs.table.Last(in, &st)
	e := fs.entry(in, &st, entryName{}, 0)
	r.SpareEntry(&e)
	return in
}

// answer sends an entry for in and keeps the lookup counts right: the kernel
// has taken a lookup of in, or of the spare, or none when its client is gone.
func (fs *FS) answer(r *fusedev.Request, in, spare *inode.Inode, send func() bool) {
	taken := send()
	if spared := r.SpareSent(); spared || !taken {
		fs.forget(in.ID, 1)
		if spared {
			return
		}
	}
	if spare != nil {
		fs.forget(spare.ID, 1)
	}
}

// admit finds or makes the inode of what was found and counts one lookup.
func (fs *FS) admit(p *inode.Inode, name string, f *found) *inode.Inode {
	fs.recall(p, name, f)
	return fs.tell(p, name, f)
}

// recall asks the tier for what the table needs to know of what was found: its
// life, where IDs are kept, and whether an inode lost its file out of band.
func (fs *FS) recall(p *inode.Inode, name string, f *found) {
	if fs.export && p != nil {
		f.copies[0].Life = fs.life(p, name, f.rank)
	}
	if p != nil && !f.isDir() && f.st.Nlink == 1 {
		fs.disown(p, name, f)
	}
}

// tell is admit without a question to a tier.
func (fs *FS) tell(p *inode.Inode, name string, f *found) *inode.Inode {
	in, changed, doubt := fs.table.Lookup(p, name, f.st.Mode, f.copies, !f.partial)
	if !in.IsDir() {
		return in
	}
	fs.changedCopies(in, changed, doubt)
	if f.partial {
		fs.coherence.stampInode(in)
		fs.showLast(in, &f.st)
		return in
	}
	if len(f.copies) > 1 {
		fs.table.SetLast(in, &f.st)
	}
	next := 0
	for rank := range fs.Tiers() {
		if next < len(f.copies) && f.copies[next].Rank == rank {
			fs.dirs.Present(in, rank) // it was not to be found while it had another name, out of band
			next++
		} else {
			fs.dirs.Drop(in, rank) // it may be of a directory that had the name before
			fs.dirs.Absent(in, rank)
		}
	}
	return in
}

// life tells what a name leads to from what had its number before: an ID that
// is kept for long outlives files that are removed out of band.
func (fs *FS) life(p *inode.Inode, name string, rank int) uint32 {
	d, err := fs.dir(p, rank)
	if err != nil {
		return 0
	}
	defer d.Put()
	return d.Life(name)
}

// another reports whether name in d, or d itself for "", which has the number
// of in, is another file after it.
func (fs *FS) another(in *inode.Inode, d *tier.Dir, name string) bool {
	return fs.export && fs.table.Another(in, d.Life(name))
}

// dropDirs forgets the descriptors of copies that are others now.
func (fs *FS) dropDirs(in *inode.Inode, ranks []int) {
	for _, rank := range ranks {
		fs.dirs.Drop(in, rank)
	}
}

// changedCopies is told that a directory which was known has other copies now, or
// more. With doubt all that was known of what is in it may be wrong.
func (fs *FS) changedCopies(in *inode.Inode, ranks []int, doubt bool) {
	fs.dropDirs(in, ranks)
	if doubt && fs.coherence.on.Load() {
		fs.coherence.below(in)
	}
}

// showLast completes a directory's attributes by what its lower tiers last
// said.
func (fs *FS) showLast(in *inode.Inode, st *unix.Stat_t) {
	var last unix.Stat_t
	if !fs.table.Last(in, &last) {
		return
	}
	if later(last.Mtim, st.Mtim) {
		st.Mtim = last.Mtim
	}
	if later(last.Ctim, st.Ctim) {
		st.Ctim = last.Ctim
	}
	st.Nlink, st.Blocks = last.Nlink, last.Blocks
}

// entry is what the kernel is told of in, which a name meant at a moment.
func (fs *FS) entry(in *inode.Inode, st *unix.Stat_t, at entryName, since moment) fusedev.Entry {
	e := fs.attrs(in, st, since)
	if fs.coherence.nameHolds(at, since) {
		e.EntryTTL = keepFor
	}
	e.Node = in.ID
	if in.ID != inode.RootID {
		e.Generation = fs.generation
	}
	return e
}

// attrs is entry without a name. What changes on the tier without our hearing
// of it would stay hidden until the attributes expire, so they do at once: a
// set-id bit that another user's write clears, and the times of a file to
// which stores into a shared mapping go by passthrough. A file that is open in the
// mount, or may be mapped still, has its timeout even where caching is coherent.
func (fs *FS) attrs(in *inode.Inode, st *unix.Stat_t, since moment) fusedev.Entry {
	o := fs.options.Load()
	st.Ino = in.Ino
	in.Told.Store(permissions(st))
	e := fusedev.Entry{Stat: st, EntryTTL: o.EntryTTL, AttrTTL: o.AttrTTL}
	if !in.InUse() && fs.coherence.attrHolds(in, since) {
		e.AttrTTL = keepFor
	}
	if in.ID == inode.RootID && !fs.coherence.root.over() {
		fs.coherence.root.answer()
		e.AttrTTL = min(e.AttrTTL, beginningTTL)
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && !in.IsDir() || in.Mappable() {
		e.AttrTTL = 0
	}
	if in.Type == unix.S_IFLNK && !fs.rawLinks && fs.fixLinkSize(in, st) {
		e.AttrTTL = 0
	}
	return e
}

// forget takes lookups of an inode back.
func (fs *FS) forget(id, n uint64) {
	in := fs.table.Get(id)
	if in == nil {
		return
	}
	idle, listed, file := fs.table.Forget(in, n)
	if listed != nil {
		fs.coherence.relist(listed)
	}
	if idle && in.IsDir() {
		fs.dirs.DropAll(in)
		fs.kept.forgotten(in)
	}
	if idle {
		fs.freed(inode.Bytes)
	}
	fs.closeHeld(in, file)
}
