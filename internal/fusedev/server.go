// Package fusedev speaks the FUSE protocol on /dev/fuse.
//
// An unmodified jacobsa/fuse parses, carries and answers every op that it can.
// This package mounts, negotiates INIT itself (passthrough, POSIX ACLs and
// more, which that library does not know), pumps requests through socket pairs
// into it, decodes the ops it lacks, and writes the answers it cannot express.
//
// How many threads wait in read(2) decides the latency: the kernel wakes
// waiting readers in turn, each on a cold CPU. So there is one hot reader,
// which serves inline. It passes the reading on when an op may be slow; a
// watchdog does so for an op that turns out slow. While slow ops are frequent, or
// requests always wait, several workers stay readers.
package fusedev

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Handler is the filesystem. Serve is given a *fuseops op, or one of this
// package's ops, and either fills its reply fields, or answers through r, or
// returns an errno. It is called concurrently.
type Handler interface {
	Serve(r *Request, op any) error
	// Attach is called once, before the first Serve.
	Attach(s *Server)
}

// Config says what a connection should be like.
type Config struct {
	Log           *slog.Logger
	Threads       int // workers at most; 0 is DefaultThreads
	Passthrough   bool
	Insists       bool // on passthrough: a refusal is a warning
	POSIXACL      bool
	CacheSymlinks bool
	Export        bool // LOOKUP of "." and ".." is served for every node ever told of
	// Stuck reports whether an op of that age is waiting for a tier that does
	// not answer: then the client gets EIO, and the op's late answer is dropped.
	// rank is the tier that the op works on, -1 if that is not known.
	Stuck func(age time.Duration, rank int) bool
	// Slow, if it is not nil, is told when more ops are under way than workers read, as
	// they wait for a disk, and when they have not been for some time.
	Slow func(bool)
}

// DefaultThreads is enough that a hung tier has its stuck ops while the
// primary is served.
const DefaultThreads = 256

// maxReaders bounds how many workers wait in read(2) while slow ops are
// frequent; keepParked how many idle ones are kept beside them.
const (
	maxReaders = 4
	keepParked = 8
)

// frequent is how many ops in a watchPeriod are slow before more readers wait.
const frequent = 8

// maxWorkers bounds the workers with those that are stuck.
const maxWorkers = 2048

// Server is one FUSE connection.
//
// Server.mu is a leaf: nothing is locked under it and nothing waits with it.
type Server struct {
	dev     int
	handler Handler
	cfg     Config
	use     uint64 // features in force (init*)
	minor   uint32 // of the protocol
	max     int32

	live sync.WaitGroup // one for each worker
	dog  watchdog
	ops  [opCount + 1]atomic.Uint64 // the last for all that are higher
	errs [errnoCount]atomic.Uint64

	// Changed under mu, read without it after every op; least by the watchdog.
	readers, want, least atomic.Int32

	mu      sync.Mutex
	workers map[*worker]struct{} // GUARDED_BY(mu)
	parked  []*worker            // GUARDED_BY(mu)
	ended   bool                 // GUARDED_BY(mu)
	cause   error                // GUARDED_BY(mu)
	started int32                // GUARDED_BY(mu): workers alive or being made
	passes  int                  // GUARDED_BY(mu): in the current watchPeriod
}

