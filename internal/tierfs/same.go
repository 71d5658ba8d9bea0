package tierfs

import (
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// A move removes one of two files because the other is the same. Whether a name
// still leads to the file that was copied, or to the copy, is asked here only.
//
// INVARIANT: the answer is yes only if the name can lead to no other file. What it
// rests on is what lasts on the tier (tier.NumbersLast):
//
//   - the number, where numbers last, in a record too;
//   - else, in the process that moves, the kernel's inode, which it keeps open: no
//     other file gets that, and the file is found to have it under any name;
//   - else, in a record, the content: it has to be that of the other file, byte for
//     byte, so that nothing is lost whichever goes. A file that is too long to be
//     read through while others wait is not known.
//
// A record of names alone has nothing else to go by; see replay.go.
//
// What is not known stays, and so does the other.

// NumbersLast reports whether inode numbers tell the files of a tier apart.
func (fs *FS) NumbersLast(t *tier.Tier) bool {
	staging := func() (*tier.Dir, string, error) {
		d, err := fs.staging(t)
		return d, stagingName(), err
	}
	return t.NumbersLast(staging, func(d *tier.Dir, name string) { fs.unstage(d, name) })
}

// same reports whether name in d is the file that had the attributes was, and what it
// has now, under the number that it had then. open has it open, where numbers do not last.
func (fs *FS) same(d *tier.Dir, name string, open *tier.File, was *unix.Stat_t) (now unix.Stat_t, same bool, err error) {
	if fs.NumbersLast(d.Tier) {
		err = d.Stat(name, &now)
		return now, err == nil && now.Dev == was.Dev && now.Ino == was.Ino, err
	}
	if same, err = d.Leads(name, open); same {
		err = open.Stat(&now)
		now.Ino = was.Ino
	}
	return now, same && err == nil, err
}

// numbered reports whether st, on t, has the number of a record of names.
func (fs *FS) numbered(t *tier.Tier, m *move, st *unix.Stat_t) bool {
	return st.Ino == m.Ino && fs.NumbersLast(t)
}

// recorded reports whether name in d, with the attributes st, is the inode of a record of
// names. One that got its number since is told by when it was made, where that is known:
//
//	rename over f of the primary fails and cannot be taken back: a record stays
//	the client saves f anew, twice: the second has the number of the first f
//	the next mount removes what the record says was to be replaced
func (fs *FS) recorded(d *tier.Dir, name string, m *move, st *unix.Stat_t) bool {
	if !fs.numbered(d.Tier, m, st) {
		return false
	}
	born := bornAs(d, name, m.Ino)
	return m.Born == 0 || born == 0 || born == m.Born
}

// unchanged reports whether st, on t, can be the file of a record as it was then.
func (fs *FS) unchanged(t *tier.Tier, was *stamp, st *unix.Stat_t) bool {
	now := *st
	if !fs.NumbersLast(t) {
		now.Ino = was.Ino
	}
	return was.is(&now)
}

// isCopy reports whether st, on t, can be the copy of a record. Where numbers last it
// may have been changed since.
func (fs *FS) isCopy(t *tier.Tier, f *relocated, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	return st.Ino == f.Copy.Ino && fs.NumbersLast(t) || fs.unchanged(t, &f.Copy, st)
}

// maxCompared is how long a file is at most that is compared when a move is settled:
// the mount waits for that, or a client of the file.
const maxCompared = 64 << 20
