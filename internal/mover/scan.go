package mover

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// found is something other than a directory that a walk has come upon, or a
// directory that is too deep for it.
type found struct {
	rank      int
	dir, name string
	st        unix.Stat_t // of what is not a regular file perhaps the type alone
	number    uint64      // that its filesystem shows (tier.Sight)
	born      time.Time   // zero if nobody knows
	fixed     bool        // chattr(1) keeps it where it is, or its directory does
	inner     bool        // on another filesystem, mounted inside the tier
	deep      bool        // a directory that is not entered, as its path is too long
	pinning
	excluded bool
}

func (f *found) path() string { return path.Join(f.dir, f.name) }

// visitor is told of what a walk finds. An error of its own ends the walk.
type visitor interface {
	file(f *found) error
	endDir() error // all files of a directory have been told, or those that could be read
}

// walk goes through one tier, depth first, the files of a directory before its
// subdirectories. It costs memory for one step of a listing, and for the names
// of the directories on the way that are still to come. It changes no access
// time, follows no symlink, and enters no filesystem mounted inside, unless it
// begins there.
type walk struct {
	tier    *tier.Tier
	exclude []string
	prune   bool // do not enter what is excluded
	alone   bool // only the file at the start: a directory is unix.EISDIR
	to      visitor

	missed error // the first for which something was passed over

	dev   uint64
	stack []level
	buf   []byte
	rows  []sys.Dirent
}

// level is a directory on the way.
type level struct {
	dir   *tier.Dir
	path  string
	dev   uint64
	fixed bool // nothing can be removed from it
	pinning
	excluded bool
	subs     []string // to be entered
}

// rowBytes is one step of a listing: about two thousand names.
const rowBytes = 64 << 10

// run walks from the path start in the tier, which may be a file. What is not
// there is unix.ENOENT.
func (w *walk) run(ctx context.Context, start string) (err error) {
	defer func() {
		for _, l := range w.stack {
			l.dir.Put()
		}
		w.stack = nil
	}()
	w.buf = make([]byte, rowBytes)
	w.dev = w.tier.Dev()
	if err := w.root(); err != nil {
		return err
	}
	names := split(start)
	for i, name := range names {
		// Those above have served: only what is below start is asked for.
		top := w.stack[0]
		w.stack = w.stack[:0]
		err := w.step(top, name, i == len(names)-1)
		top.dir.Put()
		if err != nil || len(w.stack) == 0 {
			return err
		}
	}
	if w.alone {
		return unix.EISDIR
	}
	if err := w.list(ctx); err != nil {
		return err
	}
	for len(w.stack) > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// root puts the tier's root on the way.
func (w *walk) root() error {
	var s tier.Sight
	d := w.tier.RootDir()
	if err := d.Look(".", &s); err != nil {
		d.Put()
		return err
	}
	w.push(d, "", &s, pinning{}, false)
	return nil
}

// step goes one name of the start's path down, or tells of the file that it is.
func (w *walk) step(from level, name string, last bool) error {
	var s tier.Sight
	if err := from.dir.Look(name, &s); err != nil {
		return err
	}
	if s.Stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return w.enter(from, name, true)
	}
	if !last {
		return unix.ENOTDIR
	}
	if err := w.tell(&from, name, &s); err != nil {
		return err
	}
	return w.to.endDir()
}

// next enters the next directory below the last on the way, or leaves that.
func (w *walk) next(ctx context.Context) error {
	top := &w.stack[len(w.stack)-1]
	n := len(top.subs)
	if n == 0 {
		top.dir.Put()
		w.stack = w.stack[:len(w.stack)-1]
		return nil
	}
	name := top.subs[n-1]
	top.subs = top.subs[:n-1]
	depth := len(w.stack)
	switch err := w.enter(*top, name, false); {
	case err == unix.ENAMETOOLONG && (top.excluded || matches(w.exclude, path.Join(top.path, name))):
		return nil
	case err == unix.ENAMETOOLONG:
		return w.to.file(&found{rank: w.tier.Rank, dir: top.path, name: name, deep: true})
	case err != nil:
		return w.passOver(err)
	}
	if len(w.stack) == depth {
		return nil
	}
	return w.passOver(w.list(ctx))
}

