package tierfs

import (
	"errors"
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// renaming is one rename: both names with every tier's copies of them.
type renaming struct {
	r                         *fusedev.Request
	from, to                  *inode.Inode // the directories
	name, newName             string
	src, dst                  []copyAt
	exclusive, swaps, whitens bool
}

// rename serves rename(2) and renameat2(2). It never crosses tiers, so it is
// never EXDEV between them: what is renamed stays on its home tier, and
// parents are made there.
func (fs *FS) rename(r *fusedev.Request, op *fusedev.RenameOp) error {
	if op.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE|unix.RENAME_WHITEOUT) != 0 {
		return unix.EINVAL
	}
	x := renaming{r: r, name: op.Name, newName: op.NewName, exclusive: op.Flags&unix.RENAME_NOREPLACE != 0,
		swaps: op.Flags&unix.RENAME_EXCHANGE != 0, whitens: op.Flags&unix.RENAME_WHITEOUT != 0}
	var err error
	if x.from, err = fs.getDir(op.Parent); err != nil {
		return err
	}
	if x.to, err = fs.getDir(op.NewParent); err != nil {
		return err
	}
	switch {
	case fs.hidden(x.from, x.name):
		return unix.ENOENT
	case fs.hidden(x.to, x.newName):
		return unix.EPERM
	}
	names := []entryName{{x.from, x.name}, {x.to, x.newName}}
	defer fs.names.use(names...)()
	if err := fs.syncRemovals(names...); err != nil {
		return err
	}
	for {
		if err := fs.renameOnce(&x); err != errStirred {
			return err
		}
	}
}

// errStirred says that a directory has got another copy between the survey and
// the mark. Two threads:
//
//	create d/f                      rename d e
//	                                d is on tier 1
//	makes d on tier 0, and f there
//	                                rename on tier 1
//
// Then f would be in a directory d that nobody wants. So what was surveyed is
// looked at again when nobody can make parents there, and if it is not the same
// the rename begins anew. So does a removal: d would be there still, on tier 0.
var errStirred = errors.New("a directory has got another copy")

func (fs *FS) renameOnce(x *renaming) (err error) {
	if x.src, err = fs.survey(x.from, x.name); err != nil {
		return err
	}
	if x.dst, err = fs.survey(x.to, x.newName); err != nil {
		return err
	}
	if err := fs.allowed(x); err != nil {
		return err
	}
	if err := fs.mayRemove(x.r, x.from, x.name, x.src); err != nil {
		return err
	}
	if err := fs.mayRemove(x.r, x.to, x.newName, x.dst); err != nil {
		return err
	}
	switch {
	case len(x.dst) > 0 && fs.key(&x.src[0]) == fs.key(&x.dst[0]):
		return nil // two names of one file: rename(2) does nothing
	case x.swaps:
		err = fs.exchange(x)
	case x.src[0].isDir():
		err = fs.renameDir(x)
	default:
		err = fs.renameFile(x)
	}
	if err != nil {
		return err
	}
	fs.coherence.stampCopies(x.src)
	if x.swaps {
		fs.coherence.stampCopies(x.dst)
	}
	return fs.settle(x.to, x.from)
}

// mark marks the directories that both names stand for.
func (fs *FS) mark(x *renaming) (end func()) {
	dirs := fs.table.Known(x.from, x.name, fs.key(&x.src[0]))
	if len(x.dst) > 0 {
		dirs = append(dirs, fs.table.Known(x.to, x.newName, fs.key(&x.dst[0]))...)
	}
	return fs.moves.mark(dirs, x.from, x.to)
}

// stirred is errStirred if name in p has other copies than were surveyed.
//
// The way to it is pinned.
func (fs *FS) stirred(p *inode.Inode, name string, surveyed []copyAt) error {
	same := func(a, b copyAt) bool { return a.rank == b.rank && a.st.Dev == b.st.Dev && a.st.Ino == b.st.Ino }
	now, err := fs.surveyBy(fs.walkDir, p, name)
	if err == nil && !slices.EqualFunc(now, surveyed, same) {
		err = errStirred
	}
	return err
}

// bothStirred is stirred for both names of a rename.
//
// The ways to both are pinned.
func (fs *FS) bothStirred(x *renaming) error {
	if err := fs.stirred(x.from, x.name, x.src); err != nil {
		return err
	}
	return fs.stirred(x.to, x.newName, x.dst)
}

