package tierfs

import (
	"hash/maphash"
	"time"
)

// listing is merged rows. A directory may have millions, so they lie in pieces
// that are never copied to grow: a row costs 16 bytes and its name.
type listing struct {
	names [][]byte
	text  int     // bytes of the names
	rows  [][]row // all full but the last
	err   error   // what ends it: a tier that did not answer
	paid  int64   // bytes taken of the memory for listings
	taken uint64  // how often names had been taken when it began, see names
	since moment  // when it began, see coherence

	mounts bool // something is mounted on a row

	// See kept. What follows but for owners and ended is set while nobody else has it.
	uid    uint32
	serial uint8 // 0: it is not shared
	begun  time.Time
	firm   bool   // a change of what it tells is heard of
	ended  bool   // somebody has read it to the end; GUARDED_BY(kept.mu)
	turn   uint32 // of the directory's changes, when it was begun
	owners int    // handles, and kept, if a handle of that has it open; GUARDED_BY(kept.mu)
}

// size is the memory that it takes, about.
func (l *listing) size() int64 { return int64(l.len()*16+l.text) + 256 }

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
	l.rows = roomFor(l.rows, 1, firstRows, rowsPiece)
	last = len(l.rows) - 1
	l.rows[last] = append(l.rows[last], row{ino: ino, at: at, len: uint16(len(name)), rank: uint8(rank), typ: typ})
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
	if s.rows == 0 {
		return false
	}
	for i := s.home([]byte(name)); s.slots[i] != 0; i = (i + 1) % len(s.slots) {
		if string(l.raw(l.row(int(s.slots[i]-1)))) == name {
			return true
		}
	}
	return false
}
