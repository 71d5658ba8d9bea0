package mover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// brief is a policy for files made in the test: a change time cannot be set.
var brief = Policy{Demote: ripeAge, Age: AgeMtime}

func TestScanMovesWhatIsOldEnough(t *testing.T) {
	r := newRig(t, 2, brief)
	r.file(0, "a/old", 10, 0)
	r.file(0, "keep/old", 10, 0)
	r.file(0, "b/linked", 10, 0)
	if err := os.Link(r.at(0, "b/linked"), r.at(0, "b/twice")); err != nil {
		t.Fatal(err)
	}
	r.pin(0, "keep", "primary")
	r.file(1, "up", 5, 0)
	r.pin(1, "up", "primary")
	r.file(1, "below", 5, 0)
	ripen()
	r.file(0, "a/new", 10, -time.Hour) // by a clock that runs ahead: it does not ripen under the test
	got := r.scan()
	r.want(0, "a/new", "b/linked", "b/twice", "keep/old", "up")
	r.want(1, "a/old", "below")
	if got.FilesDown != 1 || got.BytesDown != 10 || got.FilesUp != 1 || got.BytesUp != 5 ||
		got.Skipped[Linked] != 2 || got.Skipped[Pinned] != 1 || got.Skipped[Future] != 1 {
		t.Errorf("report %+v", got)
	}
	if b := r.batches[0]; b.Quiet != ripeAge || b.MinFree == nil || b.Pace == nil {
		t.Errorf("batch %+v", b)
	}
	if log := r.log.String(); strings.Count(log, "files have moved") != 1 || strings.Count(log, "\n") != 1 {
		t.Errorf("log %q", log)
	}
}

func TestBatchesAreOfOneDirectoryAndBounded(t *testing.T) {
	r := newRig(t, 2, brief)
	for i := range MaxBatch + 5 {
		r.file(0, fmt.Sprintf("many/%d", i), 1, 0)
	}
	r.file(0, "few/a", 1, 0)
	r.file(0, "few/sub/a", 1, 0)
	ripen()
	r.scan()
	var sizes []int
	for _, b := range r.batches {
		sizes = append(sizes, len(b.Names))
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{1, 1, 5, MaxBatch}) {
		t.Errorf("batches of %v", sizes)
	}
	if n := len(r.files(1)); n != MaxBatch+7 {
		t.Errorf("%d files have moved", n)
	}
}

// TestLightBatchesAreMoreAtATime: they wait for the disk most of the time, while
// several heavy ones would have it seek.
func TestLightBatchesAreMoreAtATime(t *testing.T) {
	for size, want := range map[int]int32{1: maxLight, 8 << 20: maxFlights} {
		r := newRig(t, 2, brief)
		for i := range maxLight + 2 {
			r.file(0, fmt.Sprintf("%d/f", i), size, 0)
		}
		r.gate = make(chan struct{})
		ripen()
		done := make(chan struct{})
		go func() { defer close(done); r.scan() }()
		for end := time.Now().Add(10 * time.Second); r.under.Load() < want && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond) // for one too many
		if n := r.under.Load(); n != want {
			t.Errorf("batches of %d bytes: %d at a time, want %d", size, n, want)
		}
		close(r.gate)
		<-done
	}
}

// TestDemotionSkipsTiersThatAreFull has a middle tier which must keep more free
// than it has.
func TestDemotionSkipsTiersThatAreFull(t *testing.T) {
	r := newRig(t, 3, Policy{})
	mountTmpfs(t, r.at(1, ""), "1m")
	r.open(brief)
	r.m.minFree = func(total uint64) uint64 {
		if total == 1<<20 {
			return 1 << 20
		}
		return 0
	}
	r.file(0, "f", 1, 0)
	ripen()
	r.scan()
	r.want(1)
	r.want(2, "f")

	r.m.minFree = func(total uint64) uint64 { return total }
	r.file(0, "g", 1, 0)
	ripen()
	if got := r.scan(); got.Skipped[NoRoom] != 1 || r.m.Status().FailingSince.IsZero() {
		t.Errorf("report %+v", got)
	}
	r.want(0, "g")
	r.m.minFree = func(uint64) uint64 { return 0 }
	if r.scan(); !r.m.Status().FailingSince.IsZero() {
		t.Error("failing after a success")
	}
}

