package mover

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Times of the schedule.
const (
	scanLeast   = time.Second      // between scans by age …
	scanMost    = time.Hour        // … which come 24 times in a demote age
	scanFirst   = time.Minute      // at most, from the mount to the first
	pinScans    = 24               // scans of the primary for one of the fallbacks, where only pins are of interest
	roomEvery   = 30 * time.Second // looks at how full the primary is
	roomPause   = 10 * time.Minute // after files that could go did not suffice, and none will soon
	roomSlack   = 3 * time.Second  // files that are written one after the other go together
	risesEvery  = 10 * time.Second // files that are opened often
	savesEvery  = 5 * time.Minute  // what was opened when
	windowSlack = time.Second      // a timer may fire before the clock's minute
)

// schedule is when what is due.
type schedule struct {
	m      *Mover
	policy Policy

	scan, room, rise, save time.Time
	scans                  int       // by this policy
	full                   time.Time // since when room cannot be made, zero if it can
	ripe                   time.Time // when more can be made, as files were changed too lately; else zero
	short                  bool      // it was said that there is no more to make room with
	loaded                 bool      // what an earlier daemon has saved of opens
}

// Run moves files by policy until ctx ends, and waits for the job under way.
func (m *Mover) Run(ctx context.Context) {
	s := &schedule{m: m, save: time.Now().Add(savesEvery)}
	s.follow(m.currentPolicy(), scanFirst)
	for ctx.Err() == nil {
		timer := time.NewTimer(time.Until(s.due()))
		select {
		case <-ctx.Done():
		case <-timer.C:
			s.run(ctx)
		case <-m.wake:
			if p := m.currentPolicy(); !reflect.DeepEqual(p, s.policy) {
				s.follow(p, 0)
			}
		}
		timer.Stop()
	}
	s.saveOpens()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.Halt(errEnded)
}

// follow begins with a policy; the first scan comes after its interval, but
// after wait at most.
func (s *schedule) follow(p Policy, wait time.Duration) {
	now := time.Now()
	s.policy, s.scans = p, 0
	s.enough()
	s.scan, s.room, s.rise = now.Add(min(wait, p.interval())), now, now
	s.show()
	if p.Age == AgeOpened && !s.loaded {
		s.loaded = true
		s.loadOpens()
	}
}

// interval is the time between scans by age.
func (p *Policy) interval() time.Duration {
	if p.Demote == 0 {
		return scanMost
	}
	return min(max(p.Demote/24, scanLeast), scanMost)
}

// active reports that something moves by itself.
func (p *Policy) active() bool { return p.Demote > 0 || p.High > 0 || p.Opens > 0 }

// due is when there is something to do.
func (s *schedule) due() time.Time {
	at := s.save
	if !s.policy.active() || s.m.forbidden() {
		return at // Permit and SetPolicy wake us
	}
	next := s.scan
	if s.policy.High > 0 && s.room.Before(next) {
		next = s.room
	}
	if s.policy.Opens > 0 && s.rise.Before(next) {
		next = s.rise
	}
	if open := s.policy.Window.next(time.Now()); open.After(next) {
		next = open.Add(windowSlack)
	}
	if next.Before(at) {
		return next
	}
	return at
}

// run does what is due, the most urgent first.
func (s *schedule) run(ctx context.Context) {
	now := time.Now()
	if !s.save.After(now) {
		s.saveOpens()
		s.save = now.Add(savesEvery)
	}
	if s.m.forbidden() || !s.policy.active() || s.policy.Window.left(now) == 0 {
		return
	}
	switch {
	case s.policy.High > 0 && !s.room.After(now):
		s.room = s.makeRoom(ctx)
		s.show()
	case s.policy.Opens > 0 && !s.rise.After(now):
		s.rises(ctx)
		s.rise = time.Now().Add(risesEvery)
	case !s.scan.After(now):
		s.scan = s.scanTiers(ctx)
		s.show()
	}
}

