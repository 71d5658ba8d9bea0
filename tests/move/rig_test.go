package move

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// mount is one whose tiers the test also looks into.
type mount struct {
	*harness.Mount
	t *testing.T
}

func newMount(t *testing.T, opts ...string) mount {
	t.Helper()
	return mount{harness.New(t, 1, opts...), t}
}

func newMountOn(t *testing.T, tiers []string, opts ...string) mount {
	t.Helper()
	return mount{harness.NewOn(t, tiers, opts...), t}
}

// report is what tierfs demote and promote say.
type report struct {
	moved int
	skips map[string]string // path in the mount to the reason
	code  int
	said  string
}

// line is a line of tierfs demote --json.
type line struct {
	Path, Skip string
	End        *struct{ Files int }
}

// carry moves what lies at the paths, one tier "demote" or "promote".
func (m mount) carry(which string, rels ...string) report {
	m.t.Helper()
	r, err := m.ended(m.start(which, rels...))
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// start begins to.
func (m mount) start(which string, rels ...string) *exec.Cmd {
	m.t.Helper()
	args := []string{which, "--older-than", "1s", "--json"}
	for _, rel := range rels {
		args = append(args, m.Path(rel))
	}
	cmd := exec.Command(harness.CLI, args...)
	cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, &bytes.Buffer{}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// ended waits for what was started.
func (m mount) ended(cmd *exec.Cmd) (report, error) {
	_ = cmd.Wait() // the code tells
	r := report{skips: map[string]string{}, code: cmd.ProcessState.ExitCode(), said: fmt.Sprint(cmd.Stdout, cmd.Stderr)}
	for text := range strings.Lines(fmt.Sprint(cmd.Stdout)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return r, fmt.Errorf("%q: %w", text, err)
		}
		if l.End != nil {
			r.moved = l.End.Files
		} else if l.Skip != "" {
			r.skips[strings.TrimPrefix(l.Path, m.Dir+"/")] = l.Skip
		}
	}
	return r, nil
}

// wantMoved wants all to have gone.
func (r report) wantMoved(t *testing.T, n int) {
	t.Helper()
	if r.moved != n || r.code != 0 {
		t.Errorf("%d files have moved, want %d\n%s", r.moved, n, r.said)
	}
}

// wantSkip wants a file to stay for one of these reasons.
func (r report) wantSkip(t *testing.T, rel string, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		if r.skips[rel] == reason {
			return
		}
	}
	t.Errorf("%s: skip %q, want %q\n%s", rel, r.skips[rel], reasons, r.said)
}

// on are the ranks that have a name.
func (m mount) on(rel string) (ranks []int) {
	m.t.Helper()
	for rank := range m.Tiers {
		if harness.Exists(m.t, m.Tier(rank, rel)) {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// wantOn wants a file on one tier and on no other, with that content there and
// through the mount.
func (m mount) wantOn(rank int, rel, text string) {
	m.t.Helper()
	if ranks := m.on(rel); len(ranks) != 1 || ranks[0] != rank {
		m.t.Errorf("%s is on the tiers %v, want %d", rel, ranks, rank)
		return
	}
	harness.WantRead(m.t, m.Tier(rank, rel), text)
	harness.WantRead(m.t, m.Path(rel), text)
}

// wantTidy wants nothing left of moves.
func (m mount) wantTidy() {
	m.t.Helper()
	wantTidy(m.t, m.Tiers)
}

// copying waits until a part of a file has been copied.
func (m mount) copying() {
	m.t.Helper()
	harness.Eventually(m.t, "a file is being copied", func() bool {
		for _, path := range leftovers(m.t, m.Tiers) {
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && st.Size > 0 {
				return true
			}
		}
		return false
	})
}
