package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEarlyLinesGoToTheCaller(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(&out, "mount.tierfs: ", false)
	log := l.Logger()
	log.Info("held back")
	log.Debug("not wanted")
	log.Warn("tier /a: slow", "rank", 1, "name", "a b")
	log.With("x", 1).WithGroup("g").Error("mount: failed", "err", errors.New("no\x1b[2J room"), "y", "")
	want := "mount.tierfs: tier /a: slow rank=1 name=\"a b\"\n" +
		"mount.tierfs: mount: failed x=1 g.y=\"\": no\\x1b[2J room\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestLineFormsOneLine(t *testing.T) {
	for _, c := range []struct {
		msg   string
		attrs []slog.Attr
		want  string
	}{
		{"a", nil, "a"},
		{"a", []slog.Attr{slog.Any("err", errors.New("why")), slog.Int("n", 3)}, "a n=3: why"},
		{"a\x1b[2Jb", nil, `a\x1b[2Jb`},
		{"n \xff\xfe ü", nil, `n \xff\xfe ü`},
		{"a", []slog.Attr{slog.String("k", `q"u`)}, `a k="q\"u"`},
		{"a", []slog.Attr{slog.String("stack", "one\ntwo\n")}, "a\nstack:\none\ntwo"},
		{"rtl \u202e", nil, `rtl \u202e`},
		{"a\nb", []slog.Attr{slog.String("name", "x\nforged: y"), slog.String("err", "no\nforged")}, `a\nb name="x\nforged: y": no\nforged`},
	} {
		if got := line(c.msg, c.attrs); got != c.want {
			t.Errorf("%q %v: %q, want %q", c.msg, c.attrs, got, c.want)
		}
	}
}

// memory is a sink that keeps lines, and can be made to wait.
type memory struct {
	mu       sync.Mutex
	lines    []string
	reopened int
	closed   bool
	gate     chan struct{} // nil: never wait
}

func (m *memory) write(e entry) {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, e.level.String()+" "+e.text)
}
func (m *memory) reopen() { m.mu.Lock(); m.reopened++; m.mu.Unlock() }
func (m *memory) close()  { m.mu.Lock(); m.closed = true; m.mu.Unlock() }

func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.lines, "\n")
}

func TestLinesHeldBackReachTheFinalSink(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(&out, "", false)
	a, b := &memory{}, &memory{}
	l.Logger().Info("one")
	l.Logger().Warn("shown")
	l.MoveTo(a)
	l.Logger().Info("two")
	eventually(t, func() bool { return a.text() == "INFO one\nINFO two" })
	l.MoveTo(b)
	l.Logger().Error("three")
	l.Reopen()
	l.Close(time.Second)
	if !a.closed || a.text() != "INFO one\nINFO two" {
		t.Errorf("first sink: %q, closed %v", a.text(), a.closed)
	}
	if !b.closed || b.text() != "ERROR three" || b.reopened != 1 {
		t.Errorf("second sink: %q, closed %v, reopened %d", b.text(), b.closed, b.reopened)
	}
	if out.String() != "shown\n" {
		t.Errorf("early: %q", out.String())
	}
	l.Logger().Error("after the end") // must not panic
}

// The logger kept its files in the mount: it waited for an op, which waited for
// the logger.
func TestLogNeverWaitsForItsSink(t *testing.T) {
	m := &memory{gate: make(chan struct{})}
	l := NewLog(&bytes.Buffer{}, "", false)
	l.MoveTo(m)
	for i := range queued + 100 {
		l.Logger().Info(fmt.Sprint(i))
	}
	start := time.Now()
	l.Close(50 * time.Millisecond)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Close took %v", d)
	}
	close(m.gate)
	eventually(t, func() bool { return strings.Contains(m.text(), "lines lost") })
}

func TestDebugIsOnRequest(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(&out, "", false)
	l.SetDebug(true)
	l.Logger().Debug("a")
	l.SetDebug(false)
	l.Logger().Debug("b")
	if out.String() != "a\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestSyslogPrioritiesAndReturn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := &syslogSink{socket: path, tag: "tierfs"}
	s.write(entry{level: slog.LevelError, text: "nobody listens"})
	addr := &net.UnixAddr{Name: path, Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	for level, pri := range map[slog.Level]int{slog.LevelDebug: 7, slog.LevelInfo: 6, slog.LevelWarn: 4, slog.LevelError: 3} {
		s.write(entry{level: level, text: "hello"})
		want := fmt.Sprintf("<%d>", 3<<3|pri)
		if got := receive(t, conn); !strings.HasPrefix(got, want) || !strings.HasSuffix(strings.TrimSpace(got), fmt.Sprintf("tierfs[%d]: hello", os.Getpid())) {
			t.Errorf("%v: %q, want %s", level, got, want)
		}
	}
	conn.Close()
	os.Remove(path)
	s.write(entry{text: "lost"})
	if conn, err = net.ListenUnixgram("unixgram", addr); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.write(entry{text: "back\nagain"})
	if got := receive(t, conn) + receive(t, conn); !strings.Contains(got, "back") || !strings.Contains(got, "again") {
		t.Errorf("after a restart: %q", got)
	}
	s.close()
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := conn.Read(buf)
	if err != nil {
		t.Error(err)
	}
	return string(buf[:n])
}

func anywhere(string) error { return nil }

func TestLogFileIsReopened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	s, err := OpenLogFile(path, anywhere)
	if err != nil {
		t.Fatal(err)
	}
	s.write(entry{text: "one\nmore"})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.write(entry{text: "two"})
	s.reopen()
	s.write(entry{text: "three"})
	s.close()
	old, _ := os.ReadFile(path + ".1")
	now, _ := os.ReadFile(path)
	if n := strings.Count(string(old), "tierfs["); n != 3 || !strings.Contains(string(old), "info two") {
		t.Errorf("old file: %q", old)
	}
	if strings.Count(string(now), "\n") != 1 || !strings.Contains(string(now), "three") {
		t.Errorf("new file: %q", now)
	}
}

// A log in the mount would be written through the daemon that writes it.
func TestLogFileInTheMountIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/mount", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mount", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	reach := func(path string) error {
		if Within(path, dir+"/mount") {
			return errors.New("in the mount")
		}
		return nil
	}
	for _, path := range []string{dir + "/mount/log", dir + "/link/log"} {
		if _, err := OpenLogFile(path, reach); err == nil {
			t.Errorf("%s: opened", path)
		}
	}
	if _, err := OpenLogFile(dir+"/none/log", reach); err == nil || !strings.Contains(err.Error(), "existing directory") {
		t.Errorf("missing directory: %v", err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("not in five seconds")
}

func FuzzLine(f *testing.F) {
	f.Add("msg", "key", "value\nmore")
	f.Add("\xff\x1b", "err", "")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		for _, r := range line(msg, []slog.Attr{slog.String("k", value), slog.String("err", value)}) {
			if r < ' ' && r != '\t' || r == 0x7f || r == 0xfffd && !strings.Contains(msg+value, "\ufffd") {
				t.Fatalf("%q has %q in it", line(msg, nil), r)
			}
		}
	})
}
