package tierfs

import (
	"bytes"
	"hash/maphash"
	"sort"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
)

// listing is merged rows. A directory may have millions, so they lie in pieces
// that are never copied to grow: a row costs 16 bytes and its name.
//
// A row's position is where a client goes on after it. Those of one that follows
// another have gaps.
type listing struct {
	names [][]byte
	text  int      // bytes of the names
	rows  [][]row  // all full but the last
	pos   []uint32 // positions of the rows; nil: their numbers, from 1 on
	last  uint32   // the highest position that was given, if it is none of these
	sum   uint64   // over what the rows tell, in their first order
	err   error    // what ends it: a tier that did not answer
	paid  int64    // bytes taken of the memory for listings
	taken uint64   // how often names had been taken when it began, see names
	since moment   // when it began, see coherence
	uid   uint32   // who pays

	mounts bool // something is mounted on a row

	// See kept. The first are set before others have it, the rest is guarded by kept.mu.
	serial uint8 // 0: its offsets do not name it
	older  uint8 // listings before it that it has the positions of
	begun  time.Time
	turn   uint32 // of the directory's changes, when it was begun
	firm   bool   // a change of what it tells is heard of
	ended  bool   // somebody has read it to the end
	adds   bool   // it has all that the one before has, and perhaps more
	mixed  bool   // rows of it were given to who has come from another
	pooled int64  // bytes of it among those that nobody pays for

	good   *listing // the last one before that had no err, if this has one
	broken serials  // of those before that had one
}

// size is the memory that it takes, about.
func (l *listing) size() int64 { return int64(l.len()*16+len(l.pos)*4+l.text) + 256 }

// rowCost is what a row takes beside its name: itself, its place among the
// names seen while tiers are merged, and what the collector lets pile up.
const rowCost = 40

// row is one name. Its tier is the winner's; a directory may be merged of more.
type row struct {
	ino  uint64 // as shown
	at   uint32 // where the name begins: piece and place
	len  uint16
	rank uint8
	typ  uint8
}

// Sizes of the pieces. A name, which may have 64 KiB to go by its length, lies
// in one of them.
const (
	rowsPiece  = 1 << 10
	namesShift = 16
	namesPiece = 1 << namesShift
	maxPieces  = 1<<(32-namesShift) - 2

	firstRows  = 16
	firstNames = 256
)

var sumSeed = maphash.MakeSeed()

// len counts the rows.
func (l *listing) len() int {
	if n := len(l.rows); n > 0 {
		return (n-1)*rowsPiece + len(l.rows[n-1])
	}
	return 0
}

func (l *listing) row(i int) *row { return &l.rows[i/rowsPiece][i%rowsPiece] }

func (l *listing) name(r *row) string { return string(l.raw(r)) }

func (l *listing) raw(r *row) []byte {
	at := r.at % namesPiece
	return l.names[r.at>>namesShift][at : at+uint32(r.len)]
}

func (l *listing) add(name string, ino uint64, rank int, typ uint8) {
	l.names = roomFor(l.names, len(name), firstNames, namesPiece)
	last := len(l.names) - 1
	at := uint32(last)<<namesShift | uint32(len(l.names[last]))
	l.names[last] = append(l.names[last], name...)
	l.text += len(name)
	l.sum = l.sum*0x9e3779b97f4a7c15 ^ maphash.String(sumSeed, name) ^ ino ^ uint64(typ)<<56
	l.rows = push(l.rows, row{ino: ino, at: at, len: uint16(len(name)), rank: uint8(rank), typ: typ})
}

// push adds a row to the pieces.
func push(rows [][]row, r row) [][]row {
	rows = roomFor(rows, 1, firstRows, rowsPiece)
	last := len(rows) - 1
	rows[last] = append(rows[last], r)
	return rows
}

