package tierfs

import (
	"errors"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// copyAt is what one tier has under a name.
type copyAt struct {
	rank int
	st   unix.Stat_t
}

func (c *copyAt) isDir() bool { return c.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// survey is every tier's copy of name in p, hidden ones included, highest
// first. Every tier has to answer: what changes a name changes all its copies.
func (fs *FS) survey(p *inode.Inode, name string) ([]copyAt, error) {
	return fs.surveyBy(fs.dir, p, name)
}

// surveyBy is survey with dir to find p on each tier.
func (fs *FS) surveyBy(dir func(p *inode.Inode, rank int) (*tier.Dir, error), p *inode.Inode, name string) ([]copyAt, error) {
	var all []copyAt
	for rank := range fs.Tiers() {
		var st unix.Stat_t
		d, err := dir(p, rank)
		if err == nil {
			err = d.Stat(name, &st)
			d.Put()
		}
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, copyAt{rank, st})
	}
	return all, nil
}

// surveyToRemove is survey for r's client, who removes a directory, or else what is none.
func (fs *FS) surveyToRemove(r *fusedev.Request, p *inode.Inode, name string, dir bool) ([]copyAt, error) {
	all, err := fs.survey(p, name)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, unix.ENOENT
	case dir && !all[0].isDir():
		return nil, unix.ENOTDIR
	case !dir && all[0].isDir():
		return nil, unix.EISDIR
	}
	if err := fs.tangled(p, name, all); err != nil {
		return nil, err
	}
	if err := fs.frozen(all); err != nil {
		return nil, err
	}
	return all, fs.mayRemove(r, p, name, all)
}

// sameKind reports whether all copies are directories, or none is. A file
// below a directory would come to light when the directory goes.
func sameKind(all []copyAt) bool {
	for i := range all {
		if all[i].isDir() != all[0].isDir() {
			return false
		}
	}
	return true
}

// frozen is EROFS if a copy lies on a tier that cannot remove it.
func (fs *FS) frozen(all []copyAt) error {
	for _, c := range all {
		if fs.Tiers()[c.rank].ReadOnly() {
			return unix.EROFS
		}
	}
	return nil
}

// inodeOf is the live inode of what was surveyed under name in p, nil if the kernel
// holds none.
func (fs *FS) inodeOf(p *inode.Inode, name string, c *copyAt) *inode.Inode {
	if !c.isDir() {
		return fs.table.Find(fs.key(c), c.st.Mode)
	}
	in, changed := fs.table.FindDir(p, name, fs.key(c))
	if changed { // what is open of it keeps its number, so that is of one before, out of band
		fs.changedCopies(in, []int{c.rank}, true)
	}
	return in
}

func (fs *FS) key(c *copyAt) inode.Key { return fs.table.Key(c.rank, c.st.Dev, c.st.Ino) }

// unlink removes the name from every tier, lowest first: nothing comes back,
// and a failure leaves the one that is visible.
func (fs *FS) unlink(r *fusedev.Request, parent uint64, name string) error {
	p, err := fs.getDir(parent)
	if err != nil {
		return err
	}
	if fs.hidden(p, name) {
		return unix.ENOENT
	}
	defer fs.names.use(entryName{p, name})()
	if err := fs.syncRemovals(entryName{p, name}); err != nil {
		return err
	}
	all, err := fs.surveyToRemove(r, p, name, false)
	if err != nil {
		return err
	}
	take := fs.journal.takingOf(p, name)
	in := fs.leave(r, p, name, &all[0])
	if err := fs.removeCopies(r, p, name, all, 0); err != nil {
		fs.stay(in)
		return err
	}
	take()
	fs.removed(in, p, name, &all[0])
	return fs.settle(p)
}

// leave prepares the inode of the visible copy c of a file's name for the removal of
// that name. If it is the last, the inode leaves its backing number, and keeps
// a descriptor: on the backing filesystem a client that has looked the name up
// may still open the file, and through the mount it could not. It is done
// before the removal, so that there is no time between. NFS would rename the
// file aside for as long as it is held. The result is nil if the inode stays.
func (fs *FS) leave(r *fusedev.Request, p *inode.Inode, name string, c *copyAt) *inode.Inode {
	in := fs.inodeOf(p, name, c)
	if in == nil || c.st.Nlink > 1 {
		return nil
	}
	if fs.Tiers()[c.rank].Network {
		fs.table.Leave(in, nil)
		return in
	}
	f, err := fs.hold(r.UID, p, name, c)
	if err != nil {
		return nil
	}
	fs.table.Leave(in, f)
	fs.coherence.nameless(in)
	if f != nil && fs.table.Gone(in) != f { // it had one
		fs.releaseHeld(f)
	}
	return in
}

