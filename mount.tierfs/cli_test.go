package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
)

func named(t *testing.T, name string) command {
	t.Helper()
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no command %s", name)
	return command{}
}

func TestFlagsStandBeforeAndAfterOperands(t *testing.T) {
	demote := named(t, "demote")
	for _, c := range []struct {
		args, operands string
		age            time.Duration
		dry, json      bool
	}{
		{"a b", "a b", 0, false, false},
		{"--dry-run a --older-than 90d b --json", "a b", 90 * 24 * time.Hour, true, true},
		{"a --older-than=2w -- --json -", "a --json -", 14 * 24 * time.Hour, false, false},
		{"--older-than 1y a", "a", 365 * 24 * time.Hour, false, false},
		{"-json a", "a", 0, false, true},
		{"- --dry-run", "-", 0, true, false},
		{"", "", 0, false, false},
	} {
		f, operands, err := demote.parse(strings.Fields(c.args))
		if err != nil || strings.Join(operands, " ") != c.operands || time.Duration(f.olderThan) != c.age || f.dryRun != c.dry || f.json != c.json {
			t.Errorf("%q: %q, %+v, %v", c.args, operands, f, err)
		}
	}
	for _, args := range []string{"--repair a", "--older-than", "--older-than 3 a", "--older-than -1d a", "--older-than 200y a", "--older-than 0 a", "--older-than d a", "--older-than 9999999999w a", "a --what"} {
		if _, _, err := demote.parse(strings.Fields(args)); err == nil || cliCode(err) != exitCannot {
			t.Errorf("%q: %v", args, err)
		}
	}
	_, _, err := demote.parse([]string{"--older-than", "0", "a"})
	if want := `"0": want an age such as 90d, 12h or 3w; give 1s for at once; see `; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("no age: %v, want %q", err, want)
	}
}

