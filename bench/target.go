package main

import (
	"fmt"
	"io"
	"math"
)

// aim names the target that a row counts for.
type aim int

const (
	noAim aim = iota
	aimData
	aimCold
	aimChange
	aimChange8
	aimWarm
	aimNegative
	aimJob
)

// of is the aim of a row when so many clients do it: some have another then.
func (a aim) of(clients int) aim {
	if clients == 1 {
		return a
	}
	switch a {
	case aimCold:
		return noAim
	case aimChange:
		return aimChange8
	}
	return a
}

// target is what tierfs is to reach, in every row of the aim and beside each of
// those it is compared with.
type target struct {
	aim   aim
	what  string
	with  []string
	limit float64 // of time the most, of speed the least
}

var targets = []target{
	{aimData, "sequential and random data, every mode", []string{native}, 0.97},
	{aimData, "the same", []string{mergerfs, mergerfsF}, 1},
	{aimCold, "cold stat, open+read+close, cold walk, one client", []string{mergerfs, mergerfsF}, 0.45},
	{aimChange, "create+write+close, unlink, rename, mkdir, one client", []string{mergerfs, mergerfsF}, 0.65},
	{aimChange8, "the same with 8 clients", []string{mergerfs, mergerfsF}, 0.9},
	{aimWarm, "warm stat and walk, also 2 s later, also in the fallback", []string{native}, 1.3},
	{aimNegative, "negative lookups, warm", []string{native}, 1.3},
	{aimJob, "untar, git status, find, grep -r, du", []string{mergerfs, mergerfsF}, 0.65},
}

// The targets of memory, for a million inodes.
const (
	mostFull    = 340 << 20
	mostDropped = 80 << 20
)

// verdict is how a target was met: by how many of its comparisons, and the
// worst of them.
type verdict struct {
	target
	speed     bool
	all, miss int
	worst     float64
	where     string
	missed    grid
}

func (r *results) judge(t target) verdict {
	v := verdict{target: t, speed: t.aim == aimData, worst: math.NaN()}
	for i, row := range r.rows {
		if row.aim != t.aim {
			continue
		}
		for _, with := range t.with {
			ratio := r.ratio(i, tierfs, with)
			if math.IsNaN(ratio) {
				continue
			}
			ratio = math.Round(ratio*100) / 100 // as it is shown
			v.all++
			if math.IsNaN(v.worst) || v.worse(ratio, v.worst) {
				v.worst, v.where = ratio, fmt.Sprintf("%s, %d, of %s", row.name, row.clients, with)
			}
			if v.worse(ratio, t.limit) {
				v.miss++
				v.missed = append(v.missed, []string{row.name, fmt.Sprint(row.clients), with, v.bound(), share(ratio)})
			}
		}
	}
	return v
}

func (v verdict) worse(a, b float64) bool {
	if v.speed {
		return a < b
	}
	return a > b
}

func (v verdict) bound() string {
	if v.speed {
		return fmt.Sprintf("≥ %.2f", v.limit)
	}
	return fmt.Sprintf("≤ %.2f", v.limit)
}

// line is the verdict as a line of the table.
func (v verdict) line() []string {
	bound := v.bound() + " of native's time"
	if v.speed {
		bound = v.bound() + " of native's speed"
	}
	if v.with[0] != native {
		bound = v.bound() + " of mergerfs', both"
	}
	met := "yes"
	if v.miss > 0 {
		met = fmt.Sprintf("no, %d of %d miss", v.miss, v.all)
	}
	return []string{v.what, bound, fmt.Sprintf("%s (%s)", share(v.worst), v.where), met}
}

// targets writes what was to be reached and what was, and all that misses.
func (r *results) targets(w io.Writer) {
	g, missed := grid{{"what", "target", "measured, the worst", "met?"}}, grid{{"misses its target", "clients", "beside", "target", "measured"}}
	for _, t := range targets {
		v := r.judge(t)
		if v.all == 0 {
			continue
		}
		g = append(g, v.line())
		missed = append(missed, v.missed...)
	}
	g = append(g, r.memoryTargets()...)
	fmt.Fprintf(w, "## Targets\n\n")
	g.write(w)
	if len(missed) > 1 {
		missed.write(w)
	}
}

func (r *results) memoryTargets() grid {
	for _, v := range r.weights {
		if v.Subject != tierfs {
			continue
		}
		met := func(is, most int) string {
			switch {
			case r.quick:
				return "a quick run cannot tell"
			case is > most:
				return "no"
			}
			return "yes"
		}
		return grid{
			{fmt.Sprintf("resident memory with %d inodes cached", v.Inodes), "≤ 340 MiB", mib(v.Full) + " MiB", met(v.Full, mostFull)},
			{"after they were dropped", "≤ 80 MiB", mib(v.Dropped) + " MiB", met(v.Dropped, mostDropped)},
		}
	}
	return nil
}
