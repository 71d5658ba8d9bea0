package mover

import (
	"context"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Do does what an administrator asks for. It counts first and tells what is to
// be done, then moves. With DryRun it tells what it would do with each file, and
// needs no permission to move.
func (m *Mover) Do(ctx context.Context, r Request, w Watch) (Totals, error) {
	if r.DryRun {
		j := m.jobFor(r, w.File).trial()
		err := j.paths(ctx, r)
		return j.totals(), err
	}
	ctx, cancel := m.permitted(ctx)
	defer cancel(nil)
	j := m.jobFor(r, w.File)
	j.copying = w.Copying
	if err := m.take(ctx, j); err != nil {
		return Totals{}, fmt.Errorf("nothing has moved: %w", err)
	}
	err := j.do(ctx, r, w.Begin)
	m.give(j, err)
	return j.totals(), err
}

// jobFor is the job of a request.
func (m *Mover) jobFor(r Request, emit func(Event)) *job {
	kind := kindDemote
	if r.Up {
		kind = kindPromote
	}
	return m.newJob(kind, quiet(m.currentPolicy().Demote, r.OlderThan), emit)
}

func (j *job) do(ctx context.Context, r Request, begin func(Totals)) error {
	if begin != nil {
		count := j.m.jobFor(r, nil)
		count.dry = true
		if err := count.paths(ctx, r); err != nil {
			return err
		}
		begin(count.totals())
	}
	return j.paths(ctx, r)
}

// paths goes through what is asked for.
func (j *job) paths(ctx context.Context, r Request) error {
	h := &haul{job: j, ctx: ctx, judge: func(f facts) (course, Reason) { return r.ask(&j.policy, f) }}
	from, end := sources(len(j.m.tree.Tiers()), r.Up)
	there := Lowest
	if r.Up {
		there = Highest
	}
	for _, p := range distinct(r.Paths) {
		seen, err := h.over(p, false, from...)
		if err == nil && !seen {
			err = h.elsewhere(p, end, there)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// distinct are the paths but for those that are among them already, or below
// another: a file that is met twice would go down two tiers.
func distinct(paths []string) (apart []string) {
	abs := func(p string) string { return path.Clean("/" + p) }
	all, came := map[string]bool{}, map[string]bool{}
	for _, p := range paths {
		all[abs(p)] = true
	}
	below := func(at string) bool {
		for at != "/" {
			if at = path.Dir(at); all[at] {
				return true
			}
		}
		return false
	}
	for _, p := range paths {
		if at := abs(p); !came[at] && !below(at) {
			came[at] = true
			apart = append(apart, p)
		}
	}
	return apart
}

// sources are the ranks that files can be moved from, and the one that has them
// where they are to go. The lowest comes first, so that a file goes down one
// tier and not all.
func sources(n int, up bool) (from []int, end int) {
	for rank := range n {
		from = append(from, rank)
	}
	if up {
		return from[1:], 0
	}
	slices.Reverse(from)
	return from[1:], n - 1
}

// elsewhere tells why nothing at path is to be moved: it is on the tier end
// already, or nowhere.
func (h *haul) elsewhere(path string, end int, there Reason) error {
	f := &found{rank: end, name: path}
	err := (&walk{tier: h.m.tree.Tiers()[end], alone: true, to: keeper{f}}).run(h.ctx, path)
	switch {
	case isAbsent(err):
		h.settle(f, end, Outcome{Skip: Gone})
	case err == nil || err == unix.EISDIR:
		h.settle(f, end, Outcome{Bytes: f.st.Size, Skip: there})
	default:
		return err
	}
	return nil
}

// keeper keeps the one file that a walk is for.
type keeper struct{ *found }

func (k keeper) file(f *found) error {
	*k.found = *f
	return nil
}

func (k keeper) endDir() error { return nil }
