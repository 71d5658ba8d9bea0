package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// report is the JSON form of a run. Times are µs an op, every measurement kept.
type report struct {
	Machine   machine         `json:"machine"`
	Subjects  []reportSubject `json:"subjects"`
	Rows      []reportRow     `json:"rows"`
	DaemonOps counted         `json:"data_ops_in_daemon"`
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

func writeJSON(path string, m machine, l *lab, res *results) error {
	r := report{Machine: m, DaemonOps: res.counted, Seconds: res.took.Seconds()}
	for _, s := range l.subjects {
		r.Subjects = append(r.Subjects, reportSubject{s.name, s.what, s.fallbacks})
	}
	for i, row := range res.rows {
		line := reportRow{row.name, row.clients, map[string]float64{}, map[string][]float64{}}
		for k, s := range l.subjects {
			if len(res.rounds[i][k]) == 0 {
				continue
			}
			line.Best[s.name] = res.best(i, k)
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
