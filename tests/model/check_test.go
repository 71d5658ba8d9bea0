package model

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// check compares everything: what lies on the tiers with the model, then what
// the mount shows with both.
func (x *rig) check() error {
	x.native = nil
	for rank, t := range x.model.tiers {
		x.native = append(x.native, map[string]unix.Stat_t{})
		if err := x.checkTier(rank, "", t.root); err != nil {
			return fmt.Errorf("on tier %d: %w", rank, err)
		}
	}
	if err := x.leftovers(false); err != nil {
		return err
	}
	if x.cfg.moves {
		defer x.holdEverything()()
	}
	c := checker{x, map[uint64]*node{}}
	if err := c.dir(x.model.root()); err != nil {
		return fmt.Errorf("in the mount: %w", err)
	}
	if err := x.checkSpace(); err != nil {
		return err
	}
	return x.checkHandles()
}

// holdEverything holds all names with O_PATH. A file that has moved keeps its
// number for as long as it is known: the kernel must not forget it between two
// looks.
func (x *rig) holdEverything() (release func()) {
	var fds []int
	s := x.model
	s.each(s.root(), func(d *dir) {
		for _, name := range s.names(d) {
			if fd, err := unix.Open(x.path(join(d.path(), name)), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
				fds = append(fds, fd)
			}
		}
	})
	return func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

// checkTier compares a directory of a tier, and all below it.
func (x *rig) checkTier(rank int, rel string, n *node) error {
	if err := x.checkNode(rank, rel, n); err != nil {
		return fmt.Errorf("%q: %w", rel, err)
	}
	if !n.isDir() {
		return nil
	}
	rows, err := os.ReadDir(x.behind(rank, rel))
	if err != nil {
		return err
	}
	seen := 0
	for _, r := range rows {
		path := filepath.Join(rel, r.Name())
		if path == hiddenName && x.union() {
			continue
		}
		if n.sub[r.Name()] == nil {
			return fmt.Errorf("%q is there, and should not be", path)
		}
		if err := x.checkTier(rank, path, n.sub[r.Name()]); err != nil {
			return err
		}
		seen++
	}
	if seen != len(n.sub) {
		return fmt.Errorf("%q has %d names, want %d", rel, seen, len(n.sub))
	}
	return nil
}

func (x *rig) checkNode(rank int, rel string, n *node) error {
	path := x.behind(rank, rel)
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return err
	}
	x.native[rank][rel] = s
	size := int64(len(n.data))
	if n.isLink() {
		size = int64(len(x.target(n.target)))
	}
	if got, want := briefOf(&s), brief(n.typ, n.mode, n.uid, n.gid, n.links, size, n.rdev); got != want {
		return fmt.Errorf("is %s, want %s", got, want)
	}
	if n.mtime != 0 && s.Mtim.Nano() != n.mtime {
		return fmt.Errorf("has the mtime %d, want %d", s.Mtim.Nano(), n.mtime)
	}
	if n.isLink() {
		if got, err := os.Readlink(path); got != x.target(n.target) {
			return fmt.Errorf("leads to %q, want %q (%v)", got, x.target(n.target), err)
		}
	}
	return sameContent(path, n)
}

// sameContent compares a file's data and attributes.
func sameContent(path string, n *node) error {
	if n.isFile() {
		if got, err := os.ReadFile(path); err != nil || string(got) != string(n.data) {
			return fmt.Errorf("has %v, want %v (%v)", result{text: string(got)}, result{text: string(n.data)}, err)
		}
	}
	names, err := attrNames(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		b := make([]byte, 4096)
		size, err := unix.Lgetxattr(path, name, b)
		if value, has := n.attrs[name]; err != nil || !has || value != string(b[:size]) {
			return fmt.Errorf("has %s=%q, want %q (there: %v, %v)", name, b[:max(size, 0)], value, has, err)
		}
	}
	if len(names) != len(n.attrs) {
		return fmt.Errorf("has the attributes %q, want %q", names, n.attrs)
	}
	return nil
}

