package harness

import (
	"os"
	"testing"
	"time"
)

// Duration is what the environment variable asks for, such as TIERFS_SOAK=10m,
// or otherwise.
func Duration(t testing.TB, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s %q: want a duration such as 10m", name, text)
	}
	return d
}
