package tier

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// PathState is where a tier's path leads now. Whatever becomes of the path, the
// directory that was there at the mount is served on, by its descriptor.
type PathState string

const (
	PathServed      PathState = ""            // to the directory served, as far as is known
	PathUnmounted   PathState = "unmounted"   // its mount was detached (umount -l) and lasts as long as ours
	PathElsewhere   PathState = "elsewhere"   // to another directory
	PathUnreachable PathState = "unreachable" // nowhere, or nobody answers there
)

// pathWords tell the log of a state.
var pathWords = map[PathState]string{
	PathUnmounted:   "tier's disk was unmounted but stays in use: unmount this mount as well, then mount both anew",
	PathElsewhere:   "tier's path leads to another directory than the one served: unmount and mount anew to serve that",
	PathUnreachable: "tier's path cannot be reached, and the directory that was there is served on; see to the path before the next mount",
}

// Inspect asks the tiers anew for their space and for where their paths lead,
// for LastSpace and PathState. It returns after patience at the latest. What
// hangs is left behind, one goroutine for each question to a tier at most, and
// nothing is asked of a tier that is suspect. mounted tells of a mount's ID.
func (s *Set) Inspect(patience time.Duration, mounted func(id uint64) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answered []<-chan struct{}
	for _, t := range s.Tiers() {
		if !t.Suspect() {
			answered = append(answered, t.spaceAsked.ask(t.lookSpace), t.pathAsked.ask(t.lookPath))
		}
	}
	for _, a := range answered {
		select {
		case <-a:
		case <-ctx.Done():
		}
	}
	for _, t := range s.Tiers() {
		t.judgePath(mounted)
	}
}

// PathState is what Inspect last found.
func (t *Tier) PathState() PathState {
	t.path.Lock()
	defer t.path.Unlock()
	return t.path.state
}

// lookSpace asks where the root was opened as well: a view of what was read-only stays so.
func (t *Tier) lookSpace() {
	_, _ = t.Space()
	if !t.ReadOnly() {
		t.writable.Store(false)
		return
	}
	d := t.anchor.Load()
	if d == nil || !d.tryGet() {
		d = t.RootDir()
	}
	defer d.Put()
	var st unix.Statfs_t
	err := t.do(func() error { return unix.Fstatfs(d.fd, &st) }) // an anchor is of no generation
	t.writable.Store(err == nil && st.Flags&unix.ST_RDONLY == 0)
}

// lookPath follows the tier's path. It holds no slot: the path may hang in
// another filesystem than the tier's. Through our own mount it is not followed.
func (t *Tier) lookPath() {
	if t.covered {
		return
	}
	d := t.RootDir()
	defer d.Put()
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	var at, served unix.Statx_t
	found := PathServed
	err := unix.Statx(d.fd, "", flags|unix.AT_EMPTY_PATH, unix.STATX_INO, &served)
	if err == nil {
		err = unix.Statx(unix.AT_FDCWD, t.Root, flags, unix.STATX_INO, &at)
	}
	switch {
	case err != nil:
		found = PathUnreachable
	case at.Ino != served.Ino || at.Dev_major != served.Dev_major || at.Dev_minor != served.Dev_minor:
		found = PathElsewhere
	}
	t.path.Lock()
	defer t.path.Unlock()
	t.path.found, t.path.err = found, err
}

// judgePath takes in what lookPath has found, and logs a change.
func (t *Tier) judgePath(mounted func(id uint64) bool) {
	id := t.mountID.Load()
	pending, suspect := t.pathAsked.pending(), t.Suspect()
	t.path.Lock()
	defer t.path.Unlock()
	state := t.path.found
	switch {
	case id != 0 && !mounted(id):
		state = PathUnmounted
	case suspect:
		return
	case pending:
		state = PathUnreachable
	}
	if state == t.path.state {
		return
	}
	t.path.state = state
	if state == PathServed {
		t.log.Info("tier's path leads to it again", "tier", t.Root)
		return
	}
	log := t.log
	if state == PathUnreachable && t.path.err != nil {
		log = log.With("err", t.path.err)
	}
	log.Warn(pathWords[state], "tier", t.Root)
}

// MountID is the ID of the mount in which the root was opened by its path, zero if
// nobody knows, as when something is mounted over that.
func (t *Tier) MountID() uint64 { return t.mountID.Load() }

// mountOf is the ID of the mount in which fd was opened, zero before Linux 5.8.
// It is not given to another mount while fd is open.
func mountOf(fd int) uint64 {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return st.Mnt_id
}

// question is one that may never be answered, so it is asked by one goroutine
// at a time.
type question struct {
	mu       sync.Mutex
	answered chan struct{} // GUARDED_BY(mu): of the last time; nil before the first
}

// ask has the question asked, unless it is under way. What it returns is closed
// with the answer.
func (q *question) ask(do func()) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open() {
		return q.answered
	}
	answered := make(chan struct{})
	q.answered = answered
	go func() {
		defer close(answered)
		do()
	}()
	return answered
}

// pending reports whether the question is under way.
func (q *question) pending() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open()
}

// LOCKS_REQUIRED(q.mu)
func (q *question) open() bool {
	if q.answered == nil {
		return false
	}
	select {
	case <-q.answered:
		return false
	default:
		return true
	}
}
