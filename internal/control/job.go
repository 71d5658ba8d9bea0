package control

import "time"

// Move is the body of POST /v1/demote and /v1/promote.
type Move struct {
	Paths     []Name `json:"paths"`                // in the mount, without a leading slash; "" is all of it
	OlderThan int64  `json:"older_than,omitempty"` // seconds
	DryRun    bool   `json:"dry_run,omitempty"`
}

// Line is one line of the answer to a Move or to GET /v1/plan: first Begin if
// the sum is known, a File for each, Copied between them while that takes long,
// End at last. Without an End the daemon has gone.
type Line struct {
	Begin  *Totals `json:"begin,omitempty"`
	File   *File   `json:"file,omitempty"`
	Copied int64   `json:"copied,omitempty"` // bytes of files that have no line yet
	End    *Totals `json:"end,omitempty"`
	Error  string  `json:"error,omitempty"` // beside End: what ended the job early
}

// Watch is told how a job goes on, by one goroutine: the sum once it is known,
// each file, and what is copied of others.
type Watch struct {
	Begin   func(Totals)
	File    func(File)
	Copying func(bytes int64)
}

// File is what a job did with a file, or would.
type File struct {
	Path  Name   `json:"path"`
	From  int    `json:"from"` // rank
	To    int    `json:"to"`
	Bytes int64  `json:"bytes"`
	Skip  string `json:"skip,omitempty"` // why it stays: a word
	Error string `json:"error,omitempty"`
}

// Totals count what a job has done, or is to do.
type Totals struct {
	Files   int            `json:"files"`
	Bytes   int64          `json:"bytes"`
	Skipped map[string]int `json:"skipped,omitempty"` // by reason
	Full    []Full         `json:"full,omitempty"`    // tiers that had no room
	Note    string         `json:"note,omitempty"`    // of a plan: why nothing of it happens now
}

// Full is a tier that had no room for files.
type Full struct {
	Tier    int    `json:"tier"` // rank
	Path    Name   `json:"path"`
	Free    uint64 `json:"free"`              // bytes, for ordinary users
	MinFree uint64 `json:"minfree"`           // of them that stay free
	Planned int64  `json:"planned,omitempty"` // of them that a plan has given to other files
	Files   int    `json:"files"`             // that found no room
	Bytes   int64  `json:"bytes"`
	Text    string `json:"text"` // all of it in words
}

// Why is the body of POST /v1/why.
type Why struct {
	Path Name `json:"path"`
}

// Verdict is the answer: what the policy says of one file.
type Verdict struct {
	Path   Name    `json:"path"`
	Tier   int     `json:"tier"` // its home
	Bytes  int64   `json:"bytes"`
	Age    float64 `json:"age"`          // seconds, as the policy counts it
	To     *int    `json:"to,omitempty"` // where it goes, unless it stays
	Skip   string  `json:"skip,omitempty"`
	Detail string  `json:"detail"`
}

// Mover is the mover in a Status.
type Mover struct {
	Policy       string    `json:"policy"`  // in words
	Enabled      bool      `json:"enabled"` // this daemon may move files
	Why          string    `json:"why,omitempty"`
	Running      *Run      `json:"running,omitempty"`
	Last         *Run      `json:"last,omitempty"`
	Next         time.Time `json:"next,omitzero"`          // run by policy, unless it is due
	FailingSince time.Time `json:"failing_since,omitzero"` // no file has moved since, though some were to
	Sum          Tally     `json:"sum"`                    // since the mount
}

// Run is one job.
type Run struct {
	Kind  string    `json:"kind"`
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end,omitzero"`
	Error string    `json:"error,omitempty"`
	Tally
	Full []Full `json:"full,omitempty"` // tiers that had no room
}

// Tally counts what has become of files.
type Tally struct {
	FilesDown int            `json:"files_down"`
	BytesDown int64          `json:"bytes_down"`
	FilesUp   int            `json:"files_up"`
	BytesUp   int64          `json:"bytes_up"`
	Skipped   map[string]int `json:"skipped"` // by reason
}
