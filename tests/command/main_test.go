// Package command holds what an administrator sees of the tierfs command:
// output, exit codes, JSON, ^C and the terminal.
package command

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// tierfs runs the command and wants an exit code.
func tierfs(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, code := harness.Run(t, append([]string{harness.CLI}, args...)...)
	if code != want {
		t.Errorf("tierfs %q: exit code %d, want %d\n%s%s", args, code, want, stdout, stderr)
	}
	return stdout, stderr
}

// old makes n files with old times in a directory of the primary, before the
// mount. Their change times are of now: a move waits for --older-than at least.
func old(t *testing.T, dir string, n int) {
	t.Helper()
	harness.Mkdir(t, dir)
	at := time.Now().Add(-100 * 24 * time.Hour)
	for i := range n {
		path := fmt.Sprintf("%s/%05d", dir, i)
		harness.Write(t, path, strings.Repeat("x", 1000+i))
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// quiet waits until what was just made may move with --older-than 1s.
func quiet() { time.Sleep(1100 * time.Millisecond) }

// withOld is a mount with n old files that may move.
func withOld(t *testing.T, n int) *harness.Mount {
	t.Helper()
	m := harness.New(t, 1)
	old(t, m.Primary, n)
	m.Up()
	quiet()
	return m
}

// decoded is JSON output as a list of objects: one list, or an object a line.
func decoded(t *testing.T, out string) (all []map[string]any) {
	t.Helper()
	if strings.HasPrefix(out, "[") {
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return all
	}
	for line := range strings.Lines(out) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, one)
	}
	return all
}
