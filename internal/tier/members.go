package tier

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Root is what the guard of the membership needs of a tier.
type Root struct {
	Path     string
	Rank     int
	FD       int // directory descriptor of the tier's root, O_PATH will do
	ReadOnly bool
}

// Identity is how a tier is known again: by its mark, or where it has none
// (read-only, or with no other tier beside it) as a directory of a filesystem.
type Identity struct {
	ID, Set   string // empty where no list says
	FSID      string // empty where the filesystem has no lasting one
	RootInode uint64
	Marked    bool // ID is in the tier's own mark
}

// JoinResult is what Join found and holds.
type JoinResult struct {
	Warnings, Notes []string
	Owner           bool   // holds the lock of every writable tier: may move and replay
	Held            bool   // another has one of them
	Holder          Holder // who that is, as far as it is known
	SetID           string
	Members         []Identity // in the order of the roots
	Refused         error      // why TakeOver failed, if not for a lock that another holds

	locks []lock // one that is not owner can have some, see Rejoin
	at    string // the mount point
	guard *guard // for TakeOver, with descriptors of its own; nil once owner
}

// lock is that of a tier.
type lock struct {
	path string // the tier's
	fd   int
}

// Join verifies that every root is the member that the newest list names, or
// writes the lists of a first mount, for the mount on at. With one root it writes
// nothing. Nothing has been written anywhere if it refuses a tier.
//
// INVARIANT: a list names a writable tier only after that tier's own mark, with
// the ID in the list, is durable. So a tier that is named and carries no mark
// is not the member, whatever crashed before: its disk is not mounted.
//
// The order of writing keeps it, under the locks of all writable tiers:
//
//  1. Each new tier, by rank, gets a candidate: a mark of generation 0 that
//     names nobody. The file, .tierfs and the root are synced.
//  2. The list of the next generation goes to every writable tier, by rank.
//
// The newest generation is the authority. A crash within 1 leaves candidates,
// which bind nothing: the next mount judges their tiers as new and keeps the
// IDs. A crash within 2 leaves lists of two generations, or lists and
// candidates: the newer names IDs that all exist, and the next mount copies it
// to the tiers it names. Replace and Adopt write a candidate too, with the
// request in it; step 1 keeps the request and step 2 ends it, so that it is
// there for as long as no list names the tier.
func Join(roots []Root, at string) (*JoinResult, error) {
	g, err := newGuard(roots, at)
	if err != nil {
		return nil, err
	}
	return g.join(true)
}

// Check is the judgement of Join as text. It writes nothing.
func Check(roots []Root, at string) ([]string, error) {
	g, err := newGuard(roots, at)
	if err != nil {
		return nil, err
	}
	if len(roots) == 1 {
		j, err := g.lone()
		if err != nil {
			return nil, err
		}
		return j.Warnings, nil
	}
	v, err := g.survey()
	if err != nil {
		return nil, err
	}
	return append(v.warnings, v.notes...), nil
}

// TakeOver tries once more to become owner. When it does, it brings the lists
// up to date, and the result is that of a Join of this moment. One goroutine at
// a time uses the result.
func (j *JoinResult) TakeOver() bool {
	if j.Owner || j.guard == nil {
		return j.Owner
	}
	var next JoinResult
	j.Refused = j.guard.own(&next)
	if j.Refused != nil || !next.Owner {
		j.Held, j.Holder = next.Held, next.Holder
		return false
	}
	j.become(&next)
	return true
}

// Rejoin settles the membership anew: of one root more, or when a tier has come back,
// perhaps as another mount of its disk. The locks are kept meanwhile, because what we
// have under way is for nobody else to finish:
//
//	this daemon: record of a rename, one tier renamed, the locks given up
//	another:     takes them, takes the rename back, removes the record
//	this daemon: renames on the other tier
//
// One that has not all of them takes none: TakeOver does, and its caller finishes what
// the last holder left. After an error everything is as it was.
func (j *JoinResult) Rejoin(roots []Root) error {
	g, err := newGuard(roots, j.at)
	if err != nil {
		return err
	}
	g.kept = j.locks
	next, err := g.join(j.Owner)
	if err == nil {
		j.become(next)
	}
	return err
}

// become replaces j by next, and closes what that does not have.
func (j *JoinResult) become(next *JoinResult) {
	closeLocks(without(j.locks, next.locks))
	if j.guard != nil {
		j.guard.close()
	}
	*j = *next
}

// Close gives the locks back.
func (j *JoinResult) Close() error {
	err := closeLocks(j.locks)
	j.Owner, j.locks = false, nil
	if j.guard != nil {
		err = errors.Join(err, j.guard.close())
		j.guard = nil
	}
	return err
}

func closeLocks(locks []lock) error {
	var fds []int
	for _, l := range locks {
		fds = append(fds, l.fd)
	}
	return closeAll(fds)
}

// without are those of all that are not among others.
func without(all, others []lock) []lock {
	return slices.DeleteFunc(slices.Clone(all), func(l lock) bool { return slices.Contains(others, l) })
}

