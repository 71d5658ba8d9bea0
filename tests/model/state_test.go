package model

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// node is a file of any type on one tier.
type node struct {
	typ, mode uint32 // S_IFMT bits; the others
	uid, gid  int
	links     int  // names; a directory has one
	linkable  bool // made with O_TMPFILE and without a name so far
	lost      bool // see lose
	rdev      uint64
	target    string // of a symbolic link
	data      []byte
	attrs     map[string]string
	mtime     int64            // in ns, as it was set; 0 when it has changed since
	sub       map[string]*node // of a directory
}

func (n *node) isDir() bool  { return n.typ == unix.S_IFDIR }
func (n *node) isFile() bool { return n.typ == unix.S_IFREG }
func (n *node) isLink() bool { return n.typ == unix.S_IFLNK }

// newNode is a node with its first name still to come.
func newNode(typ, mode uint32) *node {
	n := &node{typ: typ, mode: mode, attrs: map[string]string{}}
	if typ == unix.S_IFDIR {
		n.sub = map[string]*node{}
	}
	return n
}

// put gives child a name in the directory n.
func (n *node) put(name string, child *node) {
	n.sub[name] = child
	child.links++
	n.mtime = 0
}

// drop takes a name out of the directory n.
func (n *node) drop(name string) {
	n.sub[name].links--
	delete(n.sub, name)
	n.mtime = 0
}

// like is an empty directory with everything else of n.
func (n *node) like() *node {
	return &node{typ: n.typ, mode: n.mode, uid: n.uid, gid: n.gid, attrs: maps.Clone(n.attrs), mtime: n.mtime, sub: map[string]*node{}}
}

// tier is one backing directory.
type tier struct {
	root     *node
	readOnly bool
	short    bool // has less than minfree
}

// state is all there is.
type state struct {
	tiers        []*tier
	primaryFirst bool // create=primary
	handles      [slots]*handle
}

// slots is how many handles a program has.
const slots = 6

func (s *state) union() bool { return len(s.tiers) > 1 }

// dir is a directory as the mount shows it: its part on each tier, nil on a
// tier that has none.
type dir struct {
	parts []*node
	up    *dir // nil for the root
	name  string
}

// root is the mount's root, which every tier has.
func (s *state) root() *dir {
	d := &dir{}
	for _, t := range s.tiers {
		d.parts = append(d.parts, t.root)
	}
	return d
}

func (d *dir) path() string {
	if d.up == nil {
		return ""
	}
	return strings.TrimPrefix(d.up.path()+"/"+d.name, "/")
}

// top is the rank of the highest part, which gives mode and owner.
func (d *dir) top() int { return slices.IndexFunc(d.parts, func(n *node) bool { return n != nil }) }

// names are all that the directory shows.
func (s *state) names(d *dir) []string {
	all := map[string]bool{}
	for _, part := range d.parts {
		if part == nil {
			continue
		}
		for name := range part.sub {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// entry is a name in a directory, with what each tier has under it.
type entry struct {
	up     *dir
	name   string
	copies []*node // by rank, hidden ones included
	rank   int     // of the one that is shown; -1: there is no such name
}

// look is the first rule: the tiers are asked in order of rank, and the first
// that has the name wins.
func (s *state) look(d *dir, name string) entry {
	e := entry{up: d, name: name, rank: -1, copies: make([]*node, len(s.tiers))}
	for rank, part := range d.parts {
		if part == nil || part.sub[name] == nil {
			continue
		}
		e.copies[rank] = part.sub[name]
		if e.rank < 0 {
			e.rank = rank
		}
	}
	return e
}

func (e entry) exists() bool { return e.rank >= 0 }
func (e entry) node() *node  { return e.copies[e.rank] }

// path is the canonical one.
func (e entry) path() string {
	if e.up == nil {
		return ""
	}
	return strings.TrimPrefix(e.up.path()+"/"+e.name, "/")
}

// dir is the second rule: a directory is merged with those below it, down to
// the first tier where the name is something else.
func (e entry) dir() *dir {
	d := &dir{parts: make([]*node, len(e.copies)), up: e.up, name: e.name}
	for rank, n := range e.copies {
		if n != nil && !n.isDir() {
			break
		}
		d.parts[rank] = n
	}
	return d
}

// mixed reports that the name is a directory on one tier and something else on
// another: what is below would come to light.
func (e entry) mixed() bool {
	for _, n := range e.copies {
		if n != nil && n.isDir() != e.node().isDir() {
			return true
		}
	}
	return false
}

// frozen reports that a tier that cannot change has a copy.
func (s *state) frozen(e entry) bool {
	for rank, n := range e.copies {
		if n != nil && s.tiers[rank].readOnly {
			return true
		}
	}
	return false
}

// count is how many tiers have the name.
func (e entry) count() (n int) {
	for _, c := range e.copies {
		if c != nil {
			n++
		}
	}
	return n
}

// remove takes the name from every tier.
func (e entry) remove() {
	for rank, n := range e.copies {
		if n != nil {
			e.up.parts[rank].drop(e.name)
		}
	}
}

// empty reports that a directory shows no name. On a name that is not mixed
// that is: no copy has one.
func (s *state) empty(d *dir) bool { return len(s.names(d)) == 0 }

// fits is EBUSY if d's part on a tier would be hidden, because something else
// of its name, or of a name above it, ends the merging before. EROFS if it
// cannot be made.
func (s *state) fits(d *dir, rank int) unix.Errno {
	if d.parts[rank] != nil {
		return 0
	}
	e := s.look(d.up, d.name)
	for r := range rank + 1 {
		if e.copies[r] != nil && !e.copies[r].isDir() {
			return unix.EBUSY
		}
	}
	if err := s.fits(d.up, rank); err != 0 {
		return err
	}
	if s.tiers[rank].readOnly {
		return unix.EROFS
	}
	return 0
}

// part is d's part on a tier where it fits, made with what is missing above it.
// New parts are like the one that is shown, and nothing above them changes.
func (s *state) part(d *dir, rank int) *node {
	if d.parts[rank] == nil {
		d.parts[rank] = d.parts[d.top()].like()
		d.parts[rank].links = 1
		s.part(d.up, rank).sub[d.name] = d.parts[rank]
	}
	return d.parts[rank]
}

// place is the tier where a new name in d goes: the highest that has d, or the
// primary. One with too little room is passed over for those below, and then
// for those above; one that cannot change, or where d does not fit, too. If all
// others are out, one with too little room has to do.
func (s *state) place(d *dir) (rank int, err unix.Errno) {
	first := d.top()
	if s.primaryFirst {
		first = 0
	}
	var short []int
	for i := range s.tiers {
		rank := (first + i) % len(s.tiers)
		err := s.fits(d, rank)
		switch {
		case i == 0 && (err != 0 || s.tiers[rank].readOnly):
			return rank, cmpOr(err, unix.EROFS)
		case err != 0 || s.tiers[rank].readOnly:
		case s.union() && s.tiers[rank].short:
			short = append(short, rank)
		default:
			return rank, 0
		}
	}
	return short[0], 0
}

func cmpOr(a, b unix.Errno) unix.Errno {
	if a != 0 {
		return a
	}
	return b
}
