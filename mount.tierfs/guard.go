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
	go func() {
		for ; err == nil; process, err = guard.Start() {
			_, _ = process.Wait() // killed: it ends by itself after us only
			time.Sleep(guardPause)
		}
		g.fs.EndCoherence(err)
	}()
}