// allowed judges a rename by what both names are in the merged view, and by
// what would come to light below.
func (fs *FS) allowed(x *renaming) error {
	switch {
	case len(x.src) == 0:
		return unix.ENOENT
	case x.exclusive && len(x.dst) > 0:
		return unix.EEXIST
	case x.swaps && len(x.dst) == 0:
		return unix.ENOENT
	}
	if err := fs.tangled(x.from, x.name, x.src); err != nil {
		return err
	}
	if err := fs.frozen(x.src); err != nil {
		return err
	}
	if x.whitens && !x.onOneTier() {
		return unix.EINVAL
	}
	if len(x.dst) == 0 {
		return nil
	}
	switch {
	case x.swaps:
	case x.src[0].isDir() && !x.dst[0].isDir():
		return unix.ENOTDIR
	case !x.src[0].isDir() && x.dst[0].isDir():
		return unix.EISDIR
	}
	if err := fs.tangled(x.to, x.newName, x.dst); err != nil {
		return err
	}
	return fs.frozen(x.dst)
}

// onOneTier reports whether one rename(2) on one tier does it all.
func (x *renaming) onOneTier() bool {
	return len(x.src) == 1 && (len(x.dst) == 0 || len(x.dst) == 1 && x.dst[0].rank == x.src[0].rank)
}

// step renames on one tier. That nothing may be replaced is for the tier to
// hold too: the new name may have appeared out of band. A whiteout, which the
// tier leaves under the old name (RENAME_WHITEOUT, for overlayfs), belongs to
// the caller as any new file.
func (fs *FS) step(x *renaming, from, to *tier.Dir) error {
	var flags uint
	if x.exclusive {
		flags = unix.RENAME_NOREPLACE
	}
	if x.whitens {
		flags |= unix.RENAME_WHITEOUT
		return fs.as(x.r.UID, x.r.GID, func() error { return from.Rename(x.name, to, x.newName, flags) })
	}
	return fs.onNetwork(from.Tier, x.r, func() error { return from.Rename(x.name, to, x.newName, flags) })
}

// renameFile renames a non-directory on its home tier.
//
// Shadowed copies of the old name go first. If only the home tier and those
// below have the new name, rename(2) replaces it, and the copies below go
// after. If a higher tier has it, that one is what the new name shows until it
// is removed: the file is linked under the new name below it, made durable,
// and the old name goes last, once the removal is durable too. At every instant
// both contents are reachable under a name.
func (fs *FS) renameFile(x *renaming) error {
	if _, err := fs.meant(x.from, x.name, x.src); err != nil {
		return err
	}
	take := fs.journal.takingsOf(x)
	home := x.src[0].rank
	sd, err := fs.dir(x.from, home)
	if err != nil {
		return err
	}
	defer sd.Put()
	dd, err := fs.makeParents(x.to, home)
	if err != nil {
		return err
	}
	defer dd.Put()
	if len(x.src) > 1 {
		if err := fs.durable(sd, x.name, &x.src[0].st, x.src[1:]); err != nil {
			return err
		}
		if err := fs.removeCopies(x.r, x.from, x.name, x.src, 1); err != nil {
			return err
		}
	}
	var over *inode.Inode
	if len(x.dst) > 0 {
		over = fs.leave(x.r, x.to, x.newName, &x.dst[0])
	}
	higher, same, lower := split(x.dst, home)
	if len(higher) > 0 {
		err = fs.renameUnder(x, sd, dd, higher, same, lower)
	} else {
		err = fs.renameOver(x, sd, dd, lower)
	}
	if err != nil {
		fs.stay(over)
		return err
	}
	take()
	if len(x.dst) > 0 {
		fs.removed(over, x.to, x.newName, &x.dst[0])
	}
	fs.table.Moved(x.from, x.name, x.to, x.newName, fs.key(&x.src[0]), x.src[0].st.Mode)
	return nil
}

// split divides copies by their rank.
func split(all []copyAt, home int) (higher, same, lower []copyAt) {
	for i, c := range all {
		switch {
		case c.rank < home:
			higher = all[:i+1]
		case c.rank == home:
			same = all[i : i+1]
		default:
			return higher, same, all[i:]
		}
	}
	return higher, same, nil
}

// renameOver renames where no higher tier has the new name. Once it is done
// the copies below are hidden, and go. For one that cannot be removed a record stays,
// and the next mount does it; that is not an error. So it does if the daemon is killed
// before: a record that is not synced, as the steps would not be worth it, stands meanwhile.
func (fs *FS) renameOver(x *renaming, sd, dd *tier.Dir, lower []copyAt) error {
	if len(lower) == 0 {
		return fs.step(x, sd, dd)
	}
	defer fs.moves.pin(x.from, x.to)() // the paths in the record hold
	record, err := fs.intendReplace(x, dd, lower, true)
	if err == nil {
		defer record.finish()
	}
	if err := fs.step(x, sd, dd); err != nil {
		return err
	}
	if err = fs.durable(dd, x.newName, &x.src[0].st, lower); err == nil {
		err = fs.removeCopies(x.r, x.to, x.newName, lower, 0)
	}
	if err == nil && lower[0].st.Dev != x.src[0].st.Dev { // before who removes or renames the file, on another filesystem
		err = fs.syncAt(x.to, lower[0].rank)
	}
	if err != nil {
		fs.replaceLater(x, dd, lower, err)
	}
	return nil
}

