package tierfs

import (
	"errors"
	"fmt"
	"path"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// A move that was interrupted may have left a file in a trash whose name, or
// whose directory, is not to be had any more. No mount can end such a move by
// itself: to give the file another name is for an administrator to decide.

// Interrupted says of what the record of a move is, if that can be ended by End.
func (fs *FS) Interrupted(f mover.Finding) (of string, ok bool) {
	in, err := fs.recordOf(f)
	if err != nil {
		return "", false
	}
	r := in.Relocation
	of = fmt.Sprintf("%q", join(string(r.Dir), string(r.Files[0].Name)))
	if n := len(r.Files) - 1; n > 0 {
		of += fmt.Sprintf(" and %d more", n)
	}
	return of, true
}

// End ends an interrupted move. A file in the trash whose name is taken gets one
// beside it, or one in RecoveredDir if its directory is not there any more.
func (fs *FS) End(f mover.Finding) error {
	in, err := fs.recordOf(f)
	if err != nil {
		return err
	}
	if fs.Owned(f.Rank, "journal", path.Base(f.Path)) {
		return errChanged
	}
	defer fs.coherence.everything() // the watch leaves out what we do ourselves
	if err := fs.journal.endMove(in.Relocation, true); err != nil {
		return err
	}
	d, err := fs.Tiers()[f.Rank].Private("journal")
	if err != nil {
		return err
	}
	defer d.Put()
	if err := d.Unlink(path.Base(f.Path)); err != nil && !absent(err) {
		return err
	}
	return d.Sync()
}

var errNoMove = errors.New("it is not of a move between tiers; unmount and mount again")

// recordOf reads the record of a move.
func (fs *FS) recordOf(f mover.Finding) (*intent, error) {
	d, err := fs.Tiers()[f.Rank].Private("journal")
	if err != nil {
		return nil, err
	}
	defer d.Put()
	in, err := readIntent(d, path.Base(f.Path))
	if err == nil && in.Kind != intentMove {
		err = errNoMove
	}
	return in, err
}

// setApart gives the file in the trash a name of its own. It may be the only
// one with that content, so the name is durable before the record goes.
func (s *settlement) setApart() error {
	if s.sd == nil || s.in == nil {
		return s.recover()
	}
	name, err := s.fs.freeName(s.in, s.name()+".recovered-by-tierfs")
	if err != nil {
		return err
	}
	if err := s.trash.Rename(s.f.Aside, s.sd, name, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	s.tell(join(s.dir, name))
	return tier.SyncNames(s.sd, s.trash)
}

// recover is setApart where nobody would see the file in its directory.
func (s *settlement) recover() error {
	done, ok := s.fs.names.take(entryName{s.fs.table.Root(), RecoveredDir}, movePatience)
	if !ok {
		return errUsed
	}
	defer done()
	d, err := s.fs.recovered(s.from)
	if err != nil {
		return err
	}
	defer d.Put()
	if err := s.trash.Rename(s.f.Aside, d, s.f.Aside, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	s.tell(join(RecoveredDir, s.f.Aside))
	return tier.SyncNames(d, s.trash)
}

func (s *settlement) tell(as string) {
	s.fs.log.Warn("a file that an interrupted move had set aside has another name now; compare the two", "tier", s.from.Root, "file", join(s.dir, s.name()), "as", as)
}

// maxUnhidden bounds how many names are tried.
const maxUnhidden = 1000

// freeName is a name in a directory that no tier has: prefix and a number.
func (fs *FS) freeName(dir *inode.Inode, prefix string) (string, error) {
	for n := 1; n < maxUnhidden; n++ {
		name := fmt.Sprintf("%s-%d", prefix, n)
		all, err := fs.survey(dir, name)
		if err != nil || len(all) == 0 {
			return name, err
		}
	}
	return "", unix.EEXIST
}
