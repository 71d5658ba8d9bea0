package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sample is results of two rows: native, tierfs and mergerfs take so long.
func sample(aim aim, kind kind, figures ...[]float64) *results {
	r := &results{subjects: []*subject{{name: native}, {name: tierfs}, {name: mergerfs}}}
	for i, line := range figures {
		r.rows = append(r.rows, row{name: string(rune('a' + i)), clients: 1, kind: kind, aim: aim, chart: true})
		of := make([][]float64, len(r.subjects))
		for k, v := range line {
			of[k] = []float64{v * 2, v}
		}
		r.rounds = append(r.rounds, of)
	}
	return r
}

func TestVerdictIsThatOfTheWorstRow(t *testing.T) {
	for name, c := range map[string]struct {
		kind kind
		t    target
		rows [][]float64
		want string
	}{
		"time met":       {meta, target{aimWarm, "", []string{native}, 1.3}, [][]float64{{1, 1.2}, {1, 1.3}}, "1.30 b yes"},
		"time missed":    {meta, target{aimWarm, "", []string{native}, 1.3}, [][]float64{{1, 1.4}, {1, 1.2}}, "1.40 a no, 1 of 2 miss"},
		"speed met":      {data, target{aimData, "", []string{native}, 0.97}, [][]float64{{97, 100}}, "0.97 a yes"},
		"speed missed":   {data, target{aimData, "", []string{native, mergerfs}, 0.97}, [][]float64{{97, 100, 50}}, "0.50 a no, 1 of 2 miss"},
		"refused counts": {meta, target{aimWarm, "", []string{mergerfs}, 1.3}, [][]float64{{1, 1}, {1, 2, 1}}, "2.00 b no, 1 of 1 miss"},
	} {
		line := sample(c.t.aim, c.kind, c.rows...).judge(c.t).line()
		figure, where, _ := strings.Cut(line[2], " (")
		if got := figure + " " + where[:1] + " " + line[3]; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	r := sample(aimWarm, meta, []float64{1, 0.2, 30}, []float64{1, 1.5})
	r.rows[1].name = "a < b & c"
	var text strings.Builder
	newChart(&text, r).draw(machine{Date: "2026-01-01T00:00:00Z"})
	bars := 0
	for d := xml.NewDecoder(strings.NewReader(text.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, _ := token.(xml.StartElement)
		for _, a := range start.Attr {
			if a.Name.Local == "height" && a.Value == "7.0" {
				bars++
			}
		}
	}
	if bars != 3 {
		t.Errorf("%d bars, want 3: one subject has no figure in one row", bars)
	}
}

func TestFioReportsEachJob(t *testing.T) {
	r, err := parseFio([]byte(`note: something
{"jobs": [{"error": 0, "read": {"iops": 4000}}, {"error": 22}, {"error": 5}]}`))
	if err != nil || len(r.Jobs) != 3 {
		t.Fatalf("%d jobs, %v", len(r.Jobs), err)
	}
	if us, err := r.Jobs[0].opTime(); us != 250 || err != nil {
		t.Errorf("%v µs, %v, want 250", us, err)
	}
	if _, err := r.Jobs[1].opTime(); !refused(fioJob{direct: true}, err) || refused(fioJob{}, err) {
		t.Errorf("%v is to be a refusal of O_DIRECT, and of nothing else", err)
	}
	if _, err := r.Jobs[2].opTime(); !errors.Is(err, unix.EIO) || refused(fioJob{direct: true}, err) {
		t.Errorf("%v is to be EIO, and no refusal", err)
	}
}
