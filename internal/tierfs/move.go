package tierfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// A file moves to another tier in seven steps. At every instant one complete
// copy is visible under its name, and a crash at any leaves it so, or is mended
// at the next mount (replayMove).
//
//  1. hold: the inode, unless somebody has it open or it may not move
//  2. lease: nobody has the source open out of band
//  3. copy: to the target's staging directory, durable
//  4. record: the intent, durable
//  5. lock: the name and the inode, for a few system calls each time
//  6. place: the copy gets its name, below or above the source; durable
//  7. remove: the source goes by way of its tier's trash, where what it is can
//     be looked at once more
//
// Between 6 and 7 the file has two names like any other that two tiers have, so
// the locks are not held over the syncs, and the files of a batch share them.
// The copy becomes the inode's home when it becomes visible: in 6 on the way up,
// in 7 on the way down.

// Bounds of a move.
const (
	movePatience   = time.Second     // to get the locks: those who hold them may wait for a tier
	removePatience = 5 * time.Second // a file that is left then has both names until the next mount
	slowPatience   = 5 * time.Second
	movePoll       = 20 * time.Millisecond
	leastPatience  = 20 * time.Millisecond // of each file, when those before have used up that of the step
	moveAtOnce     = 64 << 20              // bytes that are copied before any of it is put in place
)

// transfer is the move of files of one directory.
type transfer struct {
	fs       *FS
	b        *mover.Batch
	from, to *tier.Tier
	dir      *inode.Inode
	sd, dd   *tier.Dir    // the directory on both
	staging  *tier.Dir    // of the target
	trash    *tier.Dir    // of the source's tier
	times    [2]*dirTimes // of both, from the first change on
	at       *tier.Tier   // that the step under way works on, for its errors
	files    []*moving
	draft    *draft // of the record, for a while
	record   *record
	unsure   bool          // something is left for the next mount
	undone   bool          // a copy was removed from its place again
	patience time.Duration // left to wait for the locks of a step
	answered time.Time     // when the target did so last, in removeLocked

	free     int64         // bytes that the target has to give
	space    unix.Statfs_t // … when that was measured
	measured bool
}

// Move carries the files of a batch to another tier.
func (fs *FS) Move(ctx context.Context, b *mover.Batch, landed func([]mover.Outcome)) {
	out := make([]mover.Outcome, len(b.Names))
	for next := 0; next < len(b.Names); {
		x := &transfer{fs: fs, b: b, from: fs.Tiers()[b.From], to: fs.Tiers()[b.To]}
		n, err := x.run(ctx, b.Names[next:], out[next:])
		if err != nil {
			for i := range out[next:] {
				out[next+i].Skip, out[next+i].Err = x.judge(ctx, err)
			}
			n = len(b.Names) - next
		}
		landed(out[next:][:n])
		next += n
	}
}

// run moves as many of the names as are copied at once, and returns how many
// they were. An error is one that none of them gets over.
func (x *transfer) run(ctx context.Context, names []string, out []mover.Outcome) (n int, err error) {
	defer x.end()
	x.at = x.from
	x.awaitTiers(ctx)
	for _, t := range []*tier.Tier{x.from, x.to} {
		switch {
		case t.Suspect() || t.PathState() == tier.PathUnmounted: // a disk that is being taken off
			return 0, errAway
		case t.ReadOnly():
			return 0, unix.EROFS
		}
	}
	leave, err := x.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	for bytes := int64(0); n < len(names) && n < mover.MaxBatch && bytes < moveAtOnce; n++ {
		m := &moving{name: names[n], out: &out[n]}
		x.files = append(x.files, m)
		x.at = x.from
		if err := x.hold(ctx, m); err != nil {
			x.skip(ctx, m, err)
			continue
		}
		bytes += m.st.Size
	}
	defer watchLeases(x.files)()
	x.each(ctx, x.from, x.lease)
	fault("leased")
	_ = mover.Idle(func() error {
		x.copyAll(ctx)
		return nil
	})
	together := x.count() >= syncTogether && !x.to.Network
	if together {
		x.prepare(ctx)
	}
	_ = mover.Idle(func() error {
		x.sync(ctx, together)
		return nil
	})
	x.settle(ctx)
	return n, nil
}

