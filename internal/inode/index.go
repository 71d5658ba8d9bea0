package inode

import "iter"

// index finds inodes by what they have in themselves. A Go map holds its keys
// once more, doubles when it grows and never shrinks; with a million inodes
// that is the greater part of what they cost.
//
// It is cut into parts by the hash, each with open addressing and linear
// probing. A part grows and shrinks alone, so that nobody waits for long. A piece
// of the hash is kept for each inode, so that a search looks only at one that is
// probably meant, and growing at none: each is somewhere else in memory.
type index[K comparable] struct {
	key  func(*Inode) K
	hash func(K) uint64

	parts [1 << partBits]part
	n     int
}

const partBits = 8

type part struct {
	slots []*Inode
	tags  []uint16 // of the inodes in slots, 0 where there is none
	n     int
}

// A part is at most three quarters full, and half full when it has grown or
// shrunk: where more are taken, a search for what is not there gets long.
func (p *part) full() bool   { return 4*(p.n+1) > 3*len(p.slots) }
func (p *part) sparse() bool { return 4*p.n < len(p.slots) }

// tag is what a part knows of a hash, never 0. The first bits chose the part.
func tag(hash uint64) uint16 { return max(1, uint16(hash>>(64-partBits-16))) }

// home is where the search for a tag begins.
func (p *part) home(tag uint16) int { return int(uint64(tag) * uint64(len(p.slots)) >> 16) }

func (p *part) next(i int) int {
	if i++; i == len(p.slots) {
		return 0
	}
	return i
}

func (x *index[K]) find(k K) (p *part, at int) {
	h := x.hash(k)
	p = &x.parts[h>>(64-partBits)]
	if p.n == 0 {
		return p, -1
	}
	t := tag(h)
	for i := p.home(t); p.tags[i] != 0; i = p.next(i) {
		if p.tags[i] == t && x.key(p.slots[i]) == k {
			return p, i
		}
	}
	return p, -1
}

// get is the inode with key k, nil if there is none.
func (x *index[K]) get(k K) *Inode {
	if p, i := x.find(k); i >= 0 {
		return p.slots[i]
	}
	return nil
}

// put enters in, whose key nobody else has and which does not change while it
// is there.
func (x *index[K]) put(in *Inode) {
	h := x.hash(x.key(in))
	p := &x.parts[h>>(64-partBits)]
	if p.full() {
		p.resize()
	}
	p.place(in, tag(h))
	p.n++
	x.n++
}

func (p *part) place(in *Inode, tag uint16) {
	i := p.home(tag)
	for p.tags[i] != 0 {
		i = p.next(i)
	}
	p.slots[i], p.tags[i] = in, tag
}

func (p *part) resize() {
	old := *p
	// append rounds up to what the allocator would give anyway.
	p.slots = append([]*Inode(nil), make([]*Inode, 2*(p.n+1))...)
	p.slots = p.slots[:cap(p.slots)]
	p.tags = make([]uint16, len(p.slots))
	for i, in := range old.slots {
		if in != nil {
			p.place(in, old.tags[i])
		}
	}
}

// remove takes in out and reports whether it was there.
func (x *index[K]) remove(in *Inode) bool {
	p, i := x.find(x.key(in))
	if i < 0 || p.slots[i] != in {
		return false
	}
	p.close(i)
	p.n--
	x.n--
	switch {
	case p.n == 0:
		*p = part{}
	case p.sparse():
		p.resize()
	}
	return true
}

// close empties slot i and moves up what was pushed past it.
func (p *part) close(i int) {
	size := len(p.slots)
	for j := p.next(i); p.tags[j] != 0; j = p.next(j) {
		home := p.home(p.tags[j])
		if (j-home+size)%size >= (j-i+size)%size {
			p.slots[i], p.tags[i] = p.slots[j], p.tags[j]
			i = j
		}
	}
	p.slots[i], p.tags[i] = nil, 0
}

// len counts the inodes.
func (x *index[K]) len() int { return x.n }

// all are the inodes, in no order. The index is not to be changed meanwhile.
func (x *index[K]) all() iter.Seq[*Inode] {
	return func(yield func(*Inode) bool) {
		for i := range x.parts {
			for _, in := range x.parts[i].slots {
				if in != nil && !yield(in) {
					return
				}
			}
		}
	}
}
