package away

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestJobThatWaitsForATierNamesIt: it said nothing, and after ^C that the daemon does
// not answer and is to be killed.
func TestJobThatWaitsForATierNamesIt(t *testing.T) {
	p := up(t, "tier_timeout=1")
	p.hang()
	cmd := exec.Command(harness.CLI, "promote", p.Dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(8*time.Second, func() { cmd.Process.Signal(unix.SIGINT) })
	begin := time.Now()
	cmd.Wait()
	if took := time.Since(begin); took > 13*time.Second || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("code %d after %v", cmd.ProcessState.ExitCode(), took)
	}
	harness.Contains(t, stderr.String(),
		fmt.Sprintf("tierfs: mount %q: tier %q does not answer: waiting for it; ^C leaves\n", p.Dir, p.low.Dir),
		fmt.Sprintf("tier %q does not answer; the job ends when that answers; check its disk or server\n", p.low.Dir))
	_, planned, _ := harness.Run(t, harness.CLI, "plan", p.Dir)
	harness.OneLine(t, planned, fmt.Sprintf("tier %s: does not answer; check its disk or server", p.low.Dir))
	p.resume()
	harness.Eventually(t, "the tier is back", func() bool { return p.read("low") == nil })
}
