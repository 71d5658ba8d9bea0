package mover

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// quietTime is how long a file must not have changed before it moves, unless
// the policy or the request speaks of less: who writes in bursts is left alone.
const quietTime = time.Minute

// quiet is the least of quietTime and the durations that are set.
func quiet(set ...time.Duration) time.Duration {
	least := quietTime
	for _, d := range set {
		if d > 0 {
			least = min(least, d)
		}
	}
	return least
}

// facts are what a file is judged by.
type facts struct {
	*found
	now    time.Time
	opened time.Time // last through the mount, zero if nobody knows
}

// course is where a file is to go.
type course int

const (
	stay course = iota
	down
	off // down, and off the primary's filesystem: it is to get emptier
	up
)

// judge says where a file is to go, or why it stays.
type judge func(f facts) (course, Reason)

// judge says what the policy does with a file by itself. coldest, unless it is
// 0, is the age from which the primary's files make room (high=).
//
// Only the primary's files grow old: a file on a fallback stays there, so that
// the tiers below fill up one after the other.
func (p *Policy) judge(f facts, coldest time.Duration) (course, Reason) {
	if why := f.kept(); why != Moved {
		return stay, why
	}
	switch {
	case f.pin == pinNone, f.pin == pinFallback && f.rank > 0, f.pin == pinPrimary && f.rank == 0:
		return stay, Pinned
	}
	if why := f.recent(quiet(p.Demote)); why != Moved {
		return stay, why
	}
	switch {
	case f.pin == pinPrimary:
		return up, Moved
	case f.rank > 0:
		return stay, Lower
	case f.pin == pinFallback:
		return down, Moved
	case p.Opens > 0 && f.now.Sub(f.opened) < p.Within:
		return stay, Used // it would come back at the next open
	case p.Demote > 0 && p.age(f) >= p.Demote, coldest > 0 && p.age(f) >= coldest:
		return down, Moved
	case p.Demote == 0 && p.High == 0:
		return stay, NoPolicy
	case f.ahead(p.since(f), quiet(p.Demote)):
		return stay, Future
	case p.Demote == 0:
		return stay, Warm
	}
	return stay, Young
}

// ask says whether a file moves because an administrator wants it.
func (r *Request) ask(p *Policy, f facts) (course, Reason) {
	c, against := down, pinPrimary
	if r.Up {
		c, against = up, pinFallback
	}
	if why := f.kept(); why != Moved {
		return stay, why
	}
	switch {
	case r.Up && f.rank == 0:
		return stay, Highest
	case f.pin == against:
		return stay, Pinned
	}
	d := quiet(p.Demote, r.OlderThan)
	if why := f.recent(d); why != Moved {
		return stay, why
	}
	switch {
	case r.OlderThan == 0 || p.age(f) >= r.OlderThan:
		return c, Moved
	case f.ahead(p.since(f), d):
		return stay, Future
	}
	return stay, Younger
}

// comeUp says whether a file that is opened often moves to the primary.
func (p *Policy) comeUp(f facts) (course, Reason) {
	if why := f.kept(); why != Moved {
		return stay, why
	}
	if f.pin == pinFallback || f.pin == pinNone {
		return stay, Pinned
	}
	if why := f.recent(quiet(p.Demote)); why != Moved {
		return stay, why
	}
	return up, Moved
}

// kept is why a file never moves, if it does not.
func (f facts) kept() Reason {
	switch {
	case f.deep:
		return Deep
	case f.st.Mode&unix.S_IFMT != unix.S_IFREG:
		return Special
	case f.inner:
		return Inner
	case f.excluded:
		return Excluded
	case f.st.Nlink > 1:
		return Linked
	case f.fixed:
		return Fixed
	case f.pin == pinBad:
		return BadPin
	}
	return Moved
}

// more is what is to be said beside the reason.
func (f *found) more(why Reason) error {
	if why == BadPin {
		return errors.New(f.badPin)
	}
	return nil
}

// recent is why a file has to be left alone yet, if content or attributes have
// changed within d, or will have, by a clock that is wrong. A move makes a file
// with old content.
func (f facts) recent(d time.Duration) Reason {
	modified, changed := stamp(f.st.Mtim), stamp(f.st.Ctim)
	switch {
	case f.ahead(later(modified, changed), d):
		return Future
	case f.now.Sub(later(modified, changed)) >= d:
		return Moved
	case f.now.Sub(modified) >= d && f.now.Sub(f.born) < d:
		return Arrived
	}
	return Fresh
}

// ripe is when that is over.
func (f facts) ripe(d time.Duration) time.Time {
	return later(stamp(f.st.Mtim), stamp(f.st.Ctim)).Add(d)
}

// ahead reports that a time is so far in the future that a clock must be wrong.
func (f facts) ahead(t time.Time, d time.Duration) bool { return t.Sub(f.now) > d }

// age is how old a file is by the policy, not less than 0.
func (p *Policy) age(f facts) time.Duration { return max(0, f.now.Sub(p.since(f))) }

// since is what the age counts from.
func (p *Policy) since(f facts) time.Time {
	since := stamp(f.st.Mtim)
	switch p.Age {
	case AgeAtime:
		since = stamp(f.st.Atim)
	case AgeNewest:
		since = later(since, stamp(f.st.Atim))
	case AgeOpened:
		since = later(since, f.opened)
	}
	return since
}

func stamp(t unix.Timespec) time.Time { return time.Unix(t.Unix()) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
