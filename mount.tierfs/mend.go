package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tierfs"
)

// Check answers POST /v1/check.
func (s *service) Check(ctx context.Context, req control.Check, emit func(control.Finding)) (end control.CheckEnd, err error) {
	if req.Repair && !s.graph.claim() {
		holder, _ := s.graph.owner()
		r := meet(holder)
		return end, fmt.Errorf("check: another daemon has the tiers too%s; %s before a repair", r, r.toEnd())
	}
	c := &mover.Check{Tiers: s.graph.set.Tiers(), Owned: s.graph.fs.Owned, NumbersLast: s.graph.fs.NumbersLast, Made: s.graph.fs.Made}
	err = s.graph.work(ctx, func(ctx context.Context) error {
		c.Emit = func(f mover.Finding) {
			x := s.finding(ctx, f, req)
			end.Findings++
			if x.Mended {
				end.Mended++
			}
			emit(x)
		}
		return c.Run(ctx)
	})
	end.Directories, end.Entries = c.Directories, c.Entries
	return end, err
}

// finding mends what was found, if it is asked to, and describes it.
func (s *service) finding(ctx context.Context, f mover.Finding, req control.Check) control.Finding {
	tiers := s.graph.set.Tiers()
	x := control.Finding{
		Kind: string(f.Kind), Path: control.Name(f.Path), Tier: f.Rank, Over: f.Over, Bytes: f.Bytes,
		At: control.Name(filepath.Join(tiers[f.Rank].Root, f.Path)), Text: f.Text(tiers[f.Over].Root),
	}
	var mend func(mover.Finding) error
	done := ""
	switch {
	case f.Kind == mover.SameCopy, f.Kind == mover.Staged:
		x.Mend, done, mend = "remove it", "removed", func(f mover.Finding) error { return s.graph.fs.Remove(ctx, f) }
	case f.Kind == mover.OtherCopy && req.Rename:
		x.Mend, mend = "rename it in its tier, so that it is seen", func(f mover.Finding) error {
			name, err := s.graph.fs.Unhide(f)
			name = daemon.PrintableName(name)
			x.Mend, done = "rename it to "+name, "renamed to "+name
			return err
		}
	case f.Kind == mover.Record:
		if of, ok := s.graph.fs.Interrupted(f); ok {
			const otherwise = "or NAME.recovered-by-tierfs-1 beside it if that is taken, or a name in " + tierfs.RecoveredDir + " if its directory has gone"
			x.Mend, mend = fmt.Sprintf("end %s: what is aside gets its name again, %s", of, otherwise), s.graph.fs.End
			done = fmt.Sprintf("ended %s: what was aside has its name again, %s", of, otherwise)
		}
	case f.Kind == mover.Trash && req.Rename:
		x.Mend, mend = "move it to "+tierfs.RecoveredDir+" in the mount, for the daemon's user alone to see", func(f mover.Finding) error {
			name, err := s.graph.fs.Recover(f)
			name = daemon.PrintableName(name)
			x.Mend, done = fmt.Sprintf("move it to %s in the mount", name), fmt.Sprintf("moved to %s in the mount", name)
			return err
		}
	}
	if mend == nil || !req.Repair {
		return x
	}
	if err := mend(f); err != nil {
		x.Error = err.Error()
		return x
	}
	x.Mended, x.Done = true, done
	s.logger.Info("check: mended", "kind", f.Kind, "tier", tiers[f.Rank].Root, "path", f.Path, "how", done)
	return x
}
