package fusedev

import (
	"testing"
	"time"
)

// Go makes who does not step back do so after 10 ms; to step back after each op would
// take longer than many an op.
func TestABusyWorkerStepsBackNowAndThen(t *testing.T) {
	var turns turn
	n, last := 0, turns
	for now := time.Duration(0); now < time.Second; now += 10 * time.Microsecond {
		if turns.take(int64(now)); turns == last {
			continue
		}
		if gap := time.Duration(turns - last); gap >= 10*time.Millisecond {
			t.Errorf("it stepped back after %v", gap)
		}
		n, last = n+1, turns
	}
	if n < 100 || n > 250 {
		t.Errorf("it stepped back %d times in a second", n)
	}
}
