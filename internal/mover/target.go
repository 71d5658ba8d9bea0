package mover

import (
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// berth is where files go.
type berth struct {
	to   int    // their own rank if nowhere
	load load   // what they take there
	why  Reason // … and why nowhere
	full *Full  // of NoRoom
}

// target is where files of one directory go.
func (h *haul) target(files []*found, c course) berth {
	tiers := h.m.tree.Tiers()
	if c == down || c == off {
		return h.lower(tiers, files, c == off)
	}
	b := h.room(tiers[0], files)
	if high := h.policy.High; b.why == Moved && high > 0 && usage(tiers[0], b.load.bytes+h.planned[tiers[0].Dev()].bytes) > float64(high) {
		b.why, b.full.High = NoRoom, high // it would go down again
	}
	if b.why != Moved {
		b.to = files[0].rank
	}
	return b
}

// lower is one tier down, past those that have no room or do not answer. The
// reason is that of the tier which comes closest to taking it.
func (h *haul) lower(tiers []*tier.Tier, files []*found, freeing bool) berth {
	from := files[0].rank
	best := berth{why: Lowest}
	for _, t := range tiers[from+1:] {
		if freeing && t.Dev() == tiers[from].Dev() {
			continue // one filesystem: it would free nothing
		}
		switch b := h.room(t, files); {
		case b.why == Moved:
			return b
		case b.why == NoRoom && (best.full == nil || b.full.spare() > best.full.spare()), best.why == Lowest:
			best = b
		}
	}
	best.to = from
	return best
}

// room says whether the tier can take the files beside what is planned for it. Of a
// tier that answers, it tells the figures.
func (j *job) room(t *tier.Tier, files []*found) berth {
	b := berth{to: t.Rank, why: Away}
	if t.Away() || t.ReadOnly() {
		return b
	}
	full, st, err := j.m.fullness(t)
	if err != nil {
		return b
	}
	full.plan(j.planned[t.Dev()])
	b.full, b.load = full, j.loadOf(files, t, &st)
	if full.takes(b.load) {
		b.load = b.load.plus(j.parents(t, files[0].dir))
	}
	if b.why = Moved; !full.takes(b.load) {
		b.why = NoRoom
	}
	return b
}

// usage is how full the tier is with so many bytes more, in percent as df(1)
// counts, 0 if it does not answer.
func usage(t *tier.Tier, more int64) float64 {
	used, all, ok := fill(t)
	if !ok || all == 0 {
		return 0
	}
	return float64(int64(used)+more) / float64(all) * 100
}

// fill is what is used of the tier's filesystem, and of how much: the blocks
// reserved for root are in neither.
func fill(t *tier.Tier) (used, all uint64, ok bool) {
	var st unix.Statfs_t
	if t.Away() || t.Statfs(&st) != nil {
		return 0, 0, false
	}
	unit := uint64(st.Frsize)
	used = (st.Blocks - st.Bfree) * unit
	return used, used + st.Bavail*unit, true
}
