package tierfs

import (
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// found is what a name leads to: the winner, and for a directory the copies
// merged with it.
type found struct {
	rank    int
	st      unix.Stat_t // the winner's; of a directory, merged
	copies  []inode.Copy
	partial bool // a lower tier did not answer, or not in time
}

// holds is since, or none for what a tier that did not answer may tell otherwise: no event
// ends what the kernel is told of that.
func (f *found) holds(since moment) moment {
	if f.partial {
		return 0
	}
	return since
}

func (f *found) isDir() bool { return f.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// resolve asks the tiers for name in p in rank order; the first that has it
// wins. ENOENT only when every tier said so: any other answer of a tier that
// had to be asked is the answer, because "no such file" from a dead fallback
// would make an application create the file anew.
//
// A file that another daemon moves up may come to a tier that has been asked,
// and be gone from the one that is asked next; so they are asked once more.
//
// beforeMerge, if not nil, is called once a directory is found and lower tiers
// are still to be asked, which may take long.
func (fs *FS) resolve(p *inode.Inode, name string, f *found, beforeMerge func()) error {
	err := fs.resolveOnce(p, name, f, beforeMerge)
	if err == unix.ENOENT && fs.union && !fs.alone.Load() {
		err = fs.resolveOnce(p, name, f, beforeMerge)
	}
	return err
}

func (fs *FS) resolveOnce(p *inode.Inode, name string, f *found, beforeMerge func()) error {
	f.rank, f.partial, f.copies = -1, false, nil
	for rank, t := range fs.Tiers() {
		if f.rank >= 0 {
			if t.Suspect() {
				f.partial = true
				continue
			}
			if fs.lacks(p, rank) {
				continue
			}
			if beforeMerge != nil {
				beforeMerge()
				beforeMerge = nil
			}
		}
		var st unix.Stat_t
		err := fs.statAt(p, rank, name, &st)
		switch {
		case absent(err):
			continue
		case tier.Fails(err) && f.rank >= 0:
			f.partial = true
			continue
		case err != nil:
			return err
		}
		if done := f.add(fs.table, rank, &st); done {
			return nil
		}
	}
	if f.rank < 0 {
		return unix.ENOENT
	}
	return nil
}

// add takes in what one tier has. Merging stops at the first non-directory.
func (f *found) add(t *inode.Table, rank int, st *unix.Stat_t) (done bool) {
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case f.rank < 0:
		f.rank, f.st = rank, *st
	case !dir:
		return true
	default:
		mergeAttr(&f.st, st)
	}
	f.copies = append(f.copies, inode.Copy{Rank: rank, Key: t.Key(rank, st.Dev, st.Ino)})
	return !dir
}

// statAt is fstatat(2) of name in p's copy on the tier with rank.
func (fs *FS) statAt(p *inode.Inode, rank int, name string, st *unix.Stat_t) error {
	d, err := fs.dir(p, rank)
	if err != nil {
		return err
	}
	defer d.Put()
	return d.Stat(name, st)
}

// mergeAttr adds a lower copy's attributes to a directory's: the newest times,
// the links and blocks of both. Mode and owner stay those of the highest.
// find(1) takes st_nlink - 2 for the number of subdirectories and 1 for
// unknown, so it may be too high and never too low; du(1) adds the blocks up.
func mergeAttr(st, low *unix.Stat_t) {
	if later(low.Mtim, st.Mtim) {
		st.Mtim = low.Mtim
	}
	if later(low.Ctim, st.Ctim) {
		st.Ctim = low.Ctim
	}
	st.Blocks += low.Blocks
	if st.Nlink == 1 || low.Nlink == 1 {
		st.Nlink = 1
		return
	}
	st.Nlink += low.Nlink
}

func later(a, b unix.Timespec) bool {
	return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec
}

// dir is in's directory on the tier with rank, for the caller to Put. ENOENT
// when that tier does not have it, ESTALE when in has no name to go by.
func (fs *FS) dir(in *inode.Inode, rank int) (*tier.Dir, error) {
	if d, err := fs.cachedDir(in, rank); d != nil || err != nil {
		return d, err
	}
	defer fs.moves.pin(in)()
	return fs.walkDir(in, rank)
}

func (fs *FS) cachedDir(in *inode.Inode, rank int) (*tier.Dir, error) {
	t := fs.Tiers()[rank]
	if in.ID == inode.RootID {
		if t.Away() {
			return nil, unix.EIO
		}
		return t.RootDir(), nil
	}
	d, err := fs.dirs.Get(in, rank, t.Stalled())
	if err == nil && t.Away() {
		if d != nil {
			d.Put()
		}
		return nil, unix.EIO
	}
	return d, err
}

// lacks reports whether it is known that the tier with rank does not have the
// directory: no call is needed to tell what it has in there.
func (fs *FS) lacks(in *inode.Inode, rank int) bool {
	d, err := fs.cachedDir(in, rank)
	if d != nil {
		d.Put()
	}
	return absent(err)
}

// walkDir is dir for callers that have pinned the way: it walks down from the
// nearest directory whose descriptor is cached, one name at a time.
func (fs *FS) walkDir(in *inode.Inode, rank int) (*tier.Dir, error) {
	if d, err := fs.cachedDir(in, rank); d != nil || err != nil {
		return d, err
	}
	parent, name, ok := fs.table.Dentry(in)
	if !ok { // another directory has its name: where it is, nobody knows
		return nil, unix.ESTALE
	}
	up, err := fs.walkDir(parent, rank)
	if err != nil {
		return nil, err
	}
	defer up.Put()
	since := fs.coherence.now()
	d, err := up.OpenDir(name)
	switch {
	case absent(err):
		fs.dirs.Absent(in, rank)
		fs.dropIfChanged(in, rank, entryName{parent, name}, since)
		return nil, unix.ENOENT
	case err != nil:
		return nil, err
	}
	if err := fs.recognise(in, parent, name, d); err != nil {
		d.Put()
		return nil, err
	}
	fs.keepDir(in, rank, d)
	fs.dropIfChanged(in, rank, entryName{parent, name}, since)
	return d, nil
}

// dropIfChanged forgets what has just been noted of a directory's copy if its name
// has changed since it was looked at. The watch stamps first and drops then: so
// either it drops what was noted, or we see its stamp.
func (fs *FS) dropIfChanged(in *inode.Inode, rank int, at entryName, since moment) {
	if c := fs.coherence; since > 0 && (c.all.Load() > uint64(since) || c.since(c.nameHash(at.parent, at.name), since)) {
		fs.dirs.Drop(in, rank)
	}
}

// keepDir caches the descriptor of a directory's copy.
//
//	op on the directory: waits for a tier, its client gets the spare answer
//	FORGET:              the inode is gone, and what is cached of it dropped
//	op:                  the tier answers, and its descriptor is cached
//
// Nobody would drop it then but the cache's age.
func (fs *FS) keepDir(in *inode.Inode, rank int, d *tier.Dir) {
	fs.dirs.Add(in, rank, d)
	if fs.table.Get(in.ID) != in {
		fs.dirs.DropAll(in)
	}
}

// recognise checks that d, just opened under in's name, is a copy of it.
//
// The way to it is pinned.
func (fs *FS) recognise(in, parent *inode.Inode, name string, d *tier.Dir) error {
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		return err
	}
	rank := d.Tier.Rank
	key := fs.table.Key(rank, st.Dev, st.Ino)
	home, homeRank := fs.table.Home(in)
	switch {
	case rank == homeRank && key != home && fs.table.Renumber(in, key):
		return fs.asTold(in, &st) // it may have been replaced out of band all the same
	case rank == homeRank && (key != home || fs.another(in, d, "")):
		return unix.ESTALE // replaced out of band
	case rank <= homeRank:
		fs.table.Saw(in, key)
		return nil
	}
	// A tier between that does not answer leaves it open: what this one has is
	// shown.
	if by, _ := fs.blocked(parent, name, homeRank+1, rank); by != nil {
		fs.dirs.Absent(in, rank)
		return unix.ENOENT
	}
	fs.table.Saw(in, key)
	return nil
}

// blocked is the tier, of those from from up to, but not including, to, where a
// non-directory ends the merging of a directory, or nil. The error is that of a
// tier that did not say.
//
// The way to it is pinned.
func (fs *FS) blocked(parent *inode.Inode, name string, from, to int) (by *tier.Tier, unsure error) {
	for rank := from; rank < to; rank++ {
		var st unix.Stat_t
		d, err := fs.walkDir(parent, rank)
		if err == nil {
			err = d.Stat(name, &st)
			d.Put()
		}
		switch {
		case absent(err):
		case err != nil:
			unsure = err
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return fs.Tiers()[rank], nil
		}
	}
	return nil, unsure
}
