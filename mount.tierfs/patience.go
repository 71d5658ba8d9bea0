package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"golang.org/x/sys/unix"
)

// lookTime is how long a path may take to be looked at: a mount whose daemon is
// stopped never answers.
const lookTime = 5 * time.Second

// patiently runs fn, which looks at path. What it hangs in ends with the process.
func patiently[T any](path string, fn func() (T, error)) (T, error) {
	type result struct {
		of  T
		err error
	}
	done := make(chan result, 1)
	go func() {
		deaf()
		of, err := fn()
		done <- result{of, err}
	}()
	select {
	case r := <-done:
		return r.of, r.err
	case <-time.After(lookTime):
		var none T
		return none, silentAt(path)
	}
}

// deaf has the signals that end a command go to other threads. A thread that
// waits for a FUSE daemon is killed by SIGKILL alone, and the kernel gives a
// signal of the process to the main thread, which this may be, if that takes it.
// The thread ends with the goroutine, or serves nothing else.
func deaf() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		set.Val[0] |= 1 << (s - 1)
	}
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

// silentAt is the error of a path that does not answer. Which mount it is in is
// known from mountinfo alone.
func silentAt(path string) error {
	m, ok := mountAbove(path)
	if !ok {
		return failure{exitCannot, &os.PathError{Op: "look at", Path: path, Err: errors.New("no answer; see findmnt -T for what is mounted there")}}
	}
	return silence(m)
}

// silence is the error of a mount in which something has not been answered for lookTime.
// Its daemon may be well, and wait for a tier: for as long as tier_timeout, it lets who
// looks up a name wait.
func silence(m daemon.Mount) error {
	c := clientFor(m)
	st, err := c.Status()
	pid, _ := c.PID() // 0 if it is not known
	switch hung := st.Hung(); {
	case control.Silent(err):
		err = &control.SilentError{PID: pid, For: lookTime}
	case hung != nil:
		err = fmt.Errorf("%s; try again, or check its disk or server", hung.What())
	default:
		err = fmt.Errorf("no answer yet (waited %v), perhaps as a tier is slow; try again, and see tierfs status", lookTime)
	}
	return failure{exitCannot, fmt.Errorf("mount %q: %w", m.Dir, err)}
}

// mountAbove is the tierfs mount that path lies in by its words.
func mountAbove(path string) (m daemon.Mount, ok bool) {
	abs, err := filepath.Abs(path)
	mounts, failed := daemon.Mounts()
	if err != nil || failed != nil {
		return m, false
	}
	for at := abs; ; at = filepath.Dir(at) {
		if m, ok = daemon.Top(mounts, at); ok || at == "/" {
			return m, ok && m.Type == fstype
		}
	}
}
