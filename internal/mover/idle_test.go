package mover

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// class is the I/O class of this thread (ioprio_get(2)).
func class(t *testing.T) uintptr {
	prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return prio >> 13
}

func TestIdleHoldsForTheFunctionAlone(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := class(t)
	want := errors.New("its own")
	err := Idle(func() error {
		if got := class(t); got != 3 {
			t.Errorf("class %d inside", got)
		}
		return want
	})
	if err != want {
		t.Errorf("error %v", err)
	}
	if after := class(t); after == 3 || after != before {
		t.Errorf("class %d before, %d after", before, after)
	}
}