// replaceLater leaves a record by which the next mount removes the copies that
// a file has replaced.
func (fs *FS) replaceLater(x *renaming, dd *tier.Dir, replaced []copyAt, why error) {
	record, err := fs.intendReplace(x, dd, replaced, false)
	if err != nil {
		fs.log.Warn("a replaced file stays hidden on a lower tier; tierfs check names it, remove it there", "name", x.newName, "tier", fs.Tiers()[replaced[0].rank].Root, "err", why)
		return
	}
	fs.log.Warn("a replaced file stays hidden on a lower tier; the next mount removes it", "name", x.newName, "tier", fs.Tiers()[replaced[0].rank].Root, "err", why)
	record.leave(nextMount)
}

// intendReplace records that the file replaces the copies of the new name.
func (fs *FS) intendReplace(x *renaming, dd *tier.Dir, replaced []copyAt, brief bool) (*record, error) {
	in, err := fs.replacement(x, replaced)
	if err != nil {
		return nil, err
	}
	in.brief = brief
	return fs.journal.write(dd.Tier, in)
}

// replacement is the intent that the file replaces the copies of the new name.
func (fs *FS) replacement(x *renaming, replaced []copyAt) (*intent, error) {
	defer fs.moves.pin(x.from, x.to)()
	from, ok1 := fs.pathOf(x.from, x.name)
	to, ok2 := fs.pathOf(x.to, x.newName)
	if !ok1 || !ok2 {
		return nil, unix.ESTALE
	}
	in := intent{Kind: intentReplace, From: from, To: to, Moves: []move{fs.moveOf(x.from, x.name, &x.src[0])}}
	for i := range replaced {
		in.Replaced = append(in.Replaced, fs.moveOf(x.to, x.newName, &replaced[i]))
	}
	return &in, nil
}

// durable makes the file name in d, and its name, last on its disk before the
// copies others are removed in its favour. On their own filesystem the order
// of the operations is kept anyway. It is paid only where such a copy exists:
// write, rename, power cut must not leave a document on neither tier.
func (fs *FS) durable(d *tier.Dir, name string, st *unix.Stat_t, others []copyAt) error {
	foreign := false
	for _, c := range others {
		foreign = foreign || c.st.Dev != st.Dev
	}
	if !foreign {
		return nil
	}
	return syncFile(d, name, st)
}

// syncFile makes the content of the file name in d, and the name, durable.
func syncFile(d *tier.Dir, name string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		f, err := openLeased(d, name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(false); err != nil {
			return err
		}
	}
	return d.Sync()
}

// openLeased opens a file that may be on its way to another tier: the mover's
// lease is given up once somebody wants it, and so is that of a good program
// (fcntl(2)).
func openLeased(d *tier.Dir, name string) (f *tier.File, err error) {
	for end := time.Now().Add(movePatience); ; time.Sleep(leaseRest) {
		f, err = d.Open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != unix.EAGAIN || time.Now().After(end) {
			return f, err
		}
	}
}

// exchange swaps two names within one tier.
func (fs *FS) exchange(x *renaming) error {
	a, b := &x.src[0], &x.dst[0]
	if a.rank != b.rank || a.isDir() && len(x.src) > 1 || b.isDir() && len(x.dst) > 1 || len(x.src) > 1 && b.isDir() || len(x.dst) > 1 && a.isDir() {
		return unix.EINVAL
	}
	sd, err := fs.dir(x.from, a.rank)
	if err != nil {
		return err
	}
	defer sd.Put()
	dd, err := fs.dir(x.to, a.rank)
	if err != nil {
		return err
	}
	defer dd.Put()
	fs.journal.calm.RLock()
	defer fs.journal.calm.RUnlock()
	defer fs.mark(x)()
	if err := fs.bothStirred(x); err != nil {
		return err
	}
	if _, err := fs.meant(x.from, x.name, x.src); err != nil {
		return err
	}
	if _, err := fs.meant(x.to, x.newName, x.dst); err != nil {
		return err
	}
	take := fs.journal.takingsOf(x)
	if err := sd.Rename(x.name, dd, x.newName, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	take()
	fs.table.Moved(x.from, x.name, x.to, x.newName, fs.key(a), a.st.Mode)
	fs.table.Moved(x.to, x.newName, x.from, x.name, fs.key(b), b.st.Mode)
	return nil
}
