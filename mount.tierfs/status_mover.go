package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/mover"
)

// failTime is how long nothing may move, although files are to, before that is
// trouble.
const failTime = 24 * time.Hour

// moverFails reports that moving has failed for too long.
func moverFails(st control.Status) bool {
	return st.Mover != nil && !st.Mover.FailingSince.IsZero() && time.Since(st.Mover.FailingSince) > failTime
}

// moverLines are what a status says of the mover.
func moverLines(m *control.Mover) string {
	if m == nil {
		return ""
	}
	var b strings.Builder
	show := daemon.Printable
	fmt.Fprintf(&b, "  policy  %s\n", show(m.Policy))
	if !m.Enabled {
		fmt.Fprintf(&b, "  nothing moves: %s\n", show(m.Why))
	}
	if !m.FailingSince.IsZero() {
		fmt.Fprintf(&b, "  moving fails since %s; %s\n", moment(m.FailingSince), failCause(m.Last))
	}
	if r := m.Running; r != nil {
		fmt.Fprintf(&b, "  running %s since %s: %s\n", show(r.Kind), moment(r.Begin), tallyLine(r.Tally)+fullLine(r.Full))
	}
	if !m.Next.IsZero() {
		fmt.Fprintf(&b, "  next    %s\n", moment(m.Next))
	}
	if r := m.Last; r != nil {
		fmt.Fprintf(&b, "  last    %s at %s, %s long: %s%s\n", show(r.Kind), moment(r.Begin), human.About(r.End.Sub(r.Begin)), tallyLine(r.Tally)+fullLine(r.Full), because(r.Error))
	}
	fmt.Fprintf(&b, "  moved   %s since the mount\n", movedLine(m.Sum))
	return b.String()
}

// failCause is why the last run has moved nothing, or where that is said.
func failCause(last *control.Run) string {
	if last == nil || last.Skipped[string(mover.Failed)] > 0 {
		return "see the log"
	}
	for _, why := range []mover.Reason{mover.Away, mover.ReadOnly} {
		if last.Skipped[string(why)] > 0 {
			return why.Text()
		}
	}
	return "see the log"
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return "; ended early: " + daemon.Printable(text)
}

// tallyLine is "3 files, 1.0 MiB down, 1 file, 4 B up; left in place: 2 open
// through the mount".
func tallyLine(t control.Tally) string {
	text := movedLine(t)
	var why []string
	for _, word := range slices.Sorted(maps.Keys(t.Skipped)) {
		why = append(why, fmt.Sprintf("%d %s", t.Skipped[word], reason(word, "")))
	}
	if len(why) > 0 {
		text += "; left in place: " + strings.Join(why, ", ")
	}
	return text
}

// movedLine is "3 files, 1.0 MiB down, 1 file, 4 B up".
func movedLine(t control.Tally) string {
	return fmt.Sprintf("%s, %s down, %s, %s up", human.Count(t.FilesDown, "file"), human.Bytes(t.BytesDown), human.Count(t.FilesUp, "file"), human.Bytes(t.BytesUp))
}

// fullLine is "; no room for 2 files, 1.0 MiB: tier 1 (/srv/slow) has …".
func fullLine(all []control.Full) (text string) {
	for _, f := range all {
		text += fmt.Sprintf("; no room for %s, %s: %s", human.Count(f.Files, "file"), human.Bytes(f.Bytes), daemon.Printable(f.Text))
	}
	return text
}

// moment is a time as people read it, of the local clock.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
