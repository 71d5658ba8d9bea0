package main

import (
	"context"
	"errors"

	"github.com/tierfs/tierfs/internal/tier"
)

// errEnds is the end of a job by the end of the mount.
var errEnds = errors.New("the mount was unmounted")

// work runs fn as one of the tasks that close ends and waits for. It ends with
// ctx too.
func (g *graph) work(ctx context.Context, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(g.begun, func() { cancel(errEnds) })()
	done := make(chan error, 1)
	if !g.begin(func() { done <- fn(ctx) }) {
		return errEnds
	}
	err := <-done
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	return err
}

// begin begins a task, unless close waits for the last ones already.
func (g *graph) begin(task func()) bool {
	g.workMu.Lock()
	defer g.workMu.Unlock()
	if g.begun.Err() != nil {
		return false
	}
	g.tasks.Go(task)
	return true
}

// endWork ends what work runs; nothing begins any more.
func (g *graph) endWork() {
	g.workMu.Lock()
	defer g.workMu.Unlock()
	g.stop()
}

// owner reports whether this daemon alone has the tiers, or who has them too. A
// mount of one tier has no members to lock.
func (g *graph) owner() (other tier.Holder, alone bool) {
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	return g.joined.Holder, g.joined.Owner
}
