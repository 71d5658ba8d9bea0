package tierfs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// The chores' times: between tries of what a tier has refused.
const (
	choreSoon = time.Second
	choreLate = 10 * time.Minute
)

// chore is what is left to do for a record.
type chore int

const (
	nextMount   chore = iota // nothing now: a file may have changed its names, the next mount looks in peace
	settleLater              // a file may have two names, as it was in use while it was moved, or one that was to be replaced none
	undoRename               // a directory's rename has failed and could not be undone
	syncRename               // it is done, but not durable yet
	dropRecord               // only the record is left
)

// tell wakes the chores.
func (j *journal) tell() {
	select {
	case j.news <- struct{}{}:
	default: // they have been told
	}
}

// Chores does what operations had to leave because a tier failed, until ctx
// ends: soon after, when a tier is back, and then more and more rarely. What it
// does not get done, the next mount finishes.
func (fs *FS) Chores(ctx context.Context) {
	var again <-chan time.Time
	for wait := choreSoon; ; {
		select {
		case <-ctx.Done():
			return
		case <-fs.journal.news:
			if again == nil || wait > choreSoon { // news that do not end put nothing off
				wait = choreSoon
				again = time.After(wait)
			}
			continue
		case <-again:
		}
		again = nil
		if left := fs.sweepLeft(nil) + fs.journal.tidy(); left > 0 {
			wait = min(2*wait, choreLate)
			again = time.After(wait)
		}
	}
}

// tidy tries each record that was left, and returns how many it is to try again.
func (j *journal) tidy() (again int) {
	j.mu.Lock()
	all := j.left
	j.left = nil
	j.mu.Unlock()
	for _, r := range all {
		if err := r.retry(); err != nil {
			j.fs.log.Debug("an unfinished operation has to wait", "name", r.in.To, "err", err)
			j.mu.Lock()
			j.left = append(j.left, r)
			j.mu.Unlock()
			again++
		}
	}
	return again
}

var (
	errWait    = errors.New("a tier does not answer, or a directory is being renamed")
	errUnknown = errors.New("it is not known for the directory that was renamed")
)

// retry does what is left, and removes the record.
func (r *record) retry() (err error) {
	for _, t := range r.j.fs.Tiers() {
		if t.Suspect() {
			return errWait
		}
	}
	lock, err := r.locked()
	if absent(err) { // another daemon has ended it, or we could not sync that
		return r.remove()
	}
	if err != nil {
		return err
	}
	r.lock = lock
	defer r.unlock()
	defer r.j.fs.coherence.everything() // the watch leaves out what we do ourselves
	switch r.todo {
	case undoRename:
		err = r.undo()
	case syncRename:
		err = r.j.sync(r.in)
	case settleLater:
		err = r.settle()
	}
	if err != nil {
		return err
	}
	r.todo = dropRecord
	return r.remove()
}

// locked is the lock of the record.
func (r *record) locked() (*tier.File, error) {
	d, err := r.t.Private("journal")
	if err != nil {
		return nil, err
	}
	defer d.Put()
	return lockRecord(d, r.name)
}

// undo takes the rename of a directory back. Nobody else renames a directory
// meanwhile, and nobody goes through the one in question.
func (r *record) undo() error {
	fs := r.j.fs
	if !r.j.calm.TryLock() {
		return errWait
	}
	defer r.j.calm.Unlock()
	defer fs.moves.mark(r.j.inodesOf(r.in))()
	defer fs.dirs.DropTier(-1) // what was opened before may have another name now
	for i := range r.in.Moves {
		t, err := r.j.member(r.in.Moves[i].Member)
		if err != nil {
			return err
		}
		still := func(d *tier.Dir, name string, st *unix.Stat_t) (bool, error) {
			if fs.NumbersLast(t) {
				return fs.recorded(d, name, &r.in.Moves[i], st), nil
			}
			return r.holds(d, name, &r.src[i].st)
		}
		if err := r.j.renameIfStill(t, r.in.To, r.in.From, still); err != nil {
			return err
		}
	}
	for i := range r.dst {
		if err := r.j.makeAgain(&r.dst[i], r.in.To); err != nil {
			return err
		}
	}
	if err := r.j.sync(r.in); err != nil {
		return err
	}
	fs.log.Info("undid the rename of a directory that a tier had refused", "from", r.in.From, "to", r.in.To)
	return nil
}

// holds reports whether name in d is the directory that was renamed there, which is held
// open: one on each tier. A tier that did not answer when the rename failed has none; any
// directory may be that one then, and the next mount goes by the names of the others.
func (r *record) holds(d *tier.Dir, name string, was *unix.Stat_t) (bool, error) {
	for _, held := range r.held {
		if held.Tier == d.Tier {
			_, same, err := r.j.fs.same(d, name, held.Self(), was)
			return same, err
		}
	}
	return false, errUnknown
}

// settle ends a move or the rename of a file, as the next mount would.
func (r *record) settle() error {
	err := r.j.finish(r.in)
	if err != nil && !inUse(err) && r.j.fs.said.first(r.name, time.Now()) {
		r.j.fs.log.Error("what was interrupted cannot be ended yet; its record stays in .tierfs/journal, and it is tried again", "err", err)
	}
	return err
}

// inUse reports that something cannot be ended yet.
func inUse(err error) bool {
	return errors.Is(err, errUsed) || errors.Is(err, errOpen) || errors.Is(err, errOpenBelow) || errors.Is(err, errChanged)
}

// makeAgain makes the empty directory c at path, unless something is there.
func (j *journal) makeAgain(c *copyAt, path string) error {
	d, name, err := j.fs.Tiers()[c.rank].OpenParent(path)
	if err != nil {
		return unlessAbsent(err)
	}
	defer d.Put()
	return j.fs.makeBare(d, name, &c.st)
}

// sync makes the rename of a directory durable, or that it was taken back, also on a tier
// where nothing was left to do.
func (j *journal) sync(in *intent) error {
	for _, m := range slices.Concat(in.Moves, in.Replaced) {
		t, err := j.member(m.Member)
		if err != nil {
			return err
		}
		for _, path := range []string{in.To, in.From} {
			d, _, err := t.OpenParent(path)
			if absent(err) {
				continue // it has been moved on, which will be synced with it
			}
			if err == nil {
				err = d.Sync()
				d.Put()
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// inodesOf are the directories that an intent renames, as far as the kernel
// holds them.
func (j *journal) inodesOf(in *intent) (all []*inode.Inode) {
	for _, m := range in.Moves {
		if t, err := j.member(m.Member); err == nil {
			all = append(all, j.fs.table.Find(j.fs.table.Key(t.Rank, t.Dev(), m.Ino), unix.S_IFDIR))
		}
	}
	return all
}