// show tells Status when the next scan is, or the next try to make room where
// the last did not.
func (s *schedule) show() {
	var next time.Time
	if s.policy.active() {
		next = s.scan
		if !s.full.IsZero() && s.room.Before(next) {
			next = s.room
		}
		next = later(next, s.policy.Window.next(time.Now()))
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.next = next
}

// job runs one by policy within the window. What it was kept from is due again
// at once, or when the window opens.
func (s *schedule) job(ctx context.Context, kind string, run func(ctx context.Context, j *job) error) (done bool) {
	ctx, cancel := s.m.permitted(ctx)
	defer cancel(nil)
	end := time.AfterFunc(s.policy.Window.left(time.Now()), func() { cancel(errWindow) })
	defer end.Stop()
	j := s.m.newJob(kind, quiet(s.policy.Demote), nil)
	j.policy = s.policy
	if err := s.m.takeUnasked(ctx, j, cancel); err != nil {
		return false
	}
	err := run(ctx, j)
	if err != nil && context.Cause(ctx) == nil {
		j.blame(err)
	}
	s.m.give(j, err)
	return !errors.Is(err, errPreempted) && !errors.Is(err, errWindow)
}

var errWindow = errors.New("the window for moving has closed")

// scanTiers moves by age and pins, and returns when to do it again: it takes
// half of the time at most.
func (s *schedule) scanTiers(ctx context.Context) time.Time {
	begin := time.Now()
	done := s.job(ctx, kindScan, func(ctx context.Context, j *job) error {
		h := &haul{job: j, ctx: ctx, judge: func(f facts) (course, Reason) { return j.policy.judge(f, 0) }}
		if _, err := h.over("", true, 0); err != nil || s.scans%pinScans != 0 {
			return err
		}
		from, _ := sources(len(s.m.tree.Tiers()), true)
		_, err := j.pinned(ctx).over("", true, from...)
		return err
	})
	if !done {
		return time.Now()
	}
	s.scans++
	return time.Now().Add(max(s.policy.interval(), time.Since(begin)))
}

// pinned brings up what is pinned to the primary. All else on the fallbacks is
// where it belongs, and not worth counting.
func (j *job) pinned(ctx context.Context) *haul {
	return &haul{job: j, ctx: ctx, silent: true, judge: func(f facts) (course, Reason) { return j.policy.judge(f, 0) }}
}

// makeRoom looks at how full the primary is, and returns when to look again.
func (s *schedule) makeRoom(ctx context.Context) time.Time {
	begin := time.Now()
	need := s.excess()
	if need == 0 {
		s.enough()
		return begin.Add(roomEvery)
	}
	var look *looker
	done := s.job(ctx, kindRoom, func(ctx context.Context, j *job) (err error) {
		look, err = j.makeRoom(ctx, need)
		return err
	})
	if !done {
		return time.Now()
	}
	left := s.policy.left(s.m.primary())
	if left == 0 {
		s.enough()
		return time.Now().Add(roomEvery)
	}
	if s.full.IsZero() {
		s.full = begin
	}
	s.ripe = look.ripe
	if !s.short && (look.fresh < int64(left) || s.tired()) {
		s.short = true
		s.m.log.Warn(fmt.Sprintf("the primary was over high=%d%%, and is %.0f %% full still, not at low=%d%%: what may move is not enough; see tierfs plan",
			s.policy.High, usage(s.m.primary()), s.policy.Low))
	}
	return time.Now().Add(s.roomWait(time.Since(begin)))
}

// excess is what has to leave the primary. What is over Low and could not go
// yet is not forgotten as soon as less than High is left.
func (s *schedule) excess() uint64 {
	if !s.ripe.IsZero() && !s.tired() {
		return s.policy.left(s.m.primary())
	}
	return s.policy.excess(s.m.primary())
}

// tired reports that what is waited for may be changed all the time.
func (s *schedule) tired() bool { return time.Since(s.full) >= roomPause }

// enough notes that room is made.
func (s *schedule) enough() { s.full, s.ripe, s.short = time.Time{}, time.Time{}, false }

// roomWait is for how long there is no use in another try to make room: until
// the first file may go that was changed too lately, and those that came with
// it. The tries take half of the time at most.
func (s *schedule) roomWait(took time.Duration) time.Duration {
	if s.ripe.IsZero() {
		return roomPause
	}
	return min(roomPause, max(roomEvery, took, s.ripe.Sub(s.m.now())+roomSlack))
}

// saveOpens writes down what age=opened goes by. Only the daemon that may move
// writes into .tierfs.
func (s *schedule) saveOpens() {
	t := s.m.primary()
	if s.policy.Age != AgeOpened || s.m.forbidden() || t.Away() || t.ReadOnly() {
		return
	}
	if err := s.m.opens.lasts.save(t); err != nil {
		s.m.log.Warn("cannot save when files were opened last, so that is lost at the end of the mount; free space there, or check the disk", "tier", t.Root, "err", err)
	}
}

func (s *schedule) loadOpens() {
	t := s.m.primary()
	if err := s.m.opens.lasts.load(t); err != nil {
		s.m.log.Warn("cannot read when files were opened last, so they are as old as their last change; check the disk", "tier", t.Root, "err", err)
	}
}

func (m *Mover) forbidden() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.why != nil
}
