package inode

import (
	"iter"
	"math/bits"
)

// index finds inodes by what they have in themselves. A Go map holds its keys
// once more, doubles when it grows and never shrinks; with a million inodes
// that is the greater part of what they cost.
//
// It is cut into parts by the hash, each with open addressing and linear
// probing. A part grows and shrinks alone, so that nobody waits for long.
type index[K comparable] struct {
	key  func(*Inode) K
	hash func(K) uint64

	parts [1 << partBits]part
	n     int
}

const partBits = 8

type part struct {
	slots []*Inode
	n     int
}

// A part is at most three quarters full, and half full when it has grown or
// shrunk: where more are taken, a search for what is not there gets long.
func (p *part) full() bool   { return 4*(p.n+1) > 3*len(p.slots) }
func (p *part) sparse() bool { return 4*p.n < len(p.slots) }

// home is where the search for a hash begins. The first bits chose the part.
func (p *part) home(hash uint64) int {
	at, _ := bits.Mul64(hash<<partBits, uint64(len(p.slots)))
	return int(at)
}

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
	for i := p.home(h); p.slots[i] != nil; i = p.next(i) {
		if x.key(p.slots[i]) == k {
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
		x.resize(p)
	}
	x.place(p, in, h)
	p.n++
	x.n++
}

func (x *index[K]) place(p *part, in *Inode, hash uint64) {
	i := p.home(hash)
	for p.slots[i] != nil {
		i = p.next(i)
	}
	p.slots[i] = in
}

func (x *index[K]) resize(p *part) {
	old := p.slots
	// append rounds up to what the allocator would give anyway.
	p.slots = append([]*Inode(nil), make([]*Inode, 2*(p.n+1))...)
	p.slots = p.slots[:cap(p.slots)]
	for _, in := range old {
		if in != nil {
			x.place(p, in, x.hash(x.key(in)))
		}
	}
}

// remove takes in out and reports whether it was there.
func (x *index[K]) remove(in *Inode) bool {
	p, i := x.find(x.key(in))
	if i < 0 || p.slots[i] != in {
		return false
	}
	x.close(p, i)
	p.n--
	x.n--
	switch {
	case p.n == 0:
		p.slots = nil
	case p.sparse():
		x.resize(p)
	}
	return true
}

// close empties slot i and moves up what was pushed past it.
func (x *index[K]) close(p *part, i int) {
	size := len(p.slots)
	for j := p.next(i); p.slots[j] != nil; j = p.next(j) {
		home := p.home(x.hash(x.key(p.slots[j])))
		if (j-home+size)%size >= (j-i+size)%size {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = nil
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