// roomFor begins a new piece unless n more fit into the last one. The first has
// room for as much as most directories have, and grows as it is filled.
func roomFor[T any](pieces [][]T, n, first, size int) [][]T {
	switch last := len(pieces) - 1; {
	case last < 0:
		return append(pieces, make([]T, 0, first))
	case len(pieces[last])+n > size:
		return append(pieces, make([]T, 0, size))
	}
	return pieces
}

// An offset is the position of the row before. The upper bits of the 31 that old programs
// have room for are the serial of its listing, and none where there are too many rows.
const (
	offsetBits = 24
	offsetMask = 1<<offsetBits - 1
	maxSerial  = 1<<(31-offsetBits) - 1
)

// offset is what leads to the row after row i.
func (l *listing) offset(i int) uint64 { return uint64(l.serial)<<offsetBits | uint64(l.position(i)) }

func (l *listing) position(i int) uint32 {
	if l.pos == nil {
		return uint32(i + 1)
	}
	return l.pos[i]
}

// top is the highest position that was given.
func (l *listing) top() uint32 { return max(l.last, uint32(l.len())) }

// seek is the row at an offset, -1 if that is of a listing whose positions this one does
// not have; serial is of which it is. What was never given is the end.
func (l *listing) seek(off uint64) (at int, serial uint8) {
	switch {
	case l.serial == 0:
		return l.after(off), 0
	case off >= maxSerial<<offsetBits|offsetMask:
		return l.len(), l.serial
	}
	serial = uint8(off >> offsetBits)
	if age := (int(l.serial) - int(serial) + maxSerial) % maxSerial; serial == 0 || age > int(l.older) {
		return -1, serial
	}
	return l.after(off & offsetMask), serial
}

// after is the first row with a higher position.
func (l *listing) after(pos uint64) int {
	if l.pos == nil {
		return int(min(pos, uint64(l.len())))
	}
	return sort.Search(len(l.pos), func(i int) bool { return uint64(l.pos[i]) > pos })
}

// follow gives each row that base has as well the position that it has there, and the
// others higher ones. What a tier did not tell of last is as it was before.
func (l *listing) follow(base *listing) {
	n, same := l.len(), 0
	l.last, l.adds = base.top(), base.good == nil
	if base.good != nil {
		base = base.good
	}
	if l.err != nil {
		l.good = base
	}
	m := base.len()
	for ; same < min(n, m) && bytes.Equal(l.raw(l.row(same)), base.raw(base.row(same))); same++ {
		l.adds = l.adds && l.row(same).tells(base.row(same))
	}
	if l.adds = l.adds && n >= m; base.pos == nil && (same == n || same == m && int(l.last) == m) {
		return
	}
	var rows [][]row
	pos := make([]uint32, 0, n)
	keep := func(i int, at uint32) { rows, pos = push(rows, *l.row(i)), append(pos, at) }
	for i := range same {
		keep(i, base.position(i))
	}
	var set nameSet
	set.extend(l)
	kept := make([]bool, n)
	for j := same; j < m; j++ {
		i := set.find(l, base.raw(base.row(j)))
		known := i >= same && !kept[i] // a tier may have told of a name twice
		if l.adds = l.adds && known && l.row(i).tells(base.row(j)); known {
			keep(i, base.position(j))
			kept[i] = true
		}
	}
	for i := same; i < n; i++ {
		if !kept[i] {
			l.last++
			keep(i, l.last)
		}
	}
	l.rows, l.pos = rows, pos
}

// places are the listing's when it is given up.
func (l *listing) places() inode.Places {
	if l.pos != nil || int(l.top()) > l.len() || l.err != nil || l.mixed || l.broken != (serials{}) {
		return inode.Places{}
	}
	return inode.Places{Sum: l.sum, Rows: int32(l.len()), Serial: l.serial, Older: l.older, Ended: l.ended}
}

// takes gives the listing places, if they are of the same rows.
func (l *listing) takes(p inode.Places) bool {
	if p.Serial == 0 || p.Sum != l.sum || int(p.Rows) != l.len() || l.err != nil {
		return false
	}
	l.serial, l.older, l.ended = p.Serial, p.Older, p.Ended
	return true
}

