package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is the time between looks at a lock that somebody has.
const lockPoll = 2 * time.Millisecond

// Lock takes the exclusive lock of flock(2) on what fd is open on. It waits no longer
// than patience, since whoever has the lock may be stopped, and returns EWOULDBLOCK then.
func Lock(fd int, patience time.Duration) error {
	return LockBy(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }, patience)
}

// LockBy is Lock where try looks once whether the lock is to be had.
func LockBy(try func() error, patience time.Duration) error {
	for begun := time.Now(); ; time.Sleep(lockPoll) {
		err := try()
		if err != unix.EWOULDBLOCK || time.Since(begun) >= patience {
			return err
		}
	}
}
