package mover

import (
	"context"
	"fmt"
	"maps"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// rises brings up what was opened often.
func (s *schedule) rises(ctx context.Context) {
	hot := s.m.opens.takeHot(time.Now())
	if len(hot) == 0 {
		return
	}
	untried := maps.Clone(hot)
	s.job(ctx, kindOpened, func(ctx context.Context, j *job) error {
		h := &haul{job: j, ctx: ctx, judge: func(f facts) (course, Reason) { return j.policy.comeUp(f) }}
		j.emit = func(e Event) { h.risen(e, hot) }
		for _, dir := range byDirectory(hot) {
			if err := h.comeUp(dir, untried); err != nil {
				return err
			}
		}
		return nil
	})
	for at, file := range untried {
		s.m.opens.heat(at, file)
	}
}

// risen notes what has become of a file. One that is in use, as most are that
// have just been opened, is tried again.
func (h *haul) risen(e Event, hot map[string]hotFile) {
	switch e.Skip {
	case Moved:
		f := &found{}
		err := (&walk{tier: h.m.primary(), alone: true, to: keeper{f}}).run(h.ctx, e.Path)
		if err == nil {
			h.m.opens.arrived(fileKey{0, f.st.Dev, f.st.Ino}, time.Now())
		}
	case Open, OpenBeneath, Fresh, Arrived, Changed, InUse, Stopped:
		h.m.opens.heat(e.Path, hot[e.Path])
	}
}

// hotDir is files of one directory that are on one tier.
type hotDir struct {
	dir   string
	rank  int
	names []string
}

func byDirectory(hot map[string]hotFile) []*hotDir {
	type place struct {
		dir  string
		rank int
	}
	groups := map[place]*hotDir{}
	var all []*hotDir
	for at, file := range hot {
		p := place{path.Dir(at), file.rank}
		if groups[p] == nil {
			groups[p] = &hotDir{dir: p.dir, rank: p.rank}
			all = append(all, groups[p])
		}
		groups[p].names = append(groups[p].names, path.Base(at))
	}
	return all
}

// comeUp moves the files of one directory to the primary. One that cannot be looked at
// stays among the untried, and keeps no other from coming up.
func (h *haul) comeUp(d *hotDir, untried map[string]hotFile) error {
	defer h.landAll()
	t := h.m.tree.Tiers()[d.rank]
	for _, name := range d.names {
		at := path.Join(d.dir, name)
		f := &found{}
		err := (&walk{tier: t, exclude: h.policy.Exclude, alone: true, to: keeper{f}}).run(h.ctx, at)
		switch {
		case err == nil:
			if err := h.file(f); err != nil {
				return err
			}
		case isAbsent(err) || err == unix.EISDIR: // moved, removed or renamed since
		default:
			h.blame(fmt.Errorf("%q in tier %s: %w", at, t.Root, err))
			continue
		}
		delete(untried, at)
	}
	return h.endDir()
}
