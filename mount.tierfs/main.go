// Command mount.tierfs is all of tierfs in one binary. As mount.tierfs or
// mount.fuse.tierfs it is the helper that mount(8) calls; as tierfs it is the
// administrator's command, or the helper when its first argument is a path, as
// mount.fuse3 calls it. As tierfs-generator it writes drop-ins for systemd.
//
// A mount goes through three programs that are all this one, told apart by
// TIERFS_STAGE in the environment. The arguments stay as they were given, so
// that ps(1) shows what is mounted:
//
//	helper  checks, starts the next and waits for its word; with -N it is
//	        executed again, inside: threads that run already stay outside
//	enter   closes strays, cuts its capabilities, executes the next
//	serve   opens the tiers, mounts, serves: the daemon
//
// enter and serve are two because capabilities belong to threads: the threads
// of the serving program all start with what execve(2) leaves them.
//
// A daemon that caches coherently starts one more, guard: see daemon.Guard.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tierfs/tierfs/internal/daemon"
)

// version is set by the build (-ldflags -X).
var version = "devel"

const stageEnv = "TIERFS_STAGE"

// Stages after the first.
const (
	stageInside = "inside" // the helper, in the namespace of -N
	stageEnter  = "enter"
	stageServe  = "serve"
	stageGuard  = "guard"
)

func main() {
	stage := os.Getenv(stageEnv)
	_ = os.Unsetenv(stageEnv) // it is not for fusermount3
	os.Exit(run(stage, os.Args))
}

func run(stage string, args []string) int {
	switch {
	case stage == stageEnter:
		return report(helperName, enter(args))
	case stage == stageServe:
		return serve(args)
	case stage == stageGuard:
		return report(daemon.GuardName, runGuard(args))
	case len(args) > 0 && filepath.Base(args[0]) == generatorName:
		return report(generatorName, generate(args[1:]))
	case len(args) > 0 && isHelper(args):
		return report(helperName, helper(args, stage == stageInside))
	}
	return cli(args)
}

// isHelper reports whether this is a call to mount. argv[0] decides.
func isHelper(args []string) bool {
	if strings.HasPrefix(filepath.Base(args[0]), "mount.") {
		return true
	}
	return len(args) > 1 && strings.HasPrefix(args[1], "/")
}

// execStage becomes the next stage, from the calling thread. /proc/self/exe is
// this very file, whatever has happened to its name and whatever the
// namespace; syscall.Exec keeps other threads from starting new ones meanwhile.
func execStage(stage string) error {
	env := append(os.Environ(), stageEnv+"="+stage)
	err := syscall.Exec("/proc/self/exe", os.Args, env)
	return fmt.Errorf("exec /proc/self/exe: %w; mount /proc", err)
}
