package tierfs

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// replayRename finishes the rename of a directory, lowest tier first.
func (j *journal) replayRename(in *intent) error {
	for i := len(in.Moves) - 1; i >= 0; i-- {
		t, err := j.member(in.Moves[i].Member)
		if err != nil {
			return err
		}
		if err := j.renameIfStill(t, in.From, in.To, in.Moves[i].Ino); err != nil {
			return fmt.Errorf("tier %s: %w", t.Root, err)
		}
	}
	for _, m := range in.Replaced {
		t, err := j.member(m.Member)
		if err != nil {
			return err
		}
		if err := removeIfStill(t, in.To, m.Ino, true); err != nil {
			return fmt.Errorf("tier %s: %w", t.Root, err)
		}
	}
	return nil
}

// replayReplace removes what a file that has come into place replaces. If it
// has not, nothing has happened and nothing is done.
func (j *journal) replayReplace(in *intent) error {
	t, err := j.member(in.Moves[0].Member)
	if err != nil {
		return err
	}
	d, name, err := walk(t, in.To)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.Stat(name, &st); absent(err) || err == nil && st.Ino != in.Moves[0].Ino {
		return nil
	} else if err != nil {
		return err
	}
	if err := syncFile(d, name, &st); err != nil {
		return err
	}
	for i := len(in.Replaced) - 1; i >= 0; i-- {
		t, err := j.member(in.Replaced[i].Member)
		if err != nil {
			return err
		}
		if err := removeIfStill(t, in.To, in.Replaced[i].Ino, false); err != nil {
			return fmt.Errorf("tier %s: %w", t.Root, err)
		}
	}
	return nil
}

// replayUnlink removes the link To if From is the same file still, and a higher
// tier has what To shows.
func (j *journal) replayUnlink(in *intent) error {
	t, err := j.member(in.Moves[0].Member)
	if err != nil {
		return err
	}
	from, err := lookup(t, in.From)
	if err != nil {
		return unlessAbsent(err)
	}
	for _, higher := range j.fs.Tiers()[:t.Rank] {
		st, err := lookup(higher, in.To)
		switch {
		case absent(err):
			continue
		case err != nil:
			return err
		case st.Mode&unix.S_IFMT != unix.S_IFDIR && from.Ino == in.Moves[0].Ino:
			return removeIfStill(t, in.To, from.Ino, false)
		}
	}
	return nil
}

// lookup is lstat(2) of a path on a tier.
func lookup(t *tier.Tier, p string) (st unix.Stat_t, err error) {
	d, name, err := walk(t, p)
	if err != nil {
		return st, err
	}
	defer d.Put()
	return st, d.Stat(name, &st)
}

func unlessAbsent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

// walk opens the directory that holds path on a tier, for the caller to Put.
func walk(t *tier.Tier, p string) (*tier.Dir, string, error) {
	dir, name := path.Split(p)
	d := t.RootDir()
	for _, part := range strings.Split(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			continue
		}
		next, err := d.OpenDir(part)
		d.Put()
		if err != nil {
			return nil, "", err
		}
		d = next
	}
	return d, name, nil
}

// renameIfStill renames from to to if from is still the inode, and makes that
// durable. A parent of to that is missing is made.
func (j *journal) renameIfStill(t *tier.Tier, from, to string, ino uint64) error {
	sd, name, err := walk(t, from)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sd.Put()
	var st unix.Stat_t
	if err := sd.Stat(name, &st); absent(err) || err == nil && (st.Ino != ino || st.Mode&unix.S_IFMT != unix.S_IFDIR) {
		return nil // a file in its place would replace another
	} else if err != nil {
		return err
	}
	dd, newName, err := walk(t, to)
	if absent(err) {
		if err := j.makeWay(t, path.Dir(to)); err != nil {
			return err
		}
		dd, newName, err = walk(t, to)
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
	up, name, err := walk(t, dir)
	if err != nil {
		return err
	}
	defer up.Put()
	for _, other := range j.fs.Tiers() {
		p, name, err := walk(other, dir)
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

// removeIfStill removes p if it is still the inode, durably, because the record
// goes next. A directory that is not empty is not the one that was replaced.
func removeIfStill(t *tier.Tier, p string, ino uint64, dir bool) error {
	d, name, err := walk(t, p)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.Stat(name, &st); absent(err) || err == nil && st.Ino != ino {
		return nil
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
