package main

import (
	"fmt"
	"regexp"
	"time"
)

// scale is how much a run does.
type scale struct {
	rounds   int
	passes   int           // measurements a metadata run makes, one after the other
	files    int           // names in each, shared out among its clients
	listings int           // directories of listSize entries that a listing run reads, once
	warm     int           // ops that each client does first, untimed
	data     int64         // bytes of the data file
	dataTime time.Duration // of a measurement that goes round and round in it

	dataPasses int // measurements a data run makes
}

func (f flags) scale() scale {
	s := scale{rounds: 5, passes: 4, files: 1000, listings: 2, warm: 100, data: 512 << 20, dataTime: 300 * time.Millisecond, dataPasses: 3}
	if f.quick {
		s = scale{rounds: 2, passes: 3, files: 600, listings: 2, warm: 50, data: 128 << 20, dataTime: 150 * time.Millisecond, dataPasses: 1}
	}
	if f.rounds > 0 {
		s.rounds = f.rounds
	}
	return s
}

// row is one line of the result: what one round does on one subject. The
// figures, one for each measurement, are µs an op, of all clients together.
type row struct {
	name    string
	clients int
	data    bool
	run     func(l *lab, m *mounted) ([]float64, error)
}

// pick is the rows that the flags ask for.
func pick(f flags) ([]row, error) {
	only, err := regexp.Compile(f.only)
	if err != nil {
		return nil, fmt.Errorf("-only %q: %w", f.only, err)
	}
	var rows []row
	for _, r := range append(dataRows(), metaRows()...) {
		if only.MatchString(r.name) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("-only %q: no row has such a name", f.only)
	}
	return rows, nil
}
