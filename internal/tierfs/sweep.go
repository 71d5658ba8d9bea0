package tierfs

import (
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
)

// sweeper takes back all that the kernel knows of directories whose whole content
// is in doubt: one that was moved out of band, or everything. Names are expired
// and not removed, so that nobody loses the directory that he is in, nor what is
// mounted there. A lookup that is under way for a name which the kernel has may
// then come in behind; so each sweep is made a second time.
type sweeper struct {
	c *coherence

	mu    sync.Mutex
	first doubts // to be swept; GUARDED_BY(mu)
	again doubts // swept once; GUARDED_BY(mu)
}

// doubts are directories that wait for a sweep, and who sees to it.
type doubts struct {
	roots []*inode.Inode
	whole bool // everything is to be swept
	runs  bool // somebody is at work on it
}

func (d *doubts) add(roots ...*inode.Inode) {
	if len(roots) == 0 || len(d.roots)+len(roots) > maxRoots {
		d.whole = true
	} else {
		d.roots = append(d.roots, roots...)
	}
}

// take is what is to be swept, no roots for everything; without any the work
// ends.
func (d *doubts) take() (roots []*inode.Inode, any bool) {
	roots, any = d.roots, d.whole || len(d.roots) > 0
	if d.whole {
		roots = nil
	}
	*d = doubts{runs: any}
	return roots, any
}

// sweepLater is how much later the second time is: longer than any client takes to
// take an answer that it has.
const sweepLater = time.Second

// maxRoots is from how many directories on everything is swept.
const maxRoots = 64

// below puts what is in and below dir in doubt.
func (c *coherence) below(dir *inode.Inode) { c.sweeper.add(dir) }

// everything puts all in doubt.
func (c *coherence) everything() {
	if c.on.Load() {
		c.sweeper.add()
	}
}

func (s *sweeper) add(roots ...*inode.Inode) {
	s.c.stampAll()
	s.c.fs.listAnew()
	s.put(&s.first, s.sweep, roots)
}

// put adds to what one of the two works does, and starts it if it does not run.
func (s *sweeper) put(d *doubts, work func(), roots []*inode.Inode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.add(roots...)
	if !d.runs {
		d.runs = true
		go work()
	}
}

func (s *sweeper) take(d *doubts) (roots []*inode.Inode, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.take()
}

// sweep does the first time. Each looks through the whole table, so it rests as
// long as it has worked: what comes in meanwhile is swept together.
func (s *sweeper) sweep() {
	for {
		roots, any := s.take(&s.first)
		if !any {
			return
		}
		begun := time.Now()
		s.c.told.sweeps.Add(1)
		s.c.dropBelow(roots)
		s.c.stampAll() // what was found by what is dropped now
		s.c.expireBelow(roots)
		s.put(&s.again, s.sweepAgain, roots)
		time.Sleep(time.Since(begun))
	}
}

// sweepAgain does the second time.
func (s *sweeper) sweepAgain() {
	for {
		roots, any := s.take(&s.again)
		if !any {
			return
		}
		time.Sleep(sweepLater)
		s.c.expireBelow(roots)
	}
}

// dropBelow forgets the descriptors and absences of directories.
func (c *coherence) dropBelow(roots []*inode.Inode) {
	c.fs.table.Below(roots, func(k inode.Known) {
		if k.Dir != nil {
			c.fs.dirs.DropAll(k.Dir)
		}
	})
}

// expireBelow makes the kernel look everything up anew, and ask for attributes: of
// directories, as what they are merged of may be another, and of all files if no
// roots are given.
func (c *coherence) expireBelow(roots []*inode.Inode) {
	if c.kernel == nil {
		return
	}
	for _, in := range roots {
		c.attr(in.ID)
	}
	c.fs.table.Below(roots, func(k inode.Known) {
		if k.Parent != nil {
			c.orders.awaitRoom()
			c.orders.expire(k.Parent.ID, k.Name)
		}
		if k.Dir != nil || len(roots) == 0 {
			c.attr(k.ID)
		}
	})
	for _, n := range c.negatives.list() {
		if p := c.fs.table.Get(n.parent); p != nil && c.fs.table.Under(p, roots) {
			c.orders.awaitRoom()
			c.orders.expire(n.parent, n.name)
		}
	}
}

// negatives are the names of which the kernel was told that they do not exist.
// It does not say when it forgets one, so they are so many at most; the oldest is
// taken back for a new one.
type negatives struct {
	c *coherence

	mu    sync.Mutex
	known map[negative]struct{} // GUARDED_BY(mu)
	ring  []negative            // GUARDED_BY(mu)
	next  int                   // GUARDED_BY(mu)
}

type negative struct {
	parent uint64
	name   string
}

const maxNegatives = 1 << 16

func (s *negatives) add(parent *inode.Inode, name string) {
	n := negative{parent.ID, name}
	s.mu.Lock()
	if _, ok := s.known[n]; ok {
		s.mu.Unlock()
		return
	}
	if s.known == nil {
		s.known = map[negative]struct{}{}
	}
	s.known[n] = struct{}{}
	if len(s.ring) < maxNegatives {
		s.ring = append(s.ring, n)
		s.mu.Unlock()
		return
	}
	old := s.ring[s.next]
	s.ring[s.next] = n
	s.next = (s.next + 1) % maxNegatives
	delete(s.known, old)
	s.mu.Unlock()
	s.c.orders.expire(old.parent, old.name)
}

func (s *negatives) list() []negative {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]negative(nil), s.ring...)
}
