package tierfs

import (
	"maps"
	"sync"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// leftovers are names in staging directories that a tier did not let us remove, of
// operations that have ended. They are tried again by the chores, and before the next
// move to the tier.
//
// INVARIANT: none of them is all there is of what a client may see. A rename out of
// staging that has failed may have been carried out, or be so yet, as by a server that
// was cut off: what it was to bring into place is then gone from here, or not missed.
//
// LOCK ORDER: mu is a leaf.
type leftovers struct {
	mu    sync.Mutex
	names map[string]*tier.Tier // no name is given twice; GUARDED_BY(mu)
}

func (l *leftovers) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[name] != nil
}

func (l *leftovers) add(name string, t *tier.Tier) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]*tier.Tier{}
	}
	l.names[name] = t
}

func (l *leftovers) drop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, name)
}

func (l *leftovers) all() map[string]*tier.Tier {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.names)
}

// unstage removes what an operation does not need any more from a staging directory,
// now or later. The error is why it is not removed now, ENOENT too.
func (fs *FS) unstage(staging *tier.Dir, name string) error {
	err := removeEither(staging, name)
	if err == nil || absent(err) {
		return err
	}
	if absent(staging.Stat(name, new(unix.Stat_t))) {
		return err // EROFS comes before the name is looked at
	}
	fs.leftovers.add(name, staging.Tier)
	fs.journal.tell()
	fs.warnOnce(staging.Tier.Root, "a tier keeps what is not needed any more in .tierfs/staging; it is tried again, and the next mount removes it", "tier", staging.Tier.Root, "err", err)
	return err
}

// removeEither removes a file or an empty directory.
func removeEither(d *tier.Dir, name string) error {
	err := d.Unlink(name)
	if err == unix.EISDIR {
		return d.Rmdir(name)
	}
	return err
}

// sweepLeft tries again to remove what was left, on one tier or all for nil, and
// returns how much still is.
func (fs *FS) sweepLeft(only *tier.Tier) (left int) {
	for name, t := range fs.leftovers.all() {
		if only != nil && t != only {
			continue
		}
		if err := fs.removeLeft(t, name); err != nil {
			fs.log.Debug("what is left in .tierfs/staging has to wait", "tier", t.Root, "name", name, "err", err)
			left++
			continue
		}
		fs.leftovers.drop(name)
	}
	return left
}

func (fs *FS) removeLeft(t *tier.Tier, name string) error {
	if t.Suspect() {
		return errWait
	}
	staging, err := fs.staging(t)
	if err != nil {
		return err
	}
	defer staging.Put()
	return unlessAbsent(removeEither(staging, name))
}
