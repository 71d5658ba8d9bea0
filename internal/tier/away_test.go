package tier

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// until waits for something that the monitor does, for 5 s at most.
func until(t *testing.T, what string, done func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !done() {
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("not within 5 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(begun)
}

// judgeOf is what Watch asks and tells, as a test sets it.
type judgeOf struct {
	refusal  atomic.Pointer[error]
	asked    atomic.Int32
	lost     atomic.Int32
	returned atomic.Int32
}

func (j *judgeOf) watch(t *testing.T, s *Set) {
	s.Watch(func(tr *Tier, fd int) error {
		j.asked.Add(1)
		if !tr.Away() {
			t.Error("asked about a tier that is not away")
		}
		if why := j.refusal.Load(); why != nil {
			return *why
		}
		return nil
	}, func() { j.lost.Add(1) }, func(tr *Tier) {
		if !tr.Away() {
			t.Error("a tier serves again before what was cached of it is dropped")
		}
		j.returned.Add(1)
	})
}

// hang keeps a call on the tier until release is called.
func hang(t *testing.T, tr *Tier, long bool) (release func()) {
	t.Helper()
	stop, in, out := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(out)
		tr.run(tr.gen.Load(), long, func() error {
			close(in)
			<-stop
			return nil
		})
	}()
	<-in
	release = sync.OnceFunc(func() {
		close(stop)
		<-out
	})
	t.Cleanup(release)
	return release
}

func TestHangingTierIsAwayUntilItAnswers(t *testing.T) {
	const timeout = 900 * time.Millisecond // more than lookIdle, or it is both at the first look
	s := newPlace(t, "a", "b").openSet(timeout, "a", "b")
	var judge judgeOf
	stranger := errors.New("not the member")
	judge.refusal.Store(&stranger)
	judge.watch(t, s)
	tr := s.Tiers()[1]
	d := tr.RootDir()
	defer d.Put()
	var st unix.Stat_t

	release := hang(t, tr, false)
	took := until(t, "path walks stop waiting", tr.Suspect)
	if tr.Away() {
		t.Error("away before it was suspect")
	}
	if took += until(t, "the tier is away", tr.Away); took < timeout {
		t.Errorf("away after %v, before its time-out", took)
	}
	begun := time.Now()
	if err := d.Stat("x", &st); err != unix.EIO || time.Since(begun) > 50*time.Millisecond {
		t.Errorf("a call on it: %v after %v, want EIO at once", err, time.Since(begun))
	}
	if s.Primary().Away() || s.Primary().Suspect() {
		t.Error("the primary went with it")
	}

	until(t, "its root is probed twice", func() bool { return judge.asked.Load() >= 2 })
	if !tr.Away() || judge.returned.Load() != 0 {
		t.Error("a stranger was taken for the tier")
	}
	judge.refusal.Store(nil)
	until(t, "the tier is back", func() bool { return !tr.Away() })
	if judge.lost.Load() != 1 || judge.returned.Load() != 1 || tr.Suspect() {
		t.Errorf("told of its loss %d times, of its return %d, suspect %v", judge.lost.Load(), judge.returned.Load(), tr.Suspect())
	}
	if err := d.StatSelf(&st); err != nil {
		t.Errorf("a call on it: %v", err)
	}
	release()
	time.Sleep(2 * lookBusy)
	if tr.Away() || tr.Suspect() {
		t.Error("the call of before made it away again")
	}
}

// fsync of a big file takes its time. The tier's root answers, so it is not away.
func TestSlowLongCallLeavesTheTierServing(t *testing.T) {
	s := newPlace(t, "a").openSet(100*time.Millisecond, "a")
	var judge judgeOf
	judge.watch(t, s)
	tr := s.Primary()
	hang(t, tr, true)
	f := tr.flow.Load()
	seen := f.rotor.Load()
	until(t, "its root is probed", func() bool { return f.rotor.Load() > seen })
	time.Sleep(4 * lookBusy)
	if tr.Away() || tr.Suspect() {
		t.Error("away, or suspect")
	}
}

// A probe may hang with the tier; there is one, not one a second.
func TestHangingProbeIsAlone(t *testing.T) {
	s := newPlace(t, "a").openSet(50*time.Millisecond, "a")
	var asked atomic.Int32
	stop := make(chan struct{})
	s.Watch(func(*Tier, int) error {
		asked.Add(1)
		<-stop
		return errors.New("too late")
	}, func() {}, func(*Tier) { t.Error("taken back") })
	tr := s.Primary()
	tr.lose(unix.EIO)
	until(t, "it is probed", func() bool { return asked.Load() > 0 })
	time.Sleep(probeEvery + 4*lookBusy)
	if n := asked.Load(); n != 1 || !tr.Away() {
		t.Errorf("%d probes at once, away %v", n, tr.Away())
	}
	close(stop)
	until(t, "it is probed again", func() bool { return asked.Load() > 1 })
	s.Stop()
	until(t, "the last probe ends", func() bool { return !tr.probing.Load() })
}

// The disk was unmounted and mounted again: another directory, the same member.
func TestTierReturnsWithAnotherRoot(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a", "b")
	tr := s.Tiers()[1]
	old := tr.RootDir()
	defer old.Put()
	b.rename("b", "gone")
	makeDirs(t, b.path("b"))
	writeText(t, b.path("b/new"), "")
	var judge judgeOf
	judge.watch(t, s)
	tr.lose(unix.EIO)
	until(t, "the tier is back", func() bool { return !tr.Away() })
	d := tr.RootDir()
	defer d.Put()
	var st unix.Stat_t
	if err := d.Stat("new", &st); err != nil {
		t.Errorf("in the new root: %v", err)
	}
	if err := unix.Fstat(old.FD(), &st); err != nil {
		t.Errorf("the old root was closed while in use: %v", err)
	}
	if err := old.StatSelf(&st); err != unix.EIO || !old.Stale() || d.Stale() {
		t.Errorf("what was opened before: %v, stale %v, what was opened since: %v", err, old.Stale(), d.Stale())
	}
}

func TestTierWithoutItsPathStaysAway(t *testing.T) {
	b := newPlace(t, "a")
	s := b.openSet(time.Minute, "a")
	tr := s.Primary()
	tr.verify = func(int) error { return nil }
	tr.onReturn = func() {}
	b.rename("a", "gone")
	tr.lose(unix.EIO)
	before := countFDs(t)
	if err := tr.takeBack(); err != unix.ENOENT || !tr.Away() {
		t.Errorf("%v, away %v", err, tr.Away())
	}
	tr.verify = func(int) error { return errors.New("a stranger") }
	b.rename("gone", "a")
	if err := tr.takeBack(); err == nil || !tr.Away() {
		t.Errorf("%v, away %v", err, tr.Away())
	}
	if n := countFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors are left", n)
	}
}

