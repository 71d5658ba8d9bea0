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

func TestRaiseFilesReachesTheHardLimit(t *testing.T) {
	RaiseFiles()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || lim.Cur != lim.Max {
		t.Errorf("%+v, %v", lim, err)
	}
}
