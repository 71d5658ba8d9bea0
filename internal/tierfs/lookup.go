package tierfs

import (
	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

func (fs *FS) lookup(r *fusedev.Request, op *fuseops.LookUpInodeOp) error {
	p, err := fs.getDir(uint64(op.Parent))
	if err != nil {
		return err
	}
	if fs.hidden(p, op.Name) {
		return unix.ENOENT
	}
	var f found
	var spare *inode.Inode
	for {
		ended := fs.moves.ended.Load()
		err = fs.resolve(p, op.Name, &f, func() {
			if spare == nil {
				spare = fs.spareEntry(r, p, op.Name, &f)
			}
		})
		// A directory that was renamed meanwhile must not get its old name back.
		if err != nil || !f.isDir() || ended == fs.moves.ended.Load() {
			break
		}
	}
	if err == nil {
		in := fs.admit(p, op.Name, &f)
		fs.answer(r, in, spare, func() bool { return r.Entry(fs.entry(in, &f.st)) })
		return nil
	}
	if ttl := fs.options.Load().NegativeTTL; err == unix.ENOENT && ttl > 0 {
		r.Entry(&fusedev.Entry{EntryTTL: ttl})
	} else {
		r.Fail(err)
	}
	if spare != nil && !r.SpareSent() {
		fs.forget(spare.ID, 1)
	}
	return nil
}

// spareEntry leaves what is known of a directory with the watchdog, while its
// lower tiers are asked. The lookup that it counts is the kernel's if it is
// sent.
func (fs *FS) spareEntry(r *fusedev.Request, p *inode.Inode, name string, f *found) *inode.Inode {
	in, changed := fs.table.Lookup(p, name, f.st.Mode, f.copies, false)
	fs.dropDirs(in, changed)
	st := f.st
	if last := fs.table.Last(in); last != nil {
		st = *last
	}
	r.SpareEntry(fs.entry(in, &st))
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
	in, changed := fs.table.Lookup(p, name, f.st.Mode, f.copies, !f.partial)
	if !in.IsDir() {
		return in
	}
	fs.dropDirs(in, changed)
	if f.partial {
		fs.showLast(in, &f.st)
		return in
	}
	if len(f.copies) > 1 {
		st := f.st
		fs.table.SetLast(in, &st)
	}
	next := 0
	for rank := range fs.tiers() {
		if next < len(f.copies) && f.copies[next].Rank == rank {
			next++
		} else {
			fs.dirs.Absent(in, rank)
		}
	}
	return in
}

// dropDirs forgets the descriptors of copies that are others now.
func (fs *FS) dropDirs(in *inode.Inode, ranks []int) {
	for _, rank := range ranks {
		fs.dirs.Drop(in, rank)
	}
}

// showLast completes a directory's attributes by what its lower tiers last
// said.
func (fs *FS) showLast(in *inode.Inode, st *unix.Stat_t) {
	last := fs.table.Last(in)
	if last == nil {
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

// entry is what the kernel is told of in.
func (fs *FS) entry(in *inode.Inode, st *unix.Stat_t) *fusedev.Entry {
	e := fs.attrs(in, st)
	e.Node = in.ID
	return e
}

// attrs is entry without a name. A set-id bit that another user's write clears
// on the tier would stay visible until the attributes expire, so they do at
// once.
func (fs *FS) attrs(in *inode.Inode, st *unix.Stat_t) *fusedev.Entry {
	o := fs.options.Load()
	st.Ino = in.Ino
	e := &fusedev.Entry{Stat: st, EntryTTL: o.EntryTTL, AttrTTL: o.AttrTTL}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && !in.IsDir() {
		e.AttrTTL = 0
	}
	if in.Type == unix.S_IFLNK && !fs.rawLinks {
		fs.fixLinkSize(in, st)
	}
	return e
}

// forget takes lookups of an inode back.
func (fs *FS) forget(id, n uint64) {
	in := fs.table.Get(id)
	if in == nil {
		return
	}
	gone, file := fs.table.Forget(in, n)
	if gone && in.IsDir() {
		fs.dirs.DropAll(in)
	}
	closeHeld(in, file)
}
