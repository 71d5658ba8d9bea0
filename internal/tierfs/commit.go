package tierfs

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// settle is the moves' second half: record, place, remove. The way to the
// directory is pinned meanwhile, so that the paths in the record hold.
func (x *transfer) settle(ctx context.Context) {
	if x.count() == 0 {
		return
	}
	defer x.fs.moves.pin(x.dir)()
	err := x.parents()
	if err == nil {
		err = x.write()
	}
	if err != nil {
		x.each(ctx, x.to, func(*moving) error { return err })
		return
	}
	fault("recorded")
	x.patience = movePatience
	x.each(ctx, x.to, x.place)
	fault("placed")
	if err = tier.SyncNames(x.dd); err != nil {
		x.each(ctx, x.to, func(m *moving) error { x.takeBack(m); return err })
	}
	fault("named")
	x.patience = removePatience
	x.each(ctx, x.from, x.remove)
	fault("moved")
	x.finish()
}

// parents opens the directory on the target, made there with all above it that
// is missing, durably.
func (x *transfer) parents() error {
	fs, rank := x.fs, x.b.To
	if err := fs.fitsPinned(x.dir, rank); err != nil {
		return err
	}
	missing := []*inode.Inode{}
	for in := x.dir; in.ID != inode.RootID; {
		d, err := fs.walkDir(in, rank)
		if err == nil {
			d.Put()
			break
		}
		if !absent(err) {
			return err
		}
		up, _, ok := fs.table.Dentry(in)
		if !ok {
			return unix.ENOENT
		}
		missing = append(missing, up)
		in = up
	}
	d, err := fs.makePinned(x.dir, rank)
	if err != nil {
		return err
	}
	x.dd = d
	for _, in := range missing {
		up, err := fs.walkDir(in, rank)
		if err != nil {
			return err
		}
		err = up.Sync()
		up.Put()
		if err != nil {
			return err
		}
	}
	fault("parents")
	return onTier(d)
}

// draft is the record as it will be, in a file of the staging directory.
type draft struct {
	in   *intent
	temp string
}

// prepare makes the parents and a draft of the record, for the sync that makes the
// copies durable to do so with these. Nothing is pinned over that: settle looks whether
// the draft still holds. What fails here is tried there once more, and tells why.
func (x *transfer) prepare(ctx context.Context) {
	x.each(ctx, x.to, func(m *moving) error { return m.copied.Stat(&m.copy) })
	if x.count() == 0 {
		return
	}
	d, err := x.fs.makeParents(x.dir, x.b.To)
	if err != nil {
		return
	}
	d.Put()
	in, err := x.intent()
	if err != nil {
		return
	}
	b, err := in.text()
	if err != nil {
		return
	}
	x.draft = &draft{in, stagingName()}
	if writeFile(x.staging, x.draft.temp, b, false) != nil {
		x.dropDraft()
	}
}

func (x *transfer) dropDraft() {
	if x.draft != nil {
		x.fs.unstage(x.staging, x.draft.temp)
		x.draft = nil
	}
}

// intent is what the record says.
func (x *transfer) intent() (*intent, error) {
	dir, ok := x.fs.table.Path(x.dir)
	if !ok {
		return nil, unix.ENOENT
	}
	ids := *x.fs.journal.members.Load()
	r := relocation{Source: ids[x.b.From], Target: ids[x.b.To], Dir: []byte(dir)}
	for _, m := range x.files {
		if m.out.Skip == mover.Moved {
			r.Files = append(r.Files, relocated{Name: []byte(m.name), Source: stampOf(&m.st), Copy: stampOf(&m.copy), Aside: m.staged})
		}
	}
	return &intent{Kind: intentMove, Relocation: &r}, nil
}

// write makes the record durable: of the draft, if neither the files nor the
// directory's path have become others since.
func (x *transfer) write() error {
	in, err := x.intent()
	if err != nil {
		return err
	}
	for _, m := range x.files {
		if m.out.Skip == mover.Moved {
			m.aside = m.staged
		}
	}
	if d := x.draft; d != nil && reflect.DeepEqual(d.in.Relocation, in.Relocation) {
		x.draft = nil
		if x.record, err = x.fs.journal.enact(x.staging, d.temp, in); err == nil {
			return nil
		}
	}
	x.dropDraft()
	x.record, err = x.fs.journal.write(x.to, in)
	return err
}

