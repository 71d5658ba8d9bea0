package tierfs

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// What a check finds is mended here, since clients use the same names: the name
// is taken as for a move, both copies are looked at again, and only what is
// still as it was found is touched.

var errChanged = errors.New("it has changed since it was found; check again")

// Owned reports whether an entry of .tierfs/dir on a tier belongs to an operation
// of this daemon.
func (fs *FS) Owned(rank int, dir, name string) bool {
	if dir == "staging" && fs.leftovers.has(name) {
		return false
	}
	return strings.HasPrefix(name, stagingPrefix) || dir == "journal" && fs.journal.stands(name)
}

// Remove removes a hidden copy that is the same as the file that is shown, or a
// copy that never came into place. It reads both until ctx ends, where numbers do not
// tell.
func (fs *FS) Remove(ctx context.Context, f mover.Finding) error {
	if f.Kind == mover.Staged {
		return fs.removeStaged(f)
	}
	h, err := fs.holdHidden(f)
	if err != nil {
		return err
	}
	defer h.leave()
	// What stays must be on disk before what goes.
	if f.High.Dev != f.Low.Dev {
		if err := syncFile(h.high, h.name, &f.High); err != nil {
			return err
		}
	}
	if err := h.compare(ctx); err != nil {
		return err
	}
	return h.alone(func() error {
		differs, err := mover.Differences(h.high, h.low, h.name, fs.Made)
		if err != nil {
			return err
		}
		if len(differs) > 0 {
			return errChanged
		}
		// removeCopies tells the table too: the copy may have been seen once.
		both := []copyAt{{f.Over, f.High}, {f.Rank, f.Low}}
		if err := fs.removeCopies(new(fusedev.Request), h.dir, h.name, both, 1); err != nil {
			return err
		}
		h.fs.coherence.renew(h.dir, h.name)
		return h.low.Sync()
	})
}

// Unhide gives a hidden copy a name of its own in the same directory of its
// tier, so that the mount shows it, and returns that.
func (fs *FS) Unhide(f mover.Finding) (name string, err error) {
	h, err := fs.holdHidden(f)
	if err != nil {
		return "", err
	}
	defer h.leave()
	err = h.alone(func() error {
		if name, err = h.fs.freeName(h.dir, h.name, ".shadowed-by-tierfs"); err != nil {
			return err
		}
		if err := h.low.Rename(h.name, h.low, name, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
		h.fs.coherence.renew(h.dir, name)
		return h.low.Sync()
	})
	return name, err
}

// hidden is a hidden copy that is being mended.
type hidden struct {
	fs        *FS
	f         mover.Finding
	dir       *inode.Inode
	name      string
	high, low *tier.Dir
	held      [2]*tier.File // both copies once they were compared, see compare; O_PATH
	leave     func()
}

// holdHidden finds the directory of a hidden copy as a client would.
func (fs *FS) holdHidden(f mover.Finding) (*hidden, error) {
	in, name := path.Split(f.Path)
	dir, forget, err := fs.holdDir(in)
	if err != nil {
		return nil, err
	}
	h := &hidden{fs: fs, f: f, dir: dir, name: name}
	h.leave = func() {
		for _, d := range []*tier.Dir{h.high, h.low} {
			if d != nil {
				d.Put()
			}
		}
		for _, f := range h.held {
			if f != nil {
				f.Close()
			}
		}
		forget()
	}
	if h.high, err = fs.dir(dir, f.Over); err == nil {
		h.low, err = fs.dir(dir, f.Rank)
	}
	if err != nil {
		h.leave()
		return nil, err
	}
	return h, nil
}

// compare is errChanged unless both copies have the same content still. Where numbers
// tell them from others that is known; else they are read once more, and held: it may
// take long, and nobody is to wait for it.
func (h *hidden) compare(ctx context.Context) error {
	if h.f.Low.Mode&unix.S_IFMT != unix.S_IFREG || h.fs.NumbersLast(h.high.Tier) && h.fs.NumbersLast(h.low.Tier) {
		return nil
	}
	var both [2]*tier.File
	for i, d := range []*tier.Dir{h.high, h.low} {
		f, err := d.OpenQuietly(h.name, unix.O_NONBLOCK)
		if err != nil {
			return err
		}
		defer f.Close()
		if h.held[i], err = f.Reopen(unix.O_PATH); err != nil {
			return err
		}
		both[i] = f
	}
	same, err := mover.SameBytes(ctx, both[0], both[1], h.f.Low.Size)
	if err == nil && !same {
		err = errChanged
	}
	return err
}

// alone runs fn while nobody changes the name and no mover is at the file, if
// both copies are as they were found. A move of the file has two copies of it
// for a while, and must not lose either.
func (h *hidden) alone(fn func() error) error {
	in, _, err := h.fs.lookUp(h.dir, h.name)
	if err != nil {
		return err
	}
	defer h.fs.forget(in.ID, 1)
	stay := &moving{name: h.name, in: in}
	if !h.fs.movings.add(stay) {
		return errUsed
	}
	defer h.fs.movings.remove(stay)
	done, ok := h.fs.names.take(entryName{h.dir, h.name}, movePatience)
	if !ok {
		return errUsed
	}
	defer done()
	if !h.fs.still(h.high, h.name, h.held[0], &h.f.High) || !h.fs.still(h.low, h.name, h.held[1], &h.f.Low) {
		return errChanged
	}
	return fn()
}

// still reports whether name in d is the file with the attributes st, with the same
// content. Where numbers do not tell that, open has it open; without, its attributes do
// for what is only renamed, or has a name that we alone give.
func (fs *FS) still(d *tier.Dir, name string, open *tier.File, st *unix.Stat_t) bool {
	now, same, err := unix.Stat_t{}, true, error(nil)
	if open == nil && !fs.NumbersLast(d.Tier) {
		err = d.Stat(name, &now)
	} else {
		now, same, err = fs.same(d, name, open, st)
	}
	return err == nil && same && now.Mode == st.Mode && now.Size == st.Size && now.Mtim == st.Mtim
}

// removeStaged removes what no operation needs any more.
func (fs *FS) removeStaged(f mover.Finding) error {
	d, err := fs.staging(fs.Tiers()[f.Rank])
	if err != nil {
		return err
	}
	defer d.Put()
	name := path.Base(f.Path)
	if err := fs.journal.unnamed(name); err != nil {
		return err
	}
	if fs.Owned(f.Rank, "staging", name) || !fs.still(d, name, nil, &f.Low) {
		return errChanged
	}
	return removeEither(d, name)
}
