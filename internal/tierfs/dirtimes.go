package tierfs

import (
	"sync"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// dirTimes keeps the times of a directory on one tier over changes that are ours
// alone: a backup that looks for what is new finds nothing. What others change
// meanwhile stays. All who change a directory at one time share it, since to one of
// them the times in the midst of another's change are those of somebody else. So do
// clients who give it times: between our look at it and our change they would be lost.
//
// LOCK ORDER: mu is a leaf, and held over the change.
type dirTimes struct {
	key   dirKey
	users int // GUARDED_BY(timekeeper.mu)

	mu    sync.Mutex
	known bool          // GUARDED_BY(mu)
	as    unix.Stat_t   // as it is to be; GUARDED_BY(mu)
	ctime unix.Timespec // of our last change; GUARDED_BY(mu)
}

type dirKey struct {
	rank     int
	dev, ino uint64
}

// timekeeper has the dirTimes of directories that are being changed.
type timekeeper struct {
	idle bool // nothing moves: the mount has one tier, for good

	mu   sync.Mutex
	dirs map[dirKey]*dirTimes // GUARDED_BY(mu)
}

// keep returns the times of a directory, to be given to leave.
func (k *timekeeper) keep(dir *tier.File) (*dirTimes, error) {
	var st unix.Stat_t
	if err := dir.Stat(&st); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dirs == nil {
		k.dirs = map[dirKey]*dirTimes{}
	}
	key := dirKey{dir.Tier.Rank, st.Dev, st.Ino}
	d := k.dirs[key]
	if d == nil {
		d = &dirTimes{key: key}
		k.dirs[key] = d
	}
	d.users++
	return d, nil
}

// leave ends what keep began; nil is nothing.
func (k *timekeeper) leave(d *dirTimes) {
	if d == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if d.users--; d.users == 0 {
		delete(k.dirs, d.key)
	}
}

// locked runs fn with a directory's times and attributes, when no change of ours is
// under way.
func (k *timekeeper) locked(dir *tier.File, fn func(d *dirTimes, st *unix.Stat_t) error) error {
	d, err := k.keep(dir)
	if err != nil {
		return err
	}
	defer k.leave(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	var st unix.Stat_t
	if err := dir.Stat(&st); err != nil {
		return err
	}
	return fn(d, &st)
}

// stat is what a directory's attributes are to be when changes of ours have ended.
func (k *timekeeper) stat(dir *tier.File) (st unix.Stat_t, err error) {
	err = k.locked(dir, func(d *dirTimes, now *unix.Stat_t) error {
		st = *now
		if d.ours(now) {
			st.Atim, st.Mtim = d.as.Atim, d.as.Mtim
		}
		return nil
	})
	return st, err
}

// beside runs what gives a directory other attributes, before or after a change of
// ours. If they are times they stay: the change time would not always tell, as it is as
// coarse as the kernel's tick before Linux 6.13. If not, ours are given back still.
func (k *timekeeper) beside(dir *tier.File, times bool, fn func() error) error {
	if k.idle {
		return fn()
	}
	return k.locked(dir, func(d *dirTimes, st *unix.Stat_t) error {
		d.known = d.ours(st) && !times
		err := fn()
		if d.known && dir.Stat(st) == nil {
			d.ctime = st.Ctim
		}
		return err
	})
}

// over runs one change of a directory, which has its times again after it.
func (k *timekeeper) over(dir *tier.Dir, fn func() error) error {
	d, err := k.keep(dir.Self())
	if err != nil {
		return err
	}
	defer k.leave(d)
	err = d.change(dir, fn)
	_ = d.restore(dir)
	return err
}

// restore gives a directory the times back that somebody keeps.
func (k *timekeeper) restore(dir *tier.Dir) error {
	d, err := k.keep(dir.Self())
	if err != nil {
		return err
	}
	defer k.leave(d)
	return d.restore(dir)
}

// ours reports whether the last change of the directory was ours.
//
// LOCKS_REQUIRED(d.mu)
func (d *dirTimes) ours(st *unix.Stat_t) bool { return d.known && st.Ctim == d.ctime }

// change runs what changes the directory.
func (d *dirTimes) change(dir *tier.Dir, fn func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var st unix.Stat_t
	if err := dir.StatSelf(&st); err != nil {
		return err
	}
	if !d.ours(&st) {
		d.known, d.as = true, st
	}
	err := fn()
	if dir.StatSelf(&st) == nil {
		d.ctime = st.Ctim
	}
	return err
}

// restore gives the directory its times back, unless others have changed it since.
func (d *dirTimes) restore(dir *tier.Dir) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var st unix.Stat_t
	err := dir.StatSelf(&st)
	if err != nil || !d.ours(&st) {
		return err
	}
	err = dir.Self().Utimens(&[2]unix.Timespec{d.as.Atim, d.as.Mtim})
	if dir.StatSelf(&st) == nil {
		d.ctime = st.Ctim
	}
	return err
}
