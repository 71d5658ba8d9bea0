package tierfs

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// replayRename finishes the rename of a directory, lowest tier first, or takes it
// back. What is not known for one of the directories stays where it is.
func (j *journal) replayRename(in *intent) error {
	if slices.ContainsFunc(j.fs.Tiers(), (*tier.Tier).Suspect) || !j.calm.TryLock() {
		return errUsed // who hangs in a tier may be on the way
	}
	defer j.calm.Unlock()
	defer j.fs.moves.mark(j.inodesOf(in))()
	defer j.fs.dirs.DropTier(-1) // what was opened before may have another name now
	finish, err := j.renamed(in)
	if err != nil {
		return err
	}
	from, to := in.From, in.To
	if !finish {
		from, to = to, from
	}
	for i := len(in.Moves) - 1; i >= 0; i-- {
		err := j.at(&in.Moves[i], func(t *tier.Tier, m *move) error {
			return j.renameIfStill(t, from, to, func(d *tier.Dir, name string, st *unix.Stat_t) (bool, error) {
				return j.fs.recorded(d, name, m, st), nil
			})
		})
		if err != nil {
			return err
		}
	}
	if !finish {
		return j.sync(in)
	}
	for i := range in.Replaced {
		err := j.at(&in.Replaced[i], func(t *tier.Tier, m *move) error { return j.removeIfStill(t, in.To, m, true) })
		if err != nil {
			return err
		}
	}
	return j.sync(in)
}

// at runs a step of a replay on the tier that m is of, which its error names.
func (j *journal) at(m *move, step func(t *tier.Tier, m *move) error) error {
	t, err := j.member(m.Member)
	if err != nil {
		return err
	}
	if err := step(t, m); err != nil {
		return fmt.Errorf("tier %s: %w", t.Root, err)
	}
	return nil
}

// renamed reports whether the rename of a directory is to be finished, rather than
// taken back. Where numbers last, both can be done. Where they do not, nothing is
// touched, as it may be another directory; but the name that one has tells how far the
// rename had come there, and the other tiers follow.
func (j *journal) renamed(in *intent) (finish bool, err error) {
	var done, undone, unclear bool
	for i := range in.Moves {
		t, err := j.member(in.Moves[i].Member)
		if err != nil {
			return false, err
		}
		from, err := dirAt(t, in.From)
		if err != nil {
			return false, err
		}
		to, err := dirAt(t, in.To)
		if err != nil {
			return false, err
		}
		switch {
		case j.fs.NumbersLast(t):
		case from == nil:
			done = done || to != nil
		case to == nil || j.replacedEmpty(t, in):
			undone = true
		default:
			unclear = true
		}
	}
	if done && undone || unclear {
		return false, fmt.Errorf("%q was being renamed to %q, and there is a part of it under both names; inode numbers do not tell all directories from others made since, so give it one name in the tiers", in.From, in.To)
	}
	return !undone, nil
}

// dirAt is the directory at a path of a tier, nil for none.
func dirAt(t *tier.Tier, p string) (*unix.Stat_t, error) {
	st, err := t.Lstat(p)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, unlessAbsent(err)
	}
	return &st, nil
}

// replacedEmpty reports whether a tier has the empty directory still that a rename was
// to replace there.
func (j *journal) replacedEmpty(t *tier.Tier, in *intent) bool {
	if !slices.ContainsFunc(in.Replaced, func(m move) bool { other, err := j.member(m.Member); return err == nil && other == t }) {
		return false
	}
	d, name, err := t.OpenParent(in.To)
	if err != nil {
		return false
	}
	defer d.Put()
	empty, err := isEmpty(d, name)
	return err == nil && empty
}

// replayReplace removes what a file that has come into place replaces. If it
// has not, nothing has happened and nothing is done. If numbers do not tell, the file
// gets its old name again, and what it was to replace stays.
func (j *journal) replayReplace(in *intent) error {
	t, err := j.member(in.Moves[0].Member)
	if err != nil {
		return err
	}
	_, done, err := j.fs.holdName(in.To)
	if err != nil {
		return err
	}
	defer done()
	d, name, err := t.OpenParent(in.To)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	last := j.fs.NumbersLast(t)
	if err := d.Stat(name, &st); absent(err) || err == nil && last && !j.fs.recorded(d, name, &in.Moves[0], &st) {
		return nil
	} else if err != nil {
		return err
	}
	doubt, err := j.doubtful(in, t)
	if err != nil {
		return err
	}
	if doubt {
		return j.takeBack(in, d, name)
	}
	if !last {
		return nil // it is seen, and what it hides is named by a check
	}
	if err := syncFile(d, name, &st); err != nil {
		return err
	}
	for i := len(in.Replaced) - 1; i >= 0; i-- {
		err := j.at(&in.Replaced[i], func(t *tier.Tier, m *move) error { return j.removeIfStill(t, in.To, m, false) })
		if err != nil {
			return err
		}
	}
	return nil
}

