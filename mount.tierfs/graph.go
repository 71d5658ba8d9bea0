package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"github.com/tierfs/tierfs/internal/tierfs"
	"golang.org/x/sys/unix"
)

// Bounds of a mount.
const (
	graceTime    = 5 * time.Second  // after the connection's end, for ops that are stuck
	takeOverTime = 5 * time.Second  // between tries to get the members' locks
	inspectTime  = time.Second      // for tiers to answer a status
	replayTime   = 5 * time.Second  // that a remount takes at most for what was left on a tier
	failingTime  = 10 * time.Minute // that a tier is said to fail after a call it has failed
	maxDirs      = 8192             // directory descriptors kept, if a quarter of the limit allows
)

// graph is what serves the mount: the tiers, their membership, the filesystem
// on them, the connection to the kernel. It is put together here and nowhere
// else.
type graph struct {
	log      *slog.Logger
	dir      string           // the mount point
	options  mountopt.Options // as mounted
	memory   *daemon.Memory
	set      *tier.Set
	claiming sync.Mutex // outside joinMu; while what another daemon left is finished
	joinMu   sync.Mutex
	joined   *tier.JoinResult // GUARDED_BY(joinMu) once served
	minor    atomic.Uint32    // device number of the mount, once there is one; its major is 0
	conn     string           // of daemon.Connection, once there is one; GUARDED_BY(joinMu)
	named    *os.File         // what the name holds by
	fs       *tierfs.FS
	srv      *fusedev.Server
	mover    *mover.Mover // nil without fallbacks
	opened   opened
	visible  atomic.Bool  // the mount is in mountinfo
	pauses   atomic.Int32 // whoever takes the members' locks anew

	begun context.Context // ends with the mount
	stop  context.CancelFunc
	tasks sync.WaitGroup

	workMu sync.Mutex // held while a task of work begins, and while begun ends
}

// newGraph opens the tiers and settles their membership, before the mount.
func newGraph(roots []string, dir string, o mountopt.Options, log *slog.Logger) (*graph, error) {
	set, err := tier.OpenSet(roots, tier.Config{Log: log, Timeout: o.TierTimeout, AccessTimes: accessTimes(o.Flags), Mounts: mountPoints})
	if err != nil {
		return nil, err
	}
	g := &graph{log: log, dir: dir, options: o, memory: daemon.NewMemory(), set: set, stop: func() {}}
	if err := g.join(); err != nil {
		g.close()
		return nil, err
	}
	b := newBudget()
	if g.options.Threads == 0 {
		g.options.Threads = b.threads
	}
	g.fs, err = tierfs.New(set, tierfs.Config{
		Options: rules(o), Log: log, RawLinks: o.RawLinks, Inodes32: o.Inodes32,
		Export: o.NoForget, Freed: g.memory.Freed, Used: g.used, Passthrough: o.Passthrough != mountopt.PassthroughOff,
		Cache:   caches[o.Cache],
		MaxDirs: b.dirs, MaxFiles: b.files, MaxListings: memoryForListings(),
	})
	if err != nil {
		g.close()
		return nil, err
	}
	g.fs.SetMembers(g.ids())
	if g.joined.Owner {
		g.fs.Replay()
	}
	g.newMover()
	return g, nil
}

// ids are the member IDs by rank.
func (g *graph) ids() (ids []string) {
	for _, m := range g.joined.Members {
		ids = append(ids, m.ID)
	}
	return ids
}

// extend takes fallbacks in at the end, one after the other, and tells how many before
// an error. What a daemon that had them has left is finished then. That may take long,
// and is not waited for then, but until it is done nothing moves. The mount is at dir,
// and own its device.
func (g *graph) extend(roots []string, dir, own string) (taken int, err error) {
	if len(roots) == 0 {
		return 0, nil
	}
	if err := g.set.Answer(); err != nil {
		return 0, err
	}
	had := len(g.set.Tiers())
	resume := g.pause()
	taken, err = g.takeIn(roots, dir, own)
	replayed := make(chan struct{})
	if taken == 0 || !g.begin(func() { g.replay(had, had+taken); resume(); close(replayed) }) {
		resume()
		return taken, err
	}
	select {
	case <-replayed:
	case <-g.begun.Done():
	case <-time.After(replayTime):
	}
	return taken, err
}

