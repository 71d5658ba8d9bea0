package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// base is where everything lives: in a tmpfs over /run that nobody else sees,
// which also takes the daemons' control sockets.
const base = "/run/bench"

// lab is the disks and the subjects that work on them.
type lab struct {
	ctx      context.Context
	scale    scale
	disks    []string // mount points: the primary's, the fallbacks'
	subjects []*subject
	counted  counted
}

func newLab(ctx context.Context, f flags) (*lab, error) {
	l := &lab{ctx: ctx, scale: f.scale()}
	err := l.makeDisks(f.dir)
	if err == nil {
		err = touchMemory(2 * l.scale.data)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	bin := base + "/mount.tierfs"
	if err := copyFile(f.bin, bin); err != nil {
		l.close()
		return nil, err
	}
	l.subjects = subjects(bin)
	for i, s := range l.subjects {
		if err := l.settle(s, i); err != nil {
			l.close()
			return nil, fmt.Errorf("subject %s: %w", s.name, err)
		}
	}
	return l, nil
}

// copyFile copies the binary to measure, so that a build meanwhile does not
// change what is measured.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// settle gives a subject its tiers and its name for the one data file: with
// hard links, each reads the same blocks and the same page cache.
func (l *lab) settle(s *subject, i int) error {
	for rank := range s.fallbacks + 1 {
		tier := fmt.Sprintf("%s/%d", l.disks[rank], i)
		if err := os.Mkdir(tier, 0o755); err != nil {
			return err
		}
		s.tiers = append(s.tiers, tier)
	}
	s.dir = fmt.Sprintf("%s/mnt/%d", base, i)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if i > 0 {
		return os.Link(l.subjects[0].tiers[0]+"/"+dataFile, s.tiers[0]+"/"+dataFile)
	}
	return writeFile(s.tiers[0]+"/"+dataFile, l.scale.data)
}

func (l *lab) close() {
	for _, disk := range l.disks {
		unmount(disk)
	}
}

// results are the measurements of all rounds, by row and subject.
type results struct {
	rows    []row
	rounds  [][][]float64 // row, subject, measurement
	count   int
	counted counted
	took    time.Duration
}

// errRefused says that a subject cannot do what the row asks for.
var errRefused = errors.New("refused")

// best is the lowest of the measurements, infinite for what the subject cannot do.
func (r *results) best(row, subject int) float64 {
	best := math.Inf(1)
	for _, v := range r.rounds[row][subject] {
		best = min(best, v)
	}
	return best
}

// measure does all rounds. Each round begins with another subject, so that
// none always follows the same one.
func (l *lab) measure(ctx context.Context, rows []row) (*results, error) {
	begun := time.Now()
	res := &results{rows: rows, count: l.scale.rounds, rounds: make([][][]float64, len(rows))}
	for i := range rows {
		res.rounds[i] = make([][]float64, len(l.subjects))
	}
	for round := range l.scale.rounds {
		for i, row := range rows {
			progress("round %d of %d: %s, %d clients", round+1, l.scale.rounds, row.name, row.clients)
			for k := range l.subjects {
				at := (k + round) % len(l.subjects)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				v, err := l.once(row, l.subjects[at])
				if errors.Is(err, errRefused) {
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", row.name, l.subjects[at].name, err)
				}
				res.rounds[i][at] = append(res.rounds[i][at], v...)
			}
		}
	}
	progress("")
	res.counted, res.took = l.counted, time.Since(begun)
	return res, nil
}

// once does one row on one subject. Nothing of an earlier run is left in the
// mount, because the row mounts it anew.
func (l *lab) once(r row, s *subject) ([]float64, error) {
	m := &mounted{subject: s}
	v, err := r.run(l, m)
	if stopErr := m.stop(); err == nil {
		err = stopErr
	}
	return v, err
}

// progress shows on a terminal what is being done.
func progress(format string, args ...any) {
	if st, err := os.Stderr.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...)
}
