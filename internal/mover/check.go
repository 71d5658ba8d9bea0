package mover

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Check looks through all tiers for what the mount hides and what was left
// behind.
//
// It goes directory by directory, and for each name in one asks the other tiers
// that have the directory. So it keeps the names of one directory, and the paths
// of those that are still to be seen.
type Check struct {
	Tiers []*tier.Tier
	// Owned reports whether an entry of .tierfs/dir belongs to an operation that
	// is under way.
	Owned func(rank int, dir, name string) bool
	// NumbersLast reports whether inode numbers tell the files of a tier apart.
	NumbersLast func(*tier.Tier) bool
	Made        Made
	Emit        func(Finding)

	Directories, Entries int // seen so far

	todo []merged
}

// merged is a directory of the mount: its path, and the ranks of the tiers that
// it is merged of, a byte each.
type merged struct{ path, ranks string }

// Run goes through all. It returns early when ctx ends, or when a tier does not
// answer: half of the tiers tell nothing.
func (c *Check) Run(ctx context.Context) error {
	var all []byte
	for rank, t := range c.Tiers {
		all = append(all, byte(rank))
		if len(c.Tiers) > 1 {
			c.records(t) // first: to mend one takes things out of a trash
		}
	}
	if len(c.Tiers) > 1 {
		for _, t := range c.Tiers {
			c.private(t)
		}
	}
	c.todo = []merged{{"", string(all)}}
	for len(c.todo) > 0 {
		m := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		c.directory(ctx, m)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.answering(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Check) answering() error {
	for _, t := range c.Tiers {
		if t.Away() {
			return fmt.Errorf("tier %s: does not answer; check again when it is back", t.Root)
		}
	}
	return nil
}

// directory looks at one directory on all its tiers.
func (c *Check) directory(ctx context.Context, m merged) {
	c.Directories++
	var dirs []*tier.Dir
	defer func() {
		for _, d := range dirs {
			d.Put()
		}
	}()
	for _, rank := range []byte(m.ranks) {
		d, err := c.Tiers[rank].OpenPath(m.path)
		switch {
		case err == nil:
			dirs = append(dirs, d)
		case !absent(err):
			c.unread(int(rank), m.path, err)
		}
	}
	for i, d := range dirs {
		rows, err := rowsOf(d)
		if err != nil {
			c.unread(d.Tier.Rank, m.path, err)
			continue
		}
		for _, row := range rows {
			if ctx.Err() != nil {
				return
			}
			c.Entries++
			c.entry(ctx, m, dirs, i, row)
		}
	}
}

// entry looks at a name that dirs[i] has.
func (c *Check) entry(ctx context.Context, m merged, dirs []*tier.Dir, i int, row sys.Dirent) {
	switch {
	case row.Name != tier.MarkName:
	case m.path != "":
		c.foreignMark(dirs[i], m.path)
	default:
		return // looked at already; that of a single tier belongs to another mount
	}
	var st unix.Stat_t
	for _, d := range dirs[:i] {
		if d.Stat(row.Name, &st) == nil {
			return // seen there, with its copies
		}
	}
	top := seen{dirs[i].Tier.Rank, unix.Stat_t{Mode: uint32(row.Type) << 12}} // IFTODT(3)
	var lower []seen
	for _, d := range dirs[i+1:] {
		switch err := d.Stat(row.Name, &st); {
		case err == nil:
			lower = append(lower, seen{d.Tier.Rank, st})
		case !absent(err):
			c.unread(d.Tier.Rank, path.Join(m.path, row.Name), err)
		}
	}
	if len(lower) > 0 || row.Type == unix.DT_UNKNOWN {
		if dirs[i].Stat(row.Name, &top.st) != nil {
			return // gone meanwhile
		}
	}
	if !top.isDir() {
		c.file(ctx, path.Join(m.path, row.Name), top, lower)
		return
	}
	c.todo = append(c.todo, c.merge(path.Join(m.path, row.Name), top, lower))
}

// seen is what a tier has under a name.
type seen struct {
	rank int
	st   unix.Stat_t
}

func (s *seen) isDir() bool { return s.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// merge is the directory of the copies, down to the first that is none.
func (c *Check) merge(name string, top seen, lower []seen) merged {
	ranks := []byte{byte(top.rank)}
	over := top
	for _, s := range lower {
		switch {
		case over.isDir() && s.isDir():
			ranks = append(ranks, byte(s.rank))
			continue
		case over.isDir():
			c.confirm(OtherType, name, top, s)
			over = s
		case s.isDir():
			c.confirm(OtherType, name, over, s)
		}
	}
	return merged{name, string(ranks)}
}

// file compares the hidden copies of a file with the one that is shown.
func (c *Check) file(ctx context.Context, name string, top seen, lower []seen) {
	for _, s := range lower {
		if s.isDir() {
			c.confirm(OtherType, name, top, s)
			continue
		}
		kind := OtherCopy
		differs, err := c.differs(ctx, name, top, s)
		switch {
		case err != nil:
			c.unread(s.rank, name, err)
			continue
		case len(differs) == 0:
			kind = SameCopy
		}
		c.confirm(kind, name, top, s, differs...)
	}
}

// confirm reports a finding if the two are still what they were: a client may
// have changed the name, or a file may be changing its home.
func (c *Check) confirm(kind Kind, name string, high, low seen, differs ...string) {
	for _, s := range []seen{high, low} {
		st, err := c.Tiers[s.rank].Lstat(name)
		if err != nil || !sameState(&st, &s.st) || st.Ino != s.st.Ino && c.NumbersLast(c.Tiers[s.rank]) {
			return
		}
	}
	c.Emit(Finding{Kind: kind, Path: name, Rank: low.rank, Over: high.rank, Bytes: low.st.Size, Low: low.st, High: high.st, Differs: differs})
}

// sameState reports whether two inodes of that number would be one, with the same content.
func sameState(a, b *unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Mode == b.Mode && (a.Mode&unix.S_IFMT == unix.S_IFDIR || a.Size == b.Size && a.Mtim == b.Mtim)
}

func (c *Check) unread(rank int, name string, err error) {
	c.Emit(Finding{Kind: Unread, Path: name, Rank: rank, Over: rank, Err: err})
}

// records looks at a tier's journal.
func (c *Check) records(t *tier.Tier) {
	d, err := t.OpenPath(tier.MarkName)
	if err != nil {
		return // private tells
	}
	defer d.Put()
	var st unix.Stat_t
	if d.Stat("journal", &st) == nil {
		c.area(d, "journal", Record)
	}
}

// private looks at what else a tier keeps for tierfs.
func (c *Check) private(t *tier.Tier) {
	d, err := t.OpenPath(tier.MarkName)
	if err != nil {
		if !absent(err) {
			c.unread(t.Rank, tier.MarkName, err)
		}
		return
	}
	defer d.Put()
	rows, err := rowsOf(d)
	if err != nil {
		c.unread(t.Rank, tier.MarkName, err)
		return
	}
	for _, row := range rows {
		switch kind, ours := areas[row.Name]; {
		case ours && kind != "" && kind != Record:
			c.area(d, row.Name, kind)
		case !ours:
			c.alone(Foreign, d, tier.MarkName, row.Name)
		}
	}
}

// areas are the entries of .tierfs, with what lies in those that are
// directories.
var areas = map[string]Kind{
	"members": "", "members.new": "", "lock": "",
	"staging": Staged, "journal": Record, "trash": Trash,
}

func (c *Check) area(mark *tier.Dir, area string, kind Kind) {
	in := path.Join(tier.MarkName, area)
	d, err := mark.OpenDir(area)
	if err != nil {
		c.unread(mark.Tier.Rank, in, err)
		return
	}
	defer d.Put()
	rows, err := rowsOf(d)
	if err != nil {
		c.unread(mark.Tier.Rank, in, err)
		return
	}
	for _, row := range rows {
		if !c.Owned(mark.Tier.Rank, area, row.Name) {
			c.alone(kind, d, in, row.Name)
		}
	}
}

// alone reports the entry name of the directory d, which is at in, if it is
// still there.
func (c *Check) alone(kind Kind, d *tier.Dir, in, name string) {
	var st unix.Stat_t
	if d.Stat(name, &st) == nil {
		c.Emit(Finding{Kind: kind, Path: path.Join(in, name), Rank: d.Tier.Rank, Over: d.Tier.Rank, Bytes: st.Size, Low: st})
	}
}

// foreignMark reports the mark of another tier, which was copied or mounted
// into this one. A directory of that name alone may be anybody's.
func (c *Check) foreignMark(d *tier.Dir, in string) {
	mark, err := d.OpenDir(tier.MarkName)
	if err != nil {
		return
	}
	defer mark.Put()
	var st unix.Stat_t
	if mark.Stat("members", &st) == nil {
		c.alone(Foreign, d, in, tier.MarkName)
	}
}

// rowsOf lists a directory.
func rowsOf(d *tier.Dir) (rows []sys.Dirent, err error) {
	f, err := d.ListQuietly()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = f.ReadDir(func(e sys.Dirent) error {
		rows = append(rows, e)
		return nil
	})
	return rows, err
}

func absent(err error) bool { return slices.Contains([]error{unix.ENOENT, unix.ENOTDIR}, err) }