// replay finishes what was left on the tiers with the ranks from first up to before end,
// if this daemon has the locks: whoever gets them later finishes it all.
func (g *graph) replay(first, end int) {
	g.claiming.Lock()
	defer g.claiming.Unlock()
	if _, alone := g.owner(); alone {
		g.fs.ReplayTiers(g.begun, first, end)
	}
}

// takeIn is extend but for what was left.
func (g *graph) takeIn(roots []string, dir, own string) (taken int, err error) {
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	for _, root := range roots {
		t, err := g.set.Open(root)
		if err != nil {
			return taken, err
		}
		if err := checkAdded(g.set, t, dir, own); err != nil {
			t.Close()
			return taken, err
		}
		if err := g.joinAnew(append(members(g.set), member(t))); err != nil {
			t.Close()
			return taken, err
		}
		g.say(g.joined)
		if err := g.fs.Extend(t, g.ids()); err != nil {
			t.Close()
			if e := g.joinAnew(members(g.set)); e != nil {
				g.log.Error("a fallback that was to be added does not answer, and stays in the lists of members; see to its disk, and mount anew with it or without", "tier", t.Root, "err", e)
			}
			return taken, fmt.Errorf("fallback %q: %w; check its disk", root, err)
		}
		taken++
	}
	return taken, nil
}

// joinAnew settles the membership anew. If a lock is not to be had that is wanted now,
// files do not move until it is.
//
// LOCKS_REQUIRED(g.joinMu)
func (g *graph) joinAnew(roots []tier.Root) error {
	owned := g.joined.Owner
	if err := g.joined.Rejoin(roots); err != nil {
		return err
	}
	g.joined.Sign(g.conn)
	if owned && !g.joined.Owner {
		g.begin(func() { g.takeOver(g.begun) })
	}
	return nil
}

// sign tells those who want the locks by which connection we serve, from when there
// is one.
func (g *graph) sign(minor uint32) {
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	g.minor.Store(minor)
	g.conn, g.named = daemon.Connection(minor)
	g.joined.Sign(g.conn)
}

// join checks where the tiers are, and that they are the members of one set.
func (g *graph) join() error {
	if err := checkPlaces(g.set, g.dir); err != nil {
		return err
	}
	joined, err := g.joinAfter()
	if err != nil {
		return err
	}
	g.joined = joined
	g.say(joined)
	for _, w := range append(foreignMounts(g.set), noPassthrough(g.set, g.options)...) {
		g.log.Warn(w)
	}
	return nil
}

func (g *graph) say(j *tier.JoinResult) {
	if j.Held {
		g.log.Warn(meet(j.Holder).beside())
	}
	for _, w := range j.Warnings {
		g.log.Warn(w)
	}
	for _, n := range j.Notes {
		g.log.Info(n)
	}
}

// checkTiers is the judgement of newGraph without its effects, for mount -f.
func checkTiers(roots []string, dir string, o mountopt.Options) ([]string, error) {
	set, err := tier.OpenSet(roots, tier.Config{Timeout: o.TierTimeout})
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if err := checkPlaces(set, dir); err != nil {
		return nil, err
	}
	notes, err := tier.Check(members(set), dir)
	return slices.Concat(notes, foreignMounts(set), noPassthrough(set, o)), err
}

// checkPlaces refuses tiers that overlap, and a mount point inside one.
func checkPlaces(set *tier.Set, dir string) error {
	if err := set.CheckMountPoint(dir); err != nil {
		return err
	}
	return checkOverlap(set, dir, "")
}

// checkAdded is checkPlaces for a tier that is to be added to the mount at dir, whose
// device is own: a tier in there would be asked by itself.
func checkAdded(set *tier.Set, t *tier.Tier, dir, own string) error {
	if dev := t.Dev(); fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)) == own {
		return fmt.Errorf("fallback %q: it lies in this mount; name a directory of its own", t.Root)
	}
	if err := t.CheckMountPoint(dir); err != nil {
		return err
	}
	return checkOverlap(set, dir, own, t)
}

