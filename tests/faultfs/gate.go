package faultfs

import (
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// gate is what every call on the disks passes.
type gate struct {
	mu       sync.Mutex
	plan     *Plan         // GUARDED_BY(mu)
	report   Report        // GUARDED_BY(mu)
	disarmed chan struct{} // closed at the end of the plan; GUARDED_BY(mu)
}

// maxCalls bounds what is remembered of a plan under load.
const maxCalls = 4096

func (g *gate) arm(p *Plan) Report {
	g.disarm()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plan, g.report, g.disarmed = p, Report{Stuck: g.report.Stuck}, make(chan struct{})
	return g.report
}

func (g *gate) disarm() Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.plan != nil {
		g.plan = nil
		close(g.disarmed)
	}
	return g.report
}

func (g *gate) now() Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.report
}

// strike counts a call, and returns the plan if it is to happen to it.
func (g *gate) strike(c Call) (*Plan, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.plan
	if p == nil || p.Disk >= 0 && p.Disk != c.Disk || len(p.Ops) > 0 && !slices.Contains(p.Ops, c.Op) {
		return nil, nil
	}
	g.report.Calls = append(g.report.Calls, c)
	if n := len(g.report.Calls); n < p.Nth || n > p.Nth && !p.Stays {
		return nil, nil
	} else if n > maxCalls { // a plan that stays, under load
		g.report.Calls = g.report.Calls[:n-1]
	}
	g.report.Hit = true
	return p, g.disarmed
}

// lacks reports whether the plan is for disks without something.
func (g *gate) lacks(what func(*Plan) bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.plan != nil && what(g.plan)
}

// xattrless is what is said of extended attributes, if there are to be none.
func (g *gate) xattrless(node uint64) fuse.Status {
	switch {
	case !g.lacks(func(p *Plan) bool { return p.NoXattrs }):
		return fuse.OK
	case node == fuse.FUSE_ROOT_ID:
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return fuse.EIO
}

// pass lets a call through, or does to it what is planned. short tells fn to do
// half of its work.
func (g *gate) pass(c Call, fn func(short bool) fuse.Status) fuse.Status {
	if c.Op == "LINK" && g.lacks(func(p *Plan) bool { return p.NoLinks }) {
		return fuse.EPERM
	}
	p, disarmed := g.strike(c)
	if p == nil {
		return fn(false)
	}
	done := fuse.OK
	if p.Done {
		done = fn(p.Short)
	}
	if p.Die {
		os.Exit(1)
	}
	if p.DelayMS > 0 {
		time.Sleep(time.Duration(p.DelayMS) * time.Millisecond)
	}
	if p.Hang {
		g.stuck(1)
		<-disarmed
		g.stuck(-1)
	}
	switch {
	case p.Errno == 0 && !p.Done:
		return fn(p.Short)
	case p.Errno == 0 || !done.Ok():
		return done
	}
	return fuse.Status(syscall.Errno(p.Errno))
}

func (g *gate) stuck(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.report.Stuck += n
}
