package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// patience is how long an interrupted start may take to clean up.
const patience = 5 * time.Second

// start starts the daemon and waits until the mount is up. The daemon stays in
// our session and process group until then: automount points let nobody else
// through.
func start(cmd mountopt.Command, point daemon.MountPoint) error {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	child, pipe, err := spawn()
	if err != nil {
		return failure{exitSystem, fmt.Errorf("start the daemon: %w; see that there is memory and room for one more process", err)}
	}
	defer pipe.Close()
	word := make(chan daemon.Word, 1)
	go func() { word <- daemon.Await(pipe) }() // ends with the daemon's end of the pipe
	select {
	case w := <-word:
		return conclude(cmd, point, child, w)
	case <-sigs:
		return interrupt(cmd, child)
	}
}

// spawn starts the next stage with a pipe on which it says its word.
func spawn() (*os.Process, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), stageEnv+"="+stageEnter),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, w}, // w is daemon.ReadyFD
	})
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return child, r, nil
}

// conclude ends the wait.
func conclude(cmd mountopt.Command, point daemon.MountPoint, child *os.Process, w daemon.Word) error {
	switch w {
	case daemon.Nothing:
		return nil
	case daemon.Mounted:
		return confirm(cmd, point)
	}
	state, err := child.Wait()
	switch {
	case err != nil:
		return fmt.Errorf("wait for the daemon: %w; see with findmnt whether the mount is there", err)
	case state.ExitCode() > 0:
		return failure{code: state.ExitCode()} // it has said why
	}
	sweep(cmd)
	return fmt.Errorf("the daemon ended before the mount was up: %v; see the system log", state)
}

// confirm looks for the mount: exit code 0 without one makes systemd complain.
// A table that changes while it is read can miss a line, hence the attempts.
func confirm(cmd mountopt.Command, point daemon.MountPoint) error {
	for range 5 {
		mounts, err := daemon.Mounts()
		if err != nil {
			return err
		}
		for _, m := range mounts {
			if m.Dir == point.Path && m.Type == fstype && m.Source == cmd.Spec {
				warnUnheard(cmd.Options)
				if cmd.Verbose {
					fmt.Printf("%s: %s mounted on %s\n", helperName, cmd.Spec, point.Path)
				}
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("mount point %q: the mount has gone again; see the system log", point.Path)
}

// interrupt ends a start that the user has given up. The daemon says so itself,
// unless it was too young to have a handler, or is stuck.
func interrupt(cmd mountopt.Command, child *os.Process) error {
	ended := make(chan int, 1)
	go func() {
		state, _ := child.Wait()
		ended <- state.ExitCode()
	}()
	_ = child.Signal(unix.SIGTERM)
	select {
	case code := <-ended:
		if code == exitInterrupted {
			return failure{code: exitInterrupted}
		}
	case <-time.After(patience):
		_ = child.Kill()
		select {
		case <-ended:
		case <-time.After(patience):
		}
	}
	sweep(cmd)
	return failure{exitInterrupted, errors.New("interrupted; nothing is mounted")}
}

// sweep removes the mount of a daemon that was killed after mount(2).
func sweep(cmd mountopt.Command) {
	point, err := daemon.FindMountPoint(cmd.Dir)
	if err == nil && point.Taken && point.Top.Type == fstype && point.Top.Source == cmd.Spec && point.Dead() {
		_ = fusedev.Unmount(point.Path, true)
	}
}