func closeAll(fds []int) error {
	var errs error
	for _, fd := range fds {
		errs = errors.Join(errs, unix.Close(fd))
	}
	return errs
}

// VerifyMember judges fd, the directory opened anew at path, which is to serve
// again as the member want.
func VerifyMember(fd int, path string, want Identity) error {
	s, err := look(Root{Path: path, FD: fd})
	if err != nil {
		return err
	}
	if !want.Marked {
		if s.fsid != want.FSID || s.inode != want.RootInode {
			return fmt.Errorf("tier %s: not the directory that was here; mount the right disk", show(path))
		}
		return nil
	}
	if err := s.readMark(); err != nil {
		return err
	}
	switch {
	case s.rec == nil:
		return fmt.Errorf("tier %s: it carries no mark, its disk is probably not mounted; mount it", show(path))
	case s.rec.ID != want.ID, s.rec.Generation > 0 && s.rec.Set != want.Set:
		return fmt.Errorf("tier %s: it is tier %s, and %s was here; mount the right disk", show(path), s.rec.ID, want.ID)
	}
	return nil
}

// guard judges and writes the membership of the tiers of one mount.
type guard struct {
	roots   []Root
	at      string // the mount point
	kept    []lock // that the mount has already
	rootDev uint64 // st_dev of "/", which a tier is on whose disk is not mounted
	write   func(dirfd int, rec *record) error
}

func newGuard(roots []Root, at string) (*guard, error) {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return nil, fmt.Errorf("/: %w", err)
	}
	return &guard{roots: roots, at: at, rootDev: uint64(st.Dev), write: writeRecord}, nil
}

// join judges, and takes the locks if it is to own the tiers.
func (g *guard) join(own bool) (*JoinResult, error) {
	if len(g.roots) == 1 {
		return g.lone()
	}
	j := new(JoinResult)
	enter := g.own
	if !own {
		enter = g.serve
	}
	if err := enter(j); err != nil {
		return nil, err
	}
	if j.Owner {
		return j, nil
	}
	var err error
	j.locks = g.kept
	j.guard, err = g.dup()
	return j, err
}

// own judges, takes the locks, and judges again what it then writes. Without
// the locks the first judgement serves and nothing is written.
func (g *guard) own(j *JoinResult) error {
	v, err := g.survey()
	if err != nil {
		return err
	}
	locks, all, err := g.lock(v)
	if err != nil {
		return err
	}
	if all {
		defer func() {
			if !j.Owner {
				closeLocks(without(locks, g.kept))
			}
		}()
		if v, err = g.survey(); err != nil {
			return err
		}
		if err := g.settle(v); err != nil {
			return err
		}
		j.Owner, j.locks = true, locks
	}
	g.tell(j, v)
	return nil
}

// serve judges, for one that is not to take the locks now.
func (g *guard) serve(j *JoinResult) error {
	v, err := g.survey()
	if err != nil {
		return err
	}
	g.tell(j, v)
	return nil
}

// tell says in j what v is.
func (g *guard) tell(j *JoinResult, v *verdict) {
	j.at = g.at
	j.Warnings, j.Notes, j.Held, j.Holder = v.warnings, v.notes, v.held, v.holder
	j.SetID, j.Members = v.identities(j.Owner)
}

// survey looks at every tier and judges.
func (g *guard) survey() (*verdict, error) {
	tiers := make([]seen, len(g.roots))
	for i, r := range g.roots {
		s, err := look(r)
		if err == nil {
			err = s.readMark()
		}
		if err != nil {
			return nil, err
		}
		tiers[i] = s
	}
	return judge(tiers, g.rootDev)
}

// lock takes the locks of the writable tiers by rank, all or none but those that are
// kept: two daemons that each took some would keep both from moving for ever.
func (g *guard) lock(v *verdict) (locks []lock, all bool, err error) {
	for i, r := range g.roots {
		if r.ReadOnly {
			continue
		}
		fd, holder, err := g.lockOne(r)
		if fd >= 0 {
			locks = append(locks, lock{r.Path, fd})
			continue
		}
		closeLocks(without(locks, g.kept))
		switch {
		case err == nil:
			v.held, v.holder = true, holder
		case v.first || v.fresh[i] || !takesNothing(err):
			return nil, false, cannotWrite(r, err)
		default:
			v.warnings = append(v.warnings, fmt.Sprintf("%v, for until then no files are moved", cannotWrite(r, err)))
		}
		return nil, false, nil
	}
	return locks, true, nil
}

// lockOne is lockMark for a tier whose lock may be kept. A kept one that is of another
// mount of its disk is let go if a server takes it for that of somebody else.
func (g *guard) lockOne(r Root) (fd int, holder Holder, err error) {
	of := slices.IndexFunc(g.kept, func(l lock) bool { return l.path == r.Path })
	if of >= 0 && isLock(g.kept[of].fd, r.FD) {
		return g.kept[of].fd, holder, nil
	}
	fd, holder, err = lockMark(r.FD)
	if of >= 0 && fd < 0 && err == nil && unix.Flock(g.kept[of].fd, unix.LOCK_UN) == nil {
		fd, holder, err = lockMark(r.FD)
	}
	if fd >= 0 {
		signLock(fd, g.at, "")
	}
	return fd, holder, err
}

