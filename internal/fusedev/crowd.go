package fusedev

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// crowd judges by the watchdog's looks whether there are more clients than one reader
// can serve. A look counts if a request waits. While there is a single client
// one hardly ever does: what it does not wait for itself, FORGET and RELEASE.
type crowd int

// A crowd is there after eight looks that count, four milliseconds, and one that
// does not takes two of them back: it stays as long as two in three count.
const (
	crowdFull = 8
	crowdLess = 2
)

// look takes in whether a request waits, and reports whether there is a crowd, given
// that there was one.
func (c *crowd) look(waits, was bool) bool {
	if waits {
		*c = min(*c+1, crowdFull)
	} else {
		*c = max(*c-crowdLess, 0)
	}
	return *c == crowdFull || was && *c > 0
}

// crowdReaders is how many read for a crowd. Each takes most of a CPU then, and with
// fewer some of the others' time is idle.
func crowdReaders() int32 { return min(int32(runtime.NumCPU()), maxReaders) }

// waits reports whether a request waits to be read.
func (s *Server) waits() bool {
	fds := []unix.PollFd{{Fd: int32(s.dev), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents == unix.POLLIN
}

// muster has as many readers as a crowd needs, or as there are without.
func (s *Server) muster(crowd bool) {
	least := int32(1)
	if crowd {
		least = crowdReaders()
	}
	if s.least.Swap(least) < least {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.recruit()
	}
}

// wanted is how many workers are to read.
func (s *Server) wanted() int32 { return max(s.want.Load(), s.least.Load()) }
