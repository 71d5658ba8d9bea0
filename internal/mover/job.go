package mover

import "time"

// Request is a job that an administrator asks for.
type Request struct {
	Paths     []string      // in the mount, without a leading slash; "" is all of it
	Up        bool          // promote to the primary; else one tier down
	OlderThan time.Duration // only files of that age
	DryRun    bool          // only tell
}

// Event is one file that a job has dealt with, or would.
type Event struct {
	Path     string
	From, To int // ranks; equal if there is no tier to move it to
	Bytes    int64
	Skip     Reason
	Err      error
}

// Watch is told how a job goes on, by one goroutine. Any of its functions may
// be nil.
type Watch struct {
	Begin   func(Totals)      // once: what is to be done
	File    func(Event)       // each file that has been dealt with
	Copying func(bytes int64) // a few times a second: what is copied of files that have not
}

// Totals count what a job has done, or is to do.
type Totals struct {
	Files   int
	Bytes   int64
	Skipped map[Reason]int
	Full    []Full // tiers that had no room
	Note    string // of a plan: why nothing of it happens now, if so
}

// Verdict is what the policy says of one file.
type Verdict struct {
	Path   string
	Rank   int // its home
	Bytes  int64
	Age    time.Duration // as the policy counts it
	To     int           // where it would go; Rank if nowhere
	Skip   Reason        // why it stays; Moved if it is to go
	Detail string        // one sentence for people, with figures
}
