package sys

import "golang.org/x/sys/unix"

// Of ioprio_set(2), which libc does not wrap.
const (
	ioprioWhoProcess = 1
	ioprioClassNone  = 0
	ioprioClassIdle  = 3
	ioprioClassShift = 13
)

// IoprioSetIdle is ioprio_set(2) of the calling thread: the idle class, or the
// class that goes by its nice value.
func IoprioSetIdle(idle bool) error {
	class := uintptr(ioprioClassNone)
	if idle {
		class = ioprioClassIdle
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, class<<ioprioClassShift); errno != 0 {
		return errno
	}
	return nil
}
