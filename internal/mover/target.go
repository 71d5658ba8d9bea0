package mover

import (
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// target is the rank that files of so many bytes go to, or their own and why
// there is none.
func (h *haul) target(from int, c course, bytes uint64) (int, Reason) {
	tiers := h.m.tree.Tiers()
	if c == up {
		why := h.m.room(tiers[0], bytes)
		if why == Moved && h.policy.High > 0 && usage(tiers[0], bytes) > float64(h.policy.High) {
			why = NoRoom // it would go down again
		}
		if why != Moved {
			return from, why
		}
		return 0, Moved
	}
	return h.lower(tiers, from, bytes)
}

// lower is one tier down, past those that have no room or do not answer. The
// reason is that of the tier which comes closest to taking it.
func (h *haul) lower(tiers []*tier.Tier, from int, bytes uint64) (int, Reason) {
	best := Lowest
	for _, t := range tiers[from+1:] {
		if h.freeing && t.Dev() == tiers[from].Dev() {
			continue // one filesystem: it would free nothing
		}
		switch why := h.m.room(t, bytes); {
		case why == Moved:
			return t.Rank, Moved
		case why == NoRoom || best == Lowest:
			best = why
		}
	}
	return from, best
}

// room says whether the tier can take so many bytes.
func (m *Mover) room(t *tier.Tier, bytes uint64) Reason {
	if t.Away() || t.ReadOnly() {
		return Away
	}
	st, err := t.Space()
	if err != nil {
		return Away
	}
	unit := uint64(st.Frsize)
	if st.Bavail*unit < bytes || st.Bavail*unit-bytes < m.minFree(st.Blocks*unit) {
		return NoRoom
	}
	return Moved
}

// usage is how full the tier is with so many bytes more, in percent as df(1)
// counts, 0 if it does not answer.
func usage(t *tier.Tier, more uint64) float64 {
	used, all, ok := fill(t)
	if !ok || all == 0 {
		return 0
	}
	return float64(used+more) / float64(all) * 100
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
