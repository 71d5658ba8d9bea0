package tierfs

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// makeParents is p's directory on the tier with rank, made with everything
// above it that is missing there, for the caller to Put. EBUSY, and nothing is
// made, where it does not fit.
func (fs *FS) makeParents(p *inode.Inode, rank int) (*tier.Dir, error) {
	if d, err := fs.cachedDir(p, rank); d != nil || err != nil && !absent(err) {
		return d, err
	}
	defer fs.moves.pin(p)()
	if err := fs.fitsPinned(p, rank); err != nil {
		return nil, err
	}
	return fs.makePinned(p, rank)
}

// fits is EBUSY if p's directory on the tier with rank would not be seen: a
// file of its name, or of a name above it, ends the merging there or higher. What
// is put into such a directory would be lost to those who use the mount.
func (fs *FS) fits(p *inode.Inode, rank int) error {
	defer fs.moves.pin(p)()
	return fs.fitsPinned(p, rank)
}

// fitsPinned is fits for callers that have pinned the way.
//
// The way to it is pinned.
func (fs *FS) fitsPinned(p *inode.Inode, rank int) error {
	d, err := fs.walkDir(p, rank)
	if err == nil {
		d.Put()
		return nil
	}
	if !absent(err) {
		return err
	}
	parent, name, ok := fs.table.Dentry(p)
	if !ok {
		return unix.ENOENT
	}
	_, home := fs.table.Home(p)
	by, err := fs.blocked(parent, name, home+1, rank+1)
	switch {
	case err != nil:
		return err
	case by != nil:
		fs.sayBusy(parent, name, by,
			"nothing can be put into the directory on this and lower tiers, because a file of its name hides them; move that away, in the tier itself")
		return unix.EBUSY
	}
	return fs.fitsPinned(parent, rank)
}

// makePinned is makeParents for callers that have pinned the way, so that no
// directory is renamed while it is made again under its old name.
//
// The way to it is pinned.
func (fs *FS) makePinned(p *inode.Inode, rank int) (*tier.Dir, error) {
	d, err := fs.walkDir(p, rank)
	if err == nil || !absent(err) {
		return d, err
	}
	parent, name, ok := fs.table.Dentry(p)
	if !ok {
		return nil, unix.ENOENT
	}
	up, err := fs.makePinned(parent, rank)
	if err != nil {
		return nil, err
	}
	defer up.Put()
	model, err := fs.topDirPinned(p)
	if err != nil {
		return nil, err
	}
	defer model.Put()
	var was unix.Stat_t
	if err := model.StatSelf(&was); err != nil {
		return nil, err
	}
	if err := fs.makeLike(up, name, model); err != nil {
		return nil, err
	}
	d, err = up.OpenDir(name)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		d.Put()
		return nil, err
	}
	fs.moves.made(parent)
	fs.table.AddCopy(p, inode.Copy{Rank: rank, Key: fs.table.Key(rank, st.Dev, st.Ino)})
	fs.keepDir(p, rank, d)
	fs.coherence.made(parent, p, d)
	fs.dressAgain(d, model, &was)
	return d, nil
}

// dressAgain gives a directory that was made like model what that has now: who
// changed the one while the other was made, or while it was given this, knew of no
// other.
func (fs *FS) dressAgain(d, model *tier.Dir, was *unix.Stat_t) {
	for range maxDress {
		now, err := fs.times.stat(model.Self())
		if err != nil || now.Ctim == was.Ctim {
			return
		}
		was = &now
		if err := fs.times.beside(d.Self(), true, func() error { return fs.dress(d, model, &now) }); err != nil {
			fs.log.Info("a directory was changed while it was made on another tier, which has it as it was", "tier", d.Tier.Root, "err", err)
		}
	}
}

// maxDress bounds how often that is done for who changes it all the time.
const maxDress = 10

// topDirPinned is topDir for callers that have pinned the way.
//
// The way to it is pinned.
func (fs *FS) topDirPinned(in *inode.Inode) (*tier.Dir, error) {
	for _, c := range fs.table.Copies(in) {
		d, err := fs.walkDir(in, c.Rank)
		if !absent(err) {
			return d, err
		}
	}
	return nil, unix.ESTALE
}

