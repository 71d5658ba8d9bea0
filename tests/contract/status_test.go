package contract

import (
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/tests/harness"
)

// TestEveryCommandShowsItsUsage: who asks how to call a command is answered on
// standard output, not told that -h is unknown.
func TestEveryCommandShowsItsUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"status":  {harness.CLI, "status"},
		"json":    {harness.CLI, "status", "--json"},
		"adopt":   {harness.CLI, "adopt"},
		"replace": {harness.CLI, "adopt", "--replace", "/a"},
		"version": {harness.CLI, "version"},
		"help":    {harness.CLI, "help"},
		"helper":  {harness.Helper},
		"mount":   {harness.Helper, "/a", "/b"},
	} {
		for _, flag := range []string{"-h", "--help"} {
			stdout, stderr, code := harness.Run(t, append(args, flag)...)
			if code != 0 || stderr != "" {
				t.Errorf("%s %s: exit code %d, standard error %q", name, flag, code, stderr)
			}
			want := "usage: mount.tierfs PRIMARY"
			if args[0] == harness.CLI {
				want = "usage: tierfs " + args[1]
			}
			harness.Contains(t, stdout, want)
		}
	}
	_, stderr, code := harness.Run(t, harness.CLI, "status", "--jsn")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	harness.OneLine(t, stderr, "--jsn", "unknown flag", "tierfs status --help")
}

// TestStoppedDaemonHoldsUpNoStatus: one daemon was stopped, and the status of
// all mounts hung with it.
func TestStoppedDaemonHoldsUpNoStatus(t *testing.T) {
	stopped, other := harness.New(t, 0, "attr_timeout=0"), harness.New(t, 0)
	stopped.Up()
	other.Up()
	pid := stopped.Pid()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(pid, unix.SIGCONT)
	silent := fmt.Sprintf("mount %q: daemon %d does not answer", stopped.Dir, pid)
	for _, dirs := range [][]string{nil, {stopped.Dir}, {stopped.Dir, other.Dir}} {
		stdout, stderr, code := harness.Run(t, append([]string{harness.CLI, "status"}, dirs...)...)
		if code != 1 {
			t.Errorf("status %q: exit code %d, want 1", dirs, code)
		}
		harness.OneLine(t, stderr, "tierfs: ", silent, fmt.Sprintf("kill -CONT %d", pid))
		harness.Contains(t, stdout, stopped.Dir+": "+stopped.Primary+", mounted by user 0")
		if len(dirs) != 1 {
			harness.Contains(t, stdout, fmt.Sprintf("%s: %s, daemon %d ", other.Dir, other.Primary, other.Pid()))
		}
	}
	stdout, _, _ := harness.Run(t, harness.CLI, "status", "--json")
	var all []control.Status
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != 1 || all[0].MountPoint != other.Dir {
		t.Errorf("got %v: %s", err, stdout)
	}
}

// TestUsersStatusSaysWhoMaySeeWhat: an ordinary user was told "permission
// denied", or that the daemon had died.
func TestUsersStatusSaysWhoMaySeeWhat(t *testing.T) {
	m := usersMount(t)
	upBy(m, as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...))
	roots := harness.New(t, 0)
	roots.Up()
	for _, c := range []struct {
		of   *harness.Mount
		by   int
		seen string
		says string
	}{
		{roots, userA, "mounted by user 0", "mounts by root are shown to root only; run sudo tierfs status"},
		{m, userB, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("mounts by user %d are shown to that user and root only; run sudo", userA)},
		{m, userA, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("no status without /run/user/%d/tierfs", userA)},
		{m, 0, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("no status without /run/user/%d/tierfs", userA)},
	} {
		stdout, stderr, code := harness.RunCmd(t, as(c.by, harness.CLI, "status", c.of.Dir))
		if code != 1 {
			t.Errorf("user %d: exit code %d, want 1", c.by, code)
		}
		harness.OneLine(t, stderr, fmt.Sprintf("tierfs: mount %q: ", c.of.Dir), c.says)
		harness.Contains(t, stdout, c.of.Dir+": "+c.of.Primary+", "+c.seen, "nosuid")
	}
	stdout, _, _ := asUser(t, userB, harness.CLI, "status")
	harness.Contains(t, stdout, m.Dir+": ", roots.Dir+": ")
	mustAs(t, userA, "fusermount3", "-u", m.Dir)
	m.Gone(0)
}
