package mover

import (
	"context"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
)

// excess is how many bytes must leave the primary for it to be at Low, 0 unless
// it is above High.
func (p *Policy) excess(t *tier.Tier) uint64 {
	used, all, ok := fill(t)
	if p.High == 0 || !ok || float64(used) <= float64(all)/100*float64(p.High) {
		return 0
	}
	return overLow(used, all, p.Low)
}

// left is how many bytes it still has above Low.
func (p *Policy) left(t *tier.Tier) uint64 {
	used, all, ok := fill(t)
	if !ok {
		return 0
	}
	return overLow(used, all, p.Low)
}

func overLow(used, all uint64, low int) uint64 {
	return uint64(max(0, float64(used)-float64(all)/100*float64(low)))
}

// makeRoom is judge where what goes down is to free the primary.
func (p *Policy) makeRoom(f facts, coldest time.Duration) (course, Reason) {
	c, why := p.judge(f, coldest)
	if c == down {
		c = off
	}
	return c, why
}

// looker adds up what could go to make room: a first walk, which only looks.
type looker struct {
	*job
	heat  *heat
	stays func(f *found, why Reason) // told of what may not go; may be nil

	fresh int64     // bytes that have been changed too lately
	ripe  time.Time // when the first of them may go, zero without any
}

func (l *looker) run(ctx context.Context) error {
	l.heat = &heat{}
	w := walk{tier: l.m.primary(), exclude: l.policy.Exclude, prune: true, to: l}
	return w.run(ctx, "")
}

func (l *looker) file(f *found) error {
	facts := l.m.factsOf(f)
	c, why := l.policy.makeRoom(facts, 1)
	switch {
	case c == off:
		l.heat.add(l.policy.age(facts), f.st.Blocks*BlockSize)
		return nil
	case why == Fresh, why == Arrived:
		l.fresh += f.st.Blocks * BlockSize
		if at := facts.ripe(quiet(l.policy.Demote)); l.ripe.IsZero() || at.Before(l.ripe) {
			l.ripe = at
		}
	}
	if l.stays != nil {
		l.stays(f, why)
	}
	return nil
}

func (l *looker) endDir() error { return nil }

// makeRoom moves the coldest files down until need bytes have left, or the primary is
// at Low. What stays is counted by a walk before.
func (j *job) makeRoom(ctx context.Context, need uint64) (*looker, error) {
	look := &looker{job: j, stays: func(f *found, why Reason) {
		j.settle(f, f.rank, Outcome{Bytes: f.st.Size, Skip: why, Err: f.more(why)})
	}}
	if err := look.run(ctx); err != nil {
		return look, err
	}
	return look, j.coldest(ctx, look.heat, int64(need), func(age time.Duration) judge {
		return func(f facts) (course, Reason) { return j.policy.makeRoom(f, age) }
	})
}

// coldest is the walks that make room, or that tell what would: one, or two where the
// rest of what is needed is taken from files of about one age. by judges those of an
// age at least.
func (j *job) coldest(ctx context.Context, heat *heat, need int64, by func(age time.Duration) judge) error {
	for _, age := range heat.cutoffs(need) {
		h := &haul{job: j, ctx: ctx, silent: true, judge: by(age)}
		h.left = func() int64 { return max(0, min(need-h.gone, j.overLow())) }
		if _, err := h.over("", true, 0); err != nil || h.left() == 0 {
			return err
		}
		need -= h.gone
	}
	return nil
}

// overLow is how many bytes the primary has above Low, by its filesystem: XFS frees
// blocks some time after the file has gone, and where there are snapshots none is freed.
func (j *job) overLow() int64 { return int64(j.policy.left(j.m.primary())) }
