package main

import (
	"context"
	"errors"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/mover"
)

// Move answers POST /v1/demote and /v1/promote.
func (s *service) Move(ctx context.Context, up bool, m control.Move, w control.Watch) (control.Totals, error) {
	req := mover.Request{Up: up, OlderThan: time.Duration(m.OlderThan) * time.Second, DryRun: m.DryRun}
	for _, p := range m.Paths {
		req.Paths = append(req.Paths, string(p))
	}
	var end mover.Totals
	if s.graph.mover == nil {
		return totalsOf(end), errOneTier
	}
	err := s.graph.work(ctx, func(ctx context.Context) (err error) {
		if !m.DryRun {
			s.graph.claim()
		}
		end, err = s.graph.mover.Do(ctx, req, mover.Watch{
			Begin:   func(t mover.Totals) { w.Begin(totalsOf(t)) },
			File:    func(e mover.Event) { w.File(fileOf(e)) },
			Copying: w.Copying,
		})
		return err
	})
	return totalsOf(end), err
}

// Plan answers GET /v1/plan.
func (s *service) Plan(ctx context.Context, emit func(control.File)) (control.Totals, error) {
	var end mover.Totals
	if s.graph.mover == nil {
		return totalsOf(end), errOneTier
	}
	err := s.graph.work(ctx, func(ctx context.Context) (err error) {
		end, err = s.graph.mover.Plan(ctx, func(e mover.Event) { emit(fileOf(e)) })
		return err
	})
	return totalsOf(end), err
}

// Why answers POST /v1/why.
func (s *service) Why(ctx context.Context, path string) (control.Verdict, error) {
	if s.graph.mover == nil {
		return control.Verdict{}, errOneTier
	}
	v, err := s.graph.mover.Why(ctx, path)
	answer := control.Verdict{
		Path: control.Name(v.Path), Tier: v.Rank, Bytes: v.Bytes, Age: v.Age.Seconds(),
		Skip: string(v.Skip), Detail: v.Detail,
	}
	if v.Skip == mover.Moved {
		answer.To = &v.To
	}
	return answer, err
}

func totalsOf(t mover.Totals) control.Totals {
	return control.Totals{Files: t.Files, Bytes: t.Bytes, Skipped: byWord(t.Skipped), Full: fullOf(t.Full), Note: t.Note}
}

func fullOf(all []mover.Full) (list []control.Full) {
	for _, f := range all {
		list = append(list, control.Full{
			Tier: f.Rank, Path: control.Name(f.Root), Free: f.Free, MinFree: f.MinFree, Planned: max(f.Planned, 0),
			Files: f.Files, Bytes: f.Bytes, Text: f.Error(),
		})
	}
	return list
}

func byWord(counts map[mover.Reason]int) map[string]int {
	words := map[string]int{}
	for why, n := range counts {
		words[string(why)] = n
	}
	return words
}

func fileOf(e mover.Event) control.File {
	f := control.File{Path: control.Name(e.Path), From: e.From, To: e.To, Bytes: e.Bytes, Skip: string(e.Skip)}
	if e.Err != nil {
		f.Error = e.Err.Error()
	}
	return f
}

// errOneTier is said of a mount without fallbacks.
var errOneTier = errors.New("the mount has one tier, and files have nowhere to move; mount it with fallback=")

// moverStatus is the mover as control has it; none in a mount of one tier.
func (g *graph) moverStatus() *control.Mover {
	if g.mover == nil {
		return nil
	}
	m := g.mover.Status()
	return &control.Mover{
		Policy: m.Policy, Enabled: m.Enabled, Why: m.Why, Running: runOf(m.Running), Last: runOf(m.Last),
		Next: m.Next, FailingSince: m.FailingSince, Sum: tallyOf(m.Sum),
	}
}

func runOf(r *mover.Report) *control.Run {
	if r == nil {
		return nil
	}
	return &control.Run{Kind: r.Kind, Begin: r.Begin, End: r.End, Error: r.Error, Tally: tallyOf(r.Tally), Full: fullOf(r.Full)}
}

func tallyOf(t mover.Tally) control.Tally {
	return control.Tally{
		FilesDown: t.FilesDown, BytesDown: t.BytesDown, FilesUp: t.FilesUp, BytesUp: t.BytesUp, Skipped: byWord(t.Skipped),
	}
}
