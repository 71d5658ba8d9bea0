package tierfs

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// setAside takes the copy c of the new name into the staging directory of its tier, as
// aside. It is durable before anything changes on the filesystem next, if that is
// another. After an error it may be gone from its name for certain.
func (fs *FS) setAside(x *renaming, c *copyAt, aside string, next uint64) (gone bool, err error) {
	d, err := fs.dir(x.to, c.rank)
	if err != nil {
		return false, err
	}
	defer d.Put()
	staging, err := fs.staging(d.Tier)
	if err != nil {
		return false, err
	}
	defer staging.Put()
	err = d.Rename(x.newName, staging, aside, 0)
	switch {
	case err == unix.EXDEV || err == unix.EACCES || err == unix.EPERM:
		// Another filesystem is mounted inside the tier here, or its server lets
		// only the client at the file.
		err = fs.onNetwork(d.Tier, x.r, func() error { return d.Unlink(x.newName) })
		if err != nil && d.Gone(x.newName, &c.st) {
			err = nil
		}
	case err != nil:
		if is, e := fs.isAside(staging, aside); e == nil && is {
			err = nil // carried out, whatever the tier says
		}
	}
	gone = unlessAbsent(err) == nil
	if gone && next != c.st.Dev {
		err = d.Sync()
	}
	return gone, unlessAbsent(err)
}

// isAside reports whether a file is in a staging directory. The kernel may not know,
// after a call that was answered with an error; but it asks the tier when it is told to
// make a directory there (LOOKUP_EXCL in fuse_dentry_revalidate).
func (fs *FS) isAside(staging *tier.Dir, name string) (bool, error) {
	switch err := staging.Mkdir(name, 0700); err {
	case nil:
		fs.unstage(staging, name)
		return false, nil
	case unix.EEXIST, unix.EROFS, unix.ENOSPC, unix.EDQUOT: // a server may look at the name last
		st, err := stat(staging, name)
		return st != nil && st.Mode&unix.S_IFMT != unix.S_IFDIR, err
	default:
		return false, err
	}
}

// putBack gives what is aside on a tier the name in p again, durably. It is no error if
// nothing is. Nothing is replaced.
func (fs *FS) putBack(p *inode.Inode, name string, rank int, aside string) error {
	staging, err := fs.staging(fs.Tiers()[rank])
	if err != nil {
		return err
	}
	defer staging.Put()
	is, err := fs.isAside(staging, aside)
	if !is {
		return err
	}
	d, err := fs.makeParents(p, rank)
	if err != nil {
		return err
	}
	defer d.Put()
	if err := staging.Rename(aside, d, name, unix.RENAME_NOREPLACE); err != nil {
		if is, e := fs.isAside(staging, aside); is || e != nil {
			return err
		}
	}
	return tier.SyncNames(d, staging)
}

// unfinished is a rename below a file of a higher tier that its record is to settle.
type unfinished struct {
	j        *journal
	in       *intent
	home     *tier.Tier   // of what is renamed
	to       *inode.Inode // the new name's directory, nil if clients see none
	sd, dd   *tier.Dir    // both directories on home, nil where there is none
	old, now *unix.Stat_t // what home has under both names, nil for nothing
}

// replayUnder settles a rename that was begun with intendUnder: the old name and what the
// new one showed are as before, or only the new name is there and shows what was renamed.
// With apart, a file that cannot have its name again gets another.
func (j *journal) replayUnder(in *intent, apart bool) error {
	home, err := j.member(in.Moves[0].Member)
	if err != nil {
		return err
	}
	u := unfinished{j: j, in: in, home: home}
	from, done, err := j.fs.holdName(in.From)
	if err != nil {
		return err
	}
	defer done()
	if u.to, done, err = j.fs.holdName(in.To); err != nil {
		return err
	}
	defer done()
	if u.sd, u.old, err = u.at(home, from, in.From); err != nil {
		return err
	}
	defer putAny(u.sd)
	if u.dd, u.now, err = u.at(home, u.to, in.To); err != nil {
		return err
	}
	defer putAny(u.dd)
	taken := slices.ContainsFunc(in.Replaced, func(m move) bool { return j.taken(m.Aside) })
	if !in.Undo && (taken || u.gone() && u.is(u.now)) {
		return u.finish()
	}
	return u.undo(apart)
}

// at is the directory p on a tier, for putAny, and what that has there under the name of
// a path.
func (u *unfinished) at(t *tier.Tier, p *inode.Inode, name string) (*tier.Dir, *unix.Stat_t, error) {
	if p == nil {
		return nil, nil, nil
	}
	d, err := u.j.fs.dir(p, t.Rank)
	if err != nil {
		return nil, nil, unlessAbsent(err)
	}
	return lookIn(d, path.Base(name))
}

// below is at by the path alone, for who has the names.
func below(t *tier.Tier, p string) (*tier.Dir, *unix.Stat_t, error) {
	d, name, err := t.OpenParent(p)
	if err != nil {
		return nil, nil, unlessAbsent(err)
	}
	return lookIn(d, name)
}

// lookIn is d, for putAny, and what it has under a name; after an error it is put.
func lookIn(d *tier.Dir, name string) (*tier.Dir, *unix.Stat_t, error) {
	st, err := stat(d, name)
	if err != nil {
		d.Put()
		return nil, nil, err
	}
	return d, st, nil
}

func putAny(d *tier.Dir) {
	if d != nil {
		d.Put()
	}
}

// gone reports whether the old name has gone: not if its directory has.
func (u *unfinished) gone() bool { return u.sd != nil && u.old == nil }

