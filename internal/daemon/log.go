package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Log is where the daemon's lines go. It begins at the caller's standard
// error, which shows what went wrong to whoever mounts, and moves on to syslog
// or a file once the mount is up (MoveTo).
//
// From then on a line is put into a queue and never waited for: the logger may
// keep its files in this very mount, and an op that waited for it would wait
// for itself.
type Log struct {
	prefix string
	level  slog.LevelVar

	mu    sync.Mutex
	early io.Writer  // GUARDED_BY(mu): nil once there is a queue
	floor slog.Level // GUARDED_BY(mu): least level that early is shown
	held  []entry    // GUARDED_BY(mu): what early was not shown, for later
	queue *queue     // GUARDED_BY(mu): nil until MoveTo
}

// entry is one line on its way.
type entry struct {
	at    time.Time
	level slog.Level
	text  string
}

// maxHeld bounds what is kept for the final place; a start says less.
const maxHeld = 64

// NewLog returns a log that writes warnings and errors, with verbose also what
// is worth knowing, to early, each line behind prefix.
func NewLog(early io.Writer, prefix string, verbose bool) *Log {
	l := &Log{prefix: prefix, early: early, floor: slog.LevelWarn}
	if verbose {
		l.floor = slog.LevelInfo
	}
	return l
}

// Logger returns a logger that writes here.
func (l *Log) Logger() *slog.Logger { return slog.New(handler{log: l}) }

// SetDebug turns the debug level on or off.
func (l *Log) SetDebug(on bool) {
	l.level.Set(slog.LevelInfo)
	if on {
		l.level.Set(slog.LevelDebug)
	}
}

// MoveTo lets s have all lines from here on, also those that were held back.
// The sink before it is closed.
func (l *Log) MoveTo(s Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue != nil {
		l.queue.setSink(s)
		return
	}
	l.queue = newQueue(s)
	l.early = nil
	for _, e := range l.held {
		l.queue.add(e)
	}
	l.held = nil
}

// Reopen asks the sink to open its file anew, for logrotate.
func (l *Log) Reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue != nil {
		l.queue.reopen()
	}
}

// Close writes what is queued, for at most limit, and ends the log.
func (l *Log) Close(limit time.Duration) {
	l.mu.Lock()
	q := l.queue
	l.queue, l.early = nil, io.Discard
	l.mu.Unlock()
	if q != nil {
		q.close(limit)
	}
}

// put sends an entry on its way.
func (l *Log) put(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.queue != nil:
		l.queue.add(e)
	case e.level >= l.floor || l.level.Level() < slog.LevelInfo:
		fmt.Fprintf(l.early, "%s%s\n", l.prefix, strings.ReplaceAll(e.text, "\n", "\n"+l.prefix))
	case len(l.held) < maxHeld:
		l.held = append(l.held, e)
	}
}

// handler turns records into lines. An attribute "err" is the reason and
// stands behind a colon, the others are key=value. Only what is known to have
// lines, a stack and a report, follows in lines of its own: a name with a line
// break in it must not look like a line of ours.
type handler struct {
	log   *Log
	group string      // prefix of keys
	attrs []slog.Attr // keys with their group
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h handler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.named(a))
		return true
	})
	h.log.put(entry{at: r.Time, level: r.Level, text: line(r.Message, attrs)})
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		h.attrs = append(h.attrs, h.named(a))
	}
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.group += name + "."
	}
	return h
}

// named puts the group before the key, except before the one that line knows.
func (h handler) named(a slog.Attr) slog.Attr {
	if a.Key != "err" {
		a.Key = h.group + a.Key
	}
	return a
}

// line renders one record.
func line(msg string, attrs []slog.Attr) string {
	var text, reason, below strings.Builder
	text.WriteString(Printable(msg))
	for _, a := range attrs {
		v := a.Value.Resolve().String()
		switch {
		case a.Key == "err":
			reason.WriteString(": " + Printable(v))
		case a.Key == "stack" || a.Key == "report":
			below.WriteString("\n" + a.Key + ":")
			for l := range strings.Lines(v) {
				below.WriteString("\n" + Printable(strings.TrimSuffix(l, "\n")))
			}
		default:
			text.WriteString(" " + a.Key + "=" + quoted(v))
		}
	}
	return text.String() + reason.String() + below.String()
}

// quoted puts v into quotes if it could be mistaken for something else.
func quoted(v string) string {
	if v == "" || strings.ContainsAny(v, " =\"\\") || Printable(v) != v {
		return strconv.Quote(v)
	}
	return v
}

// Printable escapes what could move a terminal's cursor or forge a line: names
// of files come from clients, and the answers of a user's daemon from that user.
func Printable(s string) string {
	plain := true
	for i, r := range s {
		if !isPrintable(s[i:], r) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if isPrintable(s[i:], r) {
			b.WriteString(s[i : i+size])
		} else {
			q := strconv.Quote(s[i : i+size])
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

// PrintableName is Printable for a name that stands without quotes: what is
// escaped differs from what looks like that.
func PrintableName(s string) string {
	s = Printable(strings.ReplaceAll(s, `\`, `\\`))
	return strings.ReplaceAll(s, "\t", `\t`)
}

func isPrintable(s string, r rune) bool {
	if r == utf8.RuneError {
		_, size := utf8.DecodeRuneInString(s)
		return size > 1
	}
	return r == '\t' || strconv.IsPrint(r)
}