// checkOverlap looks past the mounts of the device own, which cover where tiers are.
func checkOverlap(set *tier.Set, dir, own string, added ...*tier.Tier) error {
	mounts, err := daemon.Mounts()
	if err != nil {
		return err
	}
	mounts = slices.DeleteFunc(mounts, func(m daemon.Mount) bool { return m.Dev() == own })
	return set.Overlap(dir, func(path string) (dev, inner string) {
		for at := path; ; at = filepath.Dir(at) {
			if m, ok := daemon.Top(mounts, at); ok {
				return m.Dev(), filepath.Join(m.Root, strings.TrimPrefix(path, at))
			}
			if at == "/" {
				return "", ""
			}
		}
	}, added...)
}

// members are the tiers as the guard of the membership sees them.
func members(set *tier.Set) []tier.Root {
	var roots []tier.Root
	for _, t := range set.Tiers() {
		roots = append(roots, member(t))
	}
	return roots
}

func member(t *tier.Tier) tier.Root {
	return tier.Root{Path: t.Root, Rank: t.Rank, FD: t.RootFD(), ReadOnly: t.ReadOnly()}
}

// foreignMounts warns of filesystems mounted inside the tiers.
func foreignMounts(set *tier.Set) []string { return set.Warnings(mountPoints()) }

// noPassthrough warns of what keeps passthrough=on from what it asks for, as far
// as that is known before the mount. What else the kernel refuses is in the log.
func noPassthrough(set *tier.Set, o mountopt.Options) (w []string) {
	if o.Passthrough != mountopt.PassthroughOn || os.Geteuid() != 0 {
		return nil // see powerless
	}
	if o.Flags&unix.MS_SYNCHRONOUS != 0 {
		return []string{"passthrough=on: the kernel would write past sync, so data goes through the daemon; leave one of them out"}
	}
	for _, t := range set.Tiers() {
		if t.Stacked {
			w = append(w, fmt.Sprintf("passthrough=on: tier %q is on a stacked filesystem, so its data goes through the daemon; name a directory below that", t.Root))
		}
	}
	return w
}

// mountPoints is where something is mounted.
func mountPoints() []string {
	mounts, err := daemon.Mounts()
	if err != nil {
		return nil
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Dir)
	}
	return points
}

// accessTimes are the flags about access times for the tiers: what FUSE does
// with a mount's own is nothing.
func accessTimes(flags uintptr) (a tier.AccessTimes) {
	switch {
	case flags&unix.MS_NOATIME != 0:
		a = tier.AccessTimes{Set: unix.MOUNT_ATTR_NOATIME, Clear: unix.MOUNT_ATTR__ATIME}
	case flags&unix.MS_STRICTATIME != 0:
		a = tier.AccessTimes{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: unix.MOUNT_ATTR__ATIME}
	case flags&unix.MS_RELATIME != 0:
		a = tier.AccessTimes{Set: unix.MOUNT_ATTR_RELATIME, Clear: unix.MOUNT_ATTR__ATIME}
	}
	if flags&unix.MS_NODIRATIME != 0 {
		a.Set |= unix.MOUNT_ATTR_NODIRATIME
	}
	return a
}

// isMissing reports that a tier is not there, which nofail forgives.
func isMissing(err error) bool {
	var missing *tier.MissingError
	return errors.As(err, &missing)
}

// rules are the options that a remount can change, as the filesystem has them.
func rules(o mountopt.Options) tierfs.Options {
	return tierfs.Options{
		CreatePrimary: o.Create == mountopt.CreatePrimary, MinFree: o.MinFree.Of, StatfsPrimary: o.StatfsPrimary,
		EntryTTL: o.EntryTimeout, AttrTTL: o.AttrTimeout, NegativeTTL: o.NegativeTimeout,
		Sync: o.Flags&unix.MS_SYNCHRONOUS != 0, DirSync: o.Flags&(unix.MS_SYNCHRONOUS|unix.MS_DIRSYNC) != 0,
	}
}

// caches are the values of cache= as the filesystem has them.
var caches = map[mountopt.Cache]tierfs.Cache{
	mountopt.CacheAuto: tierfs.CacheAuto, mountopt.CacheCoherent: tierfs.CacheCoherent, mountopt.CacheTimeout: tierfs.CacheTimeout,
}

