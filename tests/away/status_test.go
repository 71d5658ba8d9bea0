package away

import (
	"os/exec"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestStatusAnswersWhileATierHangs: whoever asks what is wrong with a mount
// must not be kept waiting by what is wrong. The first time nobody knows yet
// that the tier hangs; the last time a remount waits for it.
func TestStatusAnswersWhileATierHangs(t *testing.T) {
	p := up(t, "tier_timeout=60")
	p.hang()
	defer p.resume()
	ask := func() {
		t.Helper()
		harness.Contains(t, harness.Must(t, harness.CLI, "status", p.Dir), "tier 0  "+p.Primary, "tier 1  "+p.low.Dir)
	}
	ask()
	ask()
	remount := exec.Command("mount", "-o", "remount,fallback="+p.low.Dir+":"+p.low.Dir+"/lowdir", p.Dir)
	if err := remount.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // until it has come to the hanging tier
	ask()
	p.resume()
	if err := remount.Wait(); err == nil {
		t.Error("a tier inside another was taken")
	}
	ask()
}