func TestCommandsHaveForms(t *testing.T) {
	for name, want := range map[string]string{
		"status": "tierfs status [--json] [MOUNT...]",
		"demote": "tierfs demote [--older-than AGE] [--dry-run] [--all] [--json] PATH...",
		"adopt":  "tierfs adopt DIR | --replace NEWDIR MEMBERDIR",
		"help":   "tierfs help",
	} {
		if got := named(t, name).form(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, c := range commands() {
		var f flags
		for _, name := range c.flags {
			if f.set(name).Lookup(name) == nil {
				t.Errorf("%s: no flag --%s", c.name, name)
			}
		}
		if c.run == nil || c.help == "" {
			t.Errorf("%s: no help or nothing to run", c.name)
		}
	}
}

func TestCompletionsNameEverything(t *testing.T) {
	for shell, write := range map[string]func(*strings.Builder) error{
		"bash": func(b *strings.Builder) error { return bashCompletion(b) },
		"zsh":  func(b *strings.Builder) error { return zshCompletion(b) },
		"fish": func(b *strings.Builder) error { return fishCompletion(b) },
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, c := range commands() {
			if !strings.Contains(b.String(), c.name) {
				t.Errorf("%s: no %s", shell, c.name)
			}
			for _, name := range c.flags {
				if !strings.Contains(b.String(), name) {
					t.Errorf("%s: no --%s", shell, name)
				}
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		script := filepath.Join(t.TempDir(), "completion")
		if err := os.WriteFile(script, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}

// What bash offers is what the table says.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	var script strings.Builder
	if err := bashCompletion(&script); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{
		"tierfs de":            "demote",
		"tierfs p":             "promote plan",
		"tierfs demote --":     "--older-than --dry-run --all --json",
		"tierfs check --re":    "--repair --rename",
		"tierfs completion ":   "bash zsh fish",
		"tierfs demote a":      "a file",
		"tierfs version --":    "",
		"tierfs nosuch --":     "",
		"tierfs demote x --dr": "--dry-run",
	} {
		list := strings.Split(words, " ")
		call := script.String() + "compopt() { :; }\nCOMP_CWORD=$(($# - 1)) COMP_WORDS=(\"$@\")\n_tierfs\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
		cmd := exec.Command(bash, append([]string{"-c", call, "bash"}, list...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if got := strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " "); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", words, got, want, err)
		}
	}
}

func TestPathsAreShownAsTheMountHasThem(t *testing.T) {
	for _, c := range []struct{ root, dir, rel, want string }{
		{"/", "/srv/docs", "a/b", "/srv/docs/a/b"},
		{"/", "/srv/docs", "", "/srv/docs"},
		{"/a", "/mnt", "a/b", "/mnt/b"},
		{"/a", "/mnt", "a", "/mnt"},
		{"/a", "/mnt", "ab", "/ab"},
		{"/", "/", "a", "/a"},
	} {
		if got := shown(daemon.Mount{Root: c.root, Dir: c.dir}, c.rel); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestLocateOutsideOfAnyMount(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{dir: "not in a tierfs mount", dir + "/none": "no such file", dir + "/none/x": "no such file"} {
		if _, err := locate(path); err == nil || !strings.Contains(err.Error(), want) || cliCode(err) != exitCannot {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLinesOfAJob(t *testing.T) {
	for _, c := range []struct {
		f     control.File
		would bool
		want  string
	}{
		{control.File{Path: "/m/a\n", To: 1, Bytes: 2048}, false, `/m/a\n: moved from tier 0 to tier 1, 2 KiB`},
		{control.File{Path: "/m/a", From: 2, Bytes: 1}, true, "/m/a: would move from tier 2 to tier 0, 1 B"},
		{control.File{Path: "/m/a", Skip: "open"}, false, "/m/a: stays: open through the mount"},
		{control.File{Path: "/m/a", Skip: "error", Error: "EIO\x1b"}, false, `/m/a: stays: an error, see the log (EIO\x1b)`},
		{control.File{Path: "/m/a", Skip: "of a later release"}, false, "/m/a: stays: of a later release"},
	} {
		if got := fileLine(c.f, c.would); got != c.want {
			t.Errorf("%+v: %q", c.f, got)
		}
	}
	t1 := control.Totals{Files: 1, Bytes: 1024}
	if got := totalsLine(t1, "moved"); got != "moved 1 file, 1 KiB" {
		t.Error(got)
	}
	t1.Skipped = map[string]int{"open": 2, "gone": 1}
	if got := totalsLine(t1, "moved"); got != "moved 1 file, 1 KiB; 3 stay: 1 removed or renamed meanwhile, 2 open through the mount" {
		t.Error(got)
	}
}

// A name or a text of a user's daemon must not reach root's terminal raw.
func TestFindingsArePrintedSafely(t *testing.T) {
	x := control.Finding{Kind: "staged\x1b", At: "a\x1b", Tier: 1, Text: "x\x1b", Mend: "remove\x1b", Done: "removed\x1b", Error: "EIO\x1b"}
	for _, mended := range []bool{true, false} {
		x.Mended = mended
		if got := findingLine(x, true); strings.Contains(got, "\x1b") {
			t.Errorf("%q", got)
		}
		x.Error = ""
	}
	if got := findingLine(control.Finding{Kind: "staged", At: "/srv/slow/.tierfs/staging/x", Tier: 1, Text: "t", Mend: "remove it"}, true); got != "staged: tier 1: /srv/slow/.tierfs/staging/x: t; to mend it: remove it" {
		t.Error(got)
	}
}

func TestStatusShowsTheMover(t *testing.T) {
	now := time.Now()
	m := &control.Mover{
		Policy: "demote after 90d\x1b", Why: "not the owner", FailingSince: now, Next: now,
		Running: &control.Run{Kind: "scan", Begin: now}, Last: &control.Run{Kind: "demote", Begin: now, End: now.Add(3 * time.Second), Error: "away", Tally: control.Tally{Skipped: map[string]int{"open": 1}}},
		Sum: control.Tally{FilesDown: 2, BytesDown: 1024, Skipped: map[string]int{"open": 3}},
	}
	got := moverLines(m)
	for _, want := range []string{
		`  policy  demote after 90d\x1b` + "\n", "nothing moves: not the owner\n", "moving fails since ", "  running scan since ", "  next    ",
		"3 seconds long: 0 files, 0 B down, 0 files, 0 B up; left in place: 1 open through the mount; ended early: away\n", "  moved   2 files, 1 KiB down, 0 files, 0 B up since the mount\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for want, skipped := range map[string]map[string]int{
		"; a tier does not answer, or its disk was unmounted\n": {"open": 1, "away": 1},
		"; a tier is read-only\n":                               {"open": 1, "read-only": 1},
		"; see the log\n":                                       {"away": 1, "error": 1},
	} {
		m.Last.Skipped = skipped
		if line := "moving fails since " + moment(now) + want; !strings.Contains(moverLines(m), line) {
			t.Errorf("%v: no %q in\n%s", skipped, line, moverLines(m))
		}
	}
	if moverLines(nil) != "" {
		t.Error("a mover without one")
	}
	for _, c := range []struct {
		since time.Time
		want  bool
	}{{time.Time{}, false}, {now.Add(-time.Hour), false}, {now.Add(-25 * time.Hour), true}} {
		if got := moverFails(control.Status{Mover: &control.Mover{FailingSince: c.since}}); got != c.want {
			t.Errorf("failing since %v: %v", c.since, got)
		}
	}
}

func TestCodesOfTheCommand(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 0}, {trouble, 1}, {failure{exitTrouble, os.ErrClosed}, 1}, {usage("x"), 2}, {os.ErrClosed, 2}, {failure{code: exitCannot}, 2}} {
		if got := cliCode(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	if !slices.Contains(names(), "where") {
		t.Error(names())
	}
}