// is reports whether st, on home, is known for what is renamed.
func (u *unfinished) is(st *unix.Stat_t) bool {
	return st != nil && u.j.fs.numbered(u.home, &u.in.Moves[0], st)
}

// shown reports whether m, which is replaced, has the new name still, or may have it, for
// who has the names. Of a tier that is not in the mount clients see nothing.
func (u *unfinished) shown(m *move) bool {
	t, err := u.j.member(m.Member)
	if err != nil {
		return false
	}
	d, st, err := below(t, u.in.To)
	defer putAny(d)
	return err != nil || st != nil && (!u.j.fs.NumbersLast(t) || u.j.fs.recorded(d, path.Base(u.in.To), m, st))
}

// finish removes what is replaced, lowest first, durably: the new name may go before the
// record does.
func (u *unfinished) finish() error {
	if u.is(u.now) { // else clients have taken it
		if err := syncFile(u.dd, path.Base(u.in.To), u.now); err != nil {
			return err
		}
	}
	if u.sd != nil {
		if err := u.sd.Sync(); err != nil {
			return err
		}
	}
	for i := range slices.Backward(u.in.Replaced) {
		err := u.j.at(&u.in.Replaced[i], func(t *tier.Tier, m *move) error {
			if err := u.j.removeIfStill(t, u.in.To, m, false); err != nil {
				return err
			}
			staging, err := u.j.fs.staging(t)
			if err != nil {
				return err
			}
			defer staging.Put()
			if err := unlessAbsent(u.j.fs.unstage(staging, m.Aside)); err != nil {
				return err
			}
			return tier.SyncNames(staging)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// undo puts back what is aside, highest first, and removes the link that this hides.
func (u *unfinished) undo(apart bool) error {
	taken, err := u.taken()
	if err != nil {
		return err
	}
	for i := range u.in.Replaced {
		err := u.j.at(&u.in.Replaced[i], func(t *tier.Tier, m *move) error {
			if taken == nil {
				return u.j.fs.putBack(u.to, path.Base(u.in.To), t.Rank, m.Aside)
			}
			return u.strand(t, m, taken, apart)
		})
		if err != nil {
			return err
		}
	}
	if err := u.unlink(); err != nil || u.dd == nil {
		return err
	}
	return tier.SyncNames(u.dd)
}

var (
	errNameTaken = errors.New("its name is taken")
	errNoDir     = errors.New("its directory is gone")
)

// taken is why the new name cannot be given to what is aside, nil if it can: no tier has
// anything there but what was put back already, and the link, if it is the old name's file
// or that has gone.
func (u *unfinished) taken() (why, err error) {
	if u.to == nil {
		return errNoDir, nil
	}
	all, err := u.j.fs.survey(u.to, path.Base(u.in.To))
	for i := range all {
		c := &all[i]
		link := c.rank == u.home.Rank && u.is(&c.st) && (u.is(u.old) || u.gone())
		t := u.j.fs.Tiers()[c.rank]
		back := slices.ContainsFunc(u.in.Replaced, func(m move) bool {
			of, err := u.j.member(m.Member)
			return err == nil && of == t && u.j.fs.numbered(t, &m, &c.st)
		})
		if !link && !back {
			return errNameTaken, err
		}
	}
	return nil, err
}

// strand is an error if something is aside, unless it may be set apart.
func (u *unfinished) strand(t *tier.Tier, m *move, why error, apart bool) error {
	staging, err := u.j.fs.staging(t)
	if err != nil {
		return err
	}
	defer staging.Put()
	is, err := u.j.fs.isAside(staging, m.Aside)
	switch {
	case err != nil || !is:
		return err
	case !apart:
		return fmt.Errorf("%w; the file that was to be replaced is %s in .tierfs/staging of %s", why, m.Aside, t.Root)
	}
	s := stray{fs: u.j.fs, in: staging, aside: m.Aside, dir: u.to, path: u.in.To}
	if u.to != nil {
		if s.d, err = u.j.fs.dir(u.to, t.Rank); err == nil {
			defer s.d.Put()
		} else if !absent(err) {
			return err
		}
	}
	return s.setApart()
}

// unlink removes the link if a higher tier hides it, and the old name is the same file. If
// that has gone, by an answer that was wrong or by a client, it is given back, as the link
// may be all there is of the file.
func (u *unfinished) unlink() error {
	if !u.is(u.now) {
		return nil
	}
	name := path.Base(u.in.To)
	all, err := u.j.fs.survey(u.to, name)
	at := slices.IndexFunc(all, func(c copyAt) bool { return c.rank == u.home.Rank })
	switch {
	case err != nil || at < 1:
		return err
	case u.is(u.old):
		return u.j.fs.removeCopies(new(fusedev.Request), u.to, name, all[at:at+1], 0)
	case !u.gone():
		return nil
	}
	if err := u.dd.Rename(name, u.sd, path.Base(u.in.From), unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	return tier.SyncNames(u.sd, u.dd)
}

// holdName keeps clients from a name, and its directory where it is, until done. dir is
// nil if they see none.
func (fs *FS) holdName(p string) (dir *inode.Inode, done func(), err error) {
	in, name := path.Split(p)
	dir, leave, err := fs.holdDir(in)
	if err != nil {
		return nil, func() {}, unlessAbsent(err)
	}
	unpin := fs.moves.pin(dir)
	give, ok := fs.names.take(entryName{dir, name}, movePatience)
	if !ok {
		unpin()
		leave()
		return nil, nil, errUsed
	}
	return dir, func() {
		give()
		unpin()
		leave()
	}, nil
}