// doubtful reports whether a file on t is hidden by what it was to replace, and one of
// the two is not known for that.
func (j *journal) doubtful(in *intent, t *tier.Tier) (bool, error) {
	for _, m := range in.Replaced {
		higher, err := j.member(m.Member)
		if err != nil {
			return false, err
		}
		if higher.Rank > t.Rank {
			continue
		}
		st, err := higher.Lstat(in.To)
		if absent(err) {
			continue
		}
		last := j.fs.NumbersLast(higher)
		if err != nil || !last || !j.fs.NumbersLast(t) && st.Ino == m.Ino {
			return true, err
		}
	}
	return false, nil
}

// takeBack gives the file name in d the old name of a record again.
func (j *journal) takeBack(in *intent, d *tier.Dir, name string) error {
	for _, t := range j.fs.Tiers() {
		if _, err := t.Lstat(in.From); !absent(err) {
			return cmp.Or(err, fmt.Errorf("%q was renamed to %q, is hidden there, and its old name is taken", in.From, in.To))
		}
	}
	up, old, err := d.Tier.OpenParent(in.From)
	if err != nil {
		return err
	}
	defer up.Put()
	if err := d.Rename(name, up, old, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	return errors.Join(up.Sync(), d.Sync())
}

func unlessAbsent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

// renameIfStill renames from to to if from is a directory and still the one that is
// meant, and makes that durable. A parent of to that is missing is made.
func (j *journal) renameIfStill(t *tier.Tier, from, to string, still func(*tier.Dir, string, *unix.Stat_t) (bool, error)) error {
	sd, name, err := t.OpenParent(from)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sd.Put()
	var st unix.Stat_t
	if err := sd.Stat(name, &st); absent(err) || err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil // a file in its place would replace another
	} else if err != nil {
		return err
	}
	if is, err := still(sd, name, &st); !is || err != nil {
		return err
	}
	dd, newName, err := t.OpenParent(to)
	if absent(err) {
		if err := j.makeWay(t, path.Dir(to)); err != nil {
			return err
		}
		dd, newName, err = t.OpenParent(to)
	}
	if err != nil {
		return err
	}
	defer dd.Put()
	if err := sd.Rename(name, dd, newName, 0); err != nil {
		return err
	}
	return errors.Join(dd.Sync(), sd.Sync())
}

// makeWay makes the directory dir and those above it on a tier, like the ones
// on the highest tier that has them.
func (j *journal) makeWay(t *tier.Tier, dir string) error {
	if dir == "." {
		return nil
	}
	if err := j.makeWay(t, path.Dir(dir)); err != nil {
		return err
	}
	up, name, err := t.OpenParent(dir)
	if err != nil {
		return err
	}
	defer up.Put()
	for _, other := range j.fs.Tiers() {
		p, name, err := other.OpenParent(dir)
		if err != nil {
			continue
		}
		model, err := p.OpenDir(name)
		p.Put()
		if err == nil {
			defer model.Put()
			return j.fs.makeLike(up, name, model)
		}
	}
	if err := up.Mkdir(name, 0700); err != unix.EEXIST {
		return err
	}
	return nil
}

// removeIfStill removes p if it is still the inode m, durably, because the record
// goes next: it may also have been removed just before the crash. A directory that is
// not empty is not the one that was replaced.
func (j *journal) removeIfStill(t *tier.Tier, p string, m *move, dir bool) error {
	d, name, err := t.OpenParent(p)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.Stat(name, &st); absent(err) || err == nil && !j.fs.recorded(d, name, m, &st) {
		return d.Sync()
	} else if err != nil {
		return err
	}
	if dir {
		err = d.Rmdir(name)
	} else {
		err = d.Unlink(name)
	}
	if dir && err == unix.ENOTEMPTY {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Sync()
}
