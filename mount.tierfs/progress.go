package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/tierfs/tierfs/internal/control"
)

// barPause is how often the bar is drawn at most.
const barPause = 100 * time.Millisecond

// bar shows how far a job is, on standard error. A nil bar shows nothing.
type bar struct {
	line  *progressbar.ProgressBar // nil until there is something to expect
	files int
	bytes int64 // of these files
	at    int64 // where it stands
	sum   control.Totals
}

// newBar returns a bar if standard error is a terminal that can show one and
// standard output goes there too: lines that are read by a program come whole.
func newBar() *bar {
	if os.Getenv("TERM") == "dumb" || os.Getenv("NO_COLOR") != "" || !isTerminal(os.Stderr) || !isTerminal(os.Stdout) {
		return nil
	}
	return &bar{}
}

// begin draws the bar for the first time.
func (b *bar) begin() {
	b.line = progressbar.NewOptions64(max(b.sum.Bytes, 1),
		progressbar.OptionSetDescription(b.text()),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionShowCount(),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionThrottle(barPause),
		progressbar.OptionSetWidth(20),
		progressbar.OptionClearOnFinish(),
	)
}

// text is what stands before the bar.
func (b *bar) text() string {
	if b.sum.Files > 0 {
		return fmt.Sprintf("%d/%d files", b.files, b.sum.Files)
	}
	return fmt.Sprintf("%d files", b.files)
}

// expect tells the sum of a job that begins.
func (b *bar) expect(t control.Totals) {
	if b == nil {
		return
	}
	b.sum.Files += t.Files
	b.sum.Bytes += t.Bytes
	if b.line == nil {
		b.begin()
	} else {
		b.line.ChangeMax64(max(b.sum.Bytes, 1))
	}
}

// done counts a file.
func (b *bar) done(f control.File) {
	if b == nil {
		return
	}
	b.files++
	b.bytes += max(f.Bytes, 0)
	b.advance(b.bytes)
}

// copying shows what is copied of files that are not done.
func (b *bar) copying(bytes int64) {
	if b != nil {
		b.advance(b.bytes + bytes)
	}
}

// advance moves the bar to so many bytes, never back: of what was copied for
// nothing the rest is sooner done.
func (b *bar) advance(bytes int64) {
	if b.line == nil {
		b.begin()
	}
	b.line.Describe(b.text())
	b.at = max(b.at, min(bytes, b.sum.Bytes))
	_ = b.line.Set64(b.at)
}

// say prints a line above the bar.
func (b *bar) say(text string) {
	if b.line != nil {
		_ = b.line.Clear()
	}
	fmt.Fprintln(os.Stderr, strings.TrimRight(text, "\n"))
}

// close takes the bar away.
func (b *bar) close() {
	if b != nil && b.line != nil {
		_ = b.line.Clear()
	}
}
