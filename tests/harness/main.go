// Package harness mounts the built binary with mount(8), the way an
// administrator does, and holds what every such test needs: a mount namespace
// of its own, tiers, ordinary users, and the checks at the end.
//
// A process that touches a FUSE mount must never be the one that serves it, so
// nothing here links the daemon: the binary is built, installed into /sbin of
// a namespace that the host does not see, and run.
package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary runs itself again; these variables say as what.
const (
	envInside = "TIERFS_TEST_INSIDE" // in the namespaces: the scratch directory
	envCall   = "TIERFS_TEST_CALL"   // the name of a registered function
)

// Main is the body of TestMain. It runs the tests in new mount and PID
// namespaces, so that neither a panic nor a time-out leaves a mount or a
// daemon behind: both end with the namespaces' first process.
func Main(m *testing.M) { mainIn(m, syscall.CLONE_NEWNS) }

// MainWithNetwork is Main with a network besides that has nothing but its own
// 127.0.0.1, where every port is free.
func MainWithNetwork(m *testing.M) { mainIn(m, syscall.CLONE_NEWNS|syscall.CLONE_NEWNET) }

func mainIn(m *testing.M, namespaces uintptr) {
	if name := os.Getenv(envCall); name != "" {
		os.Exit(serveCall(name, os.Args[1:]))
	}
	if scratch := os.Getenv(envInside); scratch != "" {
		os.Exit(inside(m, scratch, namespaces))
	}
	os.Exit(outside(namespaces))
}

// outside starts the second self and removes what it leaves on disk.
func outside(namespaces uintptr) int {
	if os.Geteuid() != 0 {
		return withoutRoot()
	}
	scratch, err := os.MkdirTemp("", "tfs")
	if err != nil {
		return complain(err)
	}
	defer os.RemoveAll(scratch)

	// The death signal is tied to the thread that forks, not to the process.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", withoutTestLog(os.Args[1:])...)
	cmd.Env = append(os.Environ(), envInside+"="+scratch)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: namespaces,
		Pdeathsig:    syscall.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		return complain(err)
	}
	return 0
}

// withoutTestLog drops the flag by which go test learns what a run depended
// on. Without that log the result is never cached, which is right: it depends
// on the kernel and on a binary that go test does not know of.
func withoutTestLog(args []string) []string {
	var kept []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-test.testlogfile=") {
			kept = append(kept, arg)
		}
	}
	return kept
}

// inside prepares the namespaces, runs the tests and looks for what they left.
func inside(m *testing.M, scratch string, namespaces uintptr) int {
	os.Unsetenv(envInside)
	syscall.Umask(0o022)
	if namespaces&syscall.CLONE_NEWNET != 0 {
		if err := loopback(); err != nil {
			return complain(err)
		}
	}
	if err := enter(scratch); err != nil {
		return complain(err)
	}
	code := m.Run()
	var left string
	Within(ending, func() bool { left = leftovers(); return left == "" })
	if left != "" {
		fmt.Fprintln(os.Stderr, "harness: left behind: "+left)
		code = max(code, 1)
	}
	return code
}

// ending is for how long what a test has left may be on its way to its end: a guard
// ends after its daemon, for which a test has waited.
const ending = time.Second

// leftovers names the first mount or daemon that outlived the tests.
func leftovers() string {
	for _, line := range Mountinfo() {
		if line.FSType == "fuse.tierfs" {
			return "mount at " + line.Dir
		}
	}
	for _, p := range processes() {
		if strings.Contains(p.args[0], "tierfs") {
			return fmt.Sprintf("process %d %q", p.pid, p.args)
		}
	}
	return ""
}

func withoutRoot() int {
	fmt.Fprintln(os.Stderr, "skipped: missing root: these tests mount")
	logSkip("all", "missing root")
	if required("root") {
		return 1
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "harness:", err)
	return 1
}
