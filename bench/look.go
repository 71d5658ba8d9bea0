package main

import (
	"fmt"
	"path"
	"path/filepath"
	"time"
)

// look is something that is done to many names and changes none. It is timed
// cold, which is with names that the mount has never seen and the disk has, then
// again at once, and again when the kernel's time to trust names is over.
type look struct {
	name    string
	rank    int
	op      op
	work    func(l *lab, s *subject, at look, top string, n int) (work, error)
	plan    plan
	big     string // the directory that is listed, one entry an op
	aims    [3]aim
	later   bool
	chart   [3]bool
	oneOnly bool // there is no work for several clients
}

// phases are the rows of a look.
var phases = [3]string{"cold", "warm", "2 s later"}

// work is names for each client, several times. The names are beneath top, and
// each pass is so many ops.
type work struct {
	top    string
	before [][]string // untimed
	passes [][][]string
	ops    int
}

func looks(s scale) []look {
	cold, warm := [3]aim{aimCold, aimWarm, aimWarm}, [3]bool{true, true, true}
	return []look{
		{name: "stat", op: stat, work: ownTree, plan: plan{files: true}, aims: cold, later: true, chart: warm},
		{name: "stat in the fallback", rank: 1, op: stat, work: ownTree, plan: plan{files: true}, aims: cold, later: true},
		{name: "stat of what is absent", op: statAbsent, work: ownTree, aims: [3]aim{1: aimNegative}, later: true, chart: warm},
		{name: "open+read+close", op: openReadClose, work: ownTree, plan: plan{files: true}, aims: [3]aim{aimCold}, later: true, chart: [3]bool{true}},
		{name: "open+read+close in the fallback", rank: 1, op: openReadClose, work: ownTree, plan: plan{files: true}, aims: [3]aim{aimCold}, later: true},
		{name: "walk, an entry", op: listStat, work: walk, aims: cold, later: true, chart: warm},
		{name: "walk in the fallback, an entry", rank: 1, op: listStat, work: walk, aims: cold, later: true},
		{name: "readdir of 10, an entry", op: list, work: ownTree, plan: plan{dirs: true}},
		{name: "readdir+stat of 10, an entry", op: listStat, work: ownTree, plan: plan{dirs: true}, chart: [3]bool{true}},
		{name: fmt.Sprintf("readdir of %d, an entry", s.bigDir), op: list, work: bigDir, big: bigNames[0], oneOnly: true},
		{name: fmt.Sprintf("readdir+stat of %d, an entry", s.bigDir), op: listStat, work: bigDir, big: bigNames[1], oneOnly: true, chart: [3]bool{true}},
	}
}

// lookTrials is all looks in one mount, for each crowd: so they wait together
// for the time to be over.
func lookTrials(s scale) []trial {
	var trials []trial
	for _, n := range s.crowds {
		var t trial
		var all []look
		for _, k := range looks(s) {
			if k.oneOnly && n > 1 {
				continue
			}
			k.later = k.later && (n == 1 || !s.quick)
			all = append(all, k)
			for i, phase := range phases {
				if i < 2 || k.later {
					t.rows = append(t.rows, row{name: k.name + ", " + phase, clients: n, kind: meta, aim: k.aims[i].of(n), chart: k.chart[i] && n == 1})
				}
			}
		}
		t.run = func(l *lab, m *mounted, put put) error { return lookAtAll(l, m, all, n, put) }
		trials = append(trials, t)
	}
	return trials
}

func lookAtAll(l *lab, m *mounted, all []look, n int, put put) error {
	defer m.clear()
	works := make([]work, len(all))
	for i, k := range all {
		if k.rank > m.fallbacks {
			continue
		}
		var err error
		if works[i], err = k.work(l, m.subject, k, fmt.Sprintf("%s/%d", treeName, i), n); err != nil {
			return fmt.Errorf("tree: %w", err)
		}
	}
	if err := l.settleDisks(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	at := 0
	for i, k := range all {
		if err := k.now(m, works[i], func(phase int, us float64) { put(at+phase, us) }); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		at += k.rows()
	}
	time.Sleep(later)
	at = 0
	for i, k := range all {
		if err := k.again(m, works[i], func(us float64) { put(at+2, us) }); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		at += k.rows()
	}
	return m.stop()
}

func (k look) rows() int {
	if k.later {
		return 3
	}
	return 2
}

// now is the first look at each pass of names, and two more at once: a second
// later they would not be warm.
func (k look) now(m *mounted, w work, put func(phase int, us float64)) error {
	c := clients{root: path.Join(m.root(k.rank), w.top), op: k.op}
	if len(w.before) > 0 {
		if _, err := c.run(w.before); err != nil {
			return err
		}
	}
	for _, pass := range w.passes {
		for _, phase := range []int{0, 1, 1} {
			us, err := c.timed(pass, w.ops)
			if err != nil {
				return err
			}
			put(phase, us)
		}
	}
	return nil
}

// again looks once more at each pass.
func (k look) again(m *mounted, w work, put func(us float64)) error {
	if !k.later {
		return nil
	}
	c := clients{root: path.Join(m.root(k.rank), w.top), op: k.op}
	for _, pass := range w.passes {
		us, err := c.timed(pass, w.ops)
		if err != nil {
			return err
		}
		put(us)
	}
	return nil
}

// ownTree is a tree for this trial: each pass has names of its own. The names
// that are absent are so in directories of the primary and of the fallback.
func ownTree(l *lab, s *subject, k look, top string, n int) (work, error) {
	w := work{top: top}
	share, before, unit := l.scale.files/n, l.scale.warmUp, 1
	if k.plan.dirs {
		share, before, unit = max(1, l.scale.dirs/n), 0, smallDir
	}
	w.ops = share * n * unit
	all := before + l.scale.passes*share
	tiers := s.tiers[k.rank : k.rank+1]
	if k.plan == (plan{}) {
		tiers = s.tiers
	}
	for _, tier := range tiers {
		if err := k.plan.grow(filepath.Join(tier, top), n, all); err != nil {
			return w, err
		}
	}
	if before > 0 {
		w.before = names(n, 0, before)
	}
	for p := range l.scale.passes {
		w.passes = append(w.passes, names(n, before+p*share, before+(p+1)*share))
	}
	return w, nil
}

// walk goes through a tree of source that is always there: its directories are
// dealt out among the clients.
func walk(l *lab, _ *subject, k look, _ string, n int) (work, error) {
	dealt := make([][]string, n)
	for i, dir := range l.source.dirs {
		dealt[i%n] = append(dealt[i%n], dir)
	}
	return work{top: sourceNames[k.rank], passes: [][][]string{dealt}, ops: l.source.entries}, nil
}

// bigDir lists a directory that is always there.
func bigDir(l *lab, _ *subject, k look, _ string, _ int) (work, error) {
	return work{top: k.big, passes: [][][]string{{{"."}}}, ops: l.scale.bigDir}, nil
}
