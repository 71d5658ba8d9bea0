package inode

import "slices"

// Inode numbers shown are 64 bits wide and divided:
//
//	0…  slot in bits 48–61, the backing number below: what nearly all are
//	10… a hash, where the backing number itself has high bits
//	11… a reserved range, for a number that somebody else still shows
const (
	slotShift = 48
	slotMax   = 1 << 14
	hashed    = 1 << 63
	reserved  = 3 << 62
)

// slot is one filesystem seen in one tier.
type slot struct {
	rank int
	dev  uint64
}

// Key is the key of backing inode ino on device dev of the tier with rank.
// Two tiers on one filesystem have different slots, and so has what is
// mounted inside a tier.
//
// LOCKS_EXCLUDED(t.mu)
func (t *Table) Key(rank int, dev, ino uint64) Key {
	want := slot{rank, dev}
	for {
		slots := t.slots.Load()
		if i := slices.Index(*slots, want); i >= 0 {
			return Key{uint32(i), ino}
		}
		more := append(slices.Clone(*slots), want)
		t.slots.CompareAndSwap(slots, &more)
	}
}

// Rank is the tier that the key belongs to.
func (t *Table) Rank(k Key) int { return (*t.slots.Load())[k.Slot].rank }

// natural is the number that k shows while nobody else does: in the primary the
// backing number itself, unless it has high bits, which are the others'.
func natural(k Key) uint64 {
	if k.Ino>>slotShift == 0 && k.Slot < slotMax {
		return uint64(k.Slot)<<slotShift | k.Ino
	}
	return hashed | mix(k)>>2
}

// mix is the finalizer of SplitMix64 over both parts of the key.
func mix(k Key) uint64 {
	x := k.Ino + uint64(k.Slot+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// number is what a new inode with key k shows.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) number(k Key) uint64 {
	n := t.free(k)
	if t.narrow {
		return t.number32(n)
	}
	if t.kept.get(n) == nil {
		return n
	}
	n = reserved | mix(k)>>2
	for t.kept.get(n) != nil {
		n = reserved | n + 1
	}
	return n
}

// free is what an inode with key k shows if nobody else shows it.
func (t *Table) free(k Key) uint64 {
	n := natural(k)
	if v := uint32(n); !t.narrow || uint64(v) == n && v != 0 {
		return n
	}
	return mix(k)>>32 | 1<<31
}

// number32 is for programs with a 32-bit ino_t, which would get EOVERFLOW: what
// would collide with a live inode moves on.
//
// LOCKS_REQUIRED(t.mu)
func (t *Table) number32(n uint64) uint64 {
	v := uint32(n)
	for v == 0 || t.kept.get(uint64(v)) != nil {
		v++
	}
	return uint64(v)
}
