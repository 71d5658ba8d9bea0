//go:build race

package tier

import "os"

// A test that runs itself again in a namespace would sleep for a second at the
// end of each child, as the race detector does by default.
func init() {
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
}
