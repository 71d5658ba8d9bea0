package daemon

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Sink is a place for lines. Its methods are called by one goroutine, which
// may wait there as long as it takes.
type Sink interface {
	write(e entry)
	reopen()
	close()
}

// Discard closes a sink that no log has taken; nil is fine.
func Discard(s Sink) {
	if s != nil {
		s.close()
	}
}

// queued bounds the lines that wait for a slow sink. More are dropped and
// counted.
const queued = 512

// queue carries entries to a sink. Its goroutine ends with close.
type queue struct {
	lines chan entry
	wake  chan struct{} // the sink is to change or to be opened anew
	end   chan struct{} // closed by close
	done  chan struct{} // closed when the goroutine has ended

	lost   atomic.Int64
	anew   atomic.Bool
	wanted atomic.Pointer[Sink]
}

func newQueue(s Sink) *queue {
	q := &queue{
		lines: make(chan entry, queued),
		wake:  make(chan struct{}, 1),
		end:   make(chan struct{}),
		done:  make(chan struct{}),
	}
	q.wanted.Store(&s)
	go q.run(&s)
	return q
}

// add never waits.
func (q *queue) add(e entry) {
	select {
	case q.lines <- e:
	default:
		q.lost.Add(1)
	}
}

func (q *queue) setSink(s Sink) {
	q.wanted.Store(&s)
	q.rouse()
}

func (q *queue) reopen() {
	q.anew.Store(true)
	q.rouse()
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close waits for the queue to run empty, for at most limit.
func (q *queue) close(limit time.Duration) {
	close(q.end)
	select {
	case <-q.done:
	case <-time.After(limit):
	}
}

func (q *queue) run(s *Sink) {
	defer close(q.done)
	for {
		select {
		case e := <-q.lines:
			s = q.current(s)
			q.tellLost(*s)
			(*s).write(e)
		case <-q.wake:
			s = q.current(s)
		case <-q.end:
			s = q.current(s)
			q.drain(*s)
			(*s).close()
			return
		}
	}
}

func (q *queue) drain(s Sink) {
	for {
		select {
		case e := <-q.lines:
			s.write(e)
		default:
			q.tellLost(s)
			return
		}
	}
}

// current returns the sink to use, changed or opened anew if that was asked for.
func (q *queue) current(s *Sink) *Sink {
	if w := q.wanted.Load(); w != s {
		(*s).close()
		s = w
	}
	if q.anew.Swap(false) {
		(*s).reopen()
	}
	return s
}

func (q *queue) tellLost(s Sink) {
	if n := q.lost.Swap(0); n > 0 {
		s.write(entry{at: time.Now(), level: slog.LevelWarn, text: fmt.Sprintf("%d lines lost: the log could not keep up; leave out debug, or name a file on a faster disk in log=", n)})
	}
}
