package mover

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpensCountWithinTheirTime(t *testing.T) {
	o := newOpens()
	o.setPolicy(Policy{Opens: 3, Within: time.Hour})
	start := time.Now()
	open := func(ino uint64, rank int, after time.Duration) {
		o.opened(fileKey{rank, 1, ino}, 1, start.Add(after), func() string { return fmt.Sprint(ino) })
	}
	for _, at := range []time.Duration{0, 50 * time.Minute, 70 * time.Minute} { // 70 minutes in all
		open(1, 1, at)
	}
	if hot := o.takeHot(start); len(hot) > 0 {
		t.Errorf("too slow, and hot: %v", hot)
	}
	open(1, 1, 100*time.Minute) // the last three within 50
	for range 5 {
		open(2, 0, 0) // has nowhere to go
	}
	hot := o.takeHot(start)
	if len(hot) != 1 || hot["1"].rank != 1 {
		t.Errorf("hot: %v", hot)
	}
	if again := o.takeHot(start); len(again) > 0 {
		t.Errorf("twice: %v", again)
	}
	if at := o.last(fileKey{0, 1, 2}); !at.Equal(start) {
		t.Errorf("last %v", at)
	}
	o.heat("1", hotFile{1, start})
	if hot := o.takeHot(start); len(hot) > 0 {
		t.Errorf("tried for ever: %v", hot)
	}
}

func TestOpensOfIgnoredCommandsDoNotCount(t *testing.T) {
	o := newOpens()
	asked := 0
	o.comm = func(pid uint32) string {
		asked++
		return commOf(pid)
	}
	self := commOf(uint32(os.Getpid()))
	if self == "" {
		t.Fatal("this process has no name")
	}
	key := fileKey{1, 1, 1}
	o.setPolicy(Policy{Age: AgeOpened})
	o.opened(key, uint32(os.Getpid()), time.Now(), nil)
	if asked != 0 || o.last(key).IsZero() {
		t.Errorf("asked %d times, last %v", asked, o.last(key))
	}
	key.ino++
	o.setPolicy(Policy{Age: AgeOpened, Ignore: []string{"updatedb", self}})
	o.opened(key, uint32(os.Getpid()), time.Now(), nil)
	if asked != 1 || !o.last(key).IsZero() {
		t.Errorf("asked %d times, last %v", asked, o.last(key))
	}
	o.opened(key, 0, time.Now(), nil) // of another PID namespace
	if o.last(key).IsZero() {
		t.Error("a client without a name does not count")
	}
}

// A remount without promote= came between the open and its count: that panicked, and
// the next scan did, in the file that had no opens then, which ended the daemon.
func TestPolicyThatEndsWhileAFileIsOpened(t *testing.T) {
	o := newOpens()
	o.comm = func(uint32) string {
		o.setPolicy(Policy{Age: AgeOpened})
		return ""
	}
	o.setPolicy(Policy{Opens: 2, Within: time.Hour, Age: AgeOpened, Ignore: []string{"backup"}})
	key, now := fileKey{1, 1, 1}, time.Now()
	func() {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v", p)
			}
		}()
		o.opened(key, 1, now, func() string { return "f" })
	}()
	if hot := o.takeHot(now); len(hot) > 0 {
		t.Errorf("hot, although nothing comes up: %v", hot)
	}
	if at := o.last(key); !at.Equal(now) {
		t.Errorf("last %v", at)
	}
}

func TestOpensAreBounded(t *testing.T) {
	o := newOpens()
	o.setPolicy(Policy{Opens: 1, Within: time.Hour})
	now := time.Now()
	for ino := range uint64(maxCounted + 10) {
		o.opened(fileKey{1, 1, ino}, 1, now, func() string { return fmt.Sprint(ino) })
	}
	if len(o.files) != maxCounted || o.order.Len() != maxCounted || len(o.hot) != maxHot {
		t.Errorf("%d files, %d in order, %d hot", len(o.files), o.order.Len(), len(o.hot))
	}
	if !o.last(fileKey{1, 1, 9}).IsZero() || o.last(fileKey{1, 1, 10}).IsZero() {
		t.Error("not the oldest were forgotten")
	}
	o.setPolicy(Policy{})
	if len(o.files)+o.order.Len()+len(o.hot) > 0 {
		t.Error("kept although nobody wants to know")
	}
}

