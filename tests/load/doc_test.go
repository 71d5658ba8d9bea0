// Package load puts a mount under much: a thousand threads at once, directories
// with very many entries, deep trees, and a tree with more files than anybody
// looks at. What it does in a few seconds, `make soak` does at full size:
// TIERFS_SOAK is how long the threads work, and asks for the full numbers.
package load

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// size is a number for every run, or the one of a soak.
func size(t *testing.T, every, full int) int {
	t.Helper()
	if harness.Duration(t, "TIERFS_SOAK", 0) > 0 {
		return full
	}
	return every
}

// Bounds of the daemon's resident memory (docs/design.md).
const (
	atRest      = 40 << 20
	perInode    = 300
	perRow      = 100 // of a listing, its name of 20 and what the collector lets pile up included
	afterForget = 80 << 20
)

// memory is what the daemon occupies, and the most it did since resetPeak.
func memory(t *testing.T, m *harness.Mount) (now, peak int) {
	t.Helper()
	text := harness.Read(t, "/proc/"+strconv.Itoa(m.Pid())+"/status")
	field := func(name string) int {
		_, rest, _ := strings.Cut(text, "\n"+name+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n << 10
	}
	return field("VmRSS"), field("VmHWM")
}

func resetPeak(t *testing.T, m *harness.Mount) {
	t.Helper()
	if err := os.WriteFile("/proc/"+strconv.Itoa(m.Pid())+"/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// mib is for messages.
func mib(n int) string { return strconv.Itoa((n+1<<19)>>20) + " MiB" }

// wantMemoryBack drops the caches until the daemon has given back what it held
// for them.
func wantMemoryBack(t *testing.T, m *harness.Mount) {
	t.Helper()
	now := 0
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		m.DropCaches()
		if now, _ = memory(t, m); now < afterForget {
			t.Logf("after drop_caches: %s, %d inodes", mib(now), m.Status().Inodes)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s are resident two minutes after the kernel forgot, for %d inodes", mib(now), m.Status().Inodes)
		}
	}
}

// counter counts the lines that are written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(bytes.Count(b, []byte("\n")))
	return len(b), nil
}

// lines counts what a command prints, however long that takes.
func lines(t *testing.T, args ...string) int {
	t.Helper()
	var n counter
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &n, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	return int(n)
}
