package tier

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFlowKnowsTheOldestCall(t *testing.T) {
	f := newFlow()
	if short, any := f.oldest(); short != 0 || any != 0 {
		t.Errorf("no call is %v and %v old", short, any)
	}
	long, err := f.enter(true)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if short, any := f.oldest(); short != 0 || any < 20*time.Millisecond || any > 10*time.Second {
		t.Errorf("a long call: %v and %v", short, any)
	}
	slot, err := f.enter(false)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	short, any := f.oldest()
	if short < 20*time.Millisecond || any < short+20*time.Millisecond {
		t.Errorf("a long call and a short one after it: %v and %v", short, any)
	}
	long.Store(0)
	if short, any := f.oldest(); short < 20*time.Millisecond || any != short {
		t.Errorf("the short one alone: %v and %v", short, any)
	}
	slot.Store(0)
	if short, any := f.oldest(); short != 0 || any != 0 {
		t.Errorf("after all: %v and %v", short, any)
	}
}

// A tier that hung for long has used everything up; the callers get an answer.
func TestFlowThatIsFullRefuses(t *testing.T) {
	f := newFlow()
	var slots []*atomic.Int64
	for range flowSlots {
		s, err := f.enter(false)
		if err != nil {
			t.Fatalf("refused after %d: %v", len(slots), err)
		}
		slots = append(slots, s)
	}
	if _, err := f.enter(true); err != unix.EIO {
		t.Errorf("one too many: %v, want EIO", err)
	}
	slots[flowSlots/2].Store(0)
	if s, err := f.enter(false); err != nil || s != slots[flowSlots/2] {
		t.Errorf("the slot that is free is not found: %v", err)
	}
}

func TestFlowGivesASlotToOneCallOnly(t *testing.T) {
	f := newFlow()
	for range flowSlots - 4 { // few are left, so that calls meet
		if _, err := f.enter(false); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	taken := map[*atomic.Int64]bool{}
	mark := func(s *atomic.Int64, now bool) {
		mu.Lock()
		defer mu.Unlock()
		if taken[s] == now {
			t.Error("two calls have one slot")
		}
		taken[s] = now
	}
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			for range 100 {
				s, err := f.enter(false)
				if err == nil {
					mark(s, true)
					runtime.Gosched()
					mark(s, false)
					s.Store(0)
				}
			}
		})
	}
	done.Wait()
	for range 4 {
		if _, err := f.enter(false); err != nil {
			t.Errorf("a slot was not given back: %v", err)
		}
	}
}

func TestRunGivesWhatTheCallSays(t *testing.T) {
	tr := newPlace(t, "a").openSet(time.Minute, "a").Primary()
	odd := errors.New("odd")
	for _, want := range []error{nil, unix.ENOENT, unix.EIO, odd} {
		for _, long := range []bool{false, true} {
			if err := tr.run(tr.gen.Load(), long, func() error { return want }); err != want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
	if short, any := tr.flow.Load().oldest(); short != 0 || any != 0 {
		t.Errorf("calls are still under way: %v and %v", short, any)
	}
	if tr.Away() {
		t.Error("the tier is away")
	}
}

// The server of a FUSE or network filesystem is gone: nobody waits for the
// time-out.
func TestDeadServerIsAwayAtOnce(t *testing.T) {
	for _, dead := range []error{unix.ENOTCONN, unix.ECONNABORTED, unix.ESHUTDOWN, unix.EHOSTDOWN} {
		s := newPlace(t, "a", "b").openSet(time.Minute, "a", "b")
		tr := s.Tiers()[1]
		if err := tr.do(func() error { return dead }); err != unix.EIO {
			t.Errorf("%v: got %v, want EIO", dead, err)
		}
		called := false
		err := tr.do(func() error { called = true; return nil })
		if err != unix.EIO || called || !tr.Away() || !tr.Suspect() || !s.Away() {
			t.Errorf("%v: then %v, called %v, away %v", dead, err, called, tr.Away())
		}
		if s.Primary().Away() {
			t.Errorf("%v: took the primary along", dead)
		}
	}
}

// The op's panic is answered with EIO and the mount goes on. The call that it
// was in is over, and must not make the tier away when its time is up.
func TestCallThatPanicsIsOver(t *testing.T) {
	tr := newPlace(t, "a").openSet(time.Minute, "a").Primary()
	for _, long := range []bool{false, true} {
		func() {
			defer func() { recover() }()
			tr.run(tr.gen.Load(), long, func() error { panic("in a call") })
		}()
	}
	time.Sleep(time.Millisecond)
	if short, any := tr.flow.Load().oldest(); short != 0 || any != 0 {
		t.Errorf("calls are still under way: %v and %v", short, any)
	}
}

func TestStuckNeedsAnAwayTierAndItsTime(t *testing.T) {
	s := newPlace(t, "a", "b").openSet(time.Second, "a", "b")
	const unknown = -1
	for rank := unknown; rank < 2; rank++ {
		if s.Stuck(time.Hour, rank) {
			t.Error("stuck while every tier answers")
		}
	}
	s.Tiers()[1].lose(unix.EIO)
	for rank, stuck := range map[int]bool{unknown: true, 0: false, 1: true} {
		if s.Stuck(999*time.Millisecond, rank) || s.Stuck(time.Second, rank) != stuck {
			t.Errorf("an op on tier %d is stuck: %v", rank, !stuck)
		}
	}
	back := s.Tiers()[1]
	back.verify, back.onReturn = func(int) error { return nil }, func() {}
	s.SetTimeout(time.Millisecond)
	age := func() func() time.Duration {
		at := time.Now()
		time.Sleep(2 * time.Millisecond)
		return func() time.Duration { return time.Since(at) }
	}
	asker := age()
	call, err := back.flow.Load().enter(true) // hangs
	if err != nil {
		t.Fatal(err)
	}
	other := age()
	for range 2 { // it may return more than once meanwhile
		back.lose(unix.EIO)
		if err := back.takeBack(); err != nil {
			t.Fatal(err)
		}
		for rank, stuck := range map[int]bool{unknown: true, 0: false, 1: true} {
			if s.Stuck(asker(), rank) != stuck {
				t.Errorf("an op on tier %d whose call hangs from before the return is stuck: %v", rank, !stuck)
			}
			if s.Stuck(other(), rank) {
				t.Errorf("an op on tier %d that began after the call which hangs is stuck", rank)
			}
		}
	}
	call.Store(0)
	if s.Stuck(asker(), unknown) {
		t.Error("an op is stuck after every call of before the return has ended")
	}
	back.lose(unix.EIO)
	s.SetTimeout(3 * time.Second)
	if s.Stuck(time.Second, unknown) || !s.Stuck(3*time.Second, unknown) {
		t.Error("the new time-out is not in force")
	}
}
