package mountopt

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// FuzzOptions holds every option string to: no panic, an error of one clean
// line, fields within their bounds, and the same options again from String.
func FuzzOptions(f *testing.F) {
	f.Add(`demote=90d,age=opened,high=90%,low=80,promote=3/1d,ignore_comm=rsync:updatedb,window=22:00-06:00,exclude="a,[b]\*",exclude=c/d,mover_rate=50M`, false)
	f.Fuzz(func(t *testing.T, s string, sloppy bool) {
		o := Default()
		if err := o.Parse(s, sloppy); err != nil {
			checkLine(t, err.Error())
			return
		}
		checkBounds(t, o)
		checkRoundTrip(t, o)
	})
}

// FuzzParseCommand does the same with whole command lines, cut at newlines.
func FuzzParseCommand(f *testing.F) {
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCommand(strings.Split(line, "\n"))
		if errors.Is(err, ErrHelp) || errors.Is(err, ErrVersion) {
			return
		}
		if err != nil {
			checkLine(t, err.Error())
			return
		}
		if c.Spec == "" || c.Dir == "" {
			t.Errorf("operands %q and %q", c.Spec, c.Dir)
		}
		checkBounds(t, c.Options)
		checkRoundTrip(t, c.Options)

		// The canonical form as a command line gives the same mount.
		again, err := ParseCommand([]string{"-o", c.Options.String(), "--", c.Spec, c.Dir})
		if err != nil || again.Spec != c.Spec || again.Dir != c.Dir || again.Options.String() != c.Options.String() {
			t.Errorf("again: got %+v, %v, want %+v", again, err, c)
		}
	})
}

// checkLine holds a message to one line that does no harm to a terminal.
func checkLine(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || len(s) > 2000 || strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		t.Errorf("not a clean line: %q", s)
	}
}

func checkBounds(t *testing.T, o Options) {
	t.Helper()
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC |
		unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_STRICTATIME | unix.MS_LAZYTIME | unix.MS_NOSYMFOLLOW
	for what, bad := range map[string]bool{
		"flags":   o.Flags&^flags != 0,
		"threads": o.Threads < 0 || o.Threads > 1024,
		"read":    o.MaxRead < 0,
		"percent": !(o.MinFree.Percent >= 0 && o.MinFree.Percent < 100),
		"bytes":   o.MinFree.Bytes > 1<<63-1,
		"entry":   o.EntryTimeout < 0 || o.EntryTimeout > maxTimeout,
		"attr":    o.AttrTimeout < 0 || o.AttrTimeout > maxTimeout,
		"absent":  o.NegativeTimeout < 0 || o.NegativeTimeout > maxTimeout,
		"tier":    o.TierTimeout <= 0 || o.TierTimeout > maxTimeout,
		"log":     o.Log != "" && o.Log != "syslog" && !path.IsAbs(o.Log),
		"others":  o.Private && o.AllowOther,
		"data":    len(o.Data) > 4,
		"demote":  o.Demote < 0 || o.Demote > maxAge,
		"high":    o.High < 0 || o.High > 99,
		"low":     o.Low < 0 || o.Low > 99 || o.High > 0 && o.Low > o.High,
		"promote": o.Promote.Opens < 0 || o.Promote.Opens > maxOpens || (o.Promote.Opens > 0) != (o.Promote.Within > 0),
		"window":  min(o.Window.From, o.Window.To) < 0 || max(o.Window.From, o.Window.To) >= 24*60,
		"rate":    o.MoverRate > 1<<63-1,
	} {
		if bad {
			t.Errorf("%s out of bounds: %+v", what, o)
		}
	}
	for _, dir := range o.Fallbacks {
		if !path.IsAbs(dir) || strings.IndexByte(dir, 0) >= 0 {
			t.Errorf("fallback %q", dir)
		}
	}
	for _, p := range o.Exclude {
		if _, err := path.Match(p, "x"); err != nil || p == "" {
			t.Errorf("exclude %q", p)
		}
	}
	for _, name := range o.IgnoreComm {
		if name == "" || len(name) > maxComm {
			t.Errorf("ignore_comm %q", name)
		}
	}
	for _, w := range append(o.Advice(), o.Warnings...) {
		checkLine(t, w)
	}
}