// TestEachFileGoesToTheNearestTierWithRoom: where the nearest had none for all files of
// a batch, all went past it. What stays leaves its room to others, and batches remain
// few.
func TestEachFileGoesToTheNearestTierWithRoom(t *testing.T) {
	for name, c := range map[string]struct {
		files   string // of a path, and 100 KiB times the digit
		room    int    // of the nearest, times 100 KiB
		stays   int    // of the first files to move
		batches int    // at most
	}{
		"one directory":       {files: "a/f3 a/g3 a/h3 a/i3 a/j3", room: 10, batches: 2},
		"many directories":    {files: "a/f3 b/f3 c/f3 d/f3 e/f3", room: 10, batches: 5},
		"some that are small": {files: "a/f9 a/g9 a/h1 a/i2 b/f1", room: 10, batches: 4},
		"one that stays":      {files: "a/f3 a/g3 a/h3 a/i3 a/j3", room: 10, stays: 1, batches: 3},
		"for all":             {files: "a/f3 a/g3 b/h3", room: 10, batches: 2},
		"for none":            {files: "a/f3 a/g3 b/h3", room: 2, batches: 2},
	} {
		r := newRig(t, 3, Policy{})
		mountTmpfs(t, r.at(1, ""), fmt.Sprintf("%dk", c.room*100+60)) // some of it for what tmpfs has of its own
		r.open(brief)
		size := func(file string) int { return int(file[len(file)-1] - '0') }
		for _, file := range strings.Fields(c.files) {
			r.file(0, file, size(file)*100<<10, 0)
		}
		begun := map[string]bool{}
		r.refuse = func(name string) Reason {
			if begun[name] = true; len(begun) <= c.stays {
				return InUse
			}
			return Moved
		}
		ripen()
		planned := make([][]string, 3)
		if _, err := r.m.Plan(context.Background(), func(e Event) { planned[e.To] = append(planned[e.To], e.Path) }); err != nil {
			t.Error(err)
		}
		r.scan()
		stay, near, far := r.files(0), r.files(1), r.files(2)
		room := c.room
		for _, file := range near {
			room -= size(file)
		}
		for _, file := range far {
			if size(file) <= room {
				t.Errorf("%s: %s has gone past a tier with room for %d; %q are there", name, file, room, near)
			}
		}
		if len(stay) != c.stays || len(r.batches) > c.batches {
			t.Errorf("%s: %q have stayed; %d batches", name, stay, len(r.batches))
		}
		slices.Sort(planned[1])
		slices.Sort(planned[2])
		if c.stays == 0 && (!slices.Equal(planned[1], near) || !slices.Equal(planned[2], far)) {
			t.Errorf("%s: planned %q; %q and %q have moved", name, planned, near, far)
		}
	}
}

// TestCopiesUnderWayAreTold has a copy that does not end before it was told of.
func TestCopiesUnderWayAreTold(t *testing.T) {
	r := newRig(t, 2, Policy{})
	r.file(0, "a/f", 10, 0)
	r.file(0, "b/f", 10, 0)
	ripen()
	r.gate = make(chan struct{})
	var told, files int64
	got, err := r.m.Do(context.Background(), Request{Paths: []string{""}, OlderThan: ripeAge}, Watch{
		File: func(Event) { files++ },
		Copying: func(bytes int64) {
			if told += bytes; files == 0 && bytes == 2*copiedAtGate {
				close(r.gate)
			}
		},
	})
	if err != nil || got.Files != 2 || files != 2 || told < 2*copiedAtGate {
		t.Errorf("%+v, %v; %d files, %d bytes told", got, err, files, told)
	}
}

// TestEachFileMovesOnceARun, however often it is named: it went down two tiers.
func TestEachFileMovesOnceARun(t *testing.T) {
	for _, paths := range [][]string{
		{"d/f", "d/g", "d/f"}, {"d/f", "d", "d/f"}, {"", "d/f"}, {"d/f", "/d//f/", "d/g"}, {"d", ""}, {"d/f", "d/g", "d", "d"},
	} {
		for _, dry := range []bool{true, false} {
			r := newRig(t, 3, brief)
			r.file(0, "d/f", 1, 0)
			r.file(0, "d/g", 1, 0)
			r.file(0, "d.x", 1, -time.Hour)
			ripen()
			got, err := r.m.Do(context.Background(), Request{Paths: paths, DryRun: dry}, Watch{})
			if err != nil || got.Files != 2 {
				t.Errorf("%q: %+v, %v", paths, got, err)
			}
			if !dry {
				r.want(0, "d.x")
				r.want(1, "d/f", "d/g")
			}
		}
	}
	if got := distinct([]string{"a/b", "a.b", "c", "a", "c/d"}); !slices.Equal(got, []string{"a.b", "c", "a"}) {
		t.Errorf("%q", got)
	}
}

