package tierfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// relocation is the record of files of one directory that move from one tier to
// another.
type relocation struct {
	Source string      `json:"source"` // member IDs
	Target string      `json:"target"`
	Dir    []byte      `json:"dir"` // names are bytes, not UTF-8
	Files  []relocated `json:"files"`

	durable int // one more than were found settled and are durable; 0: none was looked at
}

// relocated is one of them: the source as it was when it was copied, the copy as
// it was when it was complete, and the name that the source gets in its tier's
// trash before it goes.
type relocated struct {
	Name   []byte `json:"name"`
	Source stamp  `json:"source"`
	Copy   stamp  `json:"copy"`
	Aside  string `json:"aside"`
}

// stamp tells a file from others and from what it was before.
type stamp struct {
	Ino   uint64        `json:"ino"`
	Size  int64         `json:"size"`
	Mode  uint32        `json:"mode"`
	UID   uint32        `json:"uid"`
	GID   uint32        `json:"gid"`
	Mtime unix.Timespec `json:"mtime"`
	Ctime unix.Timespec `json:"ctime"`
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{Ino: st.Ino, Size: st.Size, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Mtime: st.Mtim, Ctime: st.Ctim}
}

// is reports whether st is that file, unchanged but for its names.
func (s stamp) is(st *unix.Stat_t) bool {
	now := stampOf(st)
	now.Ctime = s.Ctime
	return now == s
}

// valid accepts names that stay where they belong.
func (r *relocation) valid() bool {
	if r == nil || len(r.Files) == 0 || len(r.Dir) > 0 && !inside(string(r.Dir)) {
		return false
	}
	for _, f := range r.Files {
		name := string(f.Name)
		if strings.Contains(name, "/") || strings.Contains(f.Aside, "/") || !inside(f.Aside) ||
			!inside(join(string(r.Dir), name)) || !inside(name) && name != hiddenName {
			return false
		}
	}
	return true
}

// join is a path in the mount.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

var errBoth = errors.New("both tiers have a version of the file; compare them, remove one")

// replayMove settles what a move has left: each file has one name again, on the
// tier that has the newer version. What was done before a crash, and is found
// done, may not be durable: it is before the record goes, or clients see the files
// of one that stays.
func (j *journal) replayMove(r *relocation) error { return j.endMove(r, false) }

// endMove is replayMove. With apart, a file in the trash that cannot have its
// name again gets another.
func (j *journal) endMove(r *relocation, apart bool) error {
	from, to, err := j.ends(r)
	if err != nil {
		return err
	}
	trash, err := from.Private("trash")
	if err != nil {
		return err
	}
	defer trash.Put()
	var all []error
	var settled []string
	moved, doubled := 0, 0
	for i := range r.Files {
		s := settlement{fs: j.fs, from: from, to: to, trash: trash, dir: string(r.Dir), f: &r.Files[i], apart: apart}
		if err := s.run(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", join(s.dir, s.name()), err))
		} else {
			settled = append(settled, s.f.Aside)
		}
		if s.moved {
			moved++
		}
		if s.doubled {
			doubled++
		}
		fault("settled")
	}
	j.unstageAll(to, settled) // copies that never came into place
	if moved > 0 {
		j.fs.log.Info("files whose move was interrupted have moved after all", "files", moved, "dir", string(r.Dir), "from", from.Root, "to", to.Root)
	}
	if doubled > 0 {
		j.fs.log.Warn("files of a move that was interrupted are on another tier too, since they were moved or made while a tier was left out of the mount; see tierfs check", "files", doubled, "dir", string(r.Dir), "tier", to.Root)
	}
	if done := len(r.Files) - len(all); len(all) == 0 || done >= r.durable { // else a try that was in vain wakes no disk
		if err := errors.Join(tier.SyncNames(trash), j.endIn(from, r), j.endIn(to, r)); err != nil {
			all = append(all, err)
		} else {
			r.durable = done + 1
		}
	}
	return errors.Join(all...)
}

