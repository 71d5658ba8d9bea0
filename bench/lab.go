package main

import (
	"context"
	"errors"
	"fmt"
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
	source   source
	subjects []*subject
	missing  []string // peers that are not installed
	counted  counted
}

func newLab(ctx context.Context, f flags, s scale) (*lab, error) {
	l := &lab{ctx: ctx, scale: s}
	if err := l.prepare(f); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) prepare(f flags) error {
	if err := l.makeDisks(f.dir, disks); err != nil {
		return err
	}
	if err := touchMemory(2 * dataFiles * l.scale.fileSize); err != nil {
		return err
	}
	if err := os.Mkdir(base+"/empty", 0o755); err != nil {
		return err
	}
	bin := base + "/mount.tierfs"
	if err := copyFile(f.bin, bin); err != nil {
		return err
	}
	var err error
	if l.source, err = pack(l.scale.quick); err != nil {
		return err
	}
	l.subjects, l.missing = subjects(bin, l.scale.quick)
	for i, s := range l.subjects {
		if err := l.settle(s, i); err != nil {
			return fmt.Errorf("subject %s: %w", s.name, err)
		}
	}
	for _, s := range l.subjects {
		if err := indexSource(s); err != nil {
			return fmt.Errorf("subject %s: %w", s.name, err)
		}
	}
	return nil
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

func (l *lab) close() {
	for _, disk := range l.disks {
		unmount(disk)
	}
}

// measure does all rounds. Each round begins with another subject, so that
// none always follows the same one. A peer that fails is a note, tierfs and the
// plain directory end the run.
func (l *lab) measure(trials []trial) (*results, error) {
	begun := time.Now()
	res := newResults(l, trials)
	for round := range l.scale.rounds {
		first := 0
		for _, t := range trials {
			for k := range l.subjects {
				at := (k + round) % len(l.subjects)
				s := l.subjects[at]
				progress("%s, round %d of %d: %s with %d: %s", time.Since(begun).Round(time.Second), round+1, l.scale.rounds, t.rows[0].name, t.rows[0].clients, s.name)
				if !s.fits(t) {
					continue
				}
				err := l.once(t, s, func(i int, us ...float64) { res.rounds[first+i][at] = append(res.rounds[first+i][at], us...) })
				if l.ctx.Err() != nil {
					return nil, l.ctx.Err()
				}
				if err != nil && s.optional() {
					res.note(fmt.Sprintf("%s, %s with %d: %v", s.name, t.rows[0].name, t.rows[0].clients, err))
				} else if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", t.rows[0].name, s.name, err)
				}
			}
			first += len(t.rows)
		}
	}
	progress("")
	res.counted, res.took = l.counted, time.Since(begun)
	return res, nil
}

// once holds one trial with one subject. Nothing of an earlier one is left in
// the mount, because each mounts anew.
func (l *lab) once(t trial, s *subject, put put) error {
	m := &mounted{subject: s}
	err := t.run(l, m, put)
	return errors.Join(err, m.stop())
}

// progress shows on a terminal what is being done.
func progress(format string, args ...any) {
	if st, err := os.Stderr.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...)
}
