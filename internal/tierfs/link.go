package tierfs

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// link makes another name for a file on its home tier, with parents if need
// be. It also names a file made with O_TMPFILE.
func (fs *FS) link(r *fusedev.Request, op *fuseops.CreateLinkOp) error {
	in, err := fs.get(uint64(op.Target))
	if err != nil {
		return err
	}
	p, err := fs.getDir(uint64(op.Parent))
	if err != nil {
		return err
	}
	if fs.hidden(p, op.Name) {
		return unix.EPERM
	}
	since := fs.coherence.now()
	d, err := fs.nameAtHome(r, in, p, op.Name)
	if err != nil {
		return err
	}
	defer d.Put()
	var f found
	if err = fs.foundAt(d, op.Name, &f); err == nil {
		err = fs.settle(p)
	}
	if err != nil {
		fs.unmake(r, d, op.Name)
		return err
	}
	in2 := fs.admit(p, op.Name, &f)
	fs.coherence.stampInode(in2) // its attributes are not for long, see coherence
	fs.tellEntry(r, in2, nil, &f.st, entryName{p, op.Name}, since)
	return nil
}

// nameAtHome gives a file a name in p's directory on its home tier, which is for
// the caller to Put.
func (fs *FS) nameAtHome(r *fusedev.Request, in, p *inode.Inode, name string) (*tier.Dir, error) {
	for {
		_, home := fs.table.Home(in)
		d, err := fs.makeParents(p, home)
		if err != nil {
			return nil, err
		}
		if err = fs.nameFile(r, in, d, name); err == nil {
			return d, nil
		}
		d.Put()
		if err != errMoved {
			return nil, err
		}
	}
}

// errMoved says that a file has got another home.
var errMoved = errors.New("the file has moved to another tier")

// nameFile gives a file a name in d.
//
// LOCKS_EXCLUDED(in.Mu)
func (fs *FS) nameFile(r *fusedev.Request, in *inode.Inode, d *tier.Dir, name string) error {
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	if _, home := fs.table.Home(in); home != d.Tier.Rank {
		return errMoved
	}
	var st unix.Stat_t
	return fs.withFile(in, &st, func(f *tier.File) error {
		if err := fs.mayChange(r, in, &st); err != nil { // protected_hardlinks (proc_sys_fs(5))
			return err
		}
		return fs.onNetwork(d.Tier, r, func() error { return d.LinkFile(f, name) })
	})
}

func (fs *FS) symlink(r *fusedev.Request, op *fuseops.CreateSymlinkOp) error {
	return fs.newName(r, uint64(op.Parent), op.Name, 0777, 0, func(d *tier.Dir, _ uint32) error {
		return d.Symlink(op.Target, op.Name)
	})
}

func (fs *FS) readlink(op *fuseops.ReadSymlinkOp) error {
	in, err := fs.get(uint64(op.Inode))
	if err != nil {
		return err
	}
	op.Target, err = fs.target(in, func(d *tier.Dir, name string, _ *unix.Stat_t) (string, error) {
		return d.Readlink(name)
	})
	return err
}

// target is what the link in shows; read gives what is stored.
func (fs *FS) target(in *inode.Inode, read func(d *tier.Dir, name string, st *unix.Stat_t) (string, error)) (string, error) {
	in.Mu.RLock()
	defer in.Mu.RUnlock()
	if gone := fs.table.Gone(in); gone != nil {
		target, err := gone.Readlink()
		return fs.shownTarget(in, target), err
	}
	var st unix.Stat_t
	var target string
	_, err := fs.find(in, &st, func(d *tier.Dir, name string) (err error) {
		if target, err = read(d, name, &st); err == unix.EINVAL { // it has just been replaced by a file
			err = unix.ESTALE
		}
		return stale(err)
	})
	if err != nil {
		return "", err
	}
	return fs.shownTarget(in, target), nil
}

// shownTarget makes a target inside one of the tiers relative to the link, so
// that it leads through the mount. All others are shown as they are, and one
// that would become longer than a target can be.
func (fs *FS) shownTarget(in *inode.Inode, target string) string {
	if fs.rawLinks || !strings.HasPrefix(target, "/") {
		return target
	}
	for _, t := range fs.Tiers() {
		rest, ok := strings.CutPrefix(target, t.Root)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		path, ok := fs.table.Path(in)
		if !ok {
			return target
		}
		if shown := relative(path, strings.TrimLeft(rest, "/")); len(shown) < unix.PathMax {
			return shown
		}
		break
	}
	return target
}

// relative is the shortest way from link to target, both seen from
// the mount's root. A ".." in target stays: what it leads to depends on the
// links before it.
func relative(link, target string) string {
	dir := strings.Split(link, "/")
	dir = dir[:len(dir)-1]
	rest, last := path.Split(target) // a slash at the end stays: it has to be a directory
	to := slices.DeleteFunc(strings.Split(rest, "/"), func(part string) bool { return part == "" })
	if target != "" {
		to = append(to, last)
	}
	for len(dir) > 0 && len(to) > 1 && dir[0] == to[0] && to[0] != ".." {
		dir, to = dir[1:], to[1:]
	}
	for range dir {
		to = append([]string{".."}, to...)
	}
	if rel := strings.Join(to, "/"); rel != "" {
		return rel
	}
	return "."
}

// fixLinkSize makes a symlink's size that of the target shown (POSIX: the
// length of what readlink(2) gives). Only a target that begins with a tier's
// root can differ, and none shorter does. The result says whether it may.
func (fs *FS) fixLinkSize(in *inode.Inode, st *unix.Stat_t) (mayDiffer bool) {
	for _, t := range fs.Tiers() {
		if st.Size >= int64(len(t.Root)) {
			if target, err := fs.target(in, (*tier.Dir).Peek); err == nil {
				st.Size = int64(len(target))
			}
			return true
		}
	}
	return false
}