// unstageAll removes what there is of some names in a tier's staging directory.
func (j *journal) unstageAll(t *tier.Tier, names []string) {
	staging, err := j.fs.staging(t)
	if err != nil {
		return // the next sweep will
	}
	defer staging.Put()
	for _, name := range names {
		_ = j.fs.unstage(staging, name)
	}
}

// ends are the tiers between which files moved.
func (j *journal) ends(r *relocation) (from, to *tier.Tier, err error) {
	if from, err = j.member(r.Source); err == nil {
		to, err = j.member(r.Target)
	}
	return from, to, err
}

// endIn syncs the files' directory on a tier that has it, and gives it the times that the
// move could not.
func (j *journal) endIn(t *tier.Tier, r *relocation) error {
	d, _, err := t.OpenParent(join(string(r.Dir), string(r.Files[0].Name)))
	if err != nil {
		return unlessAbsent(err)
	}
	defer d.Put()
	_ = j.fs.times.restore(d)
	return tier.SyncNames(d)
}

// settlement ends the move of one file.
type settlement struct {
	fs       *FS
	from, to *tier.Tier
	trash    *tier.Dir
	dir      string
	f        *relocated
	apart    bool            // the file in the trash may get another name
	removed  bool            // a client removes the copy, so that nothing written into the source counts any more
	moved    bool            // the source has gone: run tells
	doubled  bool            // a third tier has the name too: run tells
	in       *inode.Inode    // the directory, while it is locked; nil if clients see none
	sd, dd   *tier.Dir       // the directory on both, nil where there is none
	dropped  *tier.Dir       // where a name was removed, if one was
	known    [2]*inode.Inode // what the kernel holds of the source and of the copy, locked
}

func (s *settlement) name() string { return string(s.f.Name) }

// run settles with the file locked against clients, if any can have it: the
// daemon that has moved it has some, and one that takes over from another.
func (s *settlement) run() (err error) {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if s.sd, err = s.open(s.from); err != nil {
		return err
	}
	if s.dd, err = s.open(s.to); err != nil {
		return err
	}
	defer func() {
		for _, d := range []*tier.Dir{s.sd, s.dd} {
			if d != nil {
				d.Put()
			}
		}
	}()
	if err := s.settle(); err != nil {
		return err
	}
	s.rehome()
	if s.dropped == nil || s.fs.srv == nil {
		return nil
	}
	return tier.SyncNames(s.dropped) // as in unsynced: clients change the name next, and endMove syncs late
}

// open is the directory on a tier, nil if it is not there.
func (s *settlement) open(t *tier.Tier) (*tier.Dir, error) {
	d, _, err := t.OpenParent(join(s.dir, s.name()))
	if absent(err) {
		return nil, nil
	}
	return d, err
}

// lock keeps clients from the file, and its directory where it is. A client that
// has it open keeps us from it.
func (s *settlement) lock() (unlock func(), err error) {
	dir, leave, err := s.fs.holdDir(s.dir)
	if absent(err) {
		return func() {}, nil // nobody finds the file by that name
	}
	if err != nil {
		return nil, err
	}
	s.in = dir
	undo := []func(){leave, s.fs.moves.pin(dir)}
	unlock = func() {
		for _, fn := range slices.Backward(undo) {
			fn()
		}
	}
	done, ok := s.fs.names.take(entryName{dir, s.name()}, movePatience)
	if !ok {
		unlock()
		return nil, errUsed
	}
	undo = append(undo, done)
	for i, t := range []*tier.Tier{s.from, s.to} {
		in := s.find(t)
		if in == nil {
			continue
		}
		if !in.Mu.TryLock() {
			unlock()
			return nil, errUsed
		}
		undo = append(undo, in.Mu.Unlock)
		if in.Opened() != nil {
			unlock()
			return nil, errOpen
		}
		s.known[i] = in
	}
	return unlock, nil
}