// stagingPrefix begins the names that this process gives in staging
// directories, and no other, before or beside it; stagingSerial numbers them.
var (
	stagingPrefix = fmt.Sprintf("%x-%x-", os.Getpid(), time.Now().UnixNano())
	stagingSerial atomic.Uint64
)

func stagingName() string { return stagingPrefix + strconv.FormatUint(stagingSerial.Add(1), 10) }

// makeLike makes the directory name in up as a copy of model without its
// entries: owner, mode, ACLs, extended attributes and times. It is prepared in
// the tier's staging directory and renamed into place whole, because from then
// on it is the one that the mount shows. up keeps its times: nothing new has
// come to be in the directory that clients see.
func (fs *FS) makeLike(up *tier.Dir, name string, model *tier.Dir) error {
	staging, err := fs.staging(up.Tier)
	if err != nil {
		return err
	}
	defer staging.Put()
	temp := stagingName()
	if err := staging.Mkdir(temp, 0700); err != nil {
		return err
	}
	var st unix.Stat_t
	times, err := fs.times.keep(up.Self())
	defer fs.times.leave(times)
	if err == nil {
		st, err = fs.times.stat(model.Self())
	}
	if err == nil {
		err = fs.dressAt(staging, temp, model, &st)
	}
	if err == nil {
		err = times.change(up, func() error { return staging.Rename(temp, up, name, unix.RENAME_NOREPLACE) })
	}
	if err != nil {
		fs.unstage(staging, temp)
	}
	switch err {
	case unix.EEXIST, unix.ENOTEMPTY: // another op, or somebody out of band, made it
		return nil
	case unix.EXDEV: // another filesystem is mounted inside the tier here
		err = times.change(up, func() error { return makeInPlace(fs, up, name, model, &st) })
	}
	if err == nil {
		err = times.restore(up)
	}
	return err
}

// makeInPlace makes the directory where it belongs at once.
func makeInPlace(fs *FS, up *tier.Dir, name string, model *tier.Dir, st *unix.Stat_t) error {
	if err := up.Mkdir(name, 0700); err != nil {
		if err == unix.EEXIST {
			return nil
		}
		return err
	}
	return fs.dressAt(up, name, model, st)
}

// dressAt gives the directory name in up what model has, of which st is a part.
func (fs *FS) dressAt(up *tier.Dir, name string, model *tier.Dir, st *unix.Stat_t) error {
	d, err := up.OpenDir(name)
	if err != nil {
		return err
	}
	defer d.Put()
	return fs.dress(d, model, st)
}

// dress gives the directory d what model has.
func (fs *FS) dress(d, model *tier.Dir, st *unix.Stat_t) error {
	to := d.Self()
	if fs.root {
		if err := to.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := copyXattrs(model.Self(), to); err != nil {
		return err
	}
	if err := fs.as(0, st.Gid, func() error { return to.Chmod(st.Mode & 07777) }); err != nil {
		return err
	}
	return to.Utimens(&[2]unix.Timespec{st.Atim, st.Mtim})
}

// copyXattrs copies the extended attributes, ACLs among them. What the target
// does not support is left out, and what it has inherited is taken away: by the
// default ACL of a tier's root a user could come in whom the model keeps out.
func copyXattrs(from, to *tier.File) error {
	names, err := from.Xattrs()
	if err != nil {
		return err
	}
	for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		if err := to.Removexattr(name); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
			return err
		}
	}
	for _, name := range names {
		value, err := from.Xattr(name)
		switch err {
		case nil:
		case unix.ENODATA, unix.EOPNOTSUPP, unix.EPERM, unix.EACCES: // removed meanwhile, or not for the daemon to read
			continue
		default:
			return err
		}
		switch err := to.Setxattr(name, value, 0); err {
		case nil, unix.EOPNOTSUPP, unix.EPERM, unix.EACCES, unix.EINVAL:
		default:
			return err
		}
	}
	return nil
}

// staging is the tier's directory for what is not complete yet.
func (fs *FS) staging(t *tier.Tier) (*tier.Dir, error) { return t.Private("staging") }
