package mover

import (
	"runtime"

	"github.com/tierfs/tierfs/internal/sys"
)

// Idle runs fn on a thread whose reads and writes wait for everybody else's
// (ioprio_set(2)). fn takes no lock that an operation of a client may want:
// that would wait as long. A scheduler that knows no classes ignores it.
//
// A thread that cannot be set back is left locked, so that it serves nobody
// but this goroutine and ends with it.
func Idle(fn func() error) error {
	runtime.LockOSThread()
	if sys.IoprioSetIdle(true) != nil {
		runtime.UnlockOSThread()
		return fn()
	}
	defer func() {
		if sys.IoprioSetIdle(false) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return fn()
}
