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
	return used - uint64(float64(all)/100*float64(p.Low))
}

// cutoffs are the ages from which files go for need bytes to leave: a first
// walk, which only looks.
func (j *job) cutoffs(ctx context.Context, need uint64) ([]time.Duration, error) {
	look := &looker{job: j, heat: &heat{}}
	w := walk{tier: j.m.primary(), exclude: j.policy.Exclude, prune: true, to: look}
	if err := w.run(ctx, ""); err != nil {
		return nil, err
	}
	return look.heat.cutoffs(int64(need)), nil
}

// looker adds up what could go.
type looker struct {
	*job
	heat *heat
}

func (l *looker) file(f *found) error {
	facts := l.m.factsOf(f)
	if c, _ := l.policy.judge(facts, 1); c == down {
		l.heat.add(l.policy.age(facts), f.st.Blocks*BlockSize)
	}
	return nil
}

func (l *looker) endDir() error { return nil }

// makeRoom moves the coldest files down until the primary is at Low. A second
// walk does it, and a third that takes the rest of what is needed from files of
// about one age.
func (j *job) makeRoom(ctx context.Context) error {
	need := j.policy.excess(j.m.primary())
	if need == 0 {
		return nil
	}
	ages, err := j.cutoffs(ctx, need)
	if err != nil {
		return err
	}
	for _, coldest := range ages {
		h := &haul{job: j, ctx: ctx, freeing: true, enough: j.atLow,
			judge: func(f facts) (course, Reason) { return j.policy.judge(f, coldest) }}
		if _, err := h.over("", true, 0); err != nil {
			return err
		}
		if j.atLow() {
			return nil
		}
	}
	return nil
}

// atLow reports that the primary is no fuller than Low.
func (j *job) atLow() bool {
	used, all, ok := fill(j.m.primary())
	return !ok || float64(used) <= float64(all)/100*float64(j.policy.Low)
}
