package fusedev

import (
	"runtime"
	"time"
)

// turn lets a goroutine that goes from one system call into the next step back
// before it is made to. One that is not scheduled anew for 10 ms (forcePreemptNS)
// has its P taken in the next call by Go's sysmon, which then looks every 20 µs for
// some milliseconds whether there is more to take. With a busy reader that was nearly
// all the time, and a tenth of what the daemon takes of a core.
type turn int64 // when it last stepped back

const turnTime = 4 * time.Millisecond

// take steps back if it is time, which is now, in ns on some clock.
func (t *turn) take(now int64) {
	if now-int64(*t) >= int64(turnTime) {
		*t = turn(now)
		runtime.Gosched()
	}
}
