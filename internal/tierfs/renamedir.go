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
	done := func() {}
	if len(steps)+len(alone) > 1 {
		if done, err = fs.intendDir(x); err != nil {
			return err
		}
	}
	replaced := openAll(targets, x.newName)
	defer putAll(replaced)
	in, err := fs.renameSteps(x, steps, alone, done)
	fs.keepDirs(in, replaced)
	return err
}

// openAll opens the directory name in each of parents, as far as it can.
func openAll(parents []*tier.Dir, name string) (dirs []*tier.Dir) {
	for _, p := range parents {
		if d, err := p.OpenDir(name); err == nil {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// stepsOf opens both parents on every tier that has the directory, highest
// first, and makes the new one where it is missing.
func (fs *FS) stepsOf(x *renaming) ([]step, error) {
	var steps []step
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

// intendDir writes the record from which a mount finishes the rename.
func (fs *FS) intendDir(x *renaming) (done func(), err error) {
	from, ok1 := fs.pathOf(x.from, x.name)
	to, ok2 := fs.pathOf(x.to, x.newName)
	if !ok1 || !ok2 {
		return nil, unix.ESTALE
	}
	in := intent{Kind: intentRename, From: from, To: to}
	for i := range x.src {
		in.Moves = append(in.Moves, fs.moveOf(&x.src[i]))
	}
	for i := range x.dst {
		in.Replaced = append(in.Replaced, fs.moveOf(&x.dst[i]))
	}
	return fs.journal.write(fs.tiers()[x.src[0].rank], &in)
}

// renameSteps does the renames under the tree lock. alone are the parents of
// empty targets on tiers without the source. It returns the inode of the
// directory that was renamed over, if there was one.
func (fs *FS) renameSteps(x *renaming, steps []step, alone []*tier.Dir, done func()) (over *inode.Inode, err error) {
	fs.tree.Lock()
	defer fs.tree.Unlock()
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		err := fs.onNetwork(s.from.Tier, x.r, func() error { return s.from.Rename(x.name, s.to, x.newName, 0) })
		if err == nil {
			continue
		}
		for _, u := range steps[i+1:] {
			if e := u.to.Rename(x.newName, u.from, x.name, unix.RENAME_NOREPLACE); e != nil {
				fs.log.Error("cannot undo the rename of a directory; the next mount finishes it", "tier", u.to.Tier.Root, "name", x.name, "err", e)
				return nil, err
			}
		}
		done()
		return nil, err
	}
	for _, d := range alone {
		if err := d.Rmdir(x.newName); err != nil && !absent(err) {
			fs.log.Warn("an empty directory that was renamed over stays on a tier", "tier", d.Tier.Root, "name", x.newName, "err", err)
		}
	}
	done()
	if len(x.dst) > 0 {
		over = fs.removed(x.to, x.newName, &x.dst[0])
	}
	fs.table.Moved(x.from, x.name, x.to, x.newName, fs.key(&x.src[0]))
	return over, nil
}

// pathOf is the path of name in the directory p.
func (fs *FS) pathOf(p *inode.Inode, name string) (string, bool) {
	fs.tree.RLock()
	defer fs.tree.RUnlock()
	dir, ok := fs.table.Path(p)
	if dir != "" {
		dir += "/"
	}
	return dir + name, ok
}
