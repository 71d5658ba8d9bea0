package mover

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Full is a tier that had no room for files, and how it stood then. As an error
// it says more about NoRoom.
type Full struct {
	Rank     int    `json:"tier"`
	Root     string `json:"path"`
	Free     uint64 `json:"free"`                // bytes, for ordinary users
	MinFree  uint64 `json:"minfree"`             // of them that stay free
	Planned  int64  `json:"planned,omitempty"`   // of them that a plan has given to other files, less what it takes away
	NoInodes bool   `json:"no_inodes,omitempty"` // too few are left
	Inodes   uint64 `json:"inodes,omitempty"`    // free, if they are counted
	High     int    `json:"high,omitempty"`      // percent that the primary would be fuller than; 0 if that is not the cause

	Files int   `json:"files"` // that found no room
	Bytes int64 `json:"bytes"`

	counts        bool   // inodes
	plannedInodes int64  // in parts
	used          uint64 // bytes
	high          int    // percent that it may be full; 0 for no bound
}

func (f *Full) Error() string {
	text := fmt.Sprintf("tier %d (%s) has %s free", f.Rank, f.Root, human.Bytes(f.Free))
	if f.MinFree > 0 {
		text += fmt.Sprintf(" and is to keep %s (minfree)", human.Bytes(f.MinFree))
	}
	if f.Planned > 0 && !f.NoInodes {
		text += fmt.Sprintf(", with %s planned for other files", human.Bytes(f.Planned))
	}
	switch {
	case f.NoInodes && f.Inodes == 0:
		text += ", but no inode left"
	case f.NoInodes:
		text += fmt.Sprintf(", but only %s", human.Count(int(f.Inodes), "inode"))
		if n := f.plannedInodes / inodeParts; n > 0 {
			text += fmt.Sprintf(", with %d planned for other files", n)
		}
	case f.High > 0:
		text += fmt.Sprintf(", but would be over %d %% full (high)", f.High)
	}
	return text
}

// spare is how many bytes it would take.
func (f *Full) spare() int64 { return int64(f.Free) - int64(f.MinFree) - f.Planned }

// plan has it count what is planned for the tier.
func (f *Full) plan(l load) { f.Planned, f.plannedInodes = l.bytes, l.inodes }

// takes reports whether it has room for l, and for the record of the move.
func (f *Full) takes(l load) bool {
	free := int64(min(f.Inodes, math.MaxInt64/2/inodeParts)) * inodeParts // a plan may add to them
	left := (free - f.plannedInodes) / inodeParts                         // whole ones, as statfs(2) will tell
	f.NoInodes, f.High = f.counts && left*inodeParts < l.plus(aRecord).inodes, 0
	switch {
	case f.NoInodes || f.spare() < l.bytes:
		return false
	case f.high > 0 && percent(int64(f.used)+f.Planned+l.bytes, f.used+f.Free) > float64(f.high):
		f.High = f.high
		return false
	}
	return true
}

// fullness are the figures of a tier at this moment, with those of its filesystem.
func (m *Mover) fullness(t *tier.Tier) (*Full, unix.Statfs_t, error) {
	st, err := t.Space()
	if err != nil {
		return nil, st, err
	}
	unit := uint64(st.Frsize)
	f := &Full{Rank: t.Rank, Root: t.Root, Free: st.Bavail * unit, MinFree: m.minFree(st.Blocks * unit), used: (st.Blocks - st.Bfree) * unit, counts: sys.CountsInodes(&st)}
	if f.counts {
		f.Inodes = st.Ffree
	}
	return f, st, nil
}

// figures puts into an outcome which tier has no room, if that is the reason.
func (j *job) figures(to int, o *Outcome) (full *Full) {
	if o.Skip != NoRoom || errors.As(o.Err, &full) {
		return full
	}
	full, _, err := j.m.fullness(j.m.tree.Tiers()[to])
	if err != nil {
		return nil
	}
	full.takes(load{inodes: inodeParts})
	o.Err = full
	return full
}

// count adds a file of so many bytes to the tier that had no room for it; the
// figures are those of the last.
//
// LOCKS_REQUIRED(j.mu)
func (j *job) count(full *Full, bytes int64) {
	i := slices.IndexFunc(j.r.Full, func(f Full) bool { return f.Rank == full.Rank })
	if i < 0 {
		i = len(j.r.Full)
		j.r.Full = append(j.r.Full, Full{})
	}
	files, sum := j.r.Full[i].Files+1, j.r.Full[i].Bytes+bytes
	j.r.Full[i] = *full
	j.r.Full[i].Files, j.r.Full[i].Bytes = files, sum
}

// warnFull says which tiers had no room, not too often.
func (m *Mover) warnFull(r Report) {
	for _, f := range r.Full {
		if f.High > 0 || !m.isNews("full: "+f.Root, r.End) {
			continue
		}
		text := "a tier has no room for files that are to move there, so they stay; make room on it, lower minfree, or add a fallback"
		if f.NoInodes {
			text = "a tier has no inode left for files that are to move there, so they stay; remove files from it, or add a fallback"
		}
		m.log.Warn(text,
			"job", r.Kind, "tier", f.Root, "free", human.Bytes(f.Free), "minfree", human.Bytes(f.MinFree), "files", f.Files, "bytes", human.Bytes(f.Bytes))
	}
}
