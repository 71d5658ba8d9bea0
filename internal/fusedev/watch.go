package fusedev

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The watchdog's times.
const (
	slowAfter   = 500 * time.Microsecond // an op that ran so long passes the reading on
	SpareAfter  = 100 * time.Millisecond // a spare answer is sent
	watchYoung  = 500 * time.Microsecond // between looks while an op may become slow
	watchOld    = 20 * time.Millisecond  // while only slow ones are under way
	watchPeriod = 100 * time.Millisecond // in which slow ops are counted
	sleepAfter  = 4 * time.Millisecond   // without any op, the watchdog sleeps
	killedAfter = 10 * time.Millisecond  // an op of a killed client is given up
	stuckAfter  = time.Second            // its worker does not count any more
)

// watchdog looks at the ops under way. While it dozes, an op that begins must
// rouse it through the timerfd; while it is awake ops cost it nothing but a
// store of the time it last looked.
type watchdog struct {
	timer  int // timerfd
	begun  time.Time
	now    atomic.Int64 // ns since begun, at the last look
	dozing atomic.Bool
	ended  chan struct{}
}

func (d *watchdog) open() (err error) {
	d.begun = time.Now()
	d.ended = make(chan struct{})
	if d.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	return nil
}

// rouse has the watchdog look when the op that begins now may become slow. Most are
// over by then: the CPU that it would wake up on at once is their client's.
func (d *watchdog) rouse() {
	if d.dozing.Load() && d.dozing.CompareAndSwap(true, false) {
		_ = unix.TimerfdSettime(d.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(watchYoung))}, nil)
	}
}

// clock is the time at which an op begins, as exact as the watchdog looks.
func (s *Server) clock() int64 {
	d := &s.dog
	if d.dozing.Load() {
		d.now.Store(int64(time.Since(d.begun)))
		d.rouse()
	}
	return d.now.Load()
}

// watch runs until the connection ends and the last op with it.
func (s *Server) watch() {
	defer unix.Close(s.dog.timer)
	var t turn
	var busy, reviewed time.Duration // when an op was last seen, when the slow ones were counted
	var clients crowd
	var slow, told bool
	for {
		now := time.Since(s.dog.begun)
		s.dog.now.Store(int64(now))
		ops, young, old := s.look(now)
		if young || old {
			busy = now
		}
		slow = slow || ops > maxReaders
		if now-reviewed >= watchPeriod {
			reviewed, slow = now, ops > maxReaders
			s.review()
		}
		if slow != told && s.cfg.Slow != nil {
			told = slow
			s.cfg.Slow(slow)
		}
		s.muster(clients.look(s.waits(), s.least.Load() > 1))
		if s.over() {
			return
		}
		t.take(int64(now))
		s.dog.doze(young || now-busy < sleepAfter, old || s.want.Load() > 1, s.begun)
	}
}

// over reports whether there is nothing left to watch.
func (s *Server) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended && len(s.workers) == 0
}

// doze waits for the next look.
func (d *watchdog) doze(young, old bool, anew func() bool) {
	wait := unix.Timespec{}
	switch {
	case young:
		wait = unix.NsecToTimespec(int64(watchYoung))
	case old:
		wait = unix.NsecToTimespec(int64(watchOld))
	default:
		wait = unix.NsecToTimespec(int64(time.Second))
	}
	if !young {
		d.dozing.Store(true)
		if anew() { // an op that began since the look did not see that
			d.dozing.Store(false)
			return
		}
	}
	fds := []unix.PollFd{{Fd: int32(d.timer), Events: unix.POLLIN}}
	if n, _ := unix.Ppoll(fds, &wait, nil); n > 0 {
		var b [8]byte
		unix.Read(d.timer, b[:])
	}
	d.dozing.Store(false)
}

// begun reports whether an op is under way that the last look did not see.
func (s *Server) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.workers {
		if w.state.Load() != 0 && !w.handled.Load() {
			return true
		}
	}
	return false
}

