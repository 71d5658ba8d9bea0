package daemon

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// EnterNamespace moves the calling goroutine into the mount namespace ns, a
// file such as /proc/PID/ns/mnt or a process ID. The goroutine stays locked to
// its thread for good: every other thread keeps the old namespace, while what
// this one forks or executes starts in the new one.
//
// setns(2) refuses a thread that shares its root and working directory, as all
// threads of a Go program do, hence the unshare(2). It also puts the working
// directory to the new root; a relative path means the caller's, so that is
// entered again if the namespace has it.
func EnterNamespace(ns string) error {
	fd, err := unix.Open(namespacePath(ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %q: %w; name a file such as /proc/PID/ns/mnt, or a process ID", ns, err)
	}
	defer unix.Close(fd)
	wd, wdErr := os.Getwd()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("namespace %q: unshare: %w; it takes CAP_SYS_ADMIN", ns, err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("namespace %q: %w; it takes a mount namespace and CAP_SYS_ADMIN", ns, err)
	}
	if wdErr == nil {
		_ = unix.Chdir(wd) // else "/", where setns(2) has put us
	}
	// Executing the program and reaching files by descriptor both go through
	// /proc, and it must be one that knows this process.
	if _, err := os.Readlink("/proc/thread-self"); err != nil {
		return fmt.Errorf("namespace %q: has no /proc of this PID namespace; mount it there first", ns)
	}
	return nil
}

// namespacePath is the file of a namespace that is given as a process ID.
func namespacePath(ns string) string {
	if _, err := strconv.ParseUint(ns, 10, 31); err == nil {
		return "/proc/" + ns + "/ns/mnt"
	}
	return ns
}
