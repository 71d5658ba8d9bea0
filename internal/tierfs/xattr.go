package tierfs

import (
	"strings"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// The synthetic attributes: where a file is. They are answered, not listed.
const (
	xattrTier = "user.tierfs.tier" // the root of the home tier
	xattrPath = "user.tierfs.path" // the backing file
)

// onInode runs fn on a descriptor of in: of a directory, the highest copy's.
//
// LOCKS_EXCLUDED(in.Mu)
func (fs *FS) onInode(in *inode.Inode, fn func(f *tier.File) error) error {
	if in.IsDir() {
		d, err := fs.topDir(in)
		if err != nil {
			return err
		}
		defer d.Put()
		return fn(d.Self())
	}
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	if f := fs.openFile(in); f != nil {
		return fn(f)
	}
	var st unix.Stat_t
	return fs.withFile(in, &st, fn)
}

func (fs *FS) getxattr(r *fusedev.Request, op *fusedev.GetxattrOp) error {
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	if isSynthetic(op.Name) {
		return fs.synthetic(r, in, op)
	}
	dst, n := r.Room(op.Size), 0
	err = fs.onInode(in, func(f *tier.File) (err error) {
		n, err = f.Getxattr(op.Name, dst)
		return err
	})
	// To the kernel, which asks before it lets anybody in, only ENODATA means that
	// the mode is all there is (fuse_get_acl).
	if err == unix.EOPNOTSUPP && isACL(op.Name) {
		err = unix.ENODATA
	}
	if err != nil {
		return err
	}
	if op.Size == 0 {
		r.Size(n)
	} else {
		r.Data(dst[:n])
	}
	return nil
}

func (fs *FS) synthetic(r *fusedev.Request, in *inode.Inode, op *fusedev.GetxattrOp) error {
	_, rank := fs.table.Home(in)
	if in.IsDir() {
		d, err := fs.topDir(in)
		if err != nil {
			return err
		}
		rank = d.Tier.Rank
		d.Put()
	}
	value := fs.Tiers()[rank].Root
	if op.Name == xattrPath {
		path, ok := fs.table.Path(in)
		switch {
		case !ok:
			return unix.ENODATA
		case path != "":
			value += "/" + path
		}
	}
	return fit(r, op.Size, []byte(value))
}

// listxattr leaves out what only an administrator sees (xattr(7), trusted).
func (fs *FS) listxattr(r *fusedev.Request, op *fusedev.ListxattrOp) error {
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	var list []byte
	err = fs.onInode(in, func(f *tier.File) error {
		names, err := f.Xattrs()
		for _, name := range names {
			if r.UID == 0 || !strings.HasPrefix(name, "trusted.") {
				list = append(append(list, name...), 0)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return fit(r, op.Size, list)
}

// fit answers with value for who has room for so much: ERANGE if that is too
// little, and only its size is wanted if there is none (getxattr(2)).
func fit(r *fusedev.Request, room int, value []byte) error {
	switch {
	case room == 0:
		r.Size(len(value))
	case room < len(value):
		return unix.ERANGE
	default:
		r.Data(value)
	}
	return nil
}

func isACL(name string) bool { return strings.HasPrefix(name, "system.posix_acl_") }

// isSynthetic reports whether tierfs alone says what the attribute is.
func isSynthetic(name string) bool { return name == xattrTier || name == xattrPath }

func (fs *FS) setxattr(r *fusedev.Request, op *fusedev.SetxattrOp) error {
	if isSynthetic(op.Name) {
		return unix.EPERM
	}
	if fs.union && op.Name == mover.PinName && !mover.IsPin(op.Value) {
		return unix.EINVAL // a typing error would let files move that are not to
	}
	return fs.changeXattr(r, op.Node, func(f *tier.File) error {
		set := func() error { return f.Setxattr(op.Name, op.Value, int(op.Flags)) }
		switch {
		case strings.HasPrefix(op.Name, "system.") && !isACL(op.Name):
			return fs.as(r.UID, r.GID, set) // the filesystem's own, who may is its affair
		case op.Name != "system.posix_acl_access" || op.KillSGID:
			return fs.onNetwork(f.Tier, r, set)
		}
		// Setting an ACL changes the mode, and must keep a set-group-ID bit as
		// chmod does.
		var st unix.Stat_t
		if err := f.Stat(&st); err != nil {
			return err
		}
		return fs.as(0, st.Gid, set)
	})
}

func (fs *FS) removexattr(r *fusedev.Request, op *fuseops.RemoveXattrOp) error {
	if isSynthetic(op.Name) {
		return unix.EPERM
	}
	return fs.changeXattr(r, uint64(op.Inode), func(f *tier.File) error {
		return fs.onNetwork(f.Tier, r, func() error { return f.Removexattr(op.Name) })
	})
}

// changeXattr runs fn on the file, or on every copy of the directory.
func (fs *FS) changeXattr(r *fusedev.Request, node uint64, fn func(f *tier.File) error) error {
	in, err := fs.get(node)
	if err != nil {
		return err
	}
	if in.IsDir() {
		if err := fs.mayChangeDir(r, in); err != nil {
			return err
		}
		return fs.eachCopy(in, "an extended attribute", false, fn)
	}
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	var st unix.Stat_t
	return fs.withFile(in, &st, func(f *tier.File) error {
		if err := fs.mayChange(r, in, &st); err != nil {
			return err
		}
		return fn(f)
	})
}
