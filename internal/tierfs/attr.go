package tierfs

import (
	"slices"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

func (fs *FS) getattr(r *fusedev.Request, op *fusedev.GetattrOp) error {
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	since := fs.coherence.now()
	var st unix.Stat_t
	if err := fs.stat(r, in, &st); err != nil {
		return err
	}
	fs.tellAttr(r, in, &st, since)
	return nil
}

// tellAttr answers with the attributes of in as they were at a moment.
func (fs *FS) tellAttr(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t, since moment) {
	e := fs.attrs(in, st, since)
	r.Attr(&e)
	fs.coherence.confirm(e, in, entryName{}, since)
}

// stat fills in what stat(2) says of in, but for its number. r may be nil.
func (fs *FS) stat(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t) error {
	if in.IsDir() {
		return fs.statDir(r, in, st)
	}
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	if o := in.Opened(); o != nil {
		return o.File.Stat(st)
	}
	if gone := fs.table.Gone(in); gone != nil {
		return gone.Stat(st)
	}
	_, err := fs.find(in, st, nil)
	if gone := fs.table.Gone(in); err == unix.ESTALE && gone != nil { // it has lost its name meanwhile
		return gone.Stat(st)
	}
	return err
}

// statDir merges the attributes of a directory's copies. While lower tiers are
// asked, the last known ones stand by. A copy that was removed out of band, and
// that only its descriptor leads to, does not count beside others, and its name
// is looked up again next time.
func (fs *FS) statDir(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t) error {
	var some [4]inode.Copy
	copies := fs.table.AppendCopies(some[:0], in)
	asked, partial := 0, false
	var removed []int
	for _, c := range copies {
		t := fs.Tiers()[c.Rank]
		if asked > 0 && t.Suspect() {
			partial = true
			continue
		}
		if asked == 1 && r != nil {
			last := *st
			fs.showLast(in, &last)
			e := fs.attrs(in, &last, 0)
			r.SpareAttr(&e)
		}
		var low unix.Stat_t
		err := fs.statCopy(in, c.Rank, &low)
		switch {
		case absent(err), err == unix.ESTALE && asked > 0:
			continue // removed out of band; the next lookup tells
		case tier.Fails(err) && asked > 0:
			partial = true
			continue
		case err != nil:
			return err
		case low.Nlink == 0:
			if removed = append(removed, c.Rank); asked == 0 {
				*st = low
			}
			continue
		}
		if asked++; asked == 1 {
			*st = low
		} else {
			mergeAttr(st, &low)
		}
	}
	if asked > 0 {
		fs.dropDirs(in, removed)
	}
	switch {
	case asked == 0 && len(removed) == 0:
		return unix.ESTALE
	case partial:
		fs.coherence.stampInode(in)
		fs.showLast(in, st)
	case asked > 1:
		fs.table.SetLast(in, st)
	}
	return nil
}

func (fs *FS) statCopy(in *inode.Inode, rank int, st *unix.Stat_t) error {
	d, err := fs.dir(in, rank)
	if err != nil {
		return err
	}
	defer d.Put()
	return d.StatSelf(st)
}

// find runs fn, if any, on the directory and the name that lead to the file
// in, whose attributes are in st by then. A name that leads elsewhere is
// forgotten; without one left it is ESTALE, and the kernel looks again.
func (fs *FS) find(in *inode.Inode, st *unix.Stat_t, fn func(d *tier.Dir, name string) error) (*tier.Tier, error) {
	key, rank := fs.table.Home(in)
	for {
		parent, name, ok := fs.table.Dentry(in)
		if !ok {
			return nil, unix.ESTALE
		}
		d, err := fs.dir(parent, rank)
		if err == nil {
			err = d.Stat(name, st)
			if err == nil && fs.table.Key(rank, st.Dev, st.Ino) == key && in.Is(st.Mode) && !fs.another(in, d, name) {
				if fn != nil {
					err = fn(d, name)
				}
				d.Put()
				return d.Tier, err
			}
			d.Put()
		}
		if err != nil && !absent(err) && err != unix.ESTALE {
			return nil, err
		}
		fs.table.Stale(in, parent, name)
	}
}

// withFile runs fn on a descriptor of in: that of its open handles, or an
// O_PATH one. st is filled in before.
//
// LOCKS_REQUIRED(in.Mu) for reading
func (fs *FS) withFile(in *inode.Inode, st *unix.Stat_t, fn func(f *tier.File) error) error {
	if f := fs.openFile(in); f != nil {
		if err := f.Stat(st); err != nil {
			return err
		}
		return fn(f)
	}
	f, err := fs.openFound(in, st, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(f)
}

// openFile is the descriptor of in's open handles, or the one that is kept of a
// file that has lost its last name; nil if there is none.
//
// LOCKS_REQUIRED(in.Mu) for reading
func (fs *FS) openFile(in *inode.Inode) *tier.File {
	if o := in.Opened(); o != nil {
		return o.File
	}
	return fs.table.Gone(in)
}

// openFound opens the file in with flags and makes sure that it is that one.
func (fs *FS) openFound(in *inode.Inode, st *unix.Stat_t, flags int) (*tier.File, error) {
	if gone := fs.table.Gone(in); gone != nil {
		if err := gone.Stat(st); err != nil {
			return nil, err
		}
		return gone.Reopen(flags)
	}
	var f *tier.File
	_, err := fs.find(in, st, func(d *tier.Dir, name string) (err error) {
		if f, err = d.Open(name, flags, 0); err != nil {
			return stale(err)
		}
		var now unix.Stat_t
		if err = f.Stat(&now); err == nil && (now.Ino != st.Ino || now.Dev != st.Dev || !in.Is(now.Mode)) {
			err = unix.ESTALE
		}
		if err != nil {
			f.Close()
		}
		return err
	})
	if err == unix.ESTALE && fs.table.Gone(in) != nil { // it has lost its name meanwhile
		return fs.openFound(in, st, flags)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// stale turns what the race with a rename out of band gives into ESTALE.
func stale(err error) error {
	switch err {
	case unix.ENOENT, unix.ELOOP, unix.EISDIR:
		return unix.ESTALE
	}
	return err
}

// eachCopy runs fn, which gives attributes, times among them or not, on every copy of a
// directory, highest first, and on those that are made meanwhile, perhaps like one that
// fn has not seen yet. The highest decides the answer; what a lower one refuses is
// logged.
func (fs *FS) eachCopy(in *inode.Inode, what string, times bool, fn func(f *tier.File) error) error {
	var done []int
	for all := fs.table.Copies(in); len(all) > 0; {
		for _, c := range all {
			d, err := fs.dir(in, c.Rank)
			if err == nil {
				err = fs.times.beside(d.Self(), times, func() error { return fn(d.Self()) })
				d.Put()
			}
			if err != nil && len(done) == 0 {
				return err
			}
			if err != nil && !absent(err) {
				fs.refused(in, what, fs.Tiers()[c.Rank], err)
			}
			done = append(done, c.Rank)
		}
		all = slices.DeleteFunc(fs.table.Copies(in), func(c inode.Copy) bool { return slices.Contains(done, c.Rank) })
	}
	return nil
}

// refused logs that a lower tier has not taken what a directory got, once for all that
// chmod -R comes by.
func (fs *FS) refused(in *inode.Inode, what string, t *tier.Tier, err error) {
	dir, _ := fs.table.Path(in)
	fs.warnOnce(t.Root, "a lower tier refused "+what+" of a directory, and perhaps of more, which differs there now; set it again once that tier takes it", "dir", dir, "tier", t.Root, "err", err)
}

func (fs *FS) setattr(r *fusedev.Request, op *fusedev.SetattrOp) error {
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if in.IsDir() {
		if err := fs.mayChangeDir(r, in); err != nil {
			return err
		}
		err = fs.eachCopy(in, "the attributes", op.Times(), func(f *tier.File) error { return fs.change(r, nil, f, op) })
		if err == nil {
			err = fs.statDir(nil, in, &st)
		}
	} else {
		err = fs.setFileAttr(r, in, op, &st)
	}
	if err != nil {
		return err
	}
	fs.tellAttr(r, in, &st, 0) // not for long, see coherence
	return nil
}

func (fs *FS) setFileAttr(r *fusedev.Request, in *inode.Inode, op *fusedev.SetattrOp, st *unix.Stat_t) error {
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	if op.Size != nil {
		fs.movings.giveWay(in)
	}
	return fs.withFile(in, st, func(f *tier.File) error {
		if !op.ByHandle && !op.Empty() { // what the open file or the write allowed
			if err := fs.mayChange(r, in, st); err != nil {
				return err
			}
		}
		if err := fs.change(r, in.Opened(), f, op); err != nil {
			return err
		}
		return f.Stat(st)
	})
}

// change applies a SETATTR to one backing inode; open is what its handles
// share, if there are any. The owner goes first, because
// chown(2) clears set-id bits that a mode given with it may set.
func (fs *FS) change(r *fusedev.Request, open *inode.Opened, f *tier.File, op *fusedev.SetattrOp) error {
	if op.Empty() {
		return fs.chownNothing(r, f)
	}
	if op.UID != nil || op.GID != nil {
		if err := fs.chown(r, f, idOrKeep(op.UID), idOrKeep(op.GID)); err != nil {
			return err
		}
	}
	if op.Mode != nil {
		if err := fs.chmod(r, f, *op.Mode&07777); err != nil {
			return err
		}
	}
	if op.Size != nil {
		if err := fs.truncate(r, open, f, int64(*op.Size), op.ByHandle); err != nil {
			return err
		}
	}
	if !op.Times() {
		return nil
	}
	return fs.onNetwork(f.Tier, r, func() error { return f.Utimens(&[2]unix.Timespec{op.Atime, op.Mtime}) })
}

func idOrKeep(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

// chown sets the owner, which clears set-id bits but for those that keepsMark.
func (fs *FS) chown(r *fusedev.Request, f *tier.File, uid, gid int) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	set := func() error { return f.Chown(uid, gid) }
	if keepsMark(r, &st) && !f.Tier.Network {
		return fs.as(0, st.Gid, set)
	}
	return fs.onNetwork(f.Tier, r, set)
}

// chownNothing serves a SETATTR that names no attribute: chown(2) of neither ID
// (-1, -1), which clears set-id bits and moves the change time (chown_common).
// The kernel sends the same before a write to a file with set-id bits
// (file_remove_privs), which anybody may do who may write; so who may not clear
// them is told nothing, and the write will.
func (fs *FS) chownNothing(r *fusedev.Request, f *tier.File) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && r.UID != 0 && r.UID != st.Uid {
		return nil
	}
	return fs.chown(r, f, -1, -1)
}

// chmod sets the mode. The daemon lacks CAP_FSETID, so that foreign writes
// clear set-id bits; a set-group-ID bit that the kernel has allowed the client
// is kept by being in the file's group for the call.
func (fs *FS) chmod(r *fusedev.Request, f *tier.File, mode uint32) error {
	if mode&unix.S_ISGID == 0 {
		return fs.onNetwork(f.Tier, r, func() error { return f.Chmod(mode) })
	}
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	uid := uint32(0)
	if f.Tier.Network {
		uid = r.UID
	}
	return fs.as(uid, st.Gid, func() error { return f.Chmod(mode) })
}

// truncate sets the size as somebody without a right to reserved blocks. With a
// handle it is ftruncate(2), which a mode that was made read-only since does
// not prevent.
func (fs *FS) truncate(r *fusedev.Request, open *inode.Opened, f *tier.File, size int64, byHandle bool) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	err := fs.asWriter(r, f.Tier, &st, func() (err error) {
		if byHandle && open != nil && open.Writes {
			err = open.File.Ftruncate(size)
		} else {
			err = f.Truncate(size)
		}
		return err
	})
	if err != nil {
		return err
	}
	return fs.settleFile(f)
}

func (fs *FS) statx(r *fusedev.Request, op *fusedev.StatxOp) error {
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	since := fs.coherence.now()
	var st unix.Stat_t
	if err := fs.stat(nil, in, &st); err != nil {
		return err
	}
	var sx unix.Statx_t
	err = fs.onInode(in, func(f *tier.File) error { return f.Statx(int(op.Flags), int(op.Mask), &sx) })
	if err != nil {
		return err
	}
	a := fs.attrs(in, &st, since)
	sx.Ino, sx.Nlink, sx.Size, sx.Blocks = st.Ino, uint32(st.Nlink), uint64(st.Size), uint64(st.Blocks)
	sx.Mtime = unix.StatxTimestamp{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}
	sx.Ctime = unix.StatxTimestamp{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)}
	r.Statx(&a, &sx)
	fs.coherence.confirm(a, in, entryName{}, since)
	return nil
}

// topDir is the highest copy of a directory.
func (fs *FS) topDir(in *inode.Inode) (*tier.Dir, error) {
	for _, c := range fs.table.Copies(in) {
		d, err := fs.dir(in, c.Rank)
		if !absent(err) {
			return d, err
		}
	}
	return nil, unix.ESTALE
}
