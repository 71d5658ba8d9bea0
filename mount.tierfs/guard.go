package main

import (
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
)

// guardPause is the time between two guards, if one is ended.
const guardPause = time.Second

// guard sees to it that clients get an answer if the daemon dies while it tells
// the kernel of names, which it does where caching is coherent. Without a guard it
// is not.
func (g *graph) guard(minor uint32) {
	if on, _ := g.fs.Coherent(); !on {
		return
	}
	guard, err := daemon.NewGuard(minor, g.dir, stageEnv+"="+stageGuard)
	if err != nil {
		g.fs.EndCoherence(err)
		return
	}
	process, err := guard.Start()
	if err != nil {
		g.fs.EndCoherence(err)
		return
	}
	go func() {
		for {
			_, _ = process.Wait() // killed: it ends by itself after us only
			time.Sleep(guardPause)
			if process, err = guard.Start(); err != nil {
				g.fs.EndCoherence(err)
				return
			}
		}
	}()
}
