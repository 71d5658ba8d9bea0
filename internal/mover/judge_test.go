package mover

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const day = 24 * time.Hour

// aged is a file whose times lie so far back.
func aged(rank int, access, modified, changed time.Duration, now time.Time) *found {
	f := &found{rank: rank, name: "f"}
	f.st.Mode, f.st.Nlink = unix.S_IFREG|0644, 1
	back := func(d time.Duration) unix.Timespec { return unix.NsecToTimespec(now.Add(-d).UnixNano()) }
	f.st.Atim, f.st.Mtim, f.st.Ctim = back(access), back(modified), back(changed)
	return f
}

func TestJudge(t *testing.T) {
	now := time.Now()
	old := func(rank int) *found { return aged(rank, 100*day, 100*day, 100*day, now) }
	with := func(f *found, change func(*found)) *found {
		change(f)
		return f
	}
	month := Policy{Demote: 30 * day}
	for name, tt := range map[string]struct {
		p       Policy
		f       *found
		opened  time.Time
		coldest time.Duration
		course  course
		why     Reason
	}{
		"old":                          {p: month, f: old(0), course: down},
		"exactly old enough":           {p: month, f: aged(0, 30*day, 30*day, 30*day, now), course: down},
		"read lately":                  {p: month, f: aged(0, day, 100*day, 100*day, now), why: Young},
		"read lately, by modification": {p: Policy{Demote: 30 * day, Age: AgeMtime}, f: aged(0, day, 100*day, 100*day, now), course: down},
		"written, by access":           {p: Policy{Demote: 30 * day, Age: AgeAtime}, f: aged(0, 100*day, day, 2*time.Minute, now), course: down},
		"renamed a moment ago":         {p: month, f: aged(0, 100*day, 100*day, 59*time.Second, now), why: Fresh},
		"of the future":                {p: Policy{Demote: day, Age: AgeMtime}, f: aged(0, 100*day, 100*day, -time.Hour, now), why: Future},
		"modified in the future":       {p: Policy{Demote: day, Age: AgeAtime}, f: aged(0, 100*day, -time.Hour, 100*day, now), why: Future},
		"read in the future":           {p: Policy{Demote: day}, f: aged(0, -time.Hour, 100*day, 100*day, now), why: Future},
		"a clock a little ahead":       {p: Policy{Demote: day}, f: aged(0, -time.Second, -time.Second, -time.Second, now), why: Fresh},
		"moved a moment ago":           {p: month, f: with(aged(0, 100*day, 100*day, 59*time.Second, now), func(f *found) { f.born = now.Add(-59 * time.Second) }), why: Arrived},
		"made a moment ago":            {p: month, f: with(aged(0, 0, time.Second, time.Second, now), func(f *found) { f.born = now.Add(-time.Second) }), why: Fresh},
		"changed long after a move":    {p: month, f: with(aged(0, 100*day, 100*day, time.Second, now), func(f *found) { f.born = now.Add(-day) }), why: Fresh},
		"short ages, short quiet":      {p: Policy{Demote: time.Second}, f: aged(0, 2*time.Second, 2*time.Second, 2*time.Second, now), course: down},
		"opened lately":                {p: Policy{Demote: 30 * day, Age: AgeOpened}, f: aged(0, day, 100*day, 100*day, now), opened: now.Add(-day), why: Young},
		"opened long ago":              {p: Policy{Demote: 30 * day, Age: AgeOpened}, f: aged(0, day, 100*day, 100*day, now), opened: now.Add(-31 * day), course: down},
		"never seen opened":            {p: Policy{Demote: 30 * day, Age: AgeOpened}, f: aged(0, day, 100*day, 100*day, now), course: down},
		"would come back":              {p: Policy{Demote: 30 * day, Age: AgeMtime, Opens: 3, Within: day}, f: old(0), opened: now.Add(-time.Hour), why: Used},
		"would not come back":          {p: Policy{Demote: 30 * day, Opens: 3, Within: day}, f: old(0), opened: now.Add(-2 * day), course: down},
		"on a fallback":                {p: month, f: old(1), why: Lower},
		"linked":                       {p: month, f: with(old(0), func(f *found) { f.st.Nlink = 2 }), why: Linked},
		"a fifo":                       {p: month, f: with(old(0), func(f *found) { f.st.Mode = unix.S_IFIFO }), why: Special},
		"excluded":                     {p: month, f: with(old(0), func(f *found) { f.excluded = true }), why: Excluded},
		"pinned here":                  {p: month, f: with(old(0), func(f *found) { f.pin = pinPrimary }), why: Pinned},
		"pinned above":                 {p: month, f: with(old(1), func(f *found) { f.pin = pinPrimary }), course: up},
		"pinned below":                 {p: month, f: with(aged(0, 0, time.Hour, time.Hour, now), func(f *found) { f.pin = pinFallback }), course: down},
		"pinned there":                 {p: month, f: with(old(2), func(f *found) { f.pin = pinFallback }), why: Pinned},
		"pinned nowhere":               {p: month, f: with(old(0), func(f *found) { f.pin = pinNone }), why: Pinned},
		"cold enough":                  {p: Policy{High: 90}, f: aged(0, time.Hour, time.Hour, time.Hour, now), coldest: time.Hour, course: down},
		"too warm":                     {p: Policy{High: 90}, f: aged(0, time.Hour, time.Hour, time.Hour, now), coldest: 2 * time.Hour, why: Warm},
		"no policy":                    {f: old(0), why: NoPolicy},
	} {
		c, why := tt.p.judge(facts{found: tt.f, now: now, opened: tt.opened}, tt.coldest)
		if c != tt.course || why != tt.why {
			t.Errorf("%s: course %d, reason %q, want %d, %q", name, c, why, tt.course, tt.why)
		}
	}
}

