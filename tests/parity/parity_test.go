package parity

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// Ordinary users and groups of the scenarios.
const (
	alice, bob     = 2001, 2002
	staff, friends = 2501, 2502
)

// outcome is what a worker reports of one scenario.
type outcome struct {
	Name  string
	Lines []string
}

// patience bounds one scenario; a hang is a failure that names it.
const patience = 20 * time.Second

// all is the table, in the order of its families.
func all() []scenario {
	return slices.Concat(nameScenarios, openScenarios, ioScenarios, spaceScenarios, handleScenarios, dirScenarios,
		linkScenarios, renameScenarios, attrScenarios, timeScenarios, xattrScenarios, aclScenarios, nodeScenarios,
		lockScenarios, ioctlScenarios, userScenarios)
}

// work is the worker: it runs all scenarios below the directory args[0] and
// prints their outcomes. Every scenario has a directory of its own, made here
// unless it is there already.
var work = harness.Func("scenarios", func(args []string) error {
	signal.Ignore(unix.SIGXFSZ, unix.SIGPIPE)
	out := json.NewEncoder(os.Stdout)
	for _, s := range all() {
		dir := filepath.Join(args[0], dirName(s))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chdir(dir); err != nil {
			return err
		}
		if err := out.Encode(outcome{s.name, transcript(dir, s)}); err != nil {
			return err
		}
	}
	return nil
})

func dirName(s scenario) string { return strings.ReplaceAll(s.name, "/", "-") }

// transcript runs one scenario in the working directory dir.
func transcript(dir string, s scenario) []string {
	r := &run{}
	unix.Umask(0o022)
	func() {
		defer func() {
			switch p := recover().(type) {
			case nil:
			case setupFailed:
				r.say("stopped: %s", p.what)
			default:
				panic(p)
			}
		}()
		s.do(r)
	}()
	for _, fd := range r.fds {
		unix.Close(fd)
	}
	unix.Umask(0o022)
	return append(r.lines, tree(dir)...)
}

// play runs a worker below dir and collects what it reports. It ends the
// worker when one scenario takes too long.
func play(t *testing.T, dir string) map[string][]string {
	t.Helper()
	cmd := work.Cmd(dir)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	got := map[string][]string{}
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var o outcome
		if err := json.Unmarshal(line, &o); err != nil {
			t.Errorf("%v: %q", err, line)
			continue
		}
		got[o.Name] = o.Lines
		stuck.Reset(patience)
	}
	if err := cmd.Wait(); err != nil || !stuck.Stop() {
		t.Errorf("the worker below %s ended after %d scenarios: %v; next was %s", dir, len(got), err, next(got))
	}
	return got
}

// next names the first scenario that has not reported.
func next(got map[string][]string) string {
	for _, s := range all() {
		if _, done := got[s.name]; !done {
			return s.name
		}
	}
	return "none"
}

// where is a place in the mount in which the scenarios run.
type where struct {
	name      string
	fallbacks int
	options   []string
	needs     []string
	seed      []int // tiers that have the working directories beforehand
}

var places = []where{
	{name: "alone", options: []string{"passthrough=on"}, needs: []string{"passthrough"}, seed: []int{0}},
	{name: "alone through the daemon", options: []string{"passthrough=off"}, seed: []int{0}},
	{name: "primary above a fallback", fallbacks: 1, options: []string{"passthrough=on"}, needs: []string{"passthrough"}, seed: []int{0}},
	{name: "primary above a fallback, through the daemon", fallbacks: 1, options: []string{"passthrough=off"}, seed: []int{0}},
	{name: "fallback only", fallbacks: 1, options: []string{"passthrough=on"}, needs: []string{"passthrough"}, seed: []int{1}},
	{name: "fallback only, through the daemon", fallbacks: 1, options: []string{"passthrough=off"}, seed: []int{1}},
	{name: "merged", fallbacks: 1, seed: []int{0, 1}},
}

