package mover

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Finding is something on a tier that should not be.
type Finding struct {
	Kind  Kind
	Path  string // in the tier
	Rank  int
	Over  int // the rank that is shown instead; Rank if none is
	Bytes int64
	Err   error // of Unread

	Differs []string // of OtherCopy: in what, in words; see Differences

	// What was seen of a hidden copy and of the one that hides it, by which a
	// repair knows them again.
	Low, High unix.Stat_t
}

// Kind is what a Finding is about. The words are part of the control protocol.
type Kind string

// Kinds.
const (
	SameCopy  Kind = "same-copy"  // hidden by a higher tier, which has the same but for times
	OtherCopy Kind = "other-copy" // … another file
	OtherType Kind = "other-type" // a file hides a directory, or the other way round
	Staged    Kind = "staged"     // a copy that never came into place
	Record    Kind = "record"     // of an operation that was interrupted
	Trash     Kind = "trash"      // a file set aside before it was removed
	Foreign   Kind = "foreign"    // in .tierfs and not ours, or the mark of another tier
	Unread    Kind = "unread"     // could not be looked at
)

// Text says what it is and what a person can do. over is the root of the tier of
// rank Over.
func (f Finding) Text(over string) string {
	over = fmt.Sprintf("tier %d, %s", f.Over, over)
	switch f.Kind {
	case SameCopy:
		return "hidden by the same file on " + over
	case OtherCopy:
		return fmt.Sprintf("hidden by another file of that name on %s, which differs in %s; compare them and remove or rename one", over, strings.Join(f.Differs, ", "))
	case OtherType:
		if f.Low.Mode&unix.S_IFMT == unix.S_IFDIR {
			return fmt.Sprintf("a directory, hidden by a file of that name on %s; rename one of them in its tier", over)
		}
		return fmt.Sprintf("a file, hidden by a directory of that name on %s; rename one of them in its tier", over)
	case Staged:
		return "a copy that never came into place"
	case Record:
		return "the record of an interrupted operation; unmount and mount again to have it finished; if the system log says then that it is none, move it away"
	case Trash:
		return "a file that was to be removed and may be the only copy; look at it, then remove it or move it back, or let --rename show it"
	case Foreign:
		return "not made by this mount; look at it and remove it"
	case Unread:
		return "cannot be looked at: " + f.Err.Error()
	}
	return string(f.Kind)
}