// awaitTiers waits a while for a tier that is slow at the moment: path walks need
// not wait for it, but a move may.
func (x *transfer) awaitTiers(ctx context.Context) {
	for end := time.Now().Add(slowPatience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(movePoll) {
		if !x.from.Suspect() && !x.to.Suspect() || x.from.Away() || x.to.Away() {
			return
		}
	}
}

// each runs a step, which works on the tier at, for all files that are still to
// move.
func (x *transfer) each(ctx context.Context, at *tier.Tier, step func(m *moving) error) {
	for _, m := range x.files {
		if m.out.Skip != mover.Moved {
			continue
		}
		x.at = at
		if err := step(m); err != nil {
			x.skip(ctx, m, err)
		}
	}
}

// count is how many files are still to move.
func (x *transfer) count() (n int) {
	for _, m := range x.files {
		if m.out.Skip == mover.Moved {
			n++
		}
	}
	return n
}

// skip leaves a file where it is: what has been copied goes.
func (x *transfer) skip(ctx context.Context, m *moving, err error) {
	if (err == errWanted || err == mover.ErrGiveWay) && m.altered() {
		err = errAltered
	}
	m.out.Skip, m.out.Err = x.judge(ctx, err)
	m.close()
	if m.staged != "" {
		if x.fs.unstage(x.staging, m.staged) != nil && m.aside != "" { // it may be in place: a server answers a rename twice
			x.doubt()
		}
		m.staged = ""
	}
}

// judge is the reason that err is, and err, with the tier that has failed where it is
// no reason of its own.
func (x *transfer) judge(ctx context.Context, err error) (mover.Reason, error) {
	root := x.at.Root
	switch of := err.(type) {
	case mover.SourceError:
		root, err = x.from.Root, of.Err
	case *tierError: // not of the tier that the step works on
		root, err = of.root, of.err
	}
	why := x.reason(ctx, err)
	if why == mover.Failed {
		err = &tierError{root, err}
	}
	return why, err
}

// Why a file does not move, where no errno says it.
var (
	errAway      = errors.New("a tier does not answer, or its disk was unmounted")
	errFresh     = errors.New("it has just been changed")
	errOpen      = errors.New("it is open")
	errOpenBelow = errors.New("it is open in the tier's directory")
	errMapped    = errors.New("it may be mapped by who has closed it, and its filesystem has no leases that would tell")
	errWanted    = errors.New("somebody opened it meanwhile")
	errAltered   = errors.New("somebody changed it meanwhile")
	errLinked    = errors.New("it has several names")
	errSpecial   = errors.New("not a regular file")
	errFixed     = errors.New("it is immutable or append-only, or its directory is")
	errShadowed  = errors.New("a higher tier has the name")
	errTaken     = errors.New("another tier has the name too")
	errInner     = errors.New("another filesystem is mounted inside the tier there")
	errNoRoom    = errors.New("the target would have less free space than minfree")
	errUsed      = errors.New("its name or the file is in use by an operation that takes long")
)

// reason sorts an error.
func (x *transfer) reason(ctx context.Context, err error) mover.Reason {
	switch err {
	case errFresh:
		return mover.Fresh
	case errOpen, errMapped:
		return mover.Open
	case errOpenBelow:
		return mover.OpenBeneath
	case errAltered:
		return mover.Changed
	case errWanted, errUsed, mover.ErrGiveWay:
		return mover.InUse
	case errLinked:
		return mover.Linked
	case errSpecial:
		return mover.Special
	case errFixed:
		return mover.Fixed
	case errShadowed:
		return mover.Shadowed
	case errTaken, errInner, unix.EEXIST, unix.EBUSY, unix.EXDEV:
		return mover.Blocked
	case errNoRoom, unix.ENOSPC:
		return mover.NoRoom
	case unix.EDQUOT:
		return mover.Quota
	case unix.EFBIG:
		return mover.TooLarge
	case errAway:
		return mover.Away
	case unix.EROFS:
		return mover.ReadOnly
	}
	if _, misfit := err.(mover.AttributesError); misfit {
		return mover.Attributes
	}
	switch {
	case absent(err), err == unix.ESTALE:
		return mover.Gone
	case ctx.Err() != nil:
		return mover.Stopped
	case x.from.Suspect() || x.to.Suspect() || x.fs.set.Away():
		return mover.Away
	}
	return mover.Failed
}

// enter finds the directory as a client would, so that the kernel and we mean
// the same inode. leave forgets it.
func (x *transfer) enter() (leave func(), err error) {
	dir, leave, err := x.fs.holdDir(x.b.Dir)
	if err != nil {
		return nil, err
	}
	x.dir = dir
	if x.sd, err = x.fs.dir(dir, x.b.From); err == nil {
		x.at = x.to
		x.fs.sweepLeft(x.to)
		x.staging, err = x.fs.staging(x.to)
	}
	if err == nil {
		x.at = x.from
		x.trash, err = x.from.Private("trash")
	}
	if err == nil {
		err = onTier(x.sd)
	}
	if err == nil {
		x.fs.coherence.private(x.staging)
		x.fs.coherence.private(x.trash)
		x.at = x.to
		err = x.takes()
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// takes looks at the directory on the target, if that has it.
func (x *transfer) takes() error {
	d, err := x.fs.dir(x.dir, x.b.To)
	if err != nil {
		return unlessAbsent(err)
	}
	defer d.Put()
	return onTier(d)
}

// onTier is errInner for a directory on another filesystem mounted in the tier,
// and errFixed for one that nothing can be removed from.
func onTier(d *tier.Dir) error {
	var s tier.Sight
	if err := d.Look(".", &s); err != nil {
		return err
	}
	switch {
	case s.Stat.Dev != d.Tier.Dev():
		return errInner
	case s.Fixed:
		return errFixed
	}
	return nil
}

// holdDir is a directory by its path in the mount, looked up, until leave.
func (fs *FS) holdDir(path string) (dir *inode.Inode, leave func(), err error) {
	dir = fs.table.Root()
	var held []*inode.Inode
	leave = func() {
		for _, in := range held {
			fs.forget(in.ID, 1)
		}
	}
	for _, name := range strings.Split(path, "/") {
		if name == "" || fs.hidden(dir, name) {
			continue
		}
		in, _, err := fs.lookUp(dir, name)
		if err == nil {
			held = append(held, in)
			if !in.IsDir() {
				err = unix.ENOTDIR
			}
		}
		if err != nil {
			leave()
			return nil, nil, err
		}
		dir = in
	}
	return dir, leave, nil
}

// lookUp counts a lookup of name in p, without a client. An error is that of the tier
// which does not tell what it has there, if it still does not.
func (fs *FS) lookUp(p *inode.Inode, name string) (*inode.Inode, *found, error) {
	f := &found{}
	in, err := fs.look(p, name, f, func(uint64) error { return fs.resolve(p, name, f, nil) })
	if err != nil && !absent(err) {
		err = cmp.Or(fs.askAll(p, name), err)
	}
	return in, f, err
}

// askAll is the error of the first tier that does not tell what it has under name in p.
func (fs *FS) askAll(p *inode.Inode, name string) error {
	for rank, t := range fs.Tiers() {
		if err := fs.statAt(p, rank, name, new(unix.Stat_t)); err != nil && !absent(err) {
			return &tierError{t.Root, err}
		}
	}
	return nil
}

// hold looks a file up and opens it, if it may move.
func (x *transfer) hold(ctx context.Context, m *moving) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, f, err := x.fs.lookUp(x.dir, m.name)
	if err != nil {
		return err
	}
	m.in = in
	m.out.Bytes = f.st.Size
	switch {
	case f.st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errSpecial
	case f.rank < x.b.From:
		return errShadowed
	case f.rank > x.b.From:
		return unix.ENOENT // it has moved already
	case f.st.Nlink > 1:
		return errLinked
	case x.fresh(&f.st):
		return errFresh
	}
	if err := x.alone(m); err != nil {
		return err
	}
	if x.fs.journal.keeps(x.dir, m.name) {
		return errUsed
	}
	if err := x.announce(m); err != nil {
		return err
	}
	if err := x.fs.syncRemovals(entryName{x.dir, m.name}); err != nil {
		return err
	}
	if err := x.room(&f.st); err != nil {
		return err
	}
	return x.open(m)
}

// alone is errTaken if another tier has the name too.
func (x *transfer) alone(m *moving) error {
	for rank := range x.fs.Tiers() {
		if rank == x.b.From {
			continue
		}
		var st unix.Stat_t
		switch err := x.fs.statAt(x.dir, rank, m.name, &st); {
		case err == nil:
			return errTaken
		case !absent(err):
			return &tierError{x.fs.Tiers()[rank].Root, err}
		}
	}
	return nil
}

// fresh reports whether the file was changed within the quiet time, or so lately
// that one more change would get the same change time: in one tick of the
// kernel's coarse clock, 10 ms at most, or where times have whole seconds (ext4
// with inodes of 128 bytes) or even ones (FAT).
func (x *transfer) fresh(st *unix.Stat_t) bool {
	quiet := max(x.b.Quiet, 20*time.Millisecond)
	if st.Ctim.Nsec == 0 {
		quiet = max(quiet, 2*time.Second)
	}
	mtime := time.Since(time.Unix(st.Mtim.Unix()))
	return time.Since(time.Unix(st.Ctim.Unix())) < quiet || mtime >= 0 && mtime < quiet
}

// announce tells those who will open the file that it is under way.
func (x *transfer) announce(m *moving) error {
	m.in.Mu.RLock()
	defer m.in.Mu.RUnlock()
	if m.in.Opened() != nil || x.fs.table.Gone(m.in) != nil {
		return errOpen
	}
	if !x.fs.movings.add(m) {
		return errUsed
	}
	return nil
}

// room takes the room for the blocks of a file on the target, which was looked at
// when the first of them was held. Holes need none.
func (x *transfer) room(st *unix.Stat_t) error {
	if !x.measured {
		space, err := x.to.Space()
		if err != nil {
			return &tierError{x.to.Root, err}
		}
		unit := int64(space.Frsize)
		x.free, x.space, x.measured = int64(space.Bavail)*unit, space, true
		if x.b.MinFree != nil {
			x.free -= int64(x.b.MinFree(space.Blocks * uint64(unit)))
		}
	}
	need := mover.Need(st, x.to, &x.space)
	if x.free < need {
		return errNoRoom
	}
	x.free -= need
	return nil
}

// openSource opens a file so that its access time stays.
func openSource(d *tier.Dir, name string) (*tier.File, error) {
	f, err := d.OpenQuietly(name, unix.O_NONBLOCK)
	if err == unix.EAGAIN { // somebody has a lease on it
		err = errOpenBelow
	}
	return f, err
}

// open opens the source.
func (x *transfer) open(m *moving) (err error) {
	if m.src, err = openSource(x.sd, m.name); err != nil {
		return err
	}
	var s tier.Sight
	if err := m.src.Look(&s); err != nil {
		return err
	}
	m.st, m.out.Bytes = s.Stat, s.Stat.Size
	switch key, _ := x.fs.table.Home(m.in); {
	case x.fs.table.Key(x.b.From, m.st.Dev, m.st.Ino) != key:
		return unix.ESTALE
	case s.Fixed:
		return errFixed
	case m.st.Nlink != 1:
		return errLinked
	}
	return nil
}

// lease makes sure that nobody has the source open, as far as its filesystem
// can tell.
func (x *transfer) lease(m *moving) error {
	leased, err := m.lease()
	switch {
	case err == nil && !leased && m.mapped():
		return errMapped
	case err == nil:
		return nil
	case m.wanted():
		return errWanted
	}
	return errOpenBelow
}

// copyAll copies the files.
func (x *transfer) copyAll(ctx context.Context) {
	c := mover.NewCopier(ctx, x.from, x.to, x.b.Pace)
	x.each(ctx, x.from, x.expect)
	x.each(ctx, x.to, x.create)
	x.each(ctx, x.to, func(m *moving) error {
		if m.st.Size < lengthy {
			return nil
		}
		return c.Attributes(m.src, m.copied, &m.st)
	})
	x.contents(ctx, c)
	x.each(ctx, x.to, func(m *moving) error { return c.Attributes(m.src, m.copied, &m.st) })
	fault("copied")
}

// sync makes the copies durable, together with what is prepared, or each by itself.
func (x *transfer) sync(ctx context.Context, together bool) {
	if together {
		if err := x.staging.SyncFS(); err != nil {
			x.each(ctx, x.to, func(*moving) error { return err })
			return
		}
	}
	x.each(ctx, x.to, func(m *moving) error {
		if !together {
			if err := m.copied.Sync(false); err != nil {
				return err
			}
			if err := m.copied.Stat(&m.copy); err != nil {
				return err
			}
		}
		if !x.fs.NumbersLast(x.to) {
			var err error
			if m.held, err = m.copied.Reopen(unix.O_PATH); err != nil {
				return err
			}
		}
		m.copied.Forget()
		m.copied.Close()
		m.copied = nil
		return nil
	})
	fault("synced")
}

// lengthy is the size from which it is seen first whether the target takes a file's
// attributes: one that does not fit is tried at every scan.
const lengthy = 1 << 20

// contents copies the content of all files as one writer, who changes only to
// drop a copy that has failed: to become somebody else takes six system calls.
func (x *transfer) contents(ctx context.Context, c *mover.Copier) {
	for left := x.files; len(left) > 0; {
		var m *moving
		var err error
		c.AsWriter(func() {
			for len(left) > 0 && err == nil {
				m, left = left[0], left[1:]
				if m.out.Skip == mover.Moved {
					err = c.Content(m.src, m.copied, m.st.Size, m.asked)
				}
			}
		})
		if err != nil {
			x.at = x.to
			x.skip(ctx, m, err)
		}
	}
}

// syncTogether is how many copies are made durable by one syncfs(2), which tells
// of errors since Linux 5.8, rather than by an fsync(2) each: that makes the disk
// write its cache out every time.
const syncTogether = 4

// expected is the size of files that are read ahead. Larger ones the kernel reads
// ahead by itself.
const expected = 64 << 10

// expect has the disk read small files together, in the order that it likes,
// rather than each when it is its turn.
func (x *transfer) expect(m *moving) error {
	if m.st.Size <= expected {
		m.src.Expect(m.st.Size)
	}
	return nil
}

// create makes the copy, empty. Nobody else reaches it there, whatever its mode.
func (x *transfer) create(m *moving) (err error) {
	m.staged = stagingName() // if it fails too: a server may have made it
	m.copied, err = x.staging.Open(m.staged, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mover.Mode(&m.st))
	if err != nil {
		return err
	}
	return mover.Holds(m.copied, m.st.Size)
}

// Opened reports whether a client has the file of a tier with the attributes st
// open, and tells the number that the mount shows of it, 0 if the kernel does not
// know it.
func (fs *FS) Opened(rank int, st *unix.Stat_t) (open bool, shown uint64) {
	in := fs.table.Find(fs.table.Key(rank, st.Dev, st.Ino), st.Mode)
	if in == nil {
		return false, 0
	}
	return in.Opened() != nil, in.Ino
}

// Try has an empty file in a tier's staging directory while fn runs.
func (fs *FS) Try(t *tier.Tier, mode uint32, fn func(f *tier.File) error) error {
	d, err := fs.staging(t)
	if err != nil {
		return err
	}
	defer d.Put()
	name := stagingName()
	f, err := d.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer fs.unstage(d, name)
	defer f.Close()
	return fn(f)
}

// Made is mover.Made.
func (fs *FS) Made(t *tier.Tier, st *unix.Stat_t) (made unix.Stat_t, err error) {
	err = fs.Try(t, mover.Mode(st), func(f *tier.File) (err error) {
		made, err = mover.Given(f, st)
		return err
	})
	return made, err
}

// sameFile reports whether nothing has changed a file but its access time.
func sameFile(a, b *unix.Stat_t) bool { return a.Ctim == b.Ctim && sameContent(a, b) }

// sameContent is sameFile for one that may have been renamed.
func sameContent(a, b *unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Nlink == b.Nlink && stampOf(a).is(b)
}

// end gives up what is held.
func (x *transfer) end() {
	for _, m := range x.files {
		m.close()
		if m.in != nil {
			x.fs.movings.remove(m)
			x.fs.forget(m.in.ID, 1)
		}
	}
	x.dropDraft()
	if x.dir != nil && x.fs.coherence.on.Load() {
		x.fs.coherence.relisted(x.dir) // and its change time, and links
	}
	for _, t := range x.times {
		x.fs.times.leave(t)
	}
	for _, d := range []*tier.Dir{x.sd, x.dd, x.staging, x.trash} {
		if d != nil {
			d.Put()
		}
	}
}

// describe names the file for the log.
func (x *transfer) describe(m *moving) string {
	path, _ := x.fs.table.Path(x.dir)
	return fmt.Sprintf("%s on %s", strings.TrimPrefix(path+"/"+m.name, "/"), x.from.Root)
}