// TestPlanSaysWhyNothingHappens: it named what would move, and that was all.
func TestPlanSaysWhyNothingHappens(t *testing.T) {
	hours := Window{60, 300}
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)
	for _, c := range []struct {
		p    Policy
		why  error
		note string
	}{
		{Policy{}, nil, "nothing moves by itself: the mount has no demote=, high= or promote="},
		{Policy{Demote: day, Window: hours}, nil, "nothing moves by itself before 01:00 (window=)"},
		{Policy{Demote: day, Window: hours}, errors.New("another daemon"), "nothing moves by itself: another daemon"},
		{Policy{Opens: 3, Within: day}, nil, ""},
	} {
		r := newRig(t, 2, c.p)
		r.m.Permit(c.why)
		r.m.now = func() time.Time { return noon }
		if got, err := r.m.Plan(context.Background(), func(Event) {}); err != nil || got.Note != c.note {
			t.Errorf("%+v: %q, %v", c.p, got.Note, err)
		}
	}
}

// TestPlanLooksAnewForOpenFiles: what was opened since somebody had asked why was not
// seen. Why is asked for each of many files.
func TestPlanLooksAnewForOpenFiles(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: 30 * day, Age: AgeMtime})
	r.file(0, "f", 3, 40*day)
	r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
	if _, err := r.m.Why(context.Background(), "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Plan(context.Background(), func(Event) {}); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{whyOpen, 0}; !slices.Equal(r.looks, want) {
		t.Errorf("ages %v, want %v", r.looks, want)
	}
}

// newTight is a rig of two tiers, whose primary has one mebibyte.
func newTight(t *testing.T, p Policy) *rig {
	r := newRig(t, 2, Policy{})
	mountTmpfs(t, r.at(0, ""), "1m")
	r.open(p)
	return r
}

// TestRoomIsMadeByTheColdest fills a primary of one mebibyte.
func TestRoomIsMadeByTheColdest(t *testing.T) {
	p := Policy{Age: AgeMtime, High: 80, Low: 50}
	r := newTight(t, p)
	s := &schedule{m: r.m, policy: p}
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("f%d", i))
		r.file(0, names[i], 100<<10, time.Duration(i)*time.Hour)
	}
	// Nothing may go yet: all have changed a moment ago.
	s.scan = time.Now().Add(scanMost)
	for range 2 {
		s.run(context.Background())
		if next := time.Until(s.room); next < quietTime/2 || next > quietTime+roomSlack {
			t.Errorf("looked at again in %v", next)
		}
		if st := r.m.Status(); !st.Next.Equal(s.room) || st.Last.Kind != kindRoom || st.Last.Skipped[Fresh]+st.Last.Skipped[Arrived] != len(names) {
			t.Errorf("status %+v, last %+v; next is %v", st, st.Last, s.room)
		}
		s.room = time.Now()
	}
	if log := r.log.String(); log != "" {
		t.Errorf("said, although it suffices soon: %s", log)
	}
	r.want(0, names...)

	r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
	if next := time.Until(s.makeRoom(context.Background())); next > roomEvery {
		t.Errorf("looked at again in %v", next)
	}
	r.want(0, names[:5]...)
	r.want(1, names[5:]...)
	r.batches = nil
	s.makeRoom(context.Background())
	if len(r.batches) > 0 {
		t.Errorf("below high, and moved %v", r.batches)
	}
}