// tells reports whether a client is told the same by two rows.
func (r *row) tells(other *row) bool { return r.ino == other.ino && r.typ == other.typ }

// number gives a listing that may have followed base, the directory's last, its serial:
// the next, or the same if all that base has is there still, and nothing more if anybody was
// told of its end: who is late to take that would end this one. Where the positions do not fit
// into an offset they are given anew. spent says that all serials were used.
func (l *listing) number(last *uint8, base *listing) (spent bool) {
	l.serial, l.older = 0, 0
	switch {
	case l.len() >= offsetMask:
		return false
	case l.top() >= offsetMask:
		l.pos, l.last = nil, 0
	case base != nil && base.serial > 0 && l.adds && (!base.ended || l.len() == base.len()):
		l.serial, l.older, l.mixed, l.broken = base.serial, base.older, l.mixed || base.mixed, base.broken
		l.ended = base.ended
		return false
	case base != nil && base.serial > 0:
		l.older, l.broken = min(base.older+1, maxSerial-1), base.broken
		if base.err != nil {
			l.broken.set(base.serial, true)
		}
	}
	spent = *last == maxSerial
	*last = *last%maxSerial + 1
	l.serial = *last
	l.broken.set(l.serial, false)
	return spent
}

// misses reports whether a client who has begun in the listing with that serial may miss
// names without an error: a tier did not tell of them then.
func (l *listing) misses(serial uint8) bool {
	return l.err == nil && serial != l.serial && l.broken.has(serial)
}

// serials is a set of them.
type serials [(maxSerial + 1) / 64]uint64

func (s *serials) has(serial uint8) bool { return s[serial/64]&(1<<(serial%64)) != 0 }

func (s *serials) set(serial uint8, in bool) {
	if s[serial/64] &^= 1 << (serial % 64); in {
		s[serial/64] |= 1 << (serial % 64)
	}
}

// fillsPages reports whether the listing ends with the end of a page in the kernel's
// cache, which puts rows into pages that they fit into (fuse_add_dirent_to_cache).
func (l *listing) fillsPages(page int) bool {
	n := 0
	for i := range l.len() {
		size := fusedev.DirentSize(int(l.row(i).len))
		if n += size; n > page {
			n = size
		}
	}
	return n == page
}

// nameSet finds names among the first rows of a listing. It holds row numbers
// and no names: at most 8 bytes a row.
type nameSet struct {
	seed  maphash.Seed
	rows  int
	slots []uint32 // row number + 1; open addressing, at most three quarters full
}

// extend takes in all rows that the listing has by now.
func (s *nameSet) extend(l *listing) {
	n := l.len()
	size := 16
	for 3*size < 4*n {
		size *= 2
	}
	if size > len(s.slots) {
		s.seed, s.rows, s.slots = maphash.MakeSeed(), 0, make([]uint32, size)
	}
	for ; s.rows < n; s.rows++ {
		i := s.home(l.raw(l.row(s.rows)))
		for s.slots[i] != 0 {
			i = (i + 1) % len(s.slots)
		}
		s.slots[i] = uint32(s.rows + 1)
	}
}

func (s *nameSet) home(name []byte) int {
	return int(maphash.Bytes(s.seed, name) % uint64(len(s.slots)))
}

// has reports whether name is among them.
func (s *nameSet) has(l *listing, name string) bool {
	return s.rows > 0 && s.find(l, []byte(name)) >= 0
}

// find is the row with the name, -1 if there is none. The set is not empty.
func (s *nameSet) find(l *listing, name []byte) int {
	for i := s.home(name); s.slots[i] != 0; i = (i + 1) % len(s.slots) {
		if row := int(s.slots[i] - 1); bytes.Equal(l.raw(l.row(row)), name) {
			return row
		}
	}
	return -1
}