// Serve answers the kernel's INIT on dev, starts the workers and returns. The
// server owns dev from then on.
func Serve(dev int, h Handler, cfg Config) (*Server, error) {
	use, minor, err := handshake(dev, &cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{dev: dev, handler: h, cfg: cfg, use: use, minor: minor, max: int32(cfg.Threads), workers: map[*worker]struct{}{}}
	if s.max == 0 {
		s.max = DefaultThreads
	}
	h.Attach(s)
	if err := s.dog.open(); err != nil {
		return nil, err
	}
	s.want.Store(1)
	s.readers.Store(1)
	s.started = 1
	s.live.Add(1)
	if err := newWorker(s); err != nil {
		return nil, err
	}
	go s.watch()
	return s, nil
}

// Passthrough reports whether the kernel takes backing IDs.
func (s *Server) Passthrough() bool { return s.use&initPassthrough != 0 }

// POSIXACL reports whether the kernel enforces ACLs.
func (s *Server) POSIXACL() bool { return s.use&initPOSIXACL != 0 }

// Wait returns when the kernel has ended the connection and every op is done,
// or grace after its end if some op never is. The error is what ended it other
// than an unmount.
func (s *Server) Wait(grace time.Duration) error {
	<-s.dog.ended
	done := make(chan struct{})
	go func() { s.live.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(grace):
		s.cfg.Log.Warn("requests still wait for a tier that does not answer, and are left behind; check the tier's disk or server")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// Stats counts the ops served, by their name in fuse.h.
func (s *Server) Stats() map[string]uint64 {
	m := make(map[string]uint64)
	for i := range s.ops {
		name := opName(uint32(i))
		if i == opCount {
			name += " and above"
		}
		if n := s.ops[i].Load(); n > 0 {
			m[name] = n
		}
	}
	return m
}

// Errors counts the ops that were answered with an error, by its name. Most are
// no fault: ENOENT is the answer to a name that does not exist.
func (s *Server) Errors() map[string]uint64 {
	m := make(map[string]uint64)
	for i := range s.errs {
		if n := s.errs[i].Load(); n > 0 {
			m[unix.ErrnoName(unix.Errno(i))] += n
		}
	}
	return m
}

// errnoCount is more than Linux has errnos (asm-generic/errno.h ends at 133).
const errnoCount = 134

// fault is err as the kernel understands it, counted.
func (s *Server) fault(err error) unix.Errno {
	e := toErrno(err)
	if e < errnoCount {
		s.errs[e].Add(1)
	}
	return e
}

func (s *Server) count(opcode uint32) { s.ops[min(opcode, opCount)].Add(1) }

// pass takes the reading from w, whose op may be slow, and gives it to another
// worker. While that is frequent, more readers are wanted at a time; a single
// one may be an op whose thread had to wait for a CPU.
func (s *Server) pass(w *worker) {
	if !w.duty.CompareAndSwap(true, false) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers.Add(-1)
	if s.passes++; s.passes > frequent && s.want.Load() < maxReaders {
		s.want.Add(1)
	}
	s.recruit()
}

// review ends a period: one reader less is wanted if slow ops were rare in it.
// A worker that could not be started for want of a descriptor is tried again:
// until one that serves comes back, nobody would read.
func (s *Server) review() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passes <= frequent && s.want.Load() > 1 {
		s.want.Add(-1)
	}
	s.passes = 0
	s.recruit()
}

// recruit sees to it that as many workers read as are wanted.
//
// LOCKS_REQUIRED(s.mu)
func (s *Server) recruit() {
	for s.readers.Load() < s.wanted() && !s.ended {
		if n := len(s.parked); n > 0 {
			w := s.parked[n-1]
			s.parked = slices.Delete(s.parked, n-1, n)
			w.duty.Store(true)
			s.readers.Add(1)
			w.wake <- true
			continue
		}
		if s.started >= s.max || len(s.workers) >= maxWorkers {
			return
		}
		s.started++
		s.readers.Add(1)
		s.live.Add(1) // here, where ended is known to be false: Wait waits for none after
		go func() {
			if err := newWorker(s); err != nil {
				s.lost(err)
			}
		}()
	}
}

// writeOff gives the place of a worker that is stuck to another: as many
// clients as there are workers may wait for a disk that hangs, and the others
// must be served. When its op ends, the worker does.
func (s *Server) writeOff(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.writtenOff.CompareAndSwap(false, true) {
		s.started--
		s.recruit()
	}
}

// lost gives up a worker that could not be made.
func (s *Server) lost(err error) {
	s.cfg.Log.Warn("cannot start another worker, so others wait for those there are; see what is short", "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started--
	s.readers.Add(-1)
	s.live.Done()
}

// park is where a worker without duty waits. It returns true when the worker
// is to read again, false when it is to end.
func (s *Server) park(w *worker) bool {
	s.mu.Lock()
	switch {
	case s.ended || len(s.parked) >= keepParked:
		s.mu.Unlock()
		return false
	case s.readers.Load() < s.wanted():
		s.readers.Add(1)
		w.duty.Store(true)
		s.mu.Unlock()
		return true
	}
	s.parked = append(s.parked, w)
	s.mu.Unlock()
	return <-w.wake
}

// relieve takes the duty from a reader that is no longer wanted.
func (s *Server) relieve(w *worker) {
	if s.readers.Load() <= s.wanted() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers.Load() > s.wanted() && w.duty.CompareAndSwap(true, false) {
		s.readers.Add(-1)
	}
}

func (s *Server) enlist(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers[w] = struct{}{}
}

// strike takes a worker off the list.
func (s *Server) strike(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.workers, w)
}

// discharge ends a worker. If it was a reader, another takes its place.
func (s *Server) discharge(w *worker) {
	s.mu.Lock()
	delete(s.workers, w)
	if !w.writtenOff.Load() {
		s.started--
	}
	if w.duty.CompareAndSwap(true, false) {
		s.readers.Add(-1)
	}
	s.recruit()
	s.mu.Unlock()
	s.live.Done()
}

// hangUp ends the connection: ENODEV says that it was unmounted, ECONNABORTED
// that it was aborted through /sys/fs/fuse/connections.
func (s *Server) hangUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if err != unix.ENODEV {
		s.cause = fmt.Errorf("/dev/fuse: %w", err)
	}
	for _, w := range s.parked {
		w.wake <- false
	}
	s.parked = nil
	close(s.dog.ended)
	s.dog.rouse()
}