// budget divides the descriptors that the process may have.
type budget struct {
	dirs    int   // directories of the tiers that are kept open
	threads int   // workers, with a socket pair each
	files   int64 // for what clients open: the rest
}

// ownFiles is what the daemon has open beside: tiers, locks, sockets, the log.
const ownFiles = 64

func newBudget() budget {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		l.Cur = 1024
	}
	all := int64(min(l.Cur, 1<<30))
	b := budget{
		dirs:    int(max(64, min(all/4, maxDirs))),
		threads: int(max(16, min(all/16, fusedev.DefaultThreads))),
	}
	// Ops that are stuck have workers beyond threads.
	b.files = max(16, all-int64(b.dirs)-min(all/8, 4096)-ownFiles)
	return b
}

// memoryForListings is an eighth of the machine's, within bounds: a million
// names take a tenth of a gigabyte.
func memoryForListings() int64 {
	const least, most = 128 << 20, 1 << 30
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return least
	}
	return max(least, min(int64(info.Totalram)*int64(info.Unit)/8, most))
}

// serve begins to answer the kernel on dev.
func (g *graph) serve(dev int) (err error) {
	g.srv, err = fusedev.Serve(dev, g.fs, fusedev.Config{
		Log: g.log, Threads: g.options.Threads, Stuck: g.set.Stuck, Slow: daemon.CalmSysmon().Hurry,
		Passthrough:   g.options.Passthrough != mountopt.PassthroughOff,
		Insists:       g.options.Passthrough == mountopt.PassthroughOn,
		POSIXACL:      !g.options.NoACL && os.Geteuid() == 0,
		CacheSymlinks: g.options.RawLinks || len(g.set.Tiers()) == 1,
		Export:        g.options.NoForget,
	})
	if err != nil {
		return err
	}
	if !g.srv.Passthrough() {
		g.oldKernel()
	}
	g.begun, g.stop = context.WithCancel(context.Background())
	ctx := g.begun
	g.tasks.Go(func() { g.memory.Run(ctx) })
	g.set.Watch(g.verify, g.fs.TierLost, func(t *tier.Tier) {
		g.fs.TierReturned(t)
		g.tasks.Go(func() { g.rejoin(ctx) })
	})
	if !g.joined.Owner {
		g.tasks.Go(func() { g.takeOver(ctx) })
	}
	g.tasks.Go(func() { g.fs.Chores(ctx) })
	return nil
}

// rejoin settles the membership anew after a tier has come back: on another mount of its
// disk, the lock that was held is one of a filesystem that is gone.
func (g *graph) rejoin(ctx context.Context) {
	for g.set.Away() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(takeOverTime):
		}
	}
	defer g.pause()()
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	if err := g.joinAnew(members(g.set)); err != nil {
		g.log.Error("a tier is back, and its lock cannot be taken anew, so that another mount of these tiers might move files too; mount anew, and have no other", "err", err)
	}
}

// verify judges a tier that was away. A mount of one tier has no members.
func (g *graph) verify(t *tier.Tier, fd int) error {
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	if t.Rank >= len(g.joined.Members) {
		return nil
	}
	return tier.VerifyMember(fd, t.Root, g.joined.Members[t.Rank])
}

// oldKernel says that data goes through the daemon although it need not.
func (g *graph) oldKernel() {
	switch g.options.Passthrough {
	case mountopt.PassthroughOn:
		g.log.Warn("passthrough=on: this kernel does not offer it, data goes through the daemon; use Linux 6.9 or newer")
	case mountopt.PassthroughAuto:
		g.log.Info("no passthrough on this kernel (it came with Linux 6.9): data goes through the daemon")
	}
}

// takeOver waits until another daemon on the same tiers has gone, and finishes
// what it may have left.
func (g *graph) takeOver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(takeOverTime):
		}
		if g.claim() {
			return
		}
	}
}

// claim takes the tiers' locks if another daemon had them and has gone, and finishes
// what it may have left. It reports whether this daemon has them. One that is under way
// is not waited for: it may hang in a tier.
func (g *graph) claim() bool {
	if _, alone := g.owner(); alone {
		return true
	}
	if !g.claiming.TryLock() {
		return false
	}
	defer g.claiming.Unlock()
	if !g.tryTakeOver() {
		return false
	}
	defer g.pause()()
	g.log.Info("the tiers' locks are free: this daemon has them now")
	g.fs.ReplayTiers(g.begun, 0, len(g.set.Tiers()))
	return true
}