// filesystem is that of the native directory and of the tiers: ext4, or what
// TIERFS_PARITY names. On tmpfs nothing differs; on xfs and btrfs clones do
// (FUSE does not carry them), and what these two do unlike others: a full
// target is EEXIST on xfs, btrfs shows trusted attributes to everyone.
func filesystem() string {
	if name := os.Getenv("TIERFS_PARITY"); name != "" {
		return name
	}
	return "ext4"
}

// TestCallsAnswerAsBesideTheMount is the promise of a faithful passthrough:
// whichever tier the files are on, a program cannot tell from what its calls
// answer that it works in a mount.
func TestCallsAnswerAsBesideTheMount(t *testing.T) {
	harness.Require(t, "root", "fuse")
	native := harness.On(t, filesystem(), "1G")
	harness.Mkdir(t, native+"/w")
	want := play(t, native+"/w")
	if len(want) != len(all()) {
		t.Fatalf("%d of %d scenarios ran beside the mount", len(want), len(all()))
	}
	for _, w := range places {
		t.Run(strings.ReplaceAll(w.name, " ", "_"), func(t *testing.T) { compare(t, w, want) })
	}
}

func compare(t *testing.T, w where, want map[string][]string) {
	harness.Require(t, w.needs...)
	tiers := []string{harness.On(t, filesystem(), "1G")}
	for range w.fallbacks {
		tiers = append(tiers, harness.On(t, filesystem(), "1G"))
	}
	for _, rank := range w.seed {
		harness.Mkdir(t, tiers[rank]+"/w")
		if len(w.seed) > 1 {
			for _, s := range all() {
				harness.Mkdir(t, tiers[rank]+"/w/"+dirName(s))
			}
		}
	}
	m := harness.NewOn(t, tiers, w.options...)
	// mount(8) takes "suid" and "dev" for its own defaults and drops them, so
	// the helper is called as it would call it.
	opts := m.Options("suid", "dev")
	if _, stderr, code := m.UpBy(exec.Command(harness.FuseHelper, m.Primary, m.Dir, "-o", opts)); code != 0 {
		t.Fatalf("mount with %s: exit code %d: %s", opts, code, stderr)
	}
	got := play(t, m.Path("w"))
	for _, s := range all() {
		t.Run(dirName(s), func(t *testing.T) {
			if len(w.seed) > 1 {
				differ(t, "the mount", merged(got[s.name]), merged(want[s.name]))
			} else {
				differ(t, "the mount", got[s.name], want[s.name])
				home := tiers[w.seed[0]] + "/w/" + dirName(s)
				differ(t, "the home tier", tree(home), finalTree(want[s.name]))
			}
		})
	}
}

// ownLinks is the link count of a scenario's own directory.
var ownLinks = regexp.MustCompile(`^((?:tree|stat) "(?:.|../..)": mode \d+) nlink \d+`)

// merged leaves out the link count of a directory that both tiers have: it is
// the sum of both.
func merged(lines []string) []string {
	var kept []string
	for _, line := range lines {
		kept = append(kept, ownLinks.ReplaceAllString(line, "$1"))
	}
	return kept
}

// finalTree is the part of a transcript that tree wrote.
func finalTree(lines []string) []string {
	for i, line := range lines {
		if strings.HasPrefix(line, "tree ") {
			return lines[i:]
		}
	}
	return nil
}

// differ reports the lines in which two transcripts differ, with the last
// common one, which tells the call before.
func differ(t *testing.T, who string, got, want []string) {
	t.Helper()
	var text strings.Builder
	for i, shown := 0, 0; i < max(len(got), len(want)) && shown < 8; i++ {
		g, w := at(got, i), at(want, i)
		if g == w {
			continue
		}
		if shown == 0 && i > 0 {
			fmt.Fprintf(&text, "\n   after %s", at(want, i-1))
		}
		fmt.Fprintf(&text, "\n  native %s\n   mount %s", w, g)
		shown++
	}
	if text.Len() > 0 {
		t.Errorf("%s differs:%s", who, text.String())
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
