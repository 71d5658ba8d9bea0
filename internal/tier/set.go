package tier

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Config is what all tiers of a set share.
type Config struct {
	Log     *slog.Logger
	Timeout time.Duration // a tier that has not answered for so long is away

	AccessTimes AccessTimes
	Mounts      func() []string // where filesystems are mounted; for AccessTimes
}

// Set is the tiers of one mount in rank order.
type Set struct {
	cfg   Config
	tiers atomic.Pointer[[]*Tier] // replaced whole when one is added

	stop     chan struct{}
	stopped  sync.Once
	done     sync.WaitGroup
	verify   func(t *Tier, fd int) error
	onLoss   func()
	onReturn func(t *Tier)
}

// Tiers are the tiers by rank. The slice does not change.
func (s *Set) Tiers() []*Tier { return *s.tiers.Load() }

// OpenSet opens the directories roots, the primary first, before anything is
// mounted over them. The error names the directory and says what to do.
func OpenSet(roots []string, cfg Config) (*Set, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Set{cfg: cfg, stop: make(chan struct{})}
	s.tiers.Store(&[]*Tier{})
	for _, root := range roots {
		t, err := s.Open(root)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.Append(t)
	}
	return s, nil
}

// MaxTiers is how many there are at most: listings keep ranks in a byte.
const MaxTiers = 1 << 8

// Open opens the directory root as the tier below all others, without taking
// it into the set.
func (s *Set) Open(root string) (*Tier, error) {
	rank := len(s.Tiers())
	if rank >= MaxTiers {
		return nil, fmt.Errorf("%s %q: one too many: a mount has %d tiers at most; leave some out", rankName(rank), root, MaxTiers)
	}
	if err := answers(root, s.cfg.Timeout); err != nil {
		return nil, fmt.Errorf("%s %w", rankName(rank), err)
	}
	t, err := openRoot(root, rank, s.cfg)
	if err != nil {
		return nil, fmt.Errorf("%s %w", rankName(rank), err)
	}
	if err := checkDistinct(append(slices.Clone(s.Tiers()), t)); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Append takes in a tier from Open, and watches it if the others are watched.
func (s *Set) Append(t *Tier) {
	all := append(slices.Clone(s.Tiers()), t)
	s.tiers.Store(&all)
	if s.verify != nil {
		s.watch(t)
	}
}

func rankName(rank int) string {
	if rank == 0 {
		return "primary"
	}
	return "fallback"
}

// answers waits for the directory at root to say anything at all. A hanging
// call cannot be given up, so it is left behind; the process ends soon.
func answers(root string, timeout time.Duration) error {
	said := make(chan struct{})
	go func() {
		defer close(said)
		var st unix.Statfs_t
		unix.Statfs(root, &st)
	}()
	select {
	case <-said:
		return nil
	case <-time.After(timeout):
		return &MissingError{fmt.Sprintf("%q: has not answered for %s; check its disk or server", root, human.Exactly(timeout))}
	}
}

// openRoot opens one tier's root, for reading, so that a user who may not is
// told so before there is a mount.
func openRoot(root string, rank int, cfg Config) (*Tier, error) {
	path, err := filepath.EvalSymlinks(root)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, explain(root, err)
	}
	fd, err := sys.Open(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, explain(root, err)
	}
	t, err := open(path, rank, fd, cfg)
	if err != nil {
		unix.Close(fd)
		return nil, explain(root, err)
	}
	return t, nil
}

// explain puts an error about a tier's root into words. Missing tells whether
// nofail applies.
func explain(root string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &MissingError{fmt.Sprintf("%q: no such directory; create it, or mount its disk first", root)}
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%q: not a directory; name the directory that holds the files", root)
	case errors.Is(err, unix.ENOTCONN):
		return &MissingError{fmt.Sprintf("%q: its FUSE filesystem has died; umount -l it and mount it again", root)}
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%q: permission denied; mount as a user who may read it", root)
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &MissingError{fmt.Sprintf("%q: %v; check its disk", root, err)}
}

// MissingError is a tier that is not there, which the mount option nofail
// forgives.
type MissingError struct{ Text string }

func (e *MissingError) Error() string { return e.Text }

// checkDistinct refuses the same directory twice and a tier inside another.
func checkDistinct(tiers []*Tier) error {
	for _, a := range tiers {
		for _, b := range tiers {
			switch {
			case a == b:
			case sameDir(a.RootFD(), b.RootFD()):
				return fmt.Errorf("%q and %q are the same directory; each tier needs one of its own", a.Root, b.Root)
			case within(b.Root, a.Root):
				return fmt.Errorf("tier %q lies inside tier %q, and a tier cannot hold another; name a directory outside it", b.Root, a.Root)
			}
		}
	}
	return nil
}

// within reports whether path lies below dir, by their names.
func within(path, dir string) bool {
	return dir == "/" || strings.HasPrefix(path, dir+"/")
}