func TestAskObeysPinsButNoPolicy(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		r      Request
		rank   int
		pin    pin
		age    time.Duration
		course course
		why    Reason
	}{
		"down":                     {age: time.Hour, course: down},
		"down, pinned":             {age: time.Hour, pin: pinPrimary, why: Pinned},
		"down, pinned to wherever": {age: time.Hour, pin: pinNone, course: down},
		"a moment old":             {age: time.Second, why: Fresh},
		"not that old":             {r: Request{OlderThan: 2 * time.Hour}, age: time.Hour, why: Younger},
		"that old":                 {r: Request{OlderThan: time.Hour}, age: 2 * time.Hour, course: down},
		"of a short age":           {r: Request{OlderThan: time.Second}, age: 2 * time.Second, course: down},
		"up":                       {r: Request{Up: true}, rank: 2, age: time.Hour, course: up},
		"up, pinned below":         {r: Request{Up: true}, rank: 1, age: time.Hour, pin: pinFallback, why: Pinned},
		"up, and there":            {r: Request{Up: true}, age: time.Hour, why: Highest},
	} {
		f := aged(tt.rank, tt.age, tt.age, tt.age, now)
		f.pin = tt.pin
		if c, why := tt.r.ask(&Policy{}, facts{found: f, now: now}); c != tt.course || why != tt.why {
			t.Errorf("%s: course %d, reason %q, want %d, %q", name, c, why, tt.course, tt.why)
		}
	}
}

func TestHeatFreesEnoughFromTheColdest(t *testing.T) {
	var h heat
	h.add(100*day, 10)
	h.add(50*day, 10)
	h.add(time.Hour, 10)
	for _, tt := range []struct {
		need  int64
		ages  int
		takes []time.Duration // files that the last cutoff takes
		not   time.Duration
	}{
		{5, 1, []time.Duration{100 * day}, 50 * day},
		{10, 1, []time.Duration{100 * day}, 50 * day},
		{11, 2, []time.Duration{100 * day, 50 * day}, time.Hour},
		{30, 2, []time.Duration{100 * day, 50 * day, time.Hour}, 0},
		{31, 1, []time.Duration{100 * day, 50 * day, time.Hour}, 0},
	} {
		ages := h.cutoffs(tt.need)
		if len(ages) != tt.ages {
			t.Errorf("%d bytes: cutoffs %v", tt.need, ages)
			continue
		}
		last := ages[len(ages)-1]
		for _, age := range tt.takes {
			if age < last {
				t.Errorf("%d bytes: cutoff %v leaves %v", tt.need, last, age)
			}
		}
		if tt.not >= last {
			t.Errorf("%d bytes: cutoff %v takes %v", tt.need, last, tt.not)
		}
	}
	if ages := new(heat).cutoffs(1); ages != nil {
		t.Errorf("nothing to move: %v", ages)
	}
}

func TestHeatStepsCoverEveryAge(t *testing.T) {
	last := 0
	for age := time.Duration(0); age > -1 && age < 1<<62; age = age*33/32 + time.Second {
		i := heatStep(age)
		if i < last || i >= len(heat{})-1 || heatAge(i) > max(age, 1) || heatAge(i+1) <= age {
			t.Fatalf("%v: step %d from %v to %v", age, i, heatAge(i), heatAge(i+1))
		}
		last = i
	}
}

func TestWindow(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.Local) }
	night, late := Window{60, 300}, Window{22 * 60, 6 * 60}
	for _, tt := range []struct {
		w    Window
		now  time.Time
		left time.Duration
		next time.Time
	}{
		{Window{}, at(3, 12, 0), day, at(3, 12, 0)},
		{night, at(3, 0, 59), 0, at(3, 1, 0)},
		{night, at(3, 1, 0), 4 * time.Hour, at(3, 1, 0)},
		{night, at(3, 4, 59), time.Minute, at(3, 4, 59)},
		{night, at(3, 5, 0), 0, at(4, 1, 0)},
		{late, at(3, 21, 0), 0, at(3, 22, 0)},
		{late, at(3, 23, 0), 7 * time.Hour, at(3, 23, 0)},
		{late, at(4, 5, 0), time.Hour, at(4, 5, 0)},
		{late, at(4, 6, 0), 0, at(4, 22, 0)},
	} {
		if left, next := tt.w.left(tt.now), tt.w.next(tt.now); left != tt.left || !next.Equal(tt.next) {
			t.Errorf("%+v at %v: open for %v, next %v", tt.w, tt.now, left, next)
		}
	}
}