// lock takes the name and the inode of a file: nobody opens it, looks it up or
// changes its name until unlock. All files of a step share its patience, because
// who renames a directory above waits for the end of it.
func (x *transfer) lock(m *moving) (unlock func(), err error) {
	begin := time.Now()
	patience := max(x.patience, leastPatience)
	defer func() { x.patience -= time.Since(begin) }()
	name, ok := x.fs.names.take(entryName{x.dir, m.name}, patience)
	if !ok {
		return nil, errUsed
	}
	for !m.in.Mu.TryLock() {
		if time.Since(begin) > patience {
			name()
			return nil, errUsed
		}
		time.Sleep(time.Millisecond)
	}
	return func() {
		m.in.Mu.Unlock()
		name()
	}, nil
}

// claim is lock where the file that is seen stays as it is: only who changes or
// removes the name waits.
func (x *transfer) claim(m *moving) (unlock func(), err error) {
	begin := time.Now()
	defer func() { x.patience -= time.Since(begin) }()
	unlock, ok := x.fs.names.claim(entryName{x.dir, m.name}, max(x.patience, leastPatience))
	if !ok {
		return nil, errUsed
	}
	return unlock, nil
}

// lockCopy keeps others from the copy: on the way up it is what is seen.
func (x *transfer) lockCopy(m *moving) (unlock func(), err error) {
	if x.up() {
		return x.lock(m)
	}
	return x.claim(m)
}

// lockSource keeps others from the source: on the way down it is what is seen.
func (x *transfer) lockSource(m *moving) (unlock func(), err error) {
	if x.up() {
		return x.claim(m)
	}
	return x.lock(m)
}

// place gives the copy its name. On the way up it is the file from then on.
func (x *transfer) place(m *moving) error {
	unlock, err := x.lockCopy(m)
	if err != nil {
		return err
	}
	defer unlock()
	if err := x.ready(m); err != nil {
		return err
	}
	fault("locked")
	if err := x.change(1, x.dd, func() error { return x.rename(m) }); err != nil {
		return err
	}
	m.staged = ""
	if err := x.dd.Stat(m.name, &m.copy); err != nil {
		x.takeBackLocked(m)
		return err
	}
	if x.up() && !x.rehome(m, x.b.To, &m.copy) {
		x.takeBackLocked(m)
		return unix.ESTALE
	}
	return nil
}

func (x *transfer) up() bool { return x.b.To < x.b.From }

// rehome makes a backing inode the file's home.
//
// LOCKS_REQUIRED(m.in.Mu)
func (x *transfer) rehome(m *moving, rank int, st *unix.Stat_t) bool {
	if !x.fs.table.Rehome(m.in, x.fs.table.Key(rank, st.Dev, st.Ino)) {
		return false
	}
	x.fs.movings.remove(m)   // who opens it from now on opens the new one
	m.in.Mapped.Store(false) // nobody had the old one
	if x.fs.table.Held(m.in, 1) {
		x.fs.invalAttr(m.in)
	}
	return true
}

func (fs *FS) invalAttr(in *inode.Inode) {
	if fs.srv != nil { // replay may come before the kernel
		fs.srv.InvalAttr(in.ID)
	}
}

// rename takes the copy from the staging directory to its own. One with a project
// that is inherited there takes no file of another (rename(2), EXDEV): the copy
// gets it first, as a file would that is made there.
//
// LOCKS_REQUIRED(the copy: lockCopy)
func (x *transfer) rename(m *moving) error {
	err := x.staging.Rename(m.staged, x.dd, m.name, unix.RENAME_NOREPLACE)
	if err != unix.EXDEV {
		return err
	}
	switch e := x.inherit(m); e {
	case nil:
	case unix.EDQUOT:
		return e
	default:
		return err
	}
	return x.staging.Rename(m.staged, x.dd, m.name, unix.RENAME_NOREPLACE)
}

