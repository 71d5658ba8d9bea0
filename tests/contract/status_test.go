package contract

import (
	"testing"

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
