package control

import (
	"context"
	"time"
)

// maxBody bounds a request and an answer: the longest holds a list of paths.
const maxBody = 256 << 10

// Status is the answer of GET /v1/status.
type Status struct {
	Version    string             `json:"version"`
	PID        int                `json:"pid"`
	Since      time.Time          `json:"since"`
	Source     string             `json:"source"`
	MountPoint string             `json:"mount_point"`
	Options    string             `json:"options"`
	Settings   map[string]Setting `json:"settings"` // in force, by name
	Tiers      []Tier             `json:"tiers"`
	Cache      Cache              `json:"cache"`
	Ops        map[string]uint64  `json:"ops"`     // served by the daemon, by kind
	Errors     map[string]uint64  `json:"errors"`  // answered with an error, by errno
	Inodes     int                `json:"inodes"`  // that the daemon keeps an ID for
	Handles    int                `json:"handles"` // open files, and directories if caching was not coherent when the first was opened
	Replays    uint64             `json:"replays"` // operations that a crash had interrupted and the daemon has finished
	Mover      *Mover             `json:"mover,omitempty"`
}

// Setting is the value of one setting in a Status, and where it comes from.
type Setting struct {
	Value string `json:"value"` // what stands after the equals sign; "on" and "off" for words
	From  string `json:"from"`  // Given or Default
}

// Where a setting comes from.
const (
	Given   = "given" // in fstab, on the command line or in a remount
	Default = "default"
)

// Tier is one backing directory in a Status.
type Tier struct {
	Rank      int    `json:"rank"`
	Path      string `json:"path"`
	PathState string `json:"path_state,omitempty"` // if it does not lead to what is served: see tier.PathState
	ReadOnly  bool   `json:"read_only,omitempty"`
	MountAnew bool   `json:"mount_anew,omitempty"` // its filesystem has become writable, which takes effect at the next mount
	Away      bool   `json:"away,omitempty"`
	Stalled   bool   `json:"stalled,omitempty"` // it keeps requests waiting, and is not away yet
	Errors    uint64 `json:"errors,omitempty"`  // calls that its disk has failed since the mount, data aside that the kernel passes through
	Failing   bool   `json:"failing,omitempty"` // it has failed one in the last ten minutes
	Size      uint64 `json:"size"`              // bytes
	Free      uint64 `json:"free"`              // bytes, for ordinary users
}

// Cache is what the kernel may cache, in a Status.
type Cache struct {
	Coherent bool   `json:"coherent"`      // until a tier is seen to change; else for the timeouts
	Why      string `json:"why,omitempty"` // why it is not
	Events   uint64 `json:"events"`        // changes of the tiers' filesystems that were read
	Own      uint64 `json:"own"`           // those of them that the daemon made itself
	Told     uint64 `json:"told"`          // what the kernel was told of
	Sweeps   uint64 `json:"sweeps"`        // how often all of a directory, or everything, was in doubt
}

// Remount is the body of POST /v1/remount.
type Remount struct {
	// Options is the whole option string in canonical form, tiers absolute.
	Options string `json:"options"`
	// Set names the settings that were given: only they are to change.
	Set []string `json:"set"`
}

// failure is the body of every answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

// Daemon is what the server speaks for.
type Daemon interface {
	Status() Status
	// Remount takes the changeable options, or refuses all.
	Remount(Remount) error
	// Move moves what is asked for, and ends early, in order, with ctx.
	Move(ctx context.Context, up bool, m Move, w Watch) (Totals, error)
	// Plan tells what the policy would move now.
	Plan(ctx context.Context, emit func(File)) (Totals, error)
	// Why tells what the policy says of the file at path in the mount.
	Why(ctx context.Context, path string) (Verdict, error)
	// Check looks through all tiers, and mends what it is asked to.
	Check(ctx context.Context, c Check, emit func(Finding)) (CheckEnd, error)
}
