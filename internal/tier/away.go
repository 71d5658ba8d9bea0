package tier

import (
	"errors"
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// The monitor's times.
const (
	lookBusy     = 50 * time.Millisecond  // between looks at a tier in use
	lookIdle     = 500 * time.Millisecond // at one that nobody uses
	suspectAfter = 100 * time.Millisecond // path walks stop waiting for it
	probeEvery   = time.Second
)

// Watch starts a monitor for each tier. verify is asked whether a directory is
// still the right member before a tier that was away is taken back; onReturn
// is told, to drop what is cached of it. onLoss is told when one is away.
func (s *Set) Watch(verify func(t *Tier, fd int) error, onLoss func(), onReturn func(t *Tier)) {
	s.verify, s.onLoss, s.onReturn = verify, onLoss, onReturn
	for _, t := range s.Tiers() {
		s.watch(t)
	}
}

func (s *Set) watch(t *Tier) {
	t.verify = func(fd int) error { return s.verify(t, fd) }
	t.onReturn = func() { s.onReturn(t) }
	t.onLoss.Store(&s.onLoss)
	s.done.Go(func() { t.monitor(s.stop) })
}

// monitor looks at the calls under way until stop. One that hangs makes the
// tier away; a long one that is slow makes it probed, and the probe decides: but
// not while calls from before the last return hang.
func (t *Tier) monitor(stop <-chan struct{}) {
	var lastRotor uint32
	var probed time.Time
	for wait := lookIdle; ; {
		select {
		case <-stop:
			return
		case <-time.After(wait):
		}
		f := t.flow.Load()
		short, any := f.oldest()
		timeout := time.Duration(t.timeout.Load())
		t.notice(short)
		switch {
		case t.away.Load():
			if time.Since(probed) >= probeEvery {
				probed = time.Now()
				t.probe()
			}
		case short >= timeout, any >= timeout && t.doubtful():
			t.lose(errors.New("it has not answered for " + timeout.String()))
		case any >= timeout/2 && time.Since(probed) >= probeEvery:
			probed = time.Now()
			t.probe()
		}
		wait = lookIdle
		if rotor := f.rotor.Load(); rotor != lastRotor || any > 0 || t.away.Load() {
			lastRotor, wait = rotor, lookBusy
		}
	}
}

// notice takes in how long the oldest short call is under way.
func (t *Tier) notice(short time.Duration) {
	if short <= suspectAfter {
		t.suspect.Store(false)
		if !t.away.Load() {
			t.stalled.Store(0)
		}
		return
	}
	t.stalled.CompareAndSwap(0, int64(time.Since(begun)-short))
	t.suspect.Store(true)
}

// begun is the origin of the times in stalled.
var begun = time.Now()

// Stalled is for how long the tier has not answered, zero if it does.
func (t *Tier) Stalled() time.Duration {
	at := t.stalled.Load()
	if at == 0 {
		return 0
	}
	return time.Since(begun) - time.Duration(at)
}

// lose declares the tier away.
func (t *Tier) lose(why error) {
	t.stalled.CompareAndSwap(0, int64(time.Since(begun)))
	if t.away.CompareAndSwap(false, true) {
		t.log.Error("tier is away: what only it has gives EIO until it is back; check its disk or server", "tier", t.Root, "err", why)
		if told := t.onLoss.Load(); told != nil {
			(*told)()
		}
	}
}

// forsakes reports whether an op from that time on waits in vain for the tier: it is
// away, or was, and a call from before its return hangs that may be the op's. The
// monitor does not look at those any more; the tier may be back for its root alone.
func (t *Tier) forsakes(since time.Duration) bool {
	return t.away.Load() || slices.ContainsFunc(t.left(), func(f *flow) bool { return f.hangs(since) })
}

// left are the flows of before its last returns in which calls may hang.
func (t *Tier) left() []*flow {
	if all := t.before.Load(); all != nil {
		return *all
	}
	return nil
}

// doubtful reports whether calls from before the tier's last return still hang.
func (t *Tier) doubtful() bool {
	return slices.ContainsFunc(t.left(), func(f *flow) bool {
		short, _ := f.oldest() // a long one may be well
		return f.gen == t.gen.Load() && short > 0
	})
}

// probe asks the tier's root whether it answers, in a goroutine of its own
// that may hang with it; there is one at most.
func (t *Tier) probe() {
	if !t.probing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer t.probing.Store(false)
		if !t.away.Load() {
			d := t.RootDir()
			defer d.Put()
			var fs unix.Statfs_t
			d.do(func() error { return unix.Fstatfs(d.fd, &fs) })
			return
		}
		if err := t.takeBack(); err != nil {
			t.log.Debug("tier is still away", "tier", t.Root, "err", err)
		}
	}()
}

// takeBack opens the tier's path anew and, if it is the right member and
// answers, ends its absence. Where the mount itself covers the path, the
// descriptor from before the mount serves instead: a process must never touch
// the mount it serves.
func (t *Tier) takeBack() error {
	fd, err := t.openAnew()
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		unix.Close(fd)
		return err
	}
	if err := t.verify(fd); err != nil {
		unix.Close(fd)
		if text := err.Error(); text != t.stranger {
			t.stranger = text
			t.log.Warn("tier stays away, as what is at its path cannot be taken for it; mount the right disk there", "tier", t.Root, "err", err)
		}
		return err
	}
	if sameDir(fd, t.RootFD()) {
		unix.Close(fd)
	} else if err := t.setRoot(fd); err != nil {
		unix.Close(fd)
		return err
	}
	t.startOver()
	t.suspect.Store(false)
	t.onReturn()
	t.away.Store(false)
	t.stalled.Store(0)
	t.stranger = ""
	t.log.Info("tier is back", "tier", t.Root)
	return nil
}

// startOver begins to look at calls anew. Those that hang are not forgotten.
func (t *Tier) startOver() {
	var left []*flow
	for _, f := range append(slices.Clone(t.left()), t.flow.Load()) {
		if _, any := f.oldest(); any > 0 {
			left = append(left, f)
		}
	}
	t.before.Store(&left)
	f := newFlow()
	f.gen = t.gen.Load()
	t.flow.Store(f)
}

func (t *Tier) openAnew() (int, error) {
	if t.covered {
		return sys.Open(t.RootFD(), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	return sys.Open(unix.AT_FDCWD, t.Root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
