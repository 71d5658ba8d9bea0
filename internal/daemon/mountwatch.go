package daemon

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// WatchMounts calls fn now, and whenever the mounts of this namespace have
// changed, until ctx ends. The kernel tells by poll(2) of mountinfo, so that
// nothing wakes up in between (proc_pid_mountinfo(5)).
func WatchMounts(ctx context.Context, fn func()) error {
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/proc/self/mountinfo: %w; mount /proc", err)
	}
	defer unix.Close(table)
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(end)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_, _ = unix.Write(end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-told
		}
	}()
	for ctx.Err() == nil {
		fn()
		fds := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(end), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}
