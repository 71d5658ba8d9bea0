package command

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// TestStoppedDaemonHoldsUpNoCommand: they hung in the mount, or waited for an
// answer, and ^C did not end them.
func TestStoppedDaemonHoldsUpNoCommand(t *testing.T) {
	m := harness.New(t, 1, "attr_timeout=0", "entry_timeout=0")
	harness.Mkdir(t, m.Primary+"/d")
	harness.Write(t, m.Primary+"/d/f", "text")
	m.Up()
	pid := m.Pid()
	m.Stop()
	for _, args := range [][]string{
		{"plan", m.Dir}, {"check", m.Dir}, {"demote", m.Dir}, {"promote", m.Path("d/f")}, {"why", m.Path("d/f")},
		{"where", m.Path("d/f")}, {"where", m.Dir},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			_, stderr := tierfs(t, 2, args...)
			harness.OneLine(t, stderr, "tierfs: ", fmt.Sprintf("mount %q: daemon %d does not answer (waited 5s); kill -CONT %[2]d", m.Dir, pid))
		})
		t.Run(args[0]+" interrupted", func(t *testing.T) {
			t.Parallel()
			for range 3 { // whichever thread it hangs in
				cmd := exec.Command(harness.CLI, args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				time.AfterFunc(300*time.Millisecond, func() { cmd.Process.Signal(unix.SIGINT) })
				end := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
				err := cmd.Wait()
				end.Stop()
				if took := time.Since(begin); err == nil || took > 3*time.Second {
					t.Errorf("%q: %v, after %v", args, err, took)
				}
			}
		})
	}
}