// takesNothing reports whether err is that of a tier which serves, but takes nothing.
func takesNothing(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// settle writes what v wants, in the order that Join promises.
func (g *guard) settle(v *verdict) error {
	for i, r := range g.roots {
		if !v.fresh[i] {
			continue
		}
		if err := g.put(r, v.candidate(i)); err != nil {
			return cannotWrite(r, err)
		}
	}
	for i, r := range g.roots {
		if r.ReadOnly || !v.stale[i] {
			continue
		}
		rec := v.list
		rec.ID = v.ids[i]
		err := g.put(r, &rec)
		if err != nil && v.first {
			return cannotWrite(r, err)
		}
		if err != nil {
			v.warnings = append(v.warnings, cannotWrite(r, err).Error())
		}
	}
	return nil
}

// put writes a tier's record. The root is synced for a .tierfs just made.
func (g *guard) put(r Root, rec *record) error {
	dirfd, err := OpenMarkDir(r.FD, true)
	if err != nil {
		return err
	}
	defer unix.Close(dirfd)
	if err := g.write(dirfd, rec); err != nil {
		return fmt.Errorf("%s/%s: %w", MarkName, listName, err)
	}
	if rec.Generation == 0 {
		return syncDir(r.FD)
	}
	return nil
}

// cannotWrite is the error of a tier whose mark or list cannot be written.
func cannotWrite(r Root, err error) error {
	if errors.Is(err, unix.EPERM) && isTierfs(r.FD) {
		return fmt.Errorf("tier %s: it is the top of a tierfs mount, which keeps %s for itself; name the tiers of that mount, or a directory in it", show(r.Path), MarkName)
	}
	what := map[error]string{
		unix.ENOSPC: "free some space there", unix.EDQUOT: "raise the quota of the user who mounts",
		unix.EACCES: "make the directory writable for the user who mounts",
		unix.EPERM:  "make the directory writable for the user who mounts",
		unix.EROFS:  "mount its filesystem writable",
		unix.EIO:    "check its disk",
	}
	for errno, do := range what {
		if errors.Is(err, errno) {
			return fmt.Errorf("tier %s: %w; %s", show(r.Path), err, do)
		}
	}
	return fmt.Errorf("tier %s: %w; see to that in the tier itself", show(r.Path), err)
}

// isTierfs reports whether the directory is served by tierfs, which alone has this
// attribute.
func isTierfs(fd int) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.FUSE_SUPER_MAGIC {
		return false
	}
	_, err := unix.Fgetxattr(fd, "user.tierfs.tier", nil)
	return err == nil
}

// dup is the guard with descriptors of its own, for the caller to close.
func (g *guard) dup() (*guard, error) {
	d := *g
	d.roots = nil
	for _, r := range g.roots {
		fd, err := unix.FcntlInt(uintptr(r.FD), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			d.close()
			return nil, fmt.Errorf("tier %s: %w", show(r.Path), err)
		}
		r.FD = fd
		d.roots = append(d.roots, r)
	}
	return &d, nil
}

func (g *guard) close() error {
	var fds []int
	for _, r := range g.roots {
		fds = append(fds, r.FD)
	}
	return closeAll(fds)
}

// seen is a tier as it was found.
type seen struct {
	Root
	dev, inode uint64
	fsid       string
	rec        *record // nil: no mark
}

// look finds out which directory of which filesystem a tier is.
func look(r Root) (seen, error) {
	var st unix.Stat_t
	var fs unix.Statfs_t
	err := unix.Fstat(r.FD, &st)
	if err == nil {
		err = unix.Fstatfs(r.FD, &fs)
	}
	if err != nil {
		return seen{}, fmt.Errorf("tier %s: %w; check its disk", show(r.Path), err)
	}
	return seen{Root: r, dev: uint64(st.Dev), inode: st.Ino, fsid: lastingFSID(uint64(st.Dev), &fs)}, nil
}

func (s *seen) readMark() (err error) {
	if s.rec, err = readMark(s.FD); err != nil {
		return fmt.Errorf("tier %s: %w", show(s.Path), err)
	}
	return nil
}

// lastingFSID is f_fsid if it stays the same for as long as the filesystem
// exists. It is zero on network filesystems; tmpfs and overlayfs make a new one
// a mount; xfs, squashfs and FAT give the device number (u64_to_fsid of
// huge_encode_dev), which is another one when disks are found in another order.
func lastingFSID(dev uint64, fs *unix.Statfs_t) string {
	id := uint64(uint32(fs.Fsid.Val[1]))<<32 | uint64(uint32(fs.Fsid.Val[0]))
	major, minor := uint64(unix.Major(dev)), uint64(unix.Minor(dev))
	ofDevice := minor&0xff | major<<8 | minor&^0xff<<12
	if id == 0 || id == ofDevice || int64(fs.Type) == unix.TMPFS_MAGIC || int64(fs.Type) == unix.OVERLAYFS_SUPER_MAGIC {
		return ""
	}
	return fmt.Sprintf("%016x", id)
}