// inherit gives the copy the project of its directory.
func (x *transfer) inherit(m *moving) error {
	dir, err := x.dd.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	file, err := x.staging.Open(m.staged, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	from, err := dir.FsGetXattr()
	if err != nil {
		return err
	}
	to, err := file.FsGetXattr()
	if err != nil {
		return err
	}
	copy(to[sys.FsXattrProject:][:4], from[sys.FsXattrProject:])
	return file.FsSetXattr(&to)
}

// ready reports why the copy must not get its name. On the way down the file is
// not locked yet: that nobody has it open is seen when it is.
//
// LOCKS_REQUIRED(the copy: lockCopy)
func (x *transfer) ready(m *moving) error {
	if x.up() {
		return x.still(m)
	}
	return x.unchanged(m)
}

// still reports why the file must not move any more.
//
// LOCKS_REQUIRED(the name, m.in.Mu)
func (x *transfer) still(m *moving) error {
	if err := x.unchanged(m); err != nil {
		return err
	}
	switch {
	case !x.fs.table.Named(m.in, x.dir, m.name):
		return unix.ENOENT
	case m.in.Opened() != nil:
		return errWanted
	}
	return nil
}

// unchanged reports whether the source is under its name, as it was, and nobody
// is known to want it. The lease itself is looked at when the source is aside,
// where nobody can begin to open it any more: to look before decides nothing.
func (x *transfer) unchanged(m *moving) error {
	st, same, err := x.fs.same(x.sd, m.name, m.src, &m.st)
	switch {
	case err != nil:
		return &tierError{x.from.Root, err}
	case !same || !sameFile(&st, &m.st):
		return errAltered
	case m.asked():
		return errWanted
	}
	return nil
}

// remove takes the source away, or the copy again if the source is not what it
// was, or cannot be locked.
func (x *transfer) remove(m *moving) error {
	err := x.removeSource(m)
	if err != nil {
		x.takeBack(m)
	}
	return err
}

func (x *transfer) removeSource(m *moving) error {
	if !x.up() && time.Since(x.answered) > movePoll {
		// If the lower tier hangs it does so here, where nobody waits for us.
		if err := x.inPlace(m); err != nil {
			return err
		}
	}
	unlock, err := x.lockSource(m)
	if err != nil {
		return err
	}
	defer unlock()
	return x.removeLocked(m)
}

// LOCKS_REQUIRED(the source: lockSource)
func (x *transfer) removeLocked(m *moving) error {
	look := x.still
	if x.up() {
		look = x.unchanged
	}
	if err := look(m); err != nil {
		return err
	}
	if err := x.inPlace(m); err != nil {
		return err
	}
	x.answered = time.Now()
	fault("checked")
	err := x.vacate(m, 0, x.sd, func() error { return x.sd.Rename(m.name, x.trash, m.aside, unix.RENAME_NOREPLACE) })
	if err != nil {
		return err
	}
	fault("aside")
	if err := x.asideStill(m); err != nil {
		x.putBack(m)
		return err
	}
	fault("known")
	if !x.up() && !x.rehome(m, x.b.To, &m.copy) {
		x.putBack(m)
		return unix.ESTALE
	}
	fault("home")
	if err := x.trash.Unlink(m.aside); err != nil {
		x.doubt() // the file has moved; the next mount tidies up
	}
	fault("unlinked")
	return nil
}

// doubt has the record stay, which says what to do about a source in the trash: who takes
// the copy's name reads it from now on, not from the end of the batch.
func (x *transfer) doubt() {
	x.unsure = true
	x.fs.journal.takings.left.Add(1)
}

// putBack gives a source that was set aside its name again. If that fails, the
// copy is what the name shows.
func (x *transfer) putBack(m *moving) {
	err := x.change(0, x.sd, func() error { return x.trash.Rename(m.aside, x.sd, m.name, unix.RENAME_NOREPLACE) })
	if err == nil {
		return
	}
	x.fs.log.Error("a file that changed while it was moved stays in .tierfs/trash until the next mount; unmount and mount again to have it back", "file", x.describe(m), "trash", m.aside, "err", err)
	x.doubt()
	if !x.up() {
		x.rehome(m, x.b.To, &m.copy)
	}
}

// inPlace reports whether the target's name is still our copy.
func (x *transfer) inPlace(m *moving) error {
	st, same, err := x.fs.same(x.dd, m.name, m.held, &m.copy)
	switch {
	case err != nil:
		return &tierError{x.to.Root, err}
	case !same || !x.up() && !sameFile(&st, &m.copy):
		return errAltered
	}
	return nil
}

// asideStill looks at what was set aside: somebody may have renamed another file
// over the source, or begun to open it, a moment before.
func (x *transfer) asideStill(m *moving) error {
	st, same, err := x.fs.same(x.trash, m.aside, m.src, &m.st)
	switch {
	case err != nil:
		return err
	case !same || !sameContent(&st, &m.st):
		return errAltered
	case m.wanted():
		return errWanted
	}
	return nil
}

// takeBack removes the copy again.
func (x *transfer) takeBack(m *moving) {
	unlock, err := x.lockCopy(m)
	if err != nil {
		x.doubt()
		return
	}
	defer unlock()
	x.takeBackLocked(m)
}

// takeBackLocked removes the copy, if it is as we made it and not in use, and
// the source is not in the trash. Else both stay, and the next mount looks at
// the record.
//
// LOCKS_REQUIRED(the copy: lockCopy)
func (x *transfer) takeBackLocked(m *moving) {
	st, same, err := x.fs.same(x.dd, m.name, m.held, &m.copy)
	if !same {
		// It is gone, or another file's name, unless the server knows it as another.
		if err != nil && !absent(err) || !x.fs.NumbersLast(x.to) {
			x.doubt()
		}
		return
	}
	if !sameFile(&st, &m.copy) || x.up() && (m.in.Opened() != nil || m.in.Mapped.Load()) {
		x.doubt()
		return
	}
	var source unix.Stat_t
	if !absent(x.trash.Stat(m.aside, &source)) || x.up() && (x.sd.Stat(m.name, &source) != nil || !x.rehome(m, x.b.From, &source)) {
		x.doubt()
		return
	}
	x.undone = true
	if err := x.vacate(m, 1, x.dd, func() error { return x.dd.Unlink(m.name) }); err != nil {
		x.doubt()
	}
}

// finish makes the removals durable, gives the directories their times back and
// ends the record.
func (x *transfer) finish() {
	err := tier.SyncNames(x.sd, x.trash)
	if x.undone { // it must not come back when the record is gone
		err = errors.Join(err, tier.SyncNames(x.dd))
	}
	x.fs.unsynced.end(x)
	fault("removed")
	for i, dir := range []*tier.Dir{x.sd, x.dd} {
		if x.times[i] != nil && x.times[i].restore(dir) != nil && x.unsure {
			x.record.owed[i], x.times[i] = x.times[i], nil
		}
	}
	switch {
	case err != nil:
		x.record.leave(nextMount)
		return
	case x.unsure:
		x.record.leave(settleLater)
		return
	}
	x.record.finish()
	fault("forgotten")
}

// vacate is change for what takes the file's name away, which is unsynced from then on.
// It is entered before, for a move that finds the name gone, and again after: a sync for
// another name of the batch that came before the change has forgotten this one too.
func (x *transfer) vacate(m *moving, i int, dir *tier.Dir, fn func() error) error {
	e, r := entryName{x.dir, m.name}, removal{x, dir.Tier.Rank}
	x.fs.unsynced.add(e, r)
	defer x.fs.unsynced.add(e, r)
	return x.change(i, dir, fn)
}

// change runs what changes one of the two directories, whose times are kept.
func (x *transfer) change(i int, dir *tier.Dir, fn func() error) (err error) {
	if x.times[i] == nil {
		if x.times[i], err = x.fs.times.keep(dir.Self()); err != nil {
			return err
		}
	}
	return x.times[i].change(dir, fn)
}
