package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// place runs fn on the directory p of the tier that a new name goes to: the
// highest that has it (create=parent) or the primary. A tier short of free
// space, or that says so, is passed over for the next below, and after the
// lowest for those above; parents are made there. One where they would not be
// seen is passed over too. If all are short, they are tried in that order.
func (fs *FS) place(p *inode.Inode, fn func(d *tier.Dir) error) error {
	o := fs.options.Load()
	first := 0
	if !o.CreatePrimary {
		d, err := fs.highest(p)
		if err != nil {
			return err
		}
		first = d.Tier.Rank
		d.Put()
	}
	all := fs.Tiers()
	var last error
	var short []*tier.Tier
	for i := range all {
		t := all[(first+i)%len(all)]
		switch {
		case i > 0 && (t.ReadOnly() || t.Suspect()):
			continue
		case fs.union && fs.short(t, o):
			short = append(short, t)
			continue
		}
		if last = fs.placeOn(t, p, fn); !full(last) && (i == 0 || last != unix.EBUSY) {
			return last
		}
	}
	for _, t := range short {
		if last = fs.placeOn(t, p, fn); !full(last) && last != unix.EBUSY {
			return last
		}
	}
	return last
}

func (fs *FS) placeOn(t *tier.Tier, p *inode.Inode, fn func(d *tier.Dir) error) error {
	d, err := fs.makeParents(p, t.Rank)
	if err != nil {
		return err
	}
	defer d.Put()
	return fn(d)
}

// highest is p's directory on the highest tier that has it, for the caller to
// Put. Unlike topDir it asks the tiers anew.
func (fs *FS) highest(p *inode.Inode) (*tier.Dir, error) {
	for rank := range fs.Tiers() {
		d, err := fs.dir(p, rank)
		if !absent(err) {
			return d, err
		}
	}
	return nil, unix.ENOENT
}

// short reports that the tier has less free space than minfree. One that
// cannot tell is not short; creating there will tell.
func (fs *FS) short(t *tier.Tier, o *Options) bool {
	if o.MinFree == nil || t.ReadOnly() {
		return false
	}
	st, err := t.Space()
	if err != nil {
		return false
	}
	unit := uint64(st.Frsize)
	return st.Bavail*unit < o.MinFree(st.Blocks*unit)
}

// creator is who a new file in d belongs to. The caller's group, except that
// the set-group-ID bit of a file made in a set-group-ID directory is kept only
// for a member of the directory's group (mode_strip_sgid): the kernel has let
// the bit through for the client, so it is allowed.
func (fs *FS) creator(r *fusedev.Request, d *tier.Dir, mode uint32) (uid, gid uint32, err error) {
	if mode&unix.S_ISGID == 0 {
		return r.UID, r.GID, nil
	}
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		return 0, 0, err
	}
	if st.Mode&unix.S_ISGID != 0 {
		return r.UID, st.Gid, nil
	}
	return r.UID, r.GID, nil
}

// masked is the mode after the umask, which a default ACL of the directory
// overrides (acl(5), OBJECT CREATION AND DEFAULT ACLs). The kernel leaves that
// to us because the mount asks for FUSE_DONT_MASK.
func masked(d *tier.Dir, mode, umask uint32) uint32 {
	if umask == 0 || d.HasDefaultACL() {
		return mode
	}
	return mode &^ (umask & 0777)
}

// newName makes a name by fn, which gets the directory, and answers with its
// entry.
func (fs *FS) newName(r *fusedev.Request, parent uint64, name string, mode, umask uint32, fn func(d *tier.Dir, mode uint32) error) error {
	p, err := fs.getDir(parent)
	if err != nil {
		return err
	}
	if fs.hidden(p, name) {
		return unix.EPERM
	}
	since := fs.coherence.now()
	var f found
	err = fs.place(p, func(d *tier.Dir) error {
		mode := masked(d, mode, umask)
		uid, gid, err := fs.creator(r, d, mode)
		if err != nil {
			return err
		}
		if err := fs.as(uid, gid, func() error { return fn(d, mode) }); err != nil {
			return err
		}
		if err = fs.foundAt(d, name, &f); err == nil {
			err = fs.settle(p)
		}
		if err != nil {
			fs.unmake(r, d, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	in := fs.admit(p, name, &f)
	fs.tellEntry(r, in, nil, &f.st, entryName{p, name}, since)
	return nil
}

// foundAt fills in f for a name that was just made in d.
func (fs *FS) foundAt(d *tier.Dir, name string, f *found) error {
	f.rank, f.copies = -1, nil
	var st unix.Stat_t
	if err := d.Stat(name, &st); err != nil {
		return err
	}
	f.add(fs.table, d.Tier.Rank, &st)
	return nil
}

// unmake takes back a name that was just made in d, because the op fails after
// all. The name is still what was made: until the op is answered, the kernel
// lets no other client change the directory (inode_lock in vfs_create and its
// like).
func (fs *FS) unmake(r *fusedev.Request, d *tier.Dir, name string) {
	err := fs.onNetwork(d.Tier, r, func() error {
		err := d.Unlink(name)
		if err == unix.EISDIR || err == unix.EPERM { // POSIX has unlink(2) say EPERM of a directory
			err = d.Rmdir(name)
		}
		return err
	})
	if err != nil && !absent(err) {
		fs.log.Warn("a name stays although whoever made it got an error; remove it if it is not wanted", "tier", d.Tier.Root, "name", name, "err", err)
	}
}

func (fs *FS) mkdir(r *fusedev.Request, op *fusedev.MkdirOp) error {
	return fs.newName(r, op.Parent, op.Name, op.Mode, op.Umask, func(d *tier.Dir, mode uint32) error {
		return d.Mkdir(op.Name, mode)
	})
}

func (fs *FS) mknod(r *fusedev.Request, op *fusedev.MknodOp) error {
	return fs.newName(r, op.Parent, op.Name, op.Mode, op.Umask, func(d *tier.Dir, mode uint32) error {
		return d.Mknod(op.Name, mode, op.Rdev)
	})
}