// hold opens the copy c of a name for leave, at the cost of uid. One who holds
// all that he may gets none, and with it less than a local filesystem gives:
// who has looked the name up cannot open the file any more.
func (fs *FS) hold(uid uint32, p *inode.Inode, name string, c *copyAt) (*tier.File, error) {
	if !fs.descriptors.take(uid, 1) {
		return nil, nil
	}
	f, err := fs.openCopy(p, name, c)
	if err != nil {
		fs.descriptors.give(uid, 1)
		return nil, err
	}
	fs.heldMu.Lock()
	defer fs.heldMu.Unlock()
	fs.held[f] = uid
	return f, nil
}

// releaseHeld ends the debt of a descriptor from hold.
func (fs *FS) releaseHeld(f *tier.File) {
	fs.heldMu.Lock()
	uid, owed := fs.held[f]
	delete(fs.held, f)
	fs.heldMu.Unlock()
	if owed {
		fs.descriptors.give(uid, 1)
	}
}

// openCopy opens the copy c of a name with O_PATH, and makes sure that it is
// that one.
func (fs *FS) openCopy(p *inode.Inode, name string, c *copyAt) (*tier.File, error) {
	d, err := fs.dir(p, c.rank)
	if err != nil {
		return nil, err
	}
	defer d.Put()
	f, err := d.OpenPath(name)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if f.Stat(&st) != nil || st.Ino != c.st.Ino || st.Dev != c.st.Dev {
		f.Close()
		return nil, unix.ESTALE
	}
	return f, nil
}

// stay takes leave back.
func (fs *FS) stay(in *inode.Inode) {
	if in != nil {
		fs.closeHeld(in, fs.table.Stay(in))
	}
}

// closeHeld closes the descriptor that in held, once no op uses it: one that was
// answered for may still.
func (fs *FS) closeHeld(in *inode.Inode, file *tier.File) {
	if file != nil {
		in.Mu.Lock()
		defer in.Mu.Unlock()
		file.Close()
		fs.releaseHeld(file)
	}
}

// removed tells the table that the copy c of a name is gone. in is what leave
// returned. A client that has the file open is to see that it lost a name: of a
// hidden copy, opened before it was hidden, the kernel does not know.
func (fs *FS) removed(in, p *inode.Inode, name string, c *copyAt) {
	if in == nil {
		in = fs.inodeOf(p, name, c)
	}
	if in != nil {
		fs.table.Removed(in, p, name)
		if in.Opened() != nil {
			fs.invalAttr(in)
		}
		fs.forget(in.ID, 0) // if its ID was kept only
	}
}

// lostName is told that a hidden copy is gone, in what leave returned: the kernel
// does not know that the name which was removed was once this one's too.
func (fs *FS) lostName(in *inode.Inode) {
	if in != nil && fs.coherence.on.Load() {
		fs.coherence.attr(in.ID)
	}
}

