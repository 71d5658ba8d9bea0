package daemon

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSetPathKeepsWhatThereIs(t *testing.T) {
	t.Setenv("PATH", "/opt")
	SetPath()
	if got := os.Getenv("PATH"); got != "/opt" {
		t.Errorf("PATH became %q", got)
	}
	t.Setenv("PATH", "")
	SetPath()
	if got := os.Getenv("PATH"); got != "/sbin:/usr/sbin:/bin:/usr/bin" {
		t.Errorf("empty PATH became %q", got)
	}
}

func TestRaiseLimitsReachesTheHardOnes(t *testing.T) {
	for _, what := range append([]int{unix.RLIMIT_NOFILE}, callers...) {
		var was, lim unix.Rlimit
		if err := unix.Getrlimit(what, &was); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Setrlimit(what, &was) })
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: min(was.Max, 1<<36), Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		RaiseLimits()
		if err := unix.Getrlimit(what, &lim); err != nil || lim.Cur != lim.Max || lim.Max < was.Max {
			t.Errorf("limit %d: %+v after %+v, %v", what, lim, was, err)
		}
	}
}
