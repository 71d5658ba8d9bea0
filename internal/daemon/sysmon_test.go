package daemon

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The thread that is taken for sysmon sleeps by nanosleep(2) again and again while
// others compute; nobody else does.
func TestSysmonIsTheThreadThatSleepsAllTheTime(t *testing.T) {
	id := sysmon()
	if id == 0 {
		t.Fatal("not found")
	}
	defer compute().Store(true)
	asleep, looks := 0, 0
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); looks++ {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", id))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text), fmt.Sprintf("%d ", unix.SYS_NANOSLEEP)) {
			asleep++
		}
	}
	if asleep < looks/10 {
		t.Errorf("thread %d was in nanosleep(2) in %d of %d looks", id, asleep, looks)
	}
}

// compute keeps a thread busy.
func compute() (stop *atomic.Bool) {
	stop = new(atomic.Bool)
	go func() {
		for !stop.Load() {
		}
	}()
	return stop
}

func TestCalmSysmonAloneHasSlackUntilItIsToHurry(t *testing.T) {
	before := len(threads())
	s := CalmSysmon()
	defer s.Hurry(true)
	if n := len(threads()); n < max(before, spareThreads) {
		t.Errorf("%d threads, %d before", n, before)
	}
	check := func(when string, want time.Duration) {
		t.Helper()
		for _, id := range threads() {
			want := want
			switch {
			case id == s.id:
			case s.seen[id]:
				want = s.usual
			default: // made since, perhaps by sysmon: seen to when it is calmed next
				continue
			}
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", id))
			if got := strings.TrimSpace(string(text)); err != nil || got != fmt.Sprint(int64(want)) {
				t.Errorf("%s: thread %d has %s ns, %v, want %d", when, id, got, err, want)
			}
		}
	}
	check("calm", sysmonSlack)
	s.Hurry(true)
	check("in a hurry", s.usual)
	for _, id := range threads() { // as if sysmon had made them
		setSlack(id, sysmonSlack)
		delete(s.seen, id)
	}
	s.Hurry(false)
	check("calm again", sysmonSlack)
}
