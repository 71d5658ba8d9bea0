package command

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestDaemonThatStopsInAJobDoesNotHoldItsCommand for ever, which is told to end once
// only, as by timeout(1) or systemd.
func TestDaemonThatStopsInAJobDoesNotHoldItsCommand(t *testing.T) {
	t.Parallel()
	m := harness.New(t, 1, "mover_rate=1M", "minfree=0")
	harness.Write(t, m.Primary+"/f", strings.Repeat("x", 32<<20))
	m.Up()
	time.Sleep(1100 * time.Millisecond)
	cmd := exec.Command(harness.CLI, "demote", "--older-than", "1s", m.Dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the copy is begun", func() bool { copies, _ := filepath.Glob(m.Tiers[1] + "/.tierfs/staging/*"); return len(copies) > 0 })
	pid := m.Pid()
	m.Stop()
	cmd.Process.Signal(unix.SIGTERM)
	end := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	end.Stop()
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("code %d: %v", code, err)
	}
	said := fmt.Sprintf("daemon %d does not answer (waited 15s)", pid)
	if early := "interrupted before the daemon has answered"; strings.Contains(stderr.String(), early) {
		said = early // its first word was not there yet
	}
	harness.OneLine(t, stderr.String(), fmt.Sprintf("tierfs: mount %q: ", m.Dir), said)
}
