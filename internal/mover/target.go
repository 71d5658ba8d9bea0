package mover

import (
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// berth is where files go.
type berth struct {
	to    int      // their own rank if nowhere
	files []*found // that go there
	rest  []*found // that found no room there beside them
	load  load     // what those that go take there
	why   Reason   // Moved if any goes
	full  *Full    // of NoRoom
}

// target is where files of one directory go: to the nearest tier that has room for any
// of them, as many as it has room for.
func (h *haul) target(files []*found, c course) berth {
	tiers := h.m.tree.Tiers()
	if c == down || c == off {
		return h.lower(tiers, files, c == off)
	}
	b := h.offer(tiers[0], files)
	if b.why != Moved {
		b.to = files[0].rank
	}
	return b
}

// lower is one tier down, past those that have no room or do not answer. The
// reason is that of the tier which comes closest to taking them.
func (h *haul) lower(tiers []*tier.Tier, files []*found, freeing bool) berth {
	from := files[0].rank
	best := berth{why: Lowest}
	for _, t := range tiers[from+1:] {
		if freeing && t.Dev() == tiers[from].Dev() {
			continue // one filesystem: it would free nothing
		}
		switch b := h.offer(t, files); {
		case b.why == Moved:
			return b
		case b.why == NoRoom && (best.full == nil || b.full.spare() > best.full.spare()), best.why == Lowest:
			best = b
		}
	}
	best.to = from
	return best
}

// offer is room. If there is none for all, it waits for the batches under way that take
// of the tier or give to it: what there is, is known then.
func (h *haul) offer(t *tier.Tier, files []*found) berth {
	b := h.room(t, files)
	if len(b.rest) > 0 && h.landAt(t.Dev()) {
		b = h.room(t, files)
	}
	return b
}

// room says which of the files the tier can take beside what is planned for it, each
// beside those before it. Of a tier that answers, it tells the figures.
func (j *job) room(t *tier.Tier, files []*found) berth {
	b := berth{to: t.Rank, why: Away}
	switch {
	case t.Away():
		return b
	case t.ReadOnly():
		b.why = ReadOnly
		return b
	}
	full, st, err := j.m.fullness(t)
	if err != nil {
		return b
	}
	full.plan(j.planned[t.Dev()])
	if t.Rank == 0 {
		full.high = j.policy.High // beyond it, they would go down again
	}
	b.full, b.load, b.why = full, j.parents(t, files[0].dir), NoRoom
	for _, f := range files {
		all := b.load.plus(j.loadOf(f, t, &st))
		if !full.takes(all) {
			b.rest = append(b.rest, f)
			continue
		}
		b.files, b.load, b.why = append(b.files, f), all, Moved
	}
	return b
}

// usage is how full the tier is, in percent as df(1) counts, 0 if it does not
// answer.
func usage(t *tier.Tier) float64 {
	used, all, ok := fill(t)
	if !ok {
		return 0
	}
	return percent(int64(used), all)
}

func percent(used int64, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return float64(used) / float64(all) * 100
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
