package main

import (
	"fmt"
	"regexp"
	"slices"
)

// kind is how the figures of a row are told.
type kind int

const (
	data kind = iota // µs an op, compared as speed
	meta             // µs an op, of all clients together
	job              // ms for the whole of it
)

// row is one line of the results.
type row struct {
	name    string
	clients int
	kind    kind
	aim     aim  // which target it counts for
	chart   bool // it has bars in the chart
}

// trial is what is done with one subject in a mount of its own. It gives the
// figures of one row, or of several.
type trial struct {
	rows   []row
	rank   int  // the lowest tier it needs
	writes bool // it is nothing for a subject that is there to be read
	run    func(l *lab, m *mounted, put put) error
}

// put takes in measurements of the trial's i-th row, µs an op.
type put func(i int, us ...float64)

// fits reports whether a trial can fairly be held with the subject.
func (s *subject) fits(t trial) bool {
	return t.rank <= s.fallbacks && !(t.writes && s.readOnly)
}

// pick is the trials that the flags ask for.
func pick(f flags, s scale) ([]trial, error) {
	only, err := regexp.Compile(f.only)
	if err != nil {
		return nil, fmt.Errorf("-only %q: %w", f.only, err)
	}
	trials := slices.Concat(dataTrials(s), lookTrials(s), changeTrials(s), jobTrials())
	trials = slices.DeleteFunc(trials, func(t trial) bool {
		return !slices.ContainsFunc(t.rows, func(r row) bool { return only.MatchString(r.name) })
	})
	if len(trials) == 0 && !only.MatchString(memoryRow) && !only.MatchString(slowRow) {
		return nil, fmt.Errorf("-only %q: no row has such a name", f.only)
	}
	return trials, nil
}
