package tier

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenPath opens a directory by its path below the tier's root, for the caller to Put.
// It follows no symlink.
func (t *Tier) OpenPath(rel string) (*Dir, error) {
	d := t.RootDir()
	for part := range strings.SplitSeq(rel, "/") {
		if part == "" {
			continue
		}
		next, err := d.OpenDir(part)
		d.Put()
		if err != nil {
			return nil, err
		}
		d = next
	}
	return d, nil
}

// OpenParent opens the directory that holds the path rel, which has name there.
func (t *Tier) OpenParent(rel string) (d *Dir, name string, err error) {
	dir, name := path.Split(rel)
	d, err = t.OpenPath(dir)
	return d, name, err
}

// Lstat is lstat(2) of a path below the tier's root.
func (t *Tier) Lstat(rel string) (st unix.Stat_t, err error) {
	d, name, err := t.OpenParent(rel)
	if err != nil {
		return st, err
	}
	defer d.Put()
	return st, d.Stat(name, &st)
}