func (g *graph) tryTakeOver() bool {
	g.joinMu.Lock()
	defer g.joinMu.Unlock()
	if !g.joined.TakeOver() {
		return false
	}
	g.joined.Sign(g.conn)
	g.say(g.joined)
	return true
}

// wait returns when the connection to the kernel has ended.
func (g *graph) wait() error { return g.srv.Wait(graceTime) }

// close gives up everything, as far as it was put together. What a task still works
// with, such as the members' locks, is left to the end of the process.
func (g *graph) close() {
	g.endWork()
	g.set.Stop()
	if !g.awaitTasks() {
		return
	}
	if g.fs != nil {
		g.fs.Close()
	}
	if g.joined != nil {
		g.joined.Close()
	}
	g.set.Close()
}

// awaitTasks waits for the background tasks, but not for ever: one may hang in
// a tier that does not answer. It reports whether they have ended.
func (g *graph) awaitTasks() bool {
	done := make(chan struct{})
	go func() { g.tasks.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(graceTime):
		g.log.Warn("a task still waits for a tier that does not answer, and is left behind; check the tier's disk or server")
		return false
	}
}

// change puts the options of a remount into force.
func (g *graph) change(o mountopt.Options) {
	g.fs.SetOptions(rules(o))
	g.set.SetTimeout(o.TierTimeout)
	if g.mover != nil {
		g.mover.SetPolicy(policy(o))
	}
}

// tiers describes the tiers for a status. One that does not answer shows its
// last figures.
func (g *graph) tiers() []control.Tier {
	g.set.Inspect(inspectTime, isMounted())
	var all []control.Tier
	for _, t := range g.set.Tiers() {
		st := t.LastSpace()
		unit := uint64(st.Frsize)
		errors, last := t.Failures()
		all = append(all, control.Tier{
			Rank: t.Rank, Path: t.Root, PathState: string(t.PathState()), Away: t.Away(), Stalled: !t.Away() && t.Stalled() > inspectTime,
			Errors: errors, Failing: errors > 0 && time.Since(last) < failingTime,
			ReadOnly: t.ReadOnly() || st.Flags&unix.ST_RDONLY != 0, MountAnew: t.Writable(),
			Size: st.Blocks * unit, Free: st.Bavail * unit,
		})
	}
	return all
}

// isMounted tells of the IDs of mounts as they are now. Of what is not known
// nothing bad is said.
func isMounted() func(id uint64) bool {
	mounts, err := daemon.Mounts()
	return func(id uint64) bool {
		_, ok := daemon.ByID(mounts, id)
		return ok || err != nil
	}
}

// resolve replaces what options leave to us, to the kernel or to who mounts by
// what has come of it.
func (g *graph) resolve(o mountopt.Options) mountopt.Options {
	o.Threads = g.options.Threads
	o.Passthrough = mountopt.PassthroughOff
	if g.srv.Passthrough() && os.Geteuid() == 0 { // a user's daemon may not register files
		o.Passthrough = mountopt.PassthroughOn
	}
	o.Cache = mountopt.CacheTimeout
	if on, _ := g.fs.Coherent(); on {
		o.Cache = mountopt.CacheCoherent
	}
	o.NoACL = !g.srv.POSIXACL()
	o.AllowOther = allowsOthers(o, os.Geteuid())
	if o.Log == "" && o.Foreground {
		o.Log = "stderr"
	}
	return o
}

// cacheStatus describes the kernel's caching for a status.
func (g *graph) cacheStatus() control.Cache {
	w := g.fs.Watched()
	c := control.Cache{Events: w.Read, Own: w.Own, Told: w.Names + w.Attrs, Sweeps: w.Sweeps}
	on, why := g.fs.Coherent()
	if c.Coherent = on; why != nil {
		c.Why = why.Error()
	}
	return c
}

// ops counts what the daemon has served, by kind, and errors its answers that
// were errors, by errno.
func (g *graph) ops() map[string]uint64    { return g.srv.Stats() }
func (g *graph) errors() map[string]uint64 { return g.srv.Errors() }
