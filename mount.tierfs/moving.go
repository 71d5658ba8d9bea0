package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// newMover makes the mover of a mount with fallbacks. Without a policy it waits
// for what is asked for.
func (g *graph) newMover() {
	if len(g.set.Tiers()) == 1 {
		return
	}
	g.mover = mover.New(g.fs, mover.Config{
		Log: g.log, Policy: policy(g.options),
		MinFree: func(total uint64) uint64 { return g.fs.Options().MinFree(total) },
		Look:    g.look,
	})
}

// policy is what moves by itself, by the options.
func policy(o mountopt.Options) mover.Policy {
	p := mover.Policy{
		Demote: o.Demote, Opens: o.Promote.Opens, Within: o.Promote.Within,
		Window: mover.Window(o.Window), Exclude: o.Exclude, Ignore: o.IgnoreComm, Rate: o.MoverRate,
		Age: map[mountopt.Age]mover.AgeKind{
			mountopt.AgeNewest: mover.AgeNewest, mountopt.AgeAtime: mover.AgeAtime,
			mountopt.AgeMtime: mover.AgeMtime, mountopt.AgeOpened: mover.AgeOpened,
		}[o.Age],
	}
	p.High, p.Low = o.Watermarks()
	return p
}

// openTime is how long it is looked for open files: who asks for a plan waits.
const openTime = 2 * time.Second

// opened is the last look for open files.
type opened struct {
	mu      sync.Mutex
	ended   time.Time     // GUARDED_BY(mu)
	holders mover.Holders // GUARDED_BY(mu)
}

// look tells which files of the tiers are open, or were at the last look, if that has
// ended no longer ago than the age.
func (g *graph) look(age time.Duration) mover.Holders {
	o := &g.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.ended) >= age {
		o.holders = g.lookAnew()
		o.ended = time.Now()
	}
	return o.holders
}

// lookAnew looks which files of the tiers are open behind the mount, or mapped by who
// has closed them. What is open through the mount is known at any time.
func (g *graph) lookAnew() mover.Holders {
	mount := daemon.Device{Minor: g.minor.Load()}
	on, disks := map[daemon.Device]bool{mount: true}, []daemon.Device{}
	mounts, _ := daemon.Mounts()
	for _, t := range g.set.Tiers() {
		disk := daemon.Device{Major: unix.Major(t.Dev()), Minor: unix.Minor(t.Dev())}
		if m, ok := daemon.ByID(mounts, t.MountID()); ok {
			disk = daemon.Device{Major: m.Major, Minor: m.Minor}
		}
		disks, on[disk] = append(disks, disk), true
	}
	ctx, cancel := context.WithTimeout(g.begun, openTime)
	defer cancel()
	files := daemon.OpenFiles(ctx, on)
	return func(rank int, st *unix.Stat_t, number uint64) mover.Reason {
		open, shown := g.fs.Opened(rank, st)
		switch {
		case open:
			return mover.Open
		case rank < len(disks) && files[daemon.File{Device: disks[rank], Ino: number}], files[daemon.File{Device: mount, Ino: shown}]:
			return mover.OpenBeneath
		}
		return mover.Moved
	}
}

// used is told of every open.
func (g *graph) used(rank int, dev, ino uint64, pid uint32, path func() string) {
	if g.mover != nil {
		g.mover.Opened(rank, dev, ino, pid, path)
	}
}

// startMover moves files until the mount ends, as long as it can be seen. When
// it returns, whoever asks for a move is not refused any more.
func (g *graph) startMover(visible func() bool) {
	if g.mover == nil {
		return
	}
	ctx := g.begun
	g.tasks.Go(func() { g.mover.Run(ctx) })
	unwatched := func(err error) {
		g.log.Error("files do not move, as the mounts cannot be watched; mount anew to have them move", "err", err)
		g.visible.Store(false)
		g.permit()
	}
	watch, err := daemon.OpenMountWatch()
	if err != nil {
		unwatched(err)
		return
	}
	inner := foreignMounts(g.set)
	look := func() {
		g.visible.Store(visible())
		g.permit()
		if now := foreignMounts(g.set); !slices.Equal(now, inner) {
			inner = now
			g.fs.Doubt()
		}
	}
	look()
	g.tasks.Go(func() {
		if err := watch.Run(ctx, look); err != nil {
			unwatched(err)
		}
	})
}

// permit tells the mover whether it may move. Whoever changes what that depends
// on calls it afterwards.
func (g *graph) permit() {
	if g.mover == nil {
		return
	}
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	g.fs.SetAlone(g.joined.Owner)
	switch {
	case g.pauses.Load() > 0:
		g.mover.Permit(errPaused)
	case !g.visible.Load():
		g.mover.Permit(errEnds)
	case !g.joined.Owner:
		g.mover.Permit(lockedOut{g})
	default:
		g.mover.Permit(nil)
	}
}

var errPaused = errors.New("a tier was added or is back, or another daemon has ended: what was left there is finished first")

// pause stops moving until the function that it returns is called: who waits for
// the members' locks may get that of a tier which is back while it is taken anew. It
// is not called with joinMu held, as a tier that a move hangs in needs it to come back.
func (g *graph) pause() (resume func()) {
	if g.mover == nil {
		return func() {}
	}
	g.pauses.Add(1)
	g.mover.Halt(errPaused)
	return func() {
		g.pauses.Add(-1)
		g.permit()
	}
}