// removeCopies unlinks the copies all[keep:] of a name, lowest first. Before a
// higher one on another filesystem goes, the removal of the lower is made
// durable: a power cut must not bring the old one back to light.
func (fs *FS) removeCopies(r *fusedev.Request, p *inode.Inode, name string, all []copyAt, keep int) error {
	for i := len(all) - 1; i >= keep; i-- {
		d, err := fs.dir(p, all[i].rank)
		if err != nil {
			return err
		}
		in := fs.leave(r, p, name, &all[i]) // a hidden one may have been looked up before it was
		err = fs.onNetwork(d.Tier, r, func() error { return d.Unlink(name) })
		if err != nil && d.Gone(name, &all[i].st) {
			err = nil // whatever the tier says: who believes it gives the name to another
		}
		if err != nil {
			fs.stay(in)
		} else {
			fs.removed(in, p, name, &all[i])
			if i > 0 {
				fs.lostName(in)
			}
		}
		if err == nil && i > 0 && all[i-1].st.Dev != all[i].st.Dev {
			err = d.Sync()
		}
		d.Put()
		if err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// rmdir removes a directory that is empty in the merged view: each copy is,
// then. Lowest first; what was removed is made again if a higher one fails.
func (fs *FS) rmdir(r *fusedev.Request, parent uint64, name string) error {
	p, err := fs.getDir(parent)
	if err != nil {
		return err
	}
	if fs.hidden(p, name) {
		return unix.ENOENT
	}
	for {
		if err := fs.rmdirOnce(r, p, name); err != errStirred {
			return err
		}
	}
}

func (fs *FS) rmdirOnce(r *fusedev.Request, p *inode.Inode, name string) error {
	all, err := fs.surveyToRemove(r, p, name, true)
	if err != nil {
		return err
	}
	parents, err := fs.dirsOf(p, all)
	if err != nil {
		return err
	}
	defer putAll(parents)
	if len(all) > 1 {
		if err := allEmpty(parents, name); err != nil {
			return err
		}
	}
	defer fs.moves.mark(fs.table.Known(p, name, fs.key(&all[0])), p)()
	if err := fs.stirred(p, name, all); err != nil {
		return err
	}
	in, err := fs.meant(p, name, all)
	if err != nil {
		return err
	}
	fs.table.Leave(in, nil)
	dirs, err := fs.rmdirAll(r, parents, name, all)
	defer putAll(dirs)
	if err != nil {
		fs.stay(in)
		fs.again(in, parents, name)
		return err
	}
	fs.removed(in, p, name, &all[0])
	fs.keepDirs(in, dirs)
	return fs.settle(p)
}

// keepDirs keeps the descriptors of a directory that was removed: a client may
// have it open, or be in it, and ask for its attributes until it leaves.
func (fs *FS) keepDirs(in *inode.Inode, dirs []*tier.Dir) {
	if in == nil {
		return
	}
	for _, d := range dirs {
		fs.keepDir(in, d.Tier.Rank, d)
	}
}

// again tells the table of the copies of the directory in that restore has made
// anew: the kernel still holds it.
func (fs *FS) again(in *inode.Inode, parents []*tier.Dir, name string) {
	if in == nil {
		return
	}
	for _, p := range parents {
		var st unix.Stat_t
		if p.Stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			rank := p.Tier.Rank
			fs.table.AddCopy(in, inode.Copy{Rank: rank, Key: fs.table.Key(rank, st.Dev, st.Ino)})
			fs.dirs.Drop(in, rank)
		}
	}
}

// dirsOf opens p on the tiers of the given copies, before the tree is locked.
func (fs *FS) dirsOf(p *inode.Inode, all []copyAt) ([]*tier.Dir, error) {
	var dirs []*tier.Dir
	for _, c := range all {
		d, err := fs.dir(p, c.rank)
		if err != nil {
			putAll(dirs)
			return nil, err
		}
		dirs = append(dirs, d)
	}
	return dirs, nil
}

func putAll(dirs []*tier.Dir) {
	for _, d := range dirs {
		d.Put()
	}
}

// allEmpty is ENOTEMPTY if the directory name has an entry in any of dirs.
func allEmpty(dirs []*tier.Dir, name string) error {
	for _, p := range dirs {
		empty, err := isEmpty(p, name)
		if err != nil {
			return err
		}
		if !empty {
			return unix.ENOTEMPTY
		}
	}
	return nil
}

var errNotEmpty = errors.New("not empty")

func isEmpty(p *tier.Dir, name string) (bool, error) {
	f, err := p.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = f.ReadDir(func(sys.Dirent) error { return errNotEmpty })
	if err == errNotEmpty {
		return false, nil
	}
	return err == nil, err
}

// rmdirAll removes name from every one of parents, where all are its copies,
// the last first, and returns what it removed. If one fails, the others are made
// again.
func (fs *FS) rmdirAll(r *fusedev.Request, parents []*tier.Dir, name string, all []copyAt) (removed []*tier.Dir, err error) {
	for i := len(parents) - 1; i >= 0; i-- {
		p := parents[i]
		d, err := p.OpenDir(name)
		if err == nil {
			if err = fs.onNetwork(p.Tier, r, func() error { return p.Rmdir(name) }); err != nil {
				d.Put()
			}
		}
		if err != nil {
			for j, d := range removed {
				lower := len(parents) - 1 - j
				fs.restore(parents[lower], name, d, &all[lower].st)
			}
			return removed, err
		}
		removed = append(removed, d)
	}
	return removed, nil
}

// restore makes a directory again that was removed, because the operation
// failed on a higher tier. st is what it was. A server may not know a directory
// any more that has no name; then at least its owner and mode are restored.
func (fs *FS) restore(parent *tier.Dir, name string, was *tier.Dir, st *unix.Stat_t) {
	err := fs.makeLike(parent, name, was)
	if err != nil {
		err = fs.makeBare(parent, name, st)
	}
	if err != nil {
		fs.log.Error("an empty directory is lost on a tier, as a higher one failed while it was removed; make it again if it is missed", "tier", parent.Tier.Root, "name", name, "err", err)
	}
}

// makeBare makes a directory with the owner and mode in st.
func (fs *FS) makeBare(parent *tier.Dir, name string, st *unix.Stat_t) error {
	if err := parent.Mkdir(name, 0700); err != nil {
		if err == unix.EEXIST {
			return nil
		}
		return err
	}
	d, err := parent.OpenDir(name)
	if err != nil {
		return err
	}
	defer d.Put()
	if fs.root {
		if err := d.Self().Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return fs.as(0, st.Gid, func() error { return d.Self().Chmod(st.Mode & 07777) })
}
