package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// Exit codes of mount(8), which hands on its helper's.
const (
	exitOK          = 0
	exitUsage       = 1  // wrong usage or options
	exitSystem      = 2  // no memory, no /dev/fuse
	exitInterrupted = 8  // by the user
	exitFailed      = 32 // the mount failed
)

// Names that lines for the administrator begin with.
const (
	helperName = "mount.tierfs"
	cliName    = "tierfs"
)

// failure is an error with an exit code of its own. Without an error in it,
// everything has been said already.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f failure) Unwrap() error { return f.err }

// codeOf is the exit code for err.
func codeOf(err error) int {
	var f failure
	var option *mountopt.Error
	var device *fusedev.DeviceError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &option):
		return exitUsage
	case errors.As(err, &device):
		return exitSystem
	}
	for _, errno := range []error{unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EAGAIN} {
		if errors.Is(err, errno) {
			return exitSystem
		}
	}
	return exitFailed
}

// report says err on standard error and returns its exit code.
func report(name string, err error) int {
	var f failure
	if err != nil && !(errors.As(err, &f) && f.err == nil) {
		say(name, err.Error())
	}
	return codeOf(err)
}

// say writes one line to standard error, whatever is in it: it may be the
// answer of a user's daemon that root has asked.
func say(name, line string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", name, daemon.Printable(line))
}
