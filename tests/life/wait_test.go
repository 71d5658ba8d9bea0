package life

import (
	"strings"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

// took waits for the take-over, which is tried every five seconds.
func took(m *harness.Mount) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(m.Log(), "this daemon has them now") {
			return true
		}
	}
	return false
}
