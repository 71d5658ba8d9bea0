package main

import (
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/tier"
)

// The daemon of a mount outlives it: by some milliseconds after umount(8), by the
// time that the kernel takes to end a process that was killed, for longer if a
// tier hangs. It has the members' locks until then, and a mount that did not wait
// for them would serve files whose moves nobody has settled.
const (
	killedTime   = 10 * time.Second      // for a daemon that was killed: a disk may keep it
	detachedTime = 3 * time.Second       // for one whose mount cannot be seen, if it was not moved
	unknownTime  = time.Second           // for one that cannot be seen: it has just gone, or is on another machine
	lockPoll     = 20 * time.Millisecond // an unmount is to be followed by a mount without a noticeable wait
)

// joinAfter joins the members, after the daemon of a mount that is not there any
// more has given their locks back. One that serves is not waited for.
func (g *graph) joinAfter() (*tier.JoinResult, error) {
	told := false
	for begun := time.Now(); ; time.Sleep(lockPoll) {
		joined, err := tier.Join(members(g.set), g.dir)
		if err != nil || !joined.Held || time.Since(begun) >= patienceWith(joined.Holder) {
			return joined, err
		}
		if !told {
			g.log.Info("another daemon that is about to end has the locks of these tiers; waiting for it", "pid", joined.Holder.PID, "at", joined.Holder.At)
			told = true
		}
		joined.Close()
	}
}

// patienceWith is how long the end of a daemon is waited for.
func patienceWith(h tier.Holder) time.Duration {
	switch daemon.LinkOf(h.Conn).State(h.PID, fstype) {
	case daemon.Serving:
		return 0
	case daemon.Ending:
		return killedTime
	case daemon.Detached:
		return detachedTime
	}
	return unknownTime
}