// find is the inode of what has the name on a tier, if the kernel holds it.
func (s *settlement) find(t *tier.Tier) *inode.Inode {
	st, err := t.Lstat(join(s.dir, s.name()))
	if err != nil {
		return nil
	}
	return s.fs.table.Find(s.fs.table.Key(t.Rank, st.Dev, st.Ino), st.Mode)
}

// rehome tells the table where the file is now, if the kernel has it from where
// it was.
func (s *settlement) rehome() {
	source, err := stat(s.sd, s.name())
	final, e := stat(s.dd, s.name())
	in, t, st := s.known[0], s.to, final
	if source != nil {
		in, t, st = s.known[1], s.from, source
	}
	if err != nil || e != nil || source != nil && final != nil || in == nil || st == nil || st.Nlink > 1 {
		return
	}
	if s.fs.table.Rehome(in, s.fs.table.Key(t.Rank, st.Dev, st.Ino)) {
		s.fs.invalAttr(in)
	}
}

// settle looks at what is there: the source under its name or in the trash, and
// the copy.
func (s *settlement) settle() error {
	source, err := stat(s.sd, s.name())
	if err != nil {
		return err
	}
	final, err := stat(s.dd, s.name())
	if err != nil {
		return err
	}
	aside, err := stat(s.trash, s.f.Aside)
	if err != nil {
		return err
	}
	ours := final != nil && s.fs.isCopy(s.to, s.f, final)
	switch {
	case aside != nil && s.fs.unchanged(s.from, &s.f.Source, aside) && (ours || s.fs.journal.taken(s.f.Aside)):
		var other *tier.Dir
		if ours {
			other = s.dd
		}
		return s.drop(s.trash, s.f.Aside, aside, other) // it was about to go
	case aside != nil:
		return s.putBack(source, final, ours)
	case !ours:
		return nil // the copy was never placed
	case source == nil: // nothing is left to do, but to tell who has what came later that he has both
		s.doubled, _ = s.elsewhere()
		return nil
	}
	return s.oneOfTwo(source, final)
}

// forgo removes the source from the trash for good, as settle would while the copy is
// there: a client takes its name. It reports whether that is done.
//
// LOCKS_REQUIRED(the name, or a mark on a directory above)
func (s *settlement) forgo() bool {
	if !s.fs.alone.Load() || s.from.Suspect() {
		return false
	}
	var err error
	if s.trash, err = s.from.Private("trash"); err != nil {
		return false
	}
	defer s.trash.Put()
	if s.dd, err = s.open(s.to); err != nil || s.dd == nil {
		return false
	}
	defer s.dd.Put()
	aside, err := stat(s.trash, s.f.Aside)
	return err == nil && aside != nil && s.fs.unchanged(s.from, &s.f.Source, aside) &&
		s.drop(s.trash, s.f.Aside, aside, s.dd) == nil && tier.SyncNames(s.trash) == nil
}

