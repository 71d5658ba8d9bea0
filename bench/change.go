package main

import (
	"fmt"
	"path"
)

// change is an op that alters names, and so works on each only once.
type change struct {
	name string
	rank int
	op   op
	plan plan
}

var changes = []change{
	{"create+write+close", 0, createWriteClose, plan{}},
	{"mkdir", 0, mkdir, plan{}},
	{"rename", 0, rename, plan{files: true}},
	{"unlink", 0, unlink, plan{files: true}},
	{"rename in the fallback", 1, rename, plan{files: true}},
	{"unlink in the fallback", 1, unlink, plan{files: true}},
}

func changeTrials(s scale) []trial {
	var trials []trial
	for _, n := range s.crowds {
		for _, c := range changes {
			if s.quick && n > 1 && c.rank > 0 {
				continue
			}
			r := row{name: c.name, clients: n, kind: meta, aim: aimChange.of(n), chart: n == 1 && c.rank == 0}
			trials = append(trials, trial{rows: []row{r}, rank: c.rank, writes: true, run: func(l *lab, m *mounted, put put) error {
				return c.run(l, m, n, put)
			}})
		}
	}
	return trials
}

// run makes the tree, mounts, and makes the change in several passes: the
// shorter a measurement, the likelier that nothing disturbs one of them.
func (c change) run(l *lab, m *mounted, n int, put put) error {
	defer m.clear()
	share, before := l.scale.files/n, l.scale.warmUp
	if err := c.plan.grow(path.Join(m.tiers[c.rank], treeName), n, before+l.scale.passes*share); err != nil {
		return fmt.Errorf("tree: %w", err)
	}
	if err := l.settleDisks(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	crowd := clients{root: path.Join(m.root(c.rank), treeName), op: c.op}
	if _, err := crowd.run(names(n, 0, before)); err != nil {
		return err
	}
	for p := range l.scale.passes {
		us, err := crowd.timed(names(n, before+p*share, before+(p+1)*share), n*share)
		if err != nil {
			return err
		}
		put(0, us)
	}
	return m.stop()
}
