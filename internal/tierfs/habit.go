package tierfs

import (
	"sync/atomic"

	"github.com/tierfs/tierfs/internal/inode"
)

// habits know of clients whether they look at what they list. The kernel asks
// for the first rows of every listing with what a lookup of each would say
// (READDIRPLUS). For ls -l that spares a lookup of each name; for find(1), which
// goes by names and types, it costs a stat(2), an inode here and one in the kernel
// for each, most of the time of the listing.
//
// Who is not known is on trial: a listing has names alone, but for directories, and
// whether the client looks one up afterwards tells what to give it from then on. One that
// looks has a trial again now and then, more and more rarely; one that does not is on
// trial with every listing.
//
// A client is a thread, as that is what the kernel names. Two whose numbers fall
// together only forget each other's habits.
type habits [256]habit

type habit struct {
	pid   atomic.Uint32
	trial atomic.Uint64 // the directory that was listed by names alone, 0 once a file in it was looked up
	full  atomic.Int32  // listings until the next trial
	run   atomic.Int32  // how many they were
}

// Of a trial that fails, each row costs a lookup: so it has a small directory, with a
// client's first listing a smaller one, since most who list one directory look. The
// next comes after so many listings, twice as many each time.
const (
	strangerRows = 16
	trialRows    = 64
	firstRun     = 8
	longRun      = 512
)

// plain reports whether a listing of dir with so many rows, which begins now or goes on,
// is to have files' names alone.
func (h *habits) plain(pid uint32, dir *inode.Inode, rows int, begins bool) bool {
	c := &h[pid%uint32(len(h))]
	switch {
	case !begins: // the kernel asks so when the client has entered a directory of it
		return c.pid.Load() == pid && c.trial.Load() != 0
	case c.pid.Swap(pid) != pid: // not known
		c.trial.Store(0)
		c.full.Store(0)
		c.run.Store(firstRun / 2)
		if rows > strangerRows {
			return false
		}
	case c.trial.Load() != 0: // a trial that went well
	case c.full.Add(-1) >= 0 || rows > trialRows:
		return false
	}
	c.trial.Store(dir.ID)
	return true
}

// looked is told that a client has looked up a name in dir that is no directory's:
// those are looked up by all who go down into them.
func (h *habits) looked(pid uint32, dir *inode.Inode) {
	c := &h[pid%uint32(len(h))]
	if c.trial.Load() == dir.ID && c.pid.Load() == pid && c.trial.CompareAndSwap(dir.ID, 0) {
		run := min(2*c.run.Load(), longRun)
		c.run.Store(run)
		c.full.Store(run)
	}
}