// stat is what d has under a name, nil for nothing.
func stat(d *tier.Dir, name string) (*unix.Stat_t, error) {
	if d == nil {
		return nil, nil
	}
	var st unix.Stat_t
	switch err := d.Stat(name, &st); {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &st, nil
}

// putBack gives what is in the trash its name again: it is another file than the
// one that was copied, or the copy has gone since.
func (s *settlement) putBack(source, final *unix.Stat_t, ours bool) error {
	taken := source != nil || final != nil && !ours
	if !taken && !ours {
		var err error
		if taken, err = s.elsewhere(); err != nil {
			return err
		}
	}
	switch {
	case s.apart && (taken || s.sd == nil):
		apart := stray{fs: s.fs, in: s.trash, aside: s.f.Aside, path: join(s.dir, s.name()), dir: s.in, d: s.sd}
		if err := apart.setApart(); err != nil {
			return err
		}
		return s.settle() // of what is under the name
	case taken:
		return fmt.Errorf("%w; an older version of it is %s in .tierfs/trash of %s", errNameTaken, s.f.Aside, s.from.Root)
	case s.sd == nil:
		return fmt.Errorf("%w; it is %s in .tierfs/trash of %s", errNoDir, s.f.Aside, s.from.Root)
	}
	err := s.fs.times.over(s.sd, func() error { return s.trash.Rename(s.f.Aside, s.sd, s.name(), unix.RENAME_NOREPLACE) })
	if err != nil {
		return err
	}
	if err := tier.SyncNames(s.sd, s.trash); err != nil {
		return err
	}
	if !ours {
		return nil
	}
	if !s.fs.unchanged(s.to, &s.f.Copy, final) {
		return errBoth
	}
	return s.drop(s.dd, s.name(), final, s.sd)
}

// elsewhere reports whether a third tier has the name. When the file was moved none had
// it (alone), so what has it now came later: an older version must not hide it.
func (s *settlement) elsewhere() (bool, error) {
	for _, t := range s.fs.Tiers() {
		if t == s.from || t == s.to {
			continue
		}
		if _, err := t.Lstat(join(s.dir, s.name())); !absent(err) {
			return err == nil, err
		}
	}
	return false, nil
}

// oneOfTwo keeps the newer version of a file that is on both tiers, if one is as
// it was when the copy was made. Where that is the source, what the copy has
// become is what was made of the file: the copy was complete before it got its
// name. So it is on the way up, where clients change the copy before the source
// goes, and so it is when a power cut has brought the source back:
//
//	mover: unlink f on the primary
//	client: write and fsync f, on the fallback
//	the power goes before the primary has f's end on disk
func (s *settlement) oneOfTwo(source, final *unix.Stat_t) error {
	switch {
	case s.fs.unchanged(s.from, &s.f.Source, source) && s.f.Source.Ctime == source.Ctim:
		if err := syncFile(s.dd, s.name(), final); err != nil {
			return err
		}
		err := s.drop(s.sd, s.name(), source, s.dd)
		s.moved = err == nil
		return err
	case s.fs.unchanged(s.to, &s.f.Copy, final):
		return s.drop(s.dd, s.name(), final, s.sd)
	}
	return errBoth
}

// drop removes a name, which is durable before the record goes. What it leads to
// must be as it was seen, in st, with nobody left who could write into it. The file
// stays under its name in other, which is nil if a client has removed it there.
func (s *settlement) drop(d *tier.Dir, name string, st *unix.Stat_t, other *tier.Dir) error {
	f, err := openSource(d, name)
	if err != nil {
		return unlessAbsent(err)
	}
	defer f.Close() // with the lease
	if err := f.Lease(); !s.removed && (err == unix.EAGAIN || err != nil && s.mapped()) {
		return errOpenBelow
	}
	if err := s.twin(f, other); err != nil {
		return err
	}
	now, same, err := s.fs.same(d, name, f, st)
	if err == nil && !(same && sameFile(&now, st)) {
		err = errChanged
	}
	if err != nil {
		return err
	}
	s.dropped = d
	if d == s.trash {
		return unlessAbsent(d.Unlink(name))
	}
	return unlessAbsent(s.fs.times.over(d, func() error { return d.Unlink(name) }))
}

// twin is errBoth for a file that is not known to have the content that stays, where
// numbers do not tell whose copy that is.
func (s *settlement) twin(f *tier.File, other *tier.Dir) error {
	if other == nil || s.fs.NumbersLast(s.from) && s.fs.NumbersLast(s.to) {
		return nil
	}
	g, err := other.OpenQuietly(s.name(), unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer g.Close()
	same, err := mover.SameFile(f, g, maxCompared)
	if err == nil && !same {
		err = errBoth
	}
	return err
}

// mapped reports whether a client may write into the file by a mapping.
//
// LOCKS_REQUIRED(s.known[i].Mu)
func (s *settlement) mapped() bool {
	return slices.ContainsFunc(s.known[:], func(in *inode.Inode) bool { return in != nil && in.Mapped.Load() })
}