// TestWhatMakesRoomIsForeseen by a plan, and for each file.
func TestWhatMakesRoomIsForeseen(t *testing.T) {
	p := Policy{Age: AgeMtime, High: 80, Low: 50}
	r := newTight(t, p)
	for i := range 9 {
		r.file(0, fmt.Sprintf("f%d", i), 100<<10, time.Duration(i)*time.Hour)
	}
	r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
	var planned, why []string
	if _, err := r.m.Plan(context.Background(), func(e Event) {
		if e.Skip == Moved {
			planned = append(planned, e.Path)
		}
		v, err := r.m.Why(context.Background(), e.Path)
		if err != nil {
			t.Error(err)
		}
		if v.Skip == Moved {
			why = append(why, v.Path)
			if v.To != 1 || !strings.HasSuffix(v.Detail, " by their last modification, and the primary is over 80 % full: the oldest go down until it is at 50 %") {
				t.Errorf("%+v", v)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(planned)
	slices.Sort(why)
	(&schedule{m: r.m, policy: p}).makeRoom(context.Background())
	if done := r.files(1); len(done) == 0 || !slices.Equal(planned, done) || !slices.Equal(why, done) {
		t.Errorf("planned %q, why %q, and %q have moved", planned, why, done)
	}
}

// TestNoMoreRoomIsMadeThanItTakes of files of one age, in one directory too: all of a
// batch went, and a plan named all.
func TestNoMoreRoomIsMadeThanItTakes(t *testing.T) {
	p := Policy{Age: AgeMtime, High: 80, Low: 50}
	for _, name := range []string{"d%d/f", "d/f%d"} {
		r := newTight(t, p)
		for i := range 9 {
			r.file(0, fmt.Sprintf(name, i), 100<<10, day)
		}
		r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
		got, err := r.m.Plan(context.Background(), func(Event) {})
		if err != nil || got.Files != 4 || got.Skipped[Warm] != 5 {
			t.Errorf("%s: planned %+v, %v", name, got, err)
		}
		(&schedule{m: r.m, policy: p}).makeRoom(context.Background())
		if done := r.files(1); len(done) != 4 {
			t.Errorf("%s: %q have moved", name, done)
		}
	}
}

// TestRoomIsMadeOfWhatRipens although the first to do so takes the primary below
// high: the goal is low.
func TestRoomIsMadeOfWhatRipens(t *testing.T) {
	p := Policy{Age: AgeMtime, High: 80, Low: 20}
	r := newTight(t, p)
	s := &schedule{m: r.m, policy: p}
	for i := range 9 {
		r.file(0, fmt.Sprintf("f%d", i), 100<<10, 0)
		if i == 4 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(r.at(0, "f4"), &st); err != nil {
		t.Fatal(err)
	}
	at := stamp(st.Ctim)
	if mtime := stamp(st.Mtim); mtime.After(at) { // that of the kernel is as coarse as its tick
		at = mtime
	}
	at = at.Add(quietTime + time.Millisecond)
	r.m.now = func() time.Time { return at }
	s.makeRoom(context.Background())
	r.want(0, "f5", "f6", "f7", "f8")
	at = at.Add(time.Minute)
	if s.makeRoom(context.Background()); len(r.files(0)) > 2 {
		t.Errorf("it stops at %q", r.files(0))
	}
}

// TestRoomThatCannotBeMadeIsSaidOnce names both marks, and why files stay.
func TestRoomThatCannotBeMadeIsSaidOnce(t *testing.T) {
	p := Policy{Age: AgeMtime, High: 80, Low: 50}
	r := newTight(t, p)
	r.file(0, "big", 900<<10, time.Hour)
	r.pin(0, "big", "primary")
	s := &schedule{m: r.m, policy: p}
	for range 2 {
		if next := time.Until(s.makeRoom(context.Background())); next < roomPause-time.Minute {
			t.Errorf("looked at again in %v", next)
		}
	}
	if log := r.log.String(); strings.Count(log, "what may move is not enough") != 1 || !strings.Contains(log, "over high=80%, and is 88 % full still, not at low=50%") {
		t.Errorf("log: %s", log)
	}
	if last := r.m.Status().Last; last.Skipped[Pinned] != 1 {
		t.Errorf("last %+v", last)
	}
	// A file that is always fresh is said to be not enough at last.
	r.log.Reset()
	r.pin(0, "big", "fallback")
	s.enough()
	s.makeRoom(context.Background())
	s.full = s.full.Add(-roomPause)
	for range 2 {
		s.makeRoom(context.Background())
	}
	if log := r.log.String(); strings.Count(log, "what may move is not enough") != 1 {
		t.Errorf("log: %s", log)
	}
}

// TestNoRoomIsMadeOnTheSameFilesystem has the fallback where the primary is:
// moving would go on for ever and free nothing.
func TestNoRoomIsMadeOnTheSameFilesystem(t *testing.T) {
	r := newRig(t, 2, Policy{High: 1, Low: 0})
	r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
	r.file(0, "f", 1<<20, 0)
	occupy(t, 2)
	s := &schedule{m: r.m, policy: r.m.currentPolicy()}
	s.makeRoom(context.Background())
	r.want(0, "f")
	if last := r.m.Status().Last; last == nil || last.Kind != kindRoom || last.Skipped[Lowest] != 1 {
		t.Errorf("last %+v", last)
	}
}

// occupy has so many percent of the filesystem of temporary files taken.
func occupy(t *testing.T, percent uint64) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if want, is := st.Blocks*percent/100, st.Blocks-st.Bfree; is < want {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(want-is)*st.Bsize); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestMovesOneTierDown(t *testing.T) {
	r := newRig(t, 3, Policy{Demote: ripeAge * 1000, Age: AgeMtime})
	r.file(0, "d/a", 3, 0)
	r.file(1, "d/b", 4, 0)
	r.file(2, "d/c", 5, 0)
	r.file(0, "other", 1, 0)
	ripen()
	req := Request{Paths: []string{"d", "none"}, OlderThan: ripeAge}
	var planned Totals
	var events []string
	emit := func(e Event) { events = append(events, fmt.Sprintf("%s %d-%d %s", e.Path, e.From, e.To, e.Skip)) }

	dry := req
	dry.DryRun = true
	got, err := r.m.Do(context.Background(), dry, Watch{File: emit})
	if err != nil || got.Files != 2 || got.Bytes != 7 || len(r.batches) > 0 {
		t.Errorf("dry: %+v, %v, batches %v", got, err, r.batches)
	}
	want := []string{"d/b 1-2 ", "d/a 0-1 ", "none 2-2 gone"}
	if !slices.Equal(events, want) {
		t.Errorf("dry: events %q", events)
	}
	events = nil
	got, err = r.m.Do(context.Background(), req, Watch{Begin: func(all Totals) { planned = all }, File: emit})
	if err != nil || got.Files != 2 || got.Bytes != 7 || planned.Files != 2 || planned.Bytes != 7 || !slices.Equal(events, want) {
		t.Errorf("%+v, planned %+v, %v, events %q", got, planned, err, events)
	}
	r.want(0, "other")
	r.want(1, "d/a")
	r.want(2, "d/b", "d/c")

	events = nil
	if _, err := r.m.Do(context.Background(), Request{Paths: []string{"d/c"}}, Watch{File: emit}); err != nil || !slices.Equal(events, []string{"d/c 2-2 no-tier"}) {
		t.Errorf("at the lowest: %v, %q", err, events)
	}
	ripen()
	got, err = r.m.Do(context.Background(), Request{Paths: []string{""}, Up: true, OlderThan: ripeAge}, Watch{})
	if err != nil || got.Files != 3 {
		t.Errorf("up: %+v, %v", got, err)
	}
	r.want(0, "d/a", "d/b", "d/c", "other")
}

func TestNothingMovesWithoutPermission(t *testing.T) {
	r := newRig(t, 2, brief)
	r.file(0, "f", 1, 0)
	ripen()
	r.m.Permit(errors.New("the locks are being taken anew"))
	r.m.Permit(errors.New("another daemon has the tiers"))
	if _, err := r.m.Do(context.Background(), Request{Paths: []string{""}, OlderThan: 1}, Watch{}); err == nil || !strings.Contains(err.Error(), "another daemon has the tiers") {
		t.Errorf("asked: %v", err)
	}
	s := &schedule{m: r.m, policy: brief}
	s.scanTiers(context.Background())
	if st := r.m.Status(); st.Enabled || st.Why != "another daemon has the tiers" || st.Last != nil {
		t.Errorf("status %+v", st)
	}
	r.want(0, "f")
	r.m.Permit(nil)
	r.scan()
	r.want(1, "f")
}

// TestRequestEndsTheJobByPolicy has a scan that hangs in a move.
func TestRequestEndsTheJobByPolicy(t *testing.T) {
	r := newRig(t, 2, brief)
	r.gate = make(chan struct{})
	r.file(0, "f", 1, 0)
	ripen()
	s := &schedule{m: r.m, policy: brief}
	ended := make(chan time.Time)
	go func() { ended <- s.scanTiers(context.Background()) }()
	for r.m.Status().Running == nil {
		time.Sleep(time.Millisecond)
	}
	asked := make(chan error)
	go func() {
		_, err := r.m.Do(context.Background(), Request{Paths: []string{""}, OlderThan: 1}, Watch{})
		asked <- err
	}()
	if again := <-ended; time.Until(again) > 0 {
		t.Errorf("the scan is due in %v", time.Until(again))
	}
	r.want(0, "f")
	close(r.gate)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	r.want(1, "f")
}

// TestFilesAreCountedAsTheyLand, not when the last of their batch has.
func TestFilesAreCountedAsTheyLand(t *testing.T) {
	r := newRig(t, 2, brief)
	r.file(0, "d/a", 3, 0)
	r.file(0, "d/b", 4, 0)
	ripen()
	first, counted := "", make(chan bool)
	r.refuse = func(name string) Reason {
		if first == "" || first == name {
			first = name
			return Moved
		}
		ok := false
		for end := time.Now().Add(5 * time.Second); !ok && time.Now().Before(end); time.Sleep(time.Millisecond) {
			run := r.m.Status().Running
			ok = run != nil && run.FilesDown == 1
		}
		counted <- ok
		return Moved
	}
	go r.scan()
	if !<-counted {
		t.Error("the first file is not counted while the second moves")
	}
	r.m.Halt(errors.New("the test ends"))
}

// TestNextIsNeverInThePast: it runs then, or will when it may.
func TestNextIsNeverInThePast(t *testing.T) {
	r := newRig(t, 2, brief)
	s := &schedule{m: r.m, policy: brief}
	s.scan = time.Now().Add(time.Minute)
	s.show()
	if st := r.m.Status(); !st.Next.Equal(s.scan) {
		t.Errorf("next %v, want %v", st.Next, s.scan)
	}
	s.scan = time.Now()
	s.show()
	if st := r.m.Status(); !st.Next.IsZero() {
		t.Errorf("next %v", st.Next)
	}
}

func TestRequestEndsWithPermission(t *testing.T) {
	r := newRig(t, 2, Policy{})
	r.gate = make(chan struct{})
	r.file(0, "f", 1, 0)
	ripen()
	asked := make(chan error)
	go func() {
		_, err := r.m.Do(context.Background(), Request{Paths: []string{""}, OlderThan: 1}, Watch{})
		asked <- err
	}()
	for r.m.Status().Running == nil {
		time.Sleep(time.Millisecond)
	}
	r.m.Permit(errors.New("the mount has gone"))
	if err := <-asked; err == nil || err.Error() != "the mount has gone" {
		t.Error(err)
	}
	r.want(0, "f")
}

func TestRunFollowsThePolicyAndEnds(t *testing.T) {
	r := newRig(t, 2, Policy{})
	r.file(0, "f", 1, 0)
	ripen()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { r.m.Run(ctx); close(ended) }()
	if st := r.m.Status(); st.Policy != "nothing moves by itself" || !st.Next.IsZero() {
		t.Errorf("status %+v", st)
	}
	r.m.SetPolicy(brief)
	for r.m.Status().Sum.FilesDown == 0 {
		time.Sleep(time.Millisecond)
	}
	r.want(1, "f")
	cancel()
	<-ended
	if st := r.m.Status(); st.Enabled || st.Running != nil {
		t.Errorf("status %+v", st)
	}
	if _, err := r.m.Do(context.Background(), Request{Paths: []string{""}}, Watch{}); err == nil {
		t.Error("moves after the end")
	}
}

func TestOpensBringAFileUp(t *testing.T) {
	p := Policy{Demote: ripeAge, Age: AgeMtime, Opens: 2, Within: time.Hour}
	r := newRig(t, 2, p)
	r.file(1, "d/f", 7, 0)
	var st unix.Stat_t
	if err := unix.Stat(r.at(1, "d/f"), &st); err != nil {
		t.Fatal(err)
	}
	ripen()
	s := &schedule{m: r.m, policy: p}
	open := func() { r.m.Opened(1, st.Dev, st.Ino, 1, func() string { return "d/f" }) }
	open()
	s.rises(context.Background())
	r.want(0)
	open()
	r.refuse = func(string) Reason { return Open }
	s.rises(context.Background())
	r.want(0)
	r.refuse = nil
	s.rises(context.Background())
	r.want(0, "d/f")
	ripen()
	r.scan()
	r.want(0, "d/f") // it was opened within the hour
}

// A directory that cannot be looked at, and a job that does not come about, cost no other
// file its way up.
func TestFilesThatWereOpenedOftenAreNotForgotten(t *testing.T) {
	p := Policy{Demote: ripeAge, Age: AgeMtime, Opens: 1, Within: time.Hour}
	r := newRig(t, 2, p)
	s := &schedule{m: r.m, policy: p}
	bad := strings.Repeat("x", 300)
	var good []string
	for i := range 8 {
		path := fmt.Sprintf("d%d/f", i)
		good = append(good, path)
		r.file(1, path, 7, 0)
		var st unix.Stat_t
		if err := unix.Stat(r.at(1, path), &st); err != nil {
			t.Fatal(err)
		}
		r.m.Opened(1, st.Dev, st.Ino, 1, func() string { return path })
		r.m.Opened(1, 1, uint64(i), 1, func() string { return fmt.Sprintf("%s%d/f", bad, i) })
	}
	ripen()
	r.m.Permit(errors.New("not now"))
	s.rises(context.Background())
	r.want(0)
	r.m.Permit(nil)
	s.rises(context.Background())
	r.want(0, good...)
	if hot := r.m.opens.takeHot(time.Now()); len(hot) != 8 {
		t.Errorf("%d files are to be tried again, want those that could not be looked at: %v", len(hot), hot)
	}
}

func TestFailuresAreToldOnce(t *testing.T) {
	r := newRig(t, 2, brief)
	r.refuse = func(string) Reason { return Failed }
	r.file(0, "a", 1, 0)
	r.file(0, "b", 1, 0)
	ripen()
	r.scan()
	if log := r.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "files=2") || !strings.Contains(log, "input/output error") {
		t.Errorf("log %q", log)
	}
	r.scan() // again, which is no news
	if log := r.log.String(); strings.Count(log, "\n") != 1 {
		t.Errorf("log %q", log)
	}
	st := r.m.Status()
	if st.Sum.Skipped[Failed] != 4 || st.FailingSince.IsZero() {
		t.Errorf("status %+v", st)
	}
	text, err := json.Marshal(st)
	if err != nil || !strings.Contains(string(text), `"skipped":{"error":4}`) || strings.Contains(string(text), "running") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestPlanTellsOfEveryFile(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: ripeAge, Age: AgeMtime, Exclude: []string{"tmp"}})
	r.file(0, "old", 3, 0)
	r.file(0, "tmp/old", 3, 0)
	r.file(1, "up", 4, 0)
	r.pin(1, "up", "primary")
	r.file(1, "below", 4, 0)
	ripen()
	var events []string
	got, err := r.m.Plan(context.Background(), func(e Event) { events = append(events, fmt.Sprintf("%s %d-%d %s", e.Path, e.From, e.To, e.Skip)) })
	if err != nil || got.Files != 2 || got.Bytes != 7 || got.Skipped[Excluded] != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	slices.Sort(events)
	if want := []string{"old 0-1 ", "tmp/old 0-0 excluded", "up 1-0 "}; !slices.Equal(events, want) {
		t.Errorf("events %q", events)
	}
	if len(r.batches) > 0 {
		t.Errorf("a plan moved %v", r.batches)
	}
}

// TestFullTierIsToldOnce, and not by every scan.
func TestFullTierIsToldOnce(t *testing.T) {
	r := newRig(t, 2, brief)
	r.file(0, "d/a", 1<<20, 0)
	r.file(0, "d/b", 1<<20, 0)
	r.full()
	ripen()
	got := r.scan()
	if len(got.Full) != 1 || got.Full[0].Files != 2 || got.Full[0].Bytes != 2<<20 || got.Skipped[NoRoom] != 2 {
		t.Errorf("%+v", got)
	}
	r.scan()
	log := r.log.String()
	for _, part := range []string{"tier=" + r.roots[1], "free=", "minfree=", "files=2", `bytes="2 MiB"`, "lower minfree"} {
		if !strings.Contains(log, part) {
			t.Errorf("log %q, want %s", log, part)
		}
	}
	if strings.Count(log, "\n") != 1 {
		t.Errorf("log %q", log)
	}
	v, err := r.m.Why(context.Background(), "d/a")
	if err != nil || v.Skip != NoRoom || !strings.Contains(v.Detail, "no room for it on the other tier: tier 1 ("+r.roots[1]+") has ") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestWhyGivesTheReason(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: 30 * day, Age: AgeMtime, Opens: 3, Within: day})
	r.file(0, "d/young", 3, 12*day)
	r.file(0, "d/old", 4, 40*day)
	r.file(1, "d/low", 5, 40*day)
	if got, err := r.m.Why(context.Background(), "d/old"); err != nil || got.Skip != Arrived || !strings.HasSuffix(got.Detail, "it has to be left alone for 1 minute") {
		t.Errorf("%+v, %v", got, err)
	}
	r.m.now = func() time.Time { return time.Now().Add(2 * quietTime) }
	for path, want := range map[string]Verdict{
		"d/young":    {Path: "d/young", Bytes: 3, Age: 12 * day, Skip: Young, Detail: "aged 12 days by their last modification; files go down after 30 days"},
		"/d/old":     {Path: "d/old", Bytes: 4, Age: 40 * day, To: 1, Detail: "aged 40 days by their last modification, and files go down after 30 days"},
		"d/../d/low": {Path: "d/low", Rank: 1, To: 1, Bytes: 5, Age: 40 * day, Skip: Lower, Detail: "on a fallback already; 3 opens within 1 day would bring it up"},
	} {
		got, err := r.m.Why(context.Background(), path)
		if got.Age = got.Age.Round(time.Hour); err != nil || got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	if _, err := r.m.Why(context.Background(), "none"); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	if _, err := r.m.Why(context.Background(), "d"); err == nil || !strings.Contains(err.Error(), "a directory") {
		t.Error(err)
	}
}

func TestDetailsHaveFigures(t *testing.T) {
	now := time.Now()
	for want, tt := range map[string]struct {
		p   Policy
		pin pin
		age time.Duration
	}{
		"aged 12 days by their last access or modification, and files go down after 10 days": {p: Policy{Demote: 10 * day}},
		"aged 12 days by their last modification; files go down after 90 days":               {p: Policy{Demote: 90 * day, Age: AgeMtime}},
		"aged 4 minutes by their last modification; files go down after 150 minutes":         {p: Policy{Demote: 150 * time.Minute, Age: AgeMtime}, age: 4*time.Minute + time.Nanosecond},
		"changed less than a second ago; it has to be left alone for 1 minute":               {p: Policy{Demote: day}, age: 216667305},
		"no policy moves files by their age (demote=, high=)":                                {},
		"pinned to the fallback, and not there yet":                                          {pin: pinFallback},
		"pinned to the primary by user.tierfs.pin, and there":                                {pin: pinPrimary},
	} {
		if tt.age == 0 {
			tt.age = 12 * day
		}
		f := aged(0, tt.age, tt.age, tt.age, now)
		f.pin = tt.pin
		facts := facts{found: f, now: now}
		c, why := tt.p.judge(facts, 0)
		if got := tt.p.detail(facts, c, why); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPolicyInWords(t *testing.T) {
	p := Policy{Demote: 90 * day, Age: AgeOpened, High: 90, Low: 80, Opens: 3, Within: day, Window: Window{60, 300},
		Exclude: []string{"*.tmp", "cache"}, Ignore: []string{"rsync"}, Rate: 50 << 20}
	const want = "files go down 90 days after their last open through the mount; the coldest go down when the primary is over 90 % full, until it is at 80 %; " +
		"3 opens within 1 day bring a file up; between 01:00 and 05:00 only; but not *.tmp, cache; opens by rsync do not count; at most 50 MiB a second"
	if got := p.String(); got != want {
		t.Errorf("got %q", got)
	}
	once := Policy{Opens: 1, Within: 2 * time.Second}
	if got, want := once.String(), "1 open within 2 seconds brings a file up"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