// CheckMountPoint refuses a mount point inside a tier. The tier's own root is
// fine: its descriptor is open before the mount covers it.
func (s *Set) CheckMountPoint(dir string) error {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		path = filepath.Clean(dir)
	}
	for _, t := range s.Tiers() {
		if err := t.CheckMountPoint(path); err != nil {
			return err
		}
	}
	return nil
}

// CheckMountPoint is that of a set, for a tier from Open. The path has no symlinks:
// it may be mounted upon already, and is not touched.
func (t *Tier) CheckMountPoint(path string) error {
	if path != t.Root && within(path, t.Root) {
		return fmt.Errorf("mount point %q lies inside tier %q; mount on that directory itself, or elsewhere", path, t.Root)
	}
	t.covered = path == t.Root || within(t.Root, path)
	return nil
}

// sameDir reports whether both descriptors refer to one directory.
func sameDir(a, b int) bool {
	var sa, sb unix.Stat_t
	return unix.Fstat(a, &sa) == nil && unix.Fstat(b, &sb) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}

// Warnings tells of what an administrator should know about the tiers:
// filesystems mounted inside one. mounts are the mount points of this namespace.
func (s *Set) Warnings(mounts []string) []string {
	var w []string
	for _, t := range s.Tiers() {
		for _, m := range mounts {
			if m != t.Root && within(m, t.Root) && t.Root != "/" {
				w = append(w, fmt.Sprintf("another filesystem is mounted at %q inside tier %q; its files are shown, but cannot be moved or linked across", m, t.Root))
			}
		}
	}
	return w
}

// Overlap is the pair of tiers that share a part of a filesystem by way of a
// bind mount, which their paths do not show. place tells where a path is: its
// filesystem, and the path from that filesystem's own root.
//
// A mount point at dir inside a tier by that way is refused too. The tiers of the set are
// judged together with those from Open that are to be added.
func (s *Set) Overlap(dir string, place func(path string) (dev, inner string), added ...*Tier) error {
	at, inner := place(dir)
	all := slices.Concat(s.Tiers(), added)
	for _, t := range all {
		if dev, root := place(t.Root); dev == at && dev != "" && inner != root && within(inner, root) {
			return fmt.Errorf("mount point %q lies inside tier %q by a bind mount; mount elsewhere", dir, t.Root)
		}
	}
	for _, a := range all {
		for _, b := range all {
			aDev, aPath := place(a.Root)
			bDev, bPath := place(b.Root)
			if a != b && aDev == bDev && aDev != "" && within(bPath, aPath) {
				return fmt.Errorf("tier %q lies inside tier %q by a bind mount, and a tier cannot hold another; name a directory outside it", b.Root, a.Root)
			}
		}
	}
	return nil
}

// Primary is the tier of rank 0.
func (s *Set) Primary() *Tier { return s.Tiers()[0] }

// Away reports whether any tier has stopped answering.
func (s *Set) Away() bool {
	for _, t := range s.Tiers() {
		if t.Away() {
			return true
		}
	}
	return false
}

// Answer asks all tiers. The error names one that is away, or would be by now: what
// waits for its disk may wait for ever.
func (s *Set) Answer() error {
	for _, t := range s.Tiers() {
		answered := false
		if !t.Away() {
			select {
			case <-t.spaceAsked.ask(t.lookSpace):
				answered = !t.Away() // an error of one that is away by now is none
			case <-time.After(time.Duration(t.timeout.Load())):
			}
		}
		if !answered {
			return fmt.Errorf("tier %q: it does not answer; check its disk or server, and wait until it is back", t.Root)
		}
	}
	return nil
}

// SetTimeout changes how long a tier may take to answer.
func (s *Set) SetTimeout(d time.Duration) {
	for _, t := range s.Tiers() {
		t.timeout.Store(int64(d))
	}
}

// Stuck reports whether an op of that age waits for an away tier: it has run
// for longer than any tier may take, and the tier it works on has not answered,
// or some tier, if rank is -1.
func (s *Set) Stuck(age time.Duration, rank int) bool {
	all := s.Tiers()
	if age < time.Duration(all[0].timeout.Load()) {
		return false
	}
	if rank >= 0 && rank < len(all) {
		all = all[rank : rank+1]
	}
	began := time.Since(begun) - age
	return slices.ContainsFunc(all, func(t *Tier) bool { return t.forsakes(began) })
}

// Distinct calls fn for one tier of each filesystem, in rank order.
func (s *Set) Distinct(fn func(t *Tier)) {
	seen := map[uint64]bool{}
	for _, t := range s.Tiers() {
		if !seen[t.Dev()] {
			seen[t.Dev()] = true
			fn(t)
		}
	}
}

// Stop ends the monitors: no tier comes back any more.
func (s *Set) Stop() {
	s.stopped.Do(func() { close(s.stop) })
	s.done.Wait()
}

// Close stops the monitors and closes the roots.
func (s *Set) Close() {
	s.Stop()
	for _, t := range s.Tiers() {
		t.Close()
	}
}