// The mount covers the tier's path, which must not be touched any more: the
// process would wait for itself.
func TestCoveredTierIsOpenedByItsDescriptor(t *testing.T) {
	b := newPlace(t, "a")
	s := b.openSet(time.Minute, "a")
	tr := s.Primary()
	if err := s.CheckMountPoint(b.path("a")); err != nil {
		t.Fatal(err)
	}
	was := pathFD(t, b.path("a"))
	if err := os.Rename(b.path("a"), b.path("beneath")); err != nil {
		t.Fatal(err)
	}
	makeDirs(t, b.path("a"))
	tr.verify = func(fd int) error {
		if !sameDir(fd, was) {
			return errors.New("another directory")
		}
		return nil
	}
	tr.onReturn = func() {}
	tr.lose(unix.EIO)
	if err := tr.takeBack(); err != nil || tr.Away() || !sameDir(tr.RootFD(), was) {
		t.Errorf("%v, away %v", err, tr.Away())
	}
}

// Ops look at the tier at any time, also while it comes back as another
// directory.
func TestTierMayBeLookedAtWhileItReturns(t *testing.T) {
	b := newPlace(t, "a", "b")
	tr := b.openSet(time.Minute, "a").Primary()
	tr.verify = func(int) error { return nil }
	tr.onReturn = func() {}
	var looks atomic.Int32
	var over atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		for ; !over.Load(); looks.Add(1) {
			_ = tr.Network || tr.ReadOnly() || tr.Away() || tr.Suspect() || tr.Dev() == 0
			tr.Space()
		}
	})
	for looks.Load() < 100 {
		tr.lose(unix.EIO)
		b.rename("a", "c")
		b.rename("b", "a")
		b.rename("c", "b")
		if err := tr.takeBack(); err != nil {
			t.Error(err)
		}
	}
	over.Store(true)
	done.Wait()
}

func TestCloseEndsTheMonitors(t *testing.T) {
	b := newPlace(t, "a", "b")
	s, err := b.trySet(time.Minute, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	var judge judgeOf
	judge.watch(t, s)
	begun := time.Now()
	s.Close() // waits for them
	if took := time.Since(begun); took > 2*lookIdle {
		t.Errorf("it took %v", took)
	}
}

func TestAddedTierIsWatched(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(50*time.Millisecond, "a")
	var judge judgeOf
	never := errors.New("never")
	judge.refusal.Store(&never)
	judge.watch(t, s)
	tr, err := s.Open(b.path("b"))
	if err != nil {
		t.Fatal(err)
	}
	s.Append(tr)
	hang(t, tr, false)
	until(t, "the added tier is away", tr.Away)
	until(t, "it is probed", func() bool { return judge.asked.Load() > 0 })
}

// A tier that is known to be away is not waited for.
func TestSetWithATierAwayDoesNotAnswer(t *testing.T) {
	s := newPlace(t, "a", "b").openSet(time.Hour, "a", "b")
	if err := s.Answer(); err != nil {
		t.Fatal(err)
	}
	s.Tiers()[1].lose(unix.EIO)
	if err := s.Answer(); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error %v", err)
	}
}
