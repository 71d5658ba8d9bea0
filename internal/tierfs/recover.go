package tierfs

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"path"

	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// RecoveredDir is where files from the trash can be seen in the mount. Whose
// they were and who could get at them is not known any more, so that the
// directory is the daemon's alone, as lost+found is.
const RecoveredDir = "recovered-by-tierfs"

var errNotOurs = fmt.Errorf("the mount has a %s that others can use; rename that", RecoveredDir)

// Recover moves a file from a tier's trash into RecoveredDir on the same tier,
// and returns its path in the mount. A file that a record names is left to that:
// the next mount knows its name.
func (fs *FS) Recover(f mover.Finding) (string, error) {
	name := path.Base(f.Path)
	if fs.Owned(f.Rank, "trash", name) {
		return "", errChanged
	}
	if err := fs.journal.unnamed(name); err != nil {
		return "", err
	}
	t := fs.Tiers()[f.Rank]
	trash, err := t.Private("trash")
	if err != nil {
		return "", err
	}
	defer trash.Put()
	done, ok := fs.names.take(entryName{fs.table.Root(), RecoveredDir}, movePatience)
	if !ok {
		return "", errUsed
	}
	defer done()
	d, err := fs.recovered(t)
	if err != nil {
		return "", err
	}
	defer d.Put()
	if !fs.still(trash, name, nil, &f.Low) {
		return "", errChanged
	}
	if err := trash.Rename(name, d, name, unix.RENAME_NOREPLACE); err != nil {
		return "", err
	}
	return path.Join(RecoveredDir, name), tier.SyncNames(d, trash)
}

// recovered opens RecoveredDir on a tier, made if it is not there. One that
// another tier has must be as private: the mount shows the mode of the highest.
func (fs *FS) recovered(t *tier.Tier) (*tier.Dir, error) {
	all, err := fs.survey(fs.table.Root(), RecoveredDir)
	if err != nil {
		return nil, err
	}
	has := false
	for _, c := range all {
		has = has || c.rank == t.Rank
		if !c.isDir() || c.st.Mode&0o077 != 0 || int(c.st.Uid) != os.Geteuid() {
			return nil, errNotOurs
		}
	}
	root, err := fs.dir(fs.table.Root(), t.Rank)
	if err != nil {
		return nil, err
	}
	defer root.Put()
	if !has {
		if err := root.Mkdir(RecoveredDir, 0o700); err != nil {
			return nil, err
		}
		if err := root.Sync(); err != nil {
			return nil, err
		}
	}
	return root.OpenDir(RecoveredDir)
}

// unnamed is nil if no record of any tier names this file that is aside, in a trash or a
// staging directory.
func (j *journal) unnamed(aside string) error {
	all, err := j.named()
	return cmp.Or(all[aside], err)
}

// named says of each file that is aside which record names it. The error is of records
// that cannot be read, which may name others.
func (j *journal) named() (all map[string]error, err error) {
	all = map[string]error{}
	for _, t := range j.fs.Tiers() {
		if !t.ReadOnly() {
			err = errors.Join(err, namedOn(t, all))
		}
	}
	return all, err
}

func namedOn(t *tier.Tier, all map[string]error) error {
	d, records, err := listed(t, "journal")
	if err == nil {
		defer d.Put()
		if len(records) == maxRecords {
			err = errMany
		}
	}
	if err != nil {
		return fmt.Errorf(".tierfs/journal of %s: %w", t.Root, err)
	}
	for _, name := range records {
		in, e := readIntent(d, name)
		switch {
		case absent(e), void(name, e): // finished meanwhile, or never to be
		case e != nil:
			err = fmt.Errorf("the record %s in .tierfs/journal cannot be read, and may name it: %w", name, e)
		default:
			for aside, of := range in.asides() {
				all[aside] = fmt.Errorf("it is %q, and the record %s in .tierfs/journal is to settle that; unmount and mount again, and see the system log", of, name)
			}
		}
	}
	return err
}

// asides are the names that files of the intent have in a trash or a staging directory,
// with their paths in the mount.
func (in *intent) asides() iter.Seq2[string, string] {
	return func(yield func(aside, of string) bool) {
		for _, m := range in.Replaced {
			if !yield(m.Aside, in.To) {
				return
			}
		}
		if in.Relocation == nil {
			return
		}
		for _, f := range in.Relocation.Files {
			if !yield(f.Aside, path.Join(string(in.Relocation.Dir), string(f.Name))) {
				return
			}
		}
	}
}