// look goes over the ops under way and does what each has come to need.
func (s *Server) look(now time.Duration) (ops int, young, old bool) {
	s.mu.Lock()
	busy := make([]*worker, 0, 8)
	for w := range s.workers {
		if w.state.Load() != 0 {
			busy = append(busy, w)
		}
	}
	s.mu.Unlock()
	for _, w := range busy {
		// The state first: if another op begins in between, it is too young for
		// what the first has come to.
		unique := w.state.Load()
		age := now - time.Duration(w.start.Load())
		if age < slowAfter+watchYoung { // as old as the look before it began
			young = true
			continue
		}
		old = true
		if w.handled.CompareAndSwap(false, true) {
			s.pass(w)
		}
		s.rescue(w, unique, age)
	}
	return len(busy), young, old
}

// rescue answers for an op that is stuck: with its spare answer, with EINTR
// when its client is being killed, with EIO when a tier is away.
func (s *Server) rescue(w *worker, unique uint64, age time.Duration) {
	if age >= stuckAfter {
		s.writeOff(w)
	}
	if unique == 0 || unique&1 != 0 {
		return
	}
	spare := w.spare.Load()
	switch {
	case spare != nil && age >= SpareAfter:
		s.answer(w, unique, *spare, verdictSpare)
	case w.interrupted.Load() && age >= killedAfter && killed(w.pid.Load()):
		s.answer(w, unique, errorAnswer(unix.EINTR, unique), verdictError)
	case s.cfg.Stuck(age, int(w.rank.Load())):
		s.answer(w, unique, errorAnswer(unix.EIO, unique), verdictError)
	}
}

func errorAnswer(e unix.Errno, unique uint64) []byte {
	b := make([]byte, outHeaderSize)
	putOutHeader(b, outHeaderSize, e, unique)
	return b
}

// answer claims w's request and writes b.
func (s *Server) answer(w *worker, unique uint64, b []byte, verdict int32) {
	if !w.state.CompareAndSwap(unique, unique+1) {
		return
	}
	if _, err := unix.Write(s.dev, b); err != nil {
		verdict = verdictError
	}
	w.verdict.Store(verdict)
}

// interrupt serves INTERRUPT: a signal came for the client of another request.
// The kernel goes on waiting for the answer, so a client that is being killed
// stays until it comes. EAGAIN asks the kernel to say it again, when the
// request is in the hands of a worker that has not begun it yet; for one that
// is answered already the kernel takes no note (fuse_dev_do_write).
func (s *Server) interrupt(r *Request, body []byte) {
	c := &cursor{b: body}
	unique := c.u64()
	s.mu.Lock()
	var found *worker
	for w := range s.workers {
		if w.state.Load()&^1 == unique {
			found = w
			break
		}
	}
	s.mu.Unlock()
	if found != nil {
		found.interrupted.Store(true)
		s.dog.rouse()
		return
	}
	unix.Write(s.dev, errorAnswer(unix.EAGAIN, r.Unique))
}

// killed reports whether the thread is being killed: the kernel turns every
// deadly signal into a pending SIGKILL (complete_signal), and other signals
// must not make stat(2) or unlink(2) fail with EINTR.
func killed(tid uint32) bool {
	if tid == 0 { // the kernel's own request, or a client of another PID namespace
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(int(tid)) + "/status")
	if err != nil {
		return os.IsNotExist(err)
	}
	for _, field := range []string{"\nSigPnd:\t", "\nShdPnd:\t"} {
		_, rest, ok := bytes.Cut(b, []byte(field))
		if !ok || len(rest) < 16 {
			continue
		}
		mask, err := strconv.ParseUint(string(rest[:16]), 16, 64)
		if err == nil && mask&(1<<(unix.SIGKILL-1)) != 0 {
			return true
		}
	}
	return false
}
