package tierfs

import (
	"slices"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// step is the rename of a directory on one tier.
type step struct{ from, to *tier.Dir }

// renameDir renames a directory on every tier that has it, lowest first, so
// that until the last step the old name shows what is still there. An empty
// target goes with it, from the tiers that lack the source too. It is undone
// if one tier fails, and finished at the next mount after a kill.
func (fs *FS) renameDir(x *renaming) error {
	fs.journal.calm.RLock()
	defer fs.journal.calm.RUnlock()
	targets, err := fs.dirsOf(x.to, x.dst)
	if err != nil {
		return err
	}
	defer putAll(targets)
	if err := allEmpty(targets, x.newName); err != nil {
		return err
	}
	steps, err := fs.stepsOf(x)
	defer func() {
		for _, s := range steps {
			s.from.Put()
			s.to.Put()
		}
	}()
	if err != nil {
		return err
	}
	alone := slices.DeleteFunc(slices.Clone(targets), func(d *tier.Dir) bool {
		return slices.ContainsFunc(steps, func(s step) bool { return s.to.Tier == d.Tier })
	})
	replaced, err := openAll(targets, x.newName)
	defer putAll(replaced)
	if err != nil {
		return err
	}
	var over *inode.Inode
	if len(x.dst) > 0 {
		over = fs.inodeOf(x.to, x.newName, &x.dst[0])
	}
	fs.holdAll(fs.inodeOf(x.from, x.name, &x.src[0]), x.src)
	defer fs.mark(x)()
	if err := fs.bothStirred(x); err != nil {
		return err
	}
	if _, err := fs.meant(x.from, x.name, x.src); err != nil {
		return err
	}
	take := fs.journal.takingsOf(x)
	if over != nil {
		fs.table.Leave(over, nil)
	}
	if err := fs.renameOnAll(x, steps, alone, replaced); err != nil {
		fs.stay(over)
		fs.again(over, targets, x.newName)
		return err
	}
	take()
	if over != nil {
		fs.table.Removed(over, x.to, x.newName)
		fs.keepDirs(over, replaced)
	}
	fs.table.Moved(x.from, x.name, x.to, x.newName, fs.key(&x.src[0]), unix.S_IFDIR)
	return nil
}

// holdAll has descriptors of a directory's copies kept, as far as the kernel holds it. rclone
// has the kernel forget what is renamed, and it would come back as another.
func (fs *FS) holdAll(in *inode.Inode, all []copyAt) {
	if in == nil {
		return
	}
	for _, c := range all {
		if d, err := fs.dir(in, c.rank); err == nil {
			d.Put()
		}
	}
}

// openAll opens the directory name in each of parents.
func openAll(parents []*tier.Dir, name string) (dirs []*tier.Dir, err error) {
	for _, p := range parents {
		d, err := p.OpenDir(name)
		if err != nil {
			return dirs, err
		}
		dirs = append(dirs, d)
	}
	return dirs, nil
}

// stepsOf opens both parents on every tier that has the directory, highest
// first, and makes the new one where it is missing.
func (fs *FS) stepsOf(x *renaming) ([]step, error) {
	var steps []step
	for _, c := range x.src {
		if err := fs.fits(x.to, c.rank); err != nil {
			return nil, err
		}
	}
	for _, c := range x.src {
		from, err := fs.dir(x.from, c.rank)
		if err != nil {
			return steps, err
		}
		to, err := fs.makeParents(x.to, c.rank)
		if err != nil {
			from.Put()
			return steps, err
		}
		steps = append(steps, step{from, to})
	}
	return steps, nil
}

// intendDir writes the record from which a mount finishes the rename. The new
// parents are durable before it, the renames before it is taken away.
func (fs *FS) intendDir(x *renaming, steps []step) (*record, error) {
	from, ok1 := fs.pathOf(x.from, x.name)
	to, ok2 := fs.pathOf(x.to, x.newName)
	if !ok1 || !ok2 {
		return nil, unix.ESTALE
	}
	for _, s := range steps {
		if err := s.to.Sync(); err != nil {
			return nil, err
		}
	}
	in := intent{Kind: intentRename, From: from, To: to}
	for i := range x.src {
		in.Moves = append(in.Moves, fs.moveOf(x.from, x.name, &x.src[i]))
	}
	for i := range x.dst {
		in.Replaced = append(in.Replaced, fs.moveOf(x.to, x.newName, &x.dst[i]))
	}
	return fs.journal.write(fs.Tiers()[x.src[0].rank], &in)
}

// renameOnAll renames on every tier; alone are the parents of empty targets on
// tiers without the source, replaced the empty targets. One tier alone needs no
// record: its rename(2) is whole.
func (fs *FS) renameOnAll(x *renaming, steps []step, alone, replaced []*tier.Dir) error {
	if len(steps)+len(alone) == 1 {
		return fs.step(x, steps[0].from, steps[0].to)
	}
	record, err := fs.intendDir(x, steps)
	if err != nil {
		return err
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if err := fs.step(x, steps[i].from, steps[i].to); err != nil {
			fs.undoAll(x, record, steps[i:], replaced, err)
			return err
		}
	}
	for _, d := range alone {
		if err := d.Rmdir(x.newName); err != nil && !absent(err) {
			fs.log.Warn("an empty directory that was renamed over stays on a tier; remove it there if it is seen in the mount", "tier", d.Tier.Root, "name", x.newName, "err", err)
		}
	}
	if err := syncSteps(steps, alone); err != nil {
		fs.log.Warn("cannot make the rename of a directory durable; its record stays until then", "name", x.newName, "err", err)
		record.leave(syncRename)
		return nil
	}
	record.finish()
	return nil
}

// undoAll takes the steps back, of which the first has failed, now or later.
func (fs *FS) undoAll(x *renaming, record *record, steps []step, replaced []*tier.Dir, why error) {
	record.src, record.dst = x.src, x.dst
	steps[0].to.Ask(x.newName)
	for i, s := range steps {
		if d, err := s.open(x, i == 0); err == nil {
			record.held = append(record.held, d)
		}
	}
	if fs.undo(x, steps, replaced) && syncSteps(steps, nil) == nil {
		record.finish()
		return
	}
	fs.log.Error("cannot undo the rename of a directory yet; the next mount finishes it if that stays so", "name", x.name, "err", why)
	record.leave(undoRename)
}

// open opens the directory that the step renames. In doubt it has the old name.
func (s *step) open(x *renaming, doubt bool) (*tier.Dir, error) {
	if doubt {
		if d, err := s.from.OpenDir(x.name); !absent(err) {
			return d, err
		}
	}
	return s.to.OpenDir(x.newName)
}

// undo takes the steps back, with the empty directories that they replaced, and reports
// whether it could. The first has failed, but the tier may have carried it out; if it
// does not say, the others are taken back.
func (fs *FS) undo(x *renaming, steps []step, replaced []*tier.Dir) bool {
	known := true
	for i, s := range steps {
		err := s.to.Rename(x.newName, s.from, x.name, unix.RENAME_NOREPLACE)
		if i == 0 && err != nil {
			known = err == unix.EEXIST || absent(err) // it has not
			continue
		}
		if err != nil {
			return false
		}
		for i := range x.dst {
			if x.dst[i].rank == s.to.Tier.Rank {
				fs.restore(s.to, x.newName, replaced[i], &x.dst[i].st)
			}
		}
	}
	return known
}

// syncSteps makes the renames durable on every tier.
func syncSteps(steps []step, alone []*tier.Dir) error {
	for _, s := range steps {
		if err := s.to.Sync(); err != nil {
			return err
		}
		if err := s.from.Sync(); err != nil {
			return err
		}
	}
	for _, d := range alone {
		if err := d.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// pathOf is the path of name in the directory p, whose way is pinned.
func (fs *FS) pathOf(p *inode.Inode, name string) (string, bool) {
	dir, ok := fs.table.Path(p)
	if dir != "" {
		dir += "/"
	}
	return dir + name, ok
}
