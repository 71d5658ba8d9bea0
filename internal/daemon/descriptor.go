package daemon

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseOnExecFrom marks every descriptor from first on, so that the next
// execve(2) closes it. mount(8), shells and service managers leave strays, and
// a daemon that held one would keep a pipe or a disk of theirs busy. Marked,
// not closed: some belong to the Go runtime, which still needs them here.
func CloseOnExecFrom(first int) error {
	err := unix.CloseRange(uint(first), ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	return markEach(first) // before Linux 5.11
}

// markEach does the same one by one.
func markEach(first int) error {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("descriptors: %w; mount /proc", err)
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// GiveUpStdio points standard input, output and error to /dev/null, so that
// whoever reads from mount(8) sees its end: x=$(mount /srv/docs).
func GiveUpStdio() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/null: %w; make it (mknod -m 666 /dev/null c 1 3)", err)
	}
	defer unix.Close(null)
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return nil
}