func TestOpenedCostsNothingWhenNobodyWantsToKnow(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: time.Hour})
	path := func() string { t.Error("asked for the path"); return "" }
	if n := testing.AllocsPerRun(100, func() { r.m.Opened(1, 2, 3, 4, path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(r.m.opens.files)+len(r.m.opens.lasts.at) > 0 {
		t.Error("noted")
	}
}

func TestLastsSurvive(t *testing.T) {
	r := newRig(t, 2, Policy{Age: AgeOpened})
	tier := r.Tiers()[0]
	l := newLasts()
	if err := l.load(tier); err != nil {
		t.Errorf("the first time: %v", err)
	}
	then := time.Now().Add(-day).Truncate(time.Second)
	l.set(fileKey{0, 7, 1}, then)
	l.set(fileKey{1, 7, 1}, then.Add(time.Hour))
	if err := l.save(tier); err != nil {
		t.Fatal(err)
	}
	again := newLasts()
	again.set(fileKey{0, 7, 1}, then.Add(2*time.Hour))
	if err := again.load(tier); err != nil {
		t.Fatal(err)
	}
	if a, b := again.get(fileKey{0, 8, 1}), again.get(fileKey{1, 8, 1}); !a.Equal(then.Add(2*time.Hour)) || !b.Equal(then.Add(time.Hour)) {
		t.Errorf("read %v and %v", a, b)
	}
	var before, after unix.Stat_t
	file := r.at(0, ".tierfs/mover/opened")
	if err := unix.Stat(file, &before); err != nil {
		t.Fatal(err)
	}
	if err := l.save(tier); err != nil || unix.Stat(file, &after) != nil || after.Ino != before.Ino {
		t.Errorf("written again although nothing has changed: %v", err)
	}
	if err := os.WriteFile(file, []byte("rubbish"), 0600); err != nil {
		t.Fatal(err)
	}
	if err := newLasts().load(tier); err != errNoLasts {
		t.Errorf("rubbish: %v", err)
	}
}

func TestLastsForgetTheOldest(t *testing.T) {
	l := newLasts()
	start := time.Unix(1e9, 0)
	for ino := range uint64(maxLasts + 1) {
		l.set(fileKey{0, 1, ino}, start.Add(time.Duration(ino)*time.Second))
	}
	if n := len(l.at); n > maxLasts || n < maxLasts/3 {
		t.Errorf("%d are left", n)
	}
	if !l.get(fileKey{0, 1, 0}).IsZero() || l.get(fileKey{0, 1, maxLasts}).IsZero() || l.get(fileKey{0, 1, maxLasts - 1}).IsZero() {
		t.Error("not the oldest were forgotten")
	}
}

// FuzzLasts holds a file that may be anybody's to: all of it or nothing.
func FuzzLasts(f *testing.F) {
	l := newLasts()
	l.set(fileKey{1, 2, 3}, time.Unix(1e9, 0))
	text, _ := l.encode()
	f.Add(text)
	f.Add([]byte(lastsMagic))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := decodeLasts(bytes.NewReader(text))
		if err != nil {
			return
		}
		again := &lasts{at: all, changed: true}
		round, _ := again.encode()
		if len(all)*lastsRow+len(lastsMagic)+4 == len(text) {
			if back, err := decodeLasts(bytes.NewReader(round)); err != nil || len(back) != len(all) {
				t.Errorf("%d rows, then %d, %v", len(all), len(back), err)
			}
		}
	})
}

func FuzzPin(f *testing.F) {
	f.Add([]byte("primary\n"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if p := parsePin(value); p != pinBad && !bytes.HasPrefix(value, []byte(p.String())) {
			t.Errorf("%q is %v", value, p)
		}
	})
}
