// Package tier reaches the backing directories of a mount.
//
// A Tier is one directory with a rank. Everything below its root is reached
// by a directory descriptor and a single name, so that no symlink is followed,
// no path grows beyond PATH_MAX, and what happens to the root's own path
// (a mount over it, a rename) does not matter. Every call on a tier is
// accounted for, so that a tier that hangs is noticed and answered for.
package tier

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Tier is a backing directory.
type Tier struct {
	Root    string // absolute, without symlinks, as resolved at mount
	Rank    int
	Network bool // its server checks permissions; close(2) reports errors
	Remote  bool // … over a network, with other clients
	Stacked bool // on another filesystem: no passthrough
	Logs    bool // see sys.Logs

	cfg     Config
	log     *slog.Logger
	timeout atomic.Int64 // a time.Duration
	exclude bool         // locks keep others from reading: see sys.LocksData
	covered bool         // the path leads into our own mount: never open it again
	verify  func(fd int) error

	root     atomic.Pointer[Dir]
	anchor   atomic.Pointer[Dir] // the root as it was opened, if root is a view of it
	quiet    atomic.Pointer[Dir] // the root where nothing changes access times, or nil
	gen      atomic.Uint32       // counts the mounts of its disk that have served
	flow     atomic.Pointer[flow]
	before   atomic.Pointer[[]*flow] // of before its last returns, see left
	away     atomic.Bool
	suspect  atomic.Bool
	stalled  atomic.Int64 // since when, see Stalled
	readOnly atomic.Bool
	unlocked bool        // read-only when it was opened, see ReadOnly
	writable atomic.Bool // see Writable
	dev      atomic.Uint64
	probing  atomic.Bool
	stranger string                 // why its path was not taken back last, as told; for who has set probing
	mountID  atomic.Uint64          // where the root was opened by its path, see mountOf
	onLoss   atomic.Pointer[func()] // is told that the tier is away
	onReturn func()                 // drops what is cached of the tier
	numbers  atomic.Pointer[bool]   // whether they last, nil for not known; see NumbersLast
	fuse     bool                   // what the numbers are is the server's affair
	byNode   bool                   // see TellByNode

	failures failures

	spaceAsked, pathAsked question

	path struct {
		sync.Mutex
		found PathState // GUARDED_BY(path): by the last look
		err   error     // GUARDED_BY(path): of the last look
		state PathState // GUARDED_BY(path): as told
	}

	renews struct {
		sync.Mutex
		at   time.Time // GUARDED_BY(renews): of the last look
		each bool      // GUARDED_BY(renews): see ListingRenews
	}

	space struct {
		sync.Mutex
		at time.Time     // GUARDED_BY(space)
		st unix.Statfs_t // GUARDED_BY(space)
	}
}

// open makes the tier of the directory that fd refers to.
func open(root string, rank, fd int, cfg Config) (*Tier, error) {
	t := &Tier{Root: root, Rank: rank, cfg: cfg, log: cfg.Log}
	t.timeout.Store(int64(cfg.Timeout))
	t.flow.Store(&flow{begun: time.Now(), gen: 1}) // as setRoot will count
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, err
	}
	t.unlocked = fs.Flags&unix.ST_RDONLY != 0
	t.Network, t.Remote, t.Stacked, t.Logs, t.exclude = sys.Network(&fs), sys.Remote(&fs), sys.Stacked(&fs), sys.Logs(&fs), sys.LocksData(&fs)
	last, known := sys.Numbers(&fs)
	if t.fuse = !known; known {
		t.numbers.Store(&last)
	}
	return t, t.setRoot(fd)
}

// setRoot makes fd the tier's root.
func (t *Tier) setRoot(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	t.dev.Store(st.Dev)
	t.readOnly.Store(t.unlocked || fs.Flags&unix.ST_RDONLY != 0)
	if !t.covered {
		t.mountID.Store(mountOf(fd))
	}
	t.setQuiet(fd)
	view := t.view(fd)
	if old := t.root.Swap(newDir(t, t.gen.Add(1), view)); old != nil {
		old.Put()
	}
	if view == fd {
		fd = -1
	}
	t.anchorAt(fd)
	return nil
}

// Close closes the root.
func (t *Tier) Close() {
	t.root.Load().Put()
	t.anchorAt(-1)
	if q := t.quiet.Load(); q != nil {
		q.Put()
	}
}

// RootDir is the tier's root, for the caller to Put.
func (t *Tier) RootDir() *Dir {
	for {
		if d := t.root.Load(); d.tryGet() {
			return d
		}
	}
}

// RootFD is the root's descriptor, which stays the tier's.
func (t *Tier) RootFD() int { return t.root.Load().fd }

// ReadOnly reports whether the tier's filesystem was mounted read-only. It stays so if
// that becomes writable: such a tier was not locked, carries no mark of ours, and what a
// crash has left in its journal was not settled, which takes a mount.
func (t *Tier) ReadOnly() bool { return t.readOnly.Load() }

// Writable reports whether Inspect has found a tier that is ReadOnly to be writable, but
// for that.
func (t *Tier) Writable() bool { return t.writable.Load() }

// Dev is the root's st_dev.
func (t *Tier) Dev() uint64 { return t.dev.Load() }

// Away reports whether the tier has stopped answering.
func (t *Tier) Away() bool { return t.away.Load() }

// Suspect reports that some call has been under way for longer than a path
// walk should wait: merged directories are shown without asking this tier.
func (t *Tier) Suspect() bool { return t.suspect.Load() || t.away.Load() }

// spaceAge is how long a statfs over the network serves to judge free space.
const spaceAge = 200 * time.Millisecond

// Statfs is statfs(2) of the tier's filesystem.
func (t *Tier) Statfs(st *unix.Statfs_t) error {
	d := t.RootDir()
	defer d.Put()
	return d.do(func() error { return unix.Fstatfs(d.fd, st) })
}

// Space is Statfs, of a network filesystem at most spaceAge old.
func (t *Tier) Space() (unix.Statfs_t, error) {
	t.space.Lock()
	st, at := t.space.st, t.space.at
	t.space.Unlock()
	if t.Network && time.Since(at) < spaceAge {
		return st, nil
	}
	if err := t.Statfs(&st); err != nil {
		return st, err
	}
	t.space.Lock()
	defer t.space.Unlock()
	t.space.st, t.space.at = st, time.Now()
	return st, nil
}

// LastSpace is what Space last saw, zero if it never did.
func (t *Tier) LastSpace() unix.Statfs_t {
	t.space.Lock()
	defer t.space.Unlock()
	return t.space.st
}
