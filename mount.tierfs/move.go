package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// asker asks a daemon to move files in one direction.
type asker func(c *control.Client, ctx context.Context, m control.Move, fn func(control.Line)) (control.Totals, error)

func demote(f flags, args []string) error { return move("demote", (*control.Client).Demote, f, args) }
func promote(f flags, args []string) error {
	return move("promote", (*control.Client).Promote, f, args)
}

// move is tierfs demote and tierfs promote: one job for each mount that the
// paths lie in, one after the other.
func move(name string, ask asker, f flags, args []string) error {
	if len(args) == 0 {
		return usage("%s: want PATH...; see tierfs %[1]s --help", name)
	}
	groups, err := locateAll(args)
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	out := newMoveReport(f)
	for _, g := range groups {
		if ctx.Err() != nil {
			break
		}
		req := control.Move{OlderThan: int64(time.Duration(f.olderThan).Seconds()), DryRun: f.dryRun}
		for _, rel := range g.rels {
			req.Paths = append(req.Paths, control.Name(rel))
		}
		end, err := ask(clientFor(g.mount), ctx, req, out.lines(g.mount))
		out.add(end)
		if err != nil {
			out.close()
			return cannotAsk(g.mount, err)
		}
	}
	return out.end(ctx.Err() != nil)
}

// untilInterrupted ends at the first ^C. A second one ends the command.
func untilInterrupted() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// moveReport shows what jobs do: lines of JSON, plain lines, or a bar on a
// terminal with the troubles only.
type moveReport struct {
	flags
	bar   *bar
	total control.Totals
}

func newMoveReport(f flags) *moveReport {
	r := &moveReport{flags: f, total: control.Totals{Skipped: map[string]int{}}}
	if !f.json && !f.dryRun {
		r.bar = newBar()
	}
	return r
}

// lines is what the lines of a job on m go to.
func (r *moveReport) lines(m daemon.Mount) func(control.Line) {
	return func(l control.Line) {
		if l.Begin != nil {
			r.bar.expect(*l.Begin)
		}
		if l.Copied > 0 {
			r.bar.copying(l.Copied)
		}
		if l.File != nil {
			l.File.Path = control.Name(shown(m, string(l.File.Path)))
			r.file(*l.File)
		}
	}
}

func (r *moveReport) file(f control.File) {
	r.bar.done(f)
	switch {
	case r.json:
		_ = printJSONLine(f)
	case r.bar == nil:
		fmt.Println(fileLine(f, r.dryRun))
	case f.Skip == string(mover.Failed):
		r.bar.say(fileLine(f, r.dryRun))
	}
}

// fileLine says what became of a file.
func fileLine(f control.File, would bool) string {
	name := daemon.Printable(string(f.Path))
	if f.Skip != "" {
		return fmt.Sprintf("%s: stays: %s", name, reason(f.Skip, f.Error))
	}
	return fmt.Sprintf("%s: %s from tier %d to tier %d, %s", name, moves(would), f.From, f.To, human.Bytes(f.Bytes))
}

func moves(would bool) string {
	if would {
		return "would move"
	}
	return "moved"
}

// reason is a reason in words, with what is known more about it where they do
// not say all.
func reason(skip, detail string) string {
	text := daemon.Printable(mover.Reason(skip).Text())
	if detail != "" && skip == string(mover.Failed) {
		text += " (" + daemon.Printable(detail) + ")"
	}
	return text
}

func (r *moveReport) add(end control.Totals) {
	r.total.Files += end.Files
	r.total.Bytes += end.Bytes
	for why, n := range end.Skipped {
		r.total.Skipped[why] += n
	}
}

func (r *moveReport) close() { r.bar.close() }

// end prints the totals. What is too young, no file, or where it shall be is no
// trouble.
func (r *moveReport) end(interrupted bool) error {
	r.close()
	if r.json {
		if err := printJSONLine(struct {
			End         control.Totals `json:"end"`
			Interrupted bool           `json:"interrupted,omitempty"`
		}{r.total, interrupted}); err != nil {
			return err
		}
	} else {
		fmt.Println(totalsLine(r.total, moves(r.dryRun)))
	}
	if interrupted {
		return failure{exitTrouble, errors.New("interrupted; what was begun is finished, and the rest is where it was")}
	}
	for why := range r.total.Skipped {
		switch mover.Reason(why) {
		case mover.Young, mover.Highest, mover.Lowest, mover.Special:
		case mover.Fresh:
			if r.olderThan == 0 {
				return trouble
			}
		default:
			return trouble
		}
	}
	return nil
}

// totalsLine is "moved 3 files, 1.0 MiB; 2 stay: 1 open through the mount, …".
func totalsLine(t control.Totals, moved string) string {
	text := fmt.Sprintf("%s %s, %s", moved, human.Count(t.Files, "file"), human.Bytes(t.Bytes))
	stay := 0
	var why []string
	for _, word := range slices.Sorted(maps.Keys(t.Skipped)) {
		stay += t.Skipped[word]
		why = append(why, fmt.Sprintf("%d %s", t.Skipped[word], reason(word, "")))
	}
	if stay == 0 {
		return text
	}
	return fmt.Sprintf("%s; %d stay: %s", text, stay, strings.Join(why, ", "))
}
