package main

import (
	"os"
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
)

// guardPause is the time between two guards, if one is ended.
const guardPause = time.Second

// guard sees to it that clients get an answer if the daemon dies while it tells
// the kernel of names, which it does where caching is coherent, and no other from the
// kernel's cache than that there is no daemon. Without a guard it is not.
func (g *graph) guard(minor uint32) {
	if on, _ := g.fs.Coherent(); !on {
		return
	}
	device, err := g.srv.Duplicate()
	if err != nil {
		g.fs.EndCoherence(err)
		return
	}
	var args []string
	for _, t := range g.set.Tiers() {
		args = append(args, t.Root)
	}
	guard, err := daemon.NewGuard(minor, device, append(args, g.dir), stageEnv+"="+stageGuard)
	if err != nil {
		device.Close()
		g.fs.EndCoherence(err)
		return
	}
	process, err := guard.Start()
	go func() {
		for ; err == nil; process, err = guard.Start() {
			_, _ = process.Wait() // killed: it ends by itself after us only
			time.Sleep(guardPause)
		}
		g.fs.EndCoherence(err)
	}()
}

// runGuard is the guard's process; args are its name, the tiers and the mount point.
func runGuard(args []string) error {
	return daemon.RunGuard(func(device *os.File) {
		fusedev.DropAll(device, func() (names []string) {
			for _, root := range args[1 : len(args)-1] {
				rows, _ := os.ReadDir(root)
				for _, row := range rows {
					names = append(names, row.Name())
				}
			}
			return names
		})
	})
}
