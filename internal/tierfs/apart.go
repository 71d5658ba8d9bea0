package tierfs

import (
	"errors"
	"fmt"
	"path"
	"unicode/utf8"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// A move or a rename that was interrupted may have left a file aside whose name, or
// whose directory, is not to be had any more. No mount can end that by itself: to give
// the file another name is for an administrator to decide.

// Interrupted says of what the record is, if that can be ended by End.
func (fs *FS) Interrupted(f mover.Finding) (of string, ok bool) {
	in, err := fs.recordOf(f)
	if err != nil {
		return "", false
	}
	if in.Kind == intentUnder {
		return fmt.Sprintf("the rename of %q to %q", in.From, in.To), true
	}
	r := in.Relocation
	of = fmt.Sprintf("the move of %q", join(string(r.Dir), string(r.Files[0].Name)))
	if n := len(r.Files) - 1; n > 0 {
		of += fmt.Sprintf(" and %d more", n)
	}
	return of, true
}

// End ends an interrupted move or rename. A file that is aside and whose name is taken
// gets one beside it, or one in RecoveredDir if its directory is not there any more.
func (fs *FS) End(f mover.Finding) error {
	in, err := fs.recordOf(f)
	if err != nil {
		return err
	}
	if fs.Owned(f.Rank, "journal", path.Base(f.Path)) {
		return errChanged
	}
	d, err := fs.Tiers()[f.Rank].Private("journal")
	if err != nil {
		return err
	}
	defer d.Put()
	lock, err := lockRecord(d, path.Base(f.Path))
	if err != nil {
		return err
	}
	defer fs.coherence.everything() // the watch leaves out what we do ourselves
	if in.Kind == intentUnder {
		err = fs.journal.replayUnder(in, true)
	} else {
		err = fs.journal.endMove(in.Relocation, true)
	}
	if err != nil {
		lock.Close()
		return err
	}
	if err := dropLocked(d, path.Base(f.Path), lock); err != nil {
		return err
	}
	return d.Sync()
}

var errNoMove = errors.New("it is not of a file; unmount and mount again")

// recordOf reads the record of a move, or of a rename that sets files aside.
func (fs *FS) recordOf(f mover.Finding) (*intent, error) {
	d, err := fs.Tiers()[f.Rank].Private("journal")
	if err != nil {
		return nil, err
	}
	defer d.Put()
	in, err := readIntent(d, path.Base(f.Path))
	if err == nil && in.Kind != intentMove && in.Kind != intentUnder {
		err = errNoMove
	}
	return in, err
}

// stray is a file in a private directory of a tier that cannot have its name again.
type stray struct {
	fs    *FS
	in    *tier.Dir
	aside string       // its name in there
	path  string       // its name in the mount
	dir   *inode.Inode // the directory of that, nil if clients see none
	d     *tier.Dir    // the same on the tier, nil if it is not there
}

// setApart gives the file a name of its own. It may be the only one with that
// content, so the name is durable before the record goes.
func (s *stray) setApart() error {
	if s.d == nil || s.dir == nil {
		return s.recover()
	}
	name, err := s.fs.freeName(s.dir, path.Base(s.path), ".recovered-by-tierfs")
	if err != nil {
		return err
	}
	if err := s.in.Rename(s.aside, s.d, name, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	s.tell(path.Join(path.Dir(s.path), name))
	return tier.SyncNames(s.d, s.in)
}

// recover is setApart where nobody would see the file in its directory.
func (s *stray) recover() error {
	done, ok := s.fs.names.take(entryName{s.fs.table.Root(), RecoveredDir}, movePatience)
	if !ok {
		return errUsed
	}
	defer done()
	d, err := s.fs.recovered(s.in.Tier)
	if err != nil {
		return err
	}
	defer d.Put()
	if err := s.in.Rename(s.aside, d, s.aside, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	s.tell(join(RecoveredDir, s.aside))
	return tier.SyncNames(d, s.in)
}

func (s *stray) tell(as string) {
	s.fs.log.Warn("a file that an interrupted operation had set aside has another name now; compare the two", "tier", s.in.Tier.Root, "file", s.path, "as", as)
}

// maxUnhidden bounds how many names are tried.
const maxUnhidden = 1000

// freeName is a name in a directory that no tier has: name, suffix and a number.
func (fs *FS) freeName(dir *inode.Inode, name, suffix string) (string, error) {
	for n := 1; n < maxUnhidden; n++ {
		name := withSuffix(name, fmt.Sprintf("%s-%d", suffix, n))
		all, err := fs.survey(dir, name)
		if err != nil || len(all) == 0 {
			return name, err
		}
	}
	return "", unix.EEXIST
}

// withSuffix is name with suffix, without the end of name if that would be longer than a
// name can be. A character of UTF-8 stays whole; what is none is cut at the byte.
func withSuffix(name, suffix string) string {
	room := unix.NAME_MAX - len(suffix)
	if len(name) <= room {
		return name + suffix
	}
	for cut := room; cut > room-utf8.UTFMax; cut-- {
		if utf8.RuneStart(name[cut]) {
			return name[:cut] + suffix
		}
	}
	return name[:room] + suffix
}
