package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

const noPreemption = "GODEBUG=asyncpreemptoff=1"

// ending are the signals that end a run early.
var ending = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}

// inNamespace runs this program again as the first process of a PID namespace,
// with a mount namespace of its own, and returns its exit code. Whatever ends
// it, the kernel ends all processes of the PID namespace then, and with the
// last process of a mount namespace its mounts and loop devices go.
func inNamespace() (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("mounting needs root; run it with sudo")
	}
	runtime.LockOSThread() // Pdeathsig is sent when the starting thread ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	// Clients are to be like other programs: the Go runtime's preemption sends
	// them a signal when they wait long, and each is an INTERRUPT to a mount.
	cmd.Env = append(os.Environ(), noPreemption)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ending...)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("namespaces: %w", err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// enterNamespace keeps mounts from spreading out of the new namespace, and
// gives it a /proc that shows its own processes.
func enterNamespace() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}
