package tierfs

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// shares divides what the daemon has only so much of, descriptors and memory,
// among the users: one of them who takes all he can get must not shut the
// others out. An ordinary user may hold as much as is left for everybody else,
// so the first gets half, and there is always something for the next. Root,
// and whoever runs the daemon, may take the rest.
type shares struct {
	total int64
	owner uint32 // who runs the daemon

	mu   sync.Mutex
	used int64            // GUARDED_BY(mu)
	by   map[uint32]int64 // GUARDED_BY(mu): what each user holds
}

func newShares(total int64) *shares {
	return &shares{total: total, owner: uint32(os.Geteuid()), by: map[uint32]int64{}}
}

// take gives uid n more, or refuses.
func (s *shares) take(uid uint32, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.total - s.used - n
	if left < 0 || uid != 0 && uid != s.owner && s.by[uid]+n > left {
		return false
	}
	s.used += n
	s.by[uid] += n
	return true
}

// give takes n back from uid.
func (s *shares) give(uid uint32, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if s.by[uid] -= n; s.by[uid] == 0 {
		delete(s.by, uid)
	}
}

// debt is what a handle has taken of the descriptors.
type debt struct {
	uid uint32
	n   int64
}

// charge takes the descriptors that a handle opened with flags may come to
// need: the file's, one with the client's flags, and one for writing by offset.
func (fs *FS) charge(uid uint32, flags int) (debt, error) {
	d := debt{uid: uid, n: 2}
	if writing(flags) {
		d.n++
	}
	if !fs.descriptors.take(uid, d.n) {
		return debt{}, unix.ENFILE
	}
	return d, nil
}

// owe makes d the debt of h, less the descriptor that passthrough saves.
func (fs *FS) owe(h *fileHandle, d debt) {
	if h.own == nil {
		d.n--
		fs.descriptors.give(d.uid, 1)
	}
	h.debt = d
}

func (fs *FS) refund(d debt) { fs.descriptors.give(d.uid, d.n) }
