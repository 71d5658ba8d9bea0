package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// results are the measurements of all rounds, by row and subject.
type results struct {
	rows     []row
	subjects []*subject
	rounds   [][][]float64 // row, subject, measurement
	count    int
	quick    bool
	counted  counted
	weights  []weight
	paces    []pace
	notes    []string
	took     time.Duration
}

func newResults(l *lab, trials []trial) *results {
	r := &results{subjects: l.subjects, count: l.scale.rounds, quick: l.scale.quick}
	for _, name := range l.missing {
		r.note(name + " is not installed")
	}
	for _, t := range trials {
		for _, row := range t.rows {
			r.rows = append(r.rows, row)
			r.rounds = append(r.rounds, make([][]float64, len(l.subjects)))
		}
	}
	return r
}

// note keeps what is to be said besides the figures, once.
func (r *results) note(text string) {
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// best is the lowest of the measurements, infinite where there is none.
func (r *results) best(row int, subject string) float64 {
	best := math.Inf(1)
	for k, s := range r.subjects {
		if s.name == subject {
			for _, v := range r.rounds[row][k] {
				best = min(best, v)
			}
		}
	}
	return best
}

// ratio is a subject's time as a share of another's, and NaN if one of them has
// none. For data it is the share of the other's speed.
func (r *results) ratio(row int, of, with string) float64 {
	v := r.best(row, of) / r.best(row, with)
	if v == 0 || math.IsInf(v, 0) {
		return math.NaN()
	}
	if r.rows[row].kind == data {
		return 1 / v
	}
	return v
}

// report is the JSON form of a run. Times are µs an op, every measurement kept.
type report struct {
	Machine   machine         `json:"machine"`
	Subjects  []reportSubject `json:"subjects"`
	Rows      []reportRow     `json:"rows"`
	DaemonOps counted         `json:"data_ops_in_daemon"`
	Memory    []weight        `json:"memory"`
	Slow      []pace          `json:"slow_tier"`
	Notes     []string        `json:"notes"`
	Seconds   float64         `json:"seconds"`
}

type reportSubject struct {
	Name      string `json:"name"`
	What      string `json:"what"`
	Fallbacks int    `json:"fallbacks"`
}

type reportRow struct {
	Name    string               `json:"name"`
	Clients int                  `json:"clients"`
	Best    map[string]float64   `json:"best_us"`
	All     map[string][]float64 `json:"all_us"`
}

func writeJSON(path string, m machine, res *results) error {
	r := report{Machine: m, DaemonOps: res.counted, Memory: res.weights, Slow: res.paces, Notes: res.notes, Seconds: res.took.Seconds()}
	for _, s := range res.subjects {
		r.Subjects = append(r.Subjects, reportSubject{s.name, s.what, s.fallbacks})
	}
	for i, row := range res.rows {
		line := reportRow{row.name, row.clients, map[string]float64{}, map[string][]float64{}}
		for k, s := range res.subjects {
			if len(res.rounds[i][k]) == 0 {
				continue
			}
			line.Best[s.name] = res.best(i, s.name)
			line.All[s.name] = res.rounds[i][k]
		}
		r.Rows = append(r.Rows, line)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}
