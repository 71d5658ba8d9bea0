package main

import (
	"os"
	"runtime"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
)

// enter is the stage that makes the daemon's process what it shall be, before
// the program that serves has any thread.
func enter(args []string) error {
	runtime.LockOSThread()
	cmd, err := mountopt.ParseCommand(args[1:])
	if err != nil {
		return err
	}
	strays := daemon.ReadyFD + 1
	if cmd.Options.Foreground {
		strays = daemon.ReadyFD // nobody waits
	}
	if err := daemon.CloseOnExecFrom(strays); err != nil {
		return failure{exitSystem, err}
	}
	// The limits and the score first: they take a capability that goes.
	daemon.RaiseLimits()
	if os.Geteuid() == 0 {
		daemon.ProtectFromOOM()
		if err := daemon.LimitCapabilities(); err != nil {
			return failure{exitSystem, err}
		}
	}
	return execStage(stageServe)
}