// leftovers looks for records of operations that have ended. Unmounted, there
// is nothing but the list of members and a lock.
func (x *rig) leftovers(unmounted bool) error {
	if !x.union() {
		return nil
	}
	for rank := range x.backs {
		private := x.behind(rank, hiddenName)
		err := filepath.Walk(private, func(path string, info os.FileInfo, err error) error {
			name := strings.TrimPrefix(path, private+"/")
			if err != nil || info.IsDir() && (path == private || name == "staging" || name == "journal" || name == "trash") || name == "members" || name == "lock" {
				return nil
			}
			return fmt.Errorf("left over: %s (unmounted: %v)", path, unmounted)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checker walks the mount.
type checker struct {
	*rig
	numbers map[uint64]*node // whose number each is
}

func (c checker) dir(d *dir) error {
	rel := d.path()
	if err := c.entry(c.model.here(d), rel); err != nil {
		return fmt.Errorf("%q: %w", rel, err)
	}
	fd, err := unix.Open(c.path(rel), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	rows, err := readAll(fd)
	unix.Close(fd)
	if err != nil {
		return err
	}
	if got, want := rowsText(rows), c.model.rows(d); got != want {
		return fmt.Errorf("%q lists\n%swant\n%s", rel, got, want)
	}
	for _, r := range rows {
		e := c.model.look(d, r.name)
		if e.node().isDir() {
			err = c.dir(e.dir())
		} else if err = c.entry(e, e.path()); err != nil {
			err = fmt.Errorf("%q: %w", e.path(), err)
		}
		if err != nil {
			return err
		}
		var s unix.Stat_t
		if err := unix.Lstat(c.path(e.path()), &s); err != nil || s.Ino != r.ino {
			return fmt.Errorf("%q: st_ino is %#x, d_ino %#x (%v)", e.path(), s.Ino, r.ino, err)
		}
	}
	return nil
}

// entry compares one name of the mount.
func (c checker) entry(e entry, rel string) error {
	look := step{p: rel}
	if err := differ(callStat(c.rig, look), result{text: c.model.describe(e)}); err != nil {
		return fmt.Errorf("stat %w", err)
	}
	n := e.node()
	if n.isLink() {
		if err := differ(callReadlink(c.rig, look), result{text: c.model.shown(e)}); err != nil {
			return fmt.Errorf("readlink %w", err)
		}
	}
	if err := sameContent(c.path(rel), n); err != nil {
		return err
	}
	return c.sameStat(e, rel)
}

// sameStat compares what the model leaves open with the backing file's: what
// stat(2) says of a file is the file's, of a directory it is merged.
func (c checker) sameStat(e entry, rel string) error {
	var sx unix.Statx_t
	// Parents that were made on another tier change the directories above by
	// the way, so the kernel is to ask.
	if err := unix.Statx(unix.AT_FDCWD, c.path(rel), unix.AT_SYMLINK_NOFOLLOW|c.sync(e), unix.STATX_BASIC_STATS, &sx); err != nil {
		return err
	}
	want := c.native[e.rank][rel]
	if e.node().isDir() {
		want = c.merged(e.dir(), rel)
	}
	got := fmt.Sprint("links ", sx.Nlink, " blocks ", sx.Blocks, " mtime ", sx.Mtime.Sec, ".", sx.Mtime.Nsec, " ctime ", sx.Ctime.Sec, ".", sx.Ctime.Nsec)
	if text := fmt.Sprint("links ", want.Nlink, " blocks ", want.Blocks, " mtime ", want.Mtim.Sec, ".", want.Mtim.Nsec, " ctime ", want.Ctim.Sec, ".", want.Ctim.Nsec); got != text {
		return fmt.Errorf("stat gives %s, want %s", got, text)
	}
	if was := c.numbers[sx.Ino]; was != nil && was != e.node() {
		return fmt.Errorf("has the number %#x of another file", sx.Ino)
	}
	c.numbers[sx.Ino] = e.node()
	return nil
}

func (c checker) sync(e entry) int {
	if e.node().isDir() {
		return unix.AT_STATX_FORCE_SYNC
	}
	return 0
}

// merged is what stat(2) says of a directory.
func (c checker) merged(d *dir, rel string) (all unix.Stat_t) {
	for rank, n := range d.parts {
		if n == nil {
			continue
		}
		st := c.native[rank][rel]
		if rank == d.top() {
			all = st
			continue
		}
		all.Blocks += st.Blocks
		if all.Nlink += st.Nlink; all.Nlink == st.Nlink+1 || st.Nlink == 1 {
			all.Nlink = 1
		}
		all.Mtim = slices.MaxFunc([]unix.Timespec{all.Mtim, st.Mtim}, later)
		all.Ctim = slices.MaxFunc([]unix.Timespec{all.Ctim, st.Ctim}, later)
	}
	return all
}

func later(a, b unix.Timespec) int { return int(a.Nano() - b.Nano()) }

// checkSpace compares the size that statfs(2) gives with the sum of the tiers'
// filesystems, each counted once, in blocks of 4096 bytes.
func (x *rig) checkSpace() error {
	sizes := map[unix.Fsid]uint64{}
	for _, back := range x.backs {
		var s unix.Statfs_t
		if err := unix.Statfs(back, &s); err != nil {
			return err
		}
		sizes[s.Fsid] = s.Blocks * uint64(s.Frsize)
		if x.union() {
			sizes[s.Fsid] &^= 4095
		}
	}
	var want uint64
	for _, size := range sizes {
		want += size
	}
	var s unix.Statfs_t
	if err := unix.Statfs(x.m.Dir, &s); err != nil || s.Blocks*uint64(s.Frsize) != want {
		return fmt.Errorf("statfs gives %d bytes, want %d (%v)", s.Blocks*uint64(s.Frsize), want, err)
	}
	return nil
}

// checkHandles compares what is open.
func (x *rig) checkHandles() error {
	for i, h := range x.model.handles {
		if h == nil || h.n.lost {
			continue
		}
		st := step{op: "fstat", h: i}
		if err := differ(calls["fstat"].call(x, st), ruleFstat(x.model, h, st)); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
		var s unix.Stat_t
		if unix.Fstat(x.open[i].fd, &s) == nil && s.Ino != x.open[i].ino {
			return fmt.Errorf("%s: the number is %#x, it was %#x", st, s.Ino, x.open[i].ino)
		}
	}
	return nil
}
