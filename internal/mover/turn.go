package mover

import (
	"context"
	"errors"
	"time"
)

// errPreempted ends a job by policy when an administrator asks for another.
var errPreempted = errors.New("an administrator has asked for another job")

// permitted is ctx until the mover may move no more, for the caller to end.
func (m *Mover) permitted(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	m.mu.Lock()
	allowed := m.allowed
	m.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	if allowed.Err() != nil {
		cancel(context.Cause(allowed)) // now: AfterFunc would, a moment later
	}
	stop := context.AfterFunc(allowed, func() { cancel(context.Cause(allowed)) })
	return ctx, func(err error) {
		stop()
		cancel(err)
	}
}

// take waits for the turn of a job that was asked for. It ends the one by
// policy, which is due again when this one is done.
func (m *Mover) take(ctx context.Context, j *job) error {
	m.mu.Lock()
	m.asked++
	if m.preempt != nil {
		m.preempt(errPreempted)
	}
	m.mu.Unlock()
	err := m.wait(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked--
	if err == nil {
		m.running = j
	}
	return err
}

// takeUnasked waits for the turn of a job by policy, which cancel ends.
func (m *Mover) takeUnasked(ctx context.Context, j *job, cancel context.CancelCauseFunc) error {
	if err := m.wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// One that was asked for may wait by now, and has ended what ran before.
	if m.asked > 0 {
		<-m.turn
		return errPreempted
	}
	m.running, m.preempt = j, cancel
	return nil
}

func (m *Mover) wait(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give ends the turn of j.
func (m *Mover) give(j *job, err error) {
	r := j.finish(err)
	m.mu.Lock()
	m.running, m.preempt, m.last = nil, nil, &r
	m.sum.add(r.Tally)
	switch {
	case !r.fails():
		m.failing = time.Time{}
	case m.failing.IsZero():
		m.failing = r.End
	}
	m.mu.Unlock()
	<-m.turn
}
