package tier

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func anyMount(uint64) bool { return true }

// A path may hang in another filesystem than the tier's: the tier serves on,
// and no goroutine more is lost to each status.
func TestPathThatHangsIsUnreachable(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a", "b")
	stop := make(chan struct{})
	hangs := s.Tiers()[1].pathAsked.ask(func() { <-stop })
	for range 2 {
		s.Inspect(time.Millisecond, anyMount)
		if got := s.Tiers()[1].PathState(); got != PathUnreachable {
			t.Errorf("a path that hangs: %q", got)
		}
	}
	if s.Tiers()[1].Suspect() {
		t.Error("the tier is held for the one that hangs")
	}
	if again := s.Tiers()[1].pathAsked.ask(func() { t.Error("asked by two") }); again != hangs {
		t.Error("the question under way is not the one that is waited for")
	}
	close(stop)
	<-hangs
	s.Inspect(time.Minute, anyMount)
	for _, tr := range s.Tiers() {
		if got := tr.PathState(); got != PathServed {
			t.Errorf("%s: %q", tr.Root, got)
		}
	}
}

func TestInspectAsksNothingOfASuspectTier(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a")
	tr := s.Primary()
	tr.suspect.Store(true)
	s.Inspect(time.Minute, anyMount)
	if st := tr.LastSpace(); st != (unix.Statfs_t{}) || tr.pathAsked.answered != nil {
		t.Error("it was asked")
	}
	s.Inspect(time.Minute, func(uint64) bool { return false })
	if got := tr.PathState(); got != PathUnmounted {
		t.Errorf("without its mount: %q", got)
	}
}

func TestInspectMayRunTwiceAtATime(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a", "b")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 50 {
				s.Inspect(time.Minute, anyMount)
			}
		})
	}
	both.Wait()
	if s.Primary().LastSpace().Blocks == 0 {
		t.Error("no space was seen")
	}
}