// passOver lets the walk go on after a directory that has gone or cannot be
// read. A tier that has stopped answering ends it, and so does the visitor,
// whose errors are none of a system call.
func (w *walk) passOver(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) || w.tier.Away() {
		return err
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.ESTALE:
	default:
		w.missed = cmp.Or(w.missed, err)
	}
	return nil
}

// maxPath is what the kernel takes. What lies deeper is reached in steps alone.
const maxPath = unix.PathMax - 1

// enter puts the directory name in from on the way, if it belongs there: one of
// another filesystem if it is named. ENAMETOOLONG is that of one that is too deep.
func (w *walk) enter(from level, name string, named bool) error {
	at := path.Join(from.path, name)
	switch {
	case len(at) > maxPath:
		return unix.ENAMETOOLONG
	case from.path == "" && name == tier.MarkName:
		return unix.ENOENT
	}
	excluded := from.excluded || matches(w.exclude, at)
	if excluded && w.prune {
		return nil
	}
	var s tier.Sight
	// First look: an open would mount what autofs has there.
	if err := from.dir.Look(name, &s); err != nil {
		return err
	}
	if s.Stat.Mode&unix.S_IFMT != unix.S_IFDIR || s.Stat.Dev != from.dev && !named {
		return nil
	}
	d, err := from.dir.OpenDir(name)
	if err != nil {
		return err
	}
	w.push(d, at, &s, from.pinning, excluded)
	return nil
}

// push puts d on the way; its own pin counts for more than its parent's.
func (w *walk) push(d *tier.Dir, at string, s *tier.Sight, inherited pinning, excluded bool) {
	w.stack = append(w.stack, level{dir: d, path: at, dev: s.Stat.Dev, fixed: s.Fixed, pinning: pinOf(d, ".", at, inherited), excluded: excluded})
}

// list tells of the files in the last directory on the way and notes its
// subdirectories. Rows are looked at in the order of their inodes, as a
// spinning disk has them.
func (w *walk) list(ctx context.Context) error {
	l := &w.stack[len(w.stack)-1]
	f, err := l.dir.ListQuietly()
	if err != nil {
		return err
	}
	defer f.Close()
	for more := true; more; {
		w.rows = w.rows[:0]
		more, err = f.ReadRows(w.buf, func(d sys.Dirent) error {
			w.rows = append(w.rows, d)
			return nil
		})
		if err != nil { // the walk may go on, in another directory
			return cmp.Or(w.to.endDir(), err)
		}
		slices.SortFunc(w.rows, func(a, b sys.Dirent) int { return cmp.Compare(a.Ino, b.Ino) })
		for _, row := range w.rows {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := w.row(l, row); err != nil {
				return err
			}
		}
	}
	return w.to.endDir()
}

func (w *walk) row(l *level, row sys.Dirent) error {
	var s tier.Sight
	switch row.Type {
	case unix.DT_DIR:
		l.subs = append(l.subs, row.Name)
		return nil
	case unix.DT_REG, unix.DT_UNKNOWN:
		if err := l.dir.Look(row.Name, &s); err != nil {
			return w.passOver(err)
		}
	default:
		s.Stat.Mode = uint32(row.Type) << 12 // IFTODT(3)
	}
	if s.Stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		l.subs = append(l.subs, row.Name)
		return nil
	}
	return w.tell(l, row.Name, &s)
}

func (w *walk) tell(l *level, name string, s *tier.Sight) error {
	f := &found{rank: w.tier.Rank, dir: l.path, name: name, st: s.Stat, number: s.Number, born: s.Born, fixed: l.fixed || s.Fixed, pinning: l.pinning, excluded: l.excluded}
	at := f.path()
	regular := f.st.Mode&unix.S_IFMT == unix.S_IFREG
	f.inner = regular && f.st.Dev != w.dev
	f.excluded = f.excluded || matches(w.exclude, at)
	if regular && !f.excluded {
		f.pinning = pinOf(l.dir, name, at, l.pinning)
	}
	return w.to.file(f)
}
