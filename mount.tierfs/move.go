package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
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
		begun := out.begun
		c := clientFor(g.mount)
		told := out.lines(g.mount)
		heard, stop := tellHung(g.mount, c)
		end, err := ask(c, ctx, req, func(l control.Line) {
			told(l)
			heard.Add(1)
		})
		stop()
		out.total.Full = append(out.total.Full, end.Full...)
		switch {
		case err != nil && out.begun == begun:
			out.close()
			return cannotAsk(name, g.mount, err)
		case err != nil:
			return out.end(endedEarly(g.mount, err))
		}
	}
	if ctx.Err() != nil {
		return out.end(failure{exitTrouble, errors.New("interrupted; what was begun is finished or taken back, and the rest is where it was")})
	}
	return out.end(nil)
}

// hungAfter is how long a job says nothing at least, and twice that at most, before it is
// looked whether a tier hangs.
const hungAfter = 5 * time.Second

// tellHung tells once, if a job on m says nothing for a while, that it waits for a tier.
// heard is how many lines it has said.
func tellHung(m daemon.Mount, c *control.Client) (heard *atomic.Int64, stop context.CancelFunc) {
	heard = new(atomic.Int64)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		tick := time.NewTicker(hungAfter)
		defer tick.Stop()
		for last := int64(0); ; last = heard.Load() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if heard.Load() > last {
				continue
			}
			if e := c.Hung(); e != nil && ctx.Err() == nil {
				say(cliName, fmt.Sprintf("mount %q: %s: waiting for it; ^C leaves", m.Dir, e.What()))
				return
			}
		}
	}()
	return heard, stop
}

// endedEarly says what ended a job on m after it had begun.
func endedEarly(m daemon.Mount, err error) error {
	if control.Silent(err) || errors.As(err, new(*control.HungError)) {
		return failure{exitCannot, fmt.Errorf("mount %q: no file is lost, but %w", m.Dir, err)}
	}
	if errors.Is(err, control.ErrCutOff) {
		return failure{exitCannot, fmt.Errorf("mount %q: the daemon has died in the middle of the job, and no file is lost; umount -l it and mount it again, so that what was begun is finished or taken back, and see the system log", m.Dir)}
	}
	return failure{exitTrouble, fmt.Errorf("mount %q: the job ended early: %w; nothing is lost: what was begun is finished or taken back, and the rest is where it was; run it again for the rest", m.Dir, err)}
}

// untilInterrupted ends at the first ^C. A second one ends the command.
func untilInterrupted() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// moveReport shows what jobs do: lines of JSON, plain lines, a bar on a terminal
// with the troubles only, or in short what they would do.
type moveReport struct {
	flags
	bar      *bar
	short    *summary // instead of a line for each file, if that is only what would be
	begun    int      // jobs that have told what they are to do
	expected int      // files that these are to look at
	total    control.Totals
}

func newMoveReport(f flags) *moveReport {
	r := &moveReport{flags: f, total: control.Totals{Skipped: map[string]int{}}}
	switch {
	case f.json, f.all:
	case f.dryRun:
		r.short = newSummary()
	default:
		r.bar = newBar()
	}
	return r
}

// lines is what the lines of a job on m go to.
func (r *moveReport) lines(m daemon.Mount) func(control.Line) {
	return func(l control.Line) {
		if l.Begin != nil {
			r.begun++
			r.expected += looked(*l.Begin)
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
	if f.Skip == "" {
		r.total.Files++
		r.total.Bytes += f.Bytes
	} else {
		r.total.Skipped[f.Skip]++
	}
	switch {
	case r.json:
		_ = printJSONLine(f)
	case r.short != nil:
		r.short.add(f)
	case r.bar == nil:
		fmt.Println(fileLine(f, r.dryRun))
	case f.Skip == string(mover.Failed):
		r.bar.say(fileLine(f, r.dryRun))
	}
}

// fileLine says what became of a file.
func fileLine(f control.File, would bool) string {
	name := daemon.PrintableName(string(f.Path))
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
	if why := mover.Reason(skip); detail != "" && (why == mover.Failed || why == mover.NoRoom || why == mover.BadPin || why == mover.Attributes) {
		text += " (" + daemon.Printable(detail) + ")"
	}
	return text
}

// looked is how many files were looked at.
func looked(t control.Totals) int {
	n := t.Files
	for _, skipped := range t.Skipped {
		n += skipped
	}
	return n
}

func (r *moveReport) close() { r.bar.close() }

// end prints the totals; early says what ended the jobs before their end, if
// anything did. What is too young, no file, or where it shall be is no trouble.
func (r *moveReport) end(early error) error {
	r.close()
	if err := r.printTotals(early); err != nil || early != nil {
		return cmp.Or(early, err)
	}
	for why := range r.total.Skipped {
		switch mover.Reason(why) {
		case mover.Younger, mover.Highest, mover.Lowest, mover.Special, mover.Inner:
		case mover.Fresh, mover.Arrived:
			if r.olderThan == 0 {
				return trouble
			}
		default:
			return trouble
		}
	}
	return nil
}

// printTotals tells what is known: of a job that ended early not why the rest
// stays, as nobody has looked.
func (r *moveReport) printTotals(early error) error {
	unseen := max(r.expected-looked(r.total), 0)
	if r.json {
		end := struct {
			End    control.Totals `json:"end"`
			Unseen int            `json:"unseen,omitempty"`
			Early  string         `json:"early,omitempty"`
		}{End: r.total}
		if early != nil {
			end.Unseen, end.Early = unseen, early.Error()
		}
		return printJSONLine(end)
	}
	if r.short != nil {
		r.short.print(os.Stdout)
	}
	text := totalsLine(r.total, moves(r.dryRun))
	switch {
	case early == nil:
	case r.begun == 0:
		text += "; the rest was not looked at"
	case unseen > 0:
		text += fmt.Sprintf("; %s not looked at", human.Count(unseen, "file"))
	}
	_, err := fmt.Println(text)
	return err
}

// totalsLine is "moved 3 files, 1.0 MiB; 1 stays: open through the mount", or
// "…; 3 stay: 1 open through the mount, 2 …".
func totalsLine(t control.Totals, moved string) string {
	text := fmt.Sprintf("%s %s, %s", moved, human.Count(t.Files, "file"), human.Bytes(t.Bytes))
	n := looked(t) - t.Files
	switch {
	case n == 0:
		return text
	case n == 1:
		text += "; 1 stays: "
	default:
		text += fmt.Sprintf("; %d stay: ", n)
	}
	return text + reasons(t.Skipped) + fullLine(t.Full)
}

// reasons is "1 open through the mount, 2 …". A single one goes without its
// number, which is said before.
func reasons(skipped map[string]int) string {
	var why []string
	for _, word := range slices.Sorted(maps.Keys(skipped)) {
		if len(skipped) == 1 {
			return reason(word, "")
		}
		why = append(why, fmt.Sprintf("%d %s", skipped[word], reason(word, "")))
	}
	return strings.Join(why, ", ")
}
