package mover

import (
	"context"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
)

// Tree is the mount as the mover sees it.
type Tree interface {
	Tiers() []*tier.Tier // by rank

	// Move carries the files of one batch from one tier to another, as far as
	// they may move. It tells landed what became of each, in the order of its
	// names, some at a time as soon as they are done. It returns early when ctx
	// ends; what has begun is finished or taken back.
	Move(ctx context.Context, b *Batch, landed func([]Outcome))

	// Try has an empty file on a tier while fn runs, made as a copy is, where nobody
	// sees it.
	Try(t *tier.Tier, mode uint32, fn func(f *tier.File) error) error
}

// MaxBatch is how many files a Batch has at most: they share the syncs and the
// record in the journal.
const MaxBatch = 256

// Batch is files of one directory that move together.
type Batch struct {
	Dir      string   // its path in the mount without a leading slash, "" for the root
	Names    []string // of files in Dir, at most MaxBatch
	From, To int      // ranks
	// Quiet is how long a file must not have changed.
	Quiet time.Duration
	// Pace bounds the rate of the copies; nil for none.
	Pace *Pace
	// MinFree is how much of a filesystem's total bytes the target keeps free.
	MinFree func(total uint64) uint64
}

// Outcome is what became of one file.
type Outcome struct {
	Bytes int64  // of its content
	Skip  Reason // why it was left where it is; Moved if it was not
	Err   error  // more about Skip, for the log
}

// Reason says why a file stays where it is.
type Reason string

// Reasons. Their texts are in reason.go; the words themselves are part of the
// control protocol and of the metrics.
const (
	Moved       Reason = ""
	Young       Reason = "young"            // not old enough for the policy
	Warm        Reason = "warm"             // nothing moves by age alone, and others make room first
	Younger     Reason = "younger"          // than a request wants
	NoPolicy    Reason = "no-policy"        // nothing moves by its age
	Lower       Reason = "lower"            // on a fallback, where the policy leaves it
	Used        Reason = "used"             // opened so lately that it would come up again
	Fresh       Reason = "fresh"            // changed within the last minute, or Quiet
	Arrived     Reason = "arrived"          // made on its tier as lately, with older content: by a move, mostly
	Future      Reason = "future"           // it has a time in the future
	Open        Reason = "open"             // through the mount
	OpenBeneath Reason = "open-out-of-band" // by somebody who reaches into the tier
	Changed     Reason = "changed"          // while it was copied
	InUse       Reason = "in-use"           // opened or else used while it was copied
	Linked      Reason = "hard-links"       // it has more than one name
	Special     Reason = "not-a-file"       // a link, fifo, socket, device
	Inner       Reason = "other-filesystem" // on one that is mounted inside the tier
	Deep        Reason = "too-deep"         // a directory: the paths in it are too long
	Fixed       Reason = "immutable"        // or append-only, or its directory is
	Excluded    Reason = "excluded"         // by exclude=
	Pinned      Reason = "pinned"           // by user.tierfs.pin
	BadPin      Reason = "bad-pin"          // user.tierfs.pin has a value that means nothing
	NoRoom      Reason = "no-room"          // on the target
	Quota       Reason = "quota"            // on the target: of its owner, group, project or subvolume
	TooLarge    Reason = "too-large"        // for the target's filesystem
	Shadowed    Reason = "shadowed"         // a higher tier has the name: the mount does not show it
	Blocked     Reason = "blocked"          // the target has the name, or a file where a directory must be
	Attributes  Reason = "attributes"       // the target cannot hold its owner, mode, extended attributes or ACL
	Gone        Reason = "gone"             // removed or renamed meanwhile
	Away        Reason = "away"             // a tier does not answer, or its disk was unmounted
	ReadOnly    Reason = "read-only"        // a tier is
	Highest     Reason = "highest"          // it is to come up, and on the primary
	Lowest      Reason = "no-tier"          // there is no lower tier to move it to
	Stopped     Reason = "stopped"          // the job was ended
	Failed      Reason = "error"            // anything else; the log says more
)
