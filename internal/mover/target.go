package mover

import (
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// target is the rank that files of so many bytes go to, or their own and why
// there is none, with a Full for NoRoom.
func (h *haul) target(from int, c course, bytes uint64) (int, Reason, *Full) {
	tiers := h.m.tree.Tiers()
	if c == down || c == off {
		return h.lower(tiers, from, bytes, c == off)
	}
	why, full := h.room(tiers[0], bytes)
	if high := h.policy.High; why == Moved && high > 0 && usage(tiers[0], int64(bytes)+h.planned[tiers[0].Dev()]) > float64(high) {
		why, full.High = NoRoom, high // it would go down again
	}
	if why != Moved {
		return from, why, full
	}
	return 0, Moved, nil
}

// lower is one tier down, past those that have no room or do not answer. The
// reason is that of the tier which comes closest to taking it.
func (h *haul) lower(tiers []*tier.Tier, from int, bytes uint64, freeing bool) (int, Reason, *Full) {
	best, closest := Lowest, (*Full)(nil)
	for _, t := range tiers[from+1:] {
		if freeing && t.Dev() == tiers[from].Dev() {
			continue // one filesystem: it would free nothing
		}
		switch why, full := h.room(t, bytes); {
		case why == Moved:
			return t.Rank, Moved, nil
		case why == NoRoom && (closest == nil || full.spare() > closest.spare()):
			best, closest = why, full
		case best == Lowest:
			best = why
		}
	}
	return from, best, closest
}

// room says whether the tier can take so many bytes beside those that are
// planned for it. Of a tier that answers, it tells the figures.
func (j *job) room(t *tier.Tier, bytes uint64) (Reason, *Full) {
	if t.Away() || t.ReadOnly() {
		return Away, nil
	}
	full, err := j.m.fullness(t)
	if err != nil {
		return Away, nil
	}
	full.Planned = j.planned[t.Dev()]
	if full.NoInodes || full.spare() < int64(bytes) {
		return NoRoom, full
	}
	return Moved, full
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
