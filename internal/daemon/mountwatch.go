package daemon

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// MountWatch tells when the mounts of this namespace change. The kernel tells by
// poll(2) of mountinfo, so that nothing wakes up in between
// (proc_pid_mountinfo(5)).
type MountWatch struct{ table, end int }

// OpenMountWatch takes the descriptors; Run gives them back.
func OpenMountWatch() (*MountWatch, error) {
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w; mount /proc", err)
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(table)
		return nil, err
	}
	return &MountWatch{table, end}, nil
}

// Run calls fn now, and whenever a mount has come or gone, until ctx ends.
func (w *MountWatch) Run(ctx context.Context, fn func()) error {
	defer unix.Close(w.table)
	defer unix.Close(w.end)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_, _ = unix.Write(w.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-told
		}
	}()
	for ctx.Err() == nil {
		fn()
		fds := []unix.PollFd{{Fd: int32(w.table), Events: unix.POLLPRI}, {Fd: int32(w.end), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}
