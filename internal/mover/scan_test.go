package mover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// tape records what a walk tells.
type tape struct {
	rows []string
	fail error
}

func (v *tape) file(f *found) error {
	v.rows = append(v.rows, fmt.Sprintf("%s pin=%v excluded=%v", f.path(), f.pin, f.excluded))
	return v.fail
}

func (v *tape) endDir() error {
	v.rows = append(v.rows, "end")
	return nil
}

func (v *tape) has(rows ...string) bool {
	for _, row := range rows {
		if !slices.Contains(v.rows, row) {
			return false
		}
	}
	return true
}

func TestWalkFollowsNoLinkAndLeavesOurOwnAlone(t *testing.T) {
	r := newRig(t, 2, Policy{})
	r.file(0, "a/b/deep", 1, 0)
	r.file(0, "top", 1, 0)
	r.file(0, tier.MarkName+"/members", 1, 0)
	r.file(0, "a/"+tier.MarkName+"/users own", 1, 0)
	r.file(1, "elsewhere", 1, 0)
	for link, target := range map[string]string{"link": r.roots[1], "a/loop": "..", "file": "top"} {
		if err := os.Symlink(target, r.at(0, link)); err != nil {
			t.Fatal(err)
		}
	}
	v := &tape{}
	if err := (&walk{tier: r.Tiers()[0], to: v}).run(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	want := []string{"link", "a/loop", "file", "top", "a/b/deep", "a/" + tier.MarkName + "/users own"}
	for i := range want {
		want[i] += " pin=unset excluded=false"
	}
	if !v.has(want...) || len(v.rows) != len(want)+4 {
		t.Errorf("told %q", v.rows)
	}
}

func TestWalkLeavesAccessTimesAlone(t *testing.T) {
	r := newRig(t, 1, Policy{})
	r.file(0, "a/f", 1, time.Hour)
	long := time.Now().Add(-90 * 24 * time.Hour)
	for _, name := range []string{"a", "a/f"} {
		if err := os.Chtimes(r.at(0, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&walk{tier: r.Tiers()[0], to: &tape{}}).run(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/f"} {
		var st unix.Stat_t
		if err := unix.Stat(r.at(0, name), &st); err != nil {
			t.Fatal(err)
		}
		if at := stamp(st.Atim); !at.Equal(long) {
			t.Errorf("%s: accessed %v, was %v", name, at, long)
		}
	}
}

func TestWalkInheritsPinsAndExclusions(t *testing.T) {
	r := newRig(t, 1, Policy{})
	for _, name := range []string{"f", "p/f", "p/q/f", "p/q/own", "cache/f", "x/cache/f", "x/y.tmp", "x/exact"} {
		r.file(0, name, 1, 0)
	}
	r.pin(0, "p", "primary")
	r.pin(0, "p/q", "rubbish")
	r.pin(0, "p/q/own", "none\n")
	v := &tape{}
	w := walk{tier: r.Tiers()[0], exclude: []string{"cache/", "*.tmp", "/x/ex*", "x/f"}, to: v}
	if err := w.run(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if !v.has("f pin=unset excluded=false", "p/f pin=primary excluded=false", "p/q/f pin=bad excluded=false",
		"p/q/own pin=none excluded=false", "cache/f pin=unset excluded=true", "x/cache/f pin=unset excluded=true",
		"x/y.tmp pin=unset excluded=true", "x/exact pin=unset excluded=true") {
		t.Errorf("told %q", v.rows)
	}
	pruned := &tape{}
	w = walk{tier: r.Tiers()[0], exclude: w.exclude, prune: true, to: pruned}
	if err := w.run(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if pruned.has("cache/f pin=unset excluded=true") || !pruned.has("x/y.tmp pin=unset excluded=true") {
		t.Errorf("pruned: told %q", pruned.rows)
	}
}

func TestWalkBeginsAtAPath(t *testing.T) {
	r := newRig(t, 1, Policy{})
	r.file(0, "a/b/f", 1, 0)
	r.file(0, "a/g", 1, 0)
	r.pin(0, "a", "fallback")
	for start, want := range map[string][]string{
		"a/b":   {"a/b/f pin=fallback excluded=false", "end"},
		"a/b/f": {"a/b/f pin=fallback excluded=false", "end"},
		"/a/":   {"a/g pin=fallback excluded=false", "end", "a/b/f pin=fallback excluded=false", "end"},
	} {
		v := &tape{}
		if err := (&walk{tier: r.Tiers()[0], to: v}).run(context.Background(), start); err != nil || !slices.Equal(v.rows, want) {
			t.Errorf("%s: told %q, %v", start, v.rows, err)
		}
	}
	for start, want := range map[string]error{"a/none": unix.ENOENT, "a/g/h": unix.ENOTDIR, "none/x": unix.ENOENT} {
		if err := (&walk{tier: r.Tiers()[0], to: &tape{}}).run(context.Background(), start); err != want || !isAbsent(err) {
			t.Errorf("%s: %v", start, err)
		}
	}
	if err := (&walk{tier: r.Tiers()[0], alone: true, to: &tape{}}).run(context.Background(), "a/b"); err != unix.EISDIR {
		t.Errorf("a directory alone: %v", err)
	}
}

// TestDirectoryThatCannotBeListedToItsEnd: the files that had been found in it went into
// one batch with those of the next, under its name, so that others than those that were
// judged moved.
func TestDirectoryThatCannotBeListedToItsEnd(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: ripeAge})
	r.file(0, "a/f", 1, time.Hour)
	r.file(0, "z/f", 1, time.Hour)
	for i := range 4 * rowBytes / unix.NAME_MAX { // more than one step of a listing
		r.file(0, fmt.Sprintf("gone/%0*d", unix.NAME_MAX, i), 1, time.Hour)
	}
	ripen()
	judged := 0
	r.m.now = func() time.Time {
		if judged++; judged == 5 { // a row of the first step
			if err := os.RemoveAll(r.at(0, "gone")); err != nil {
				t.Fatal(err)
			}
			r.file(0, "gone/f", 1, 0)
		}
		return time.Now()
	}
	r.scan()
	r.want(0, "gone/f")
	r.want(1, "a/f", "z/f")
}

func TestWalkEndsWithItsContextAndItsVisitor(t *testing.T) {
	r := newRig(t, 1, Policy{})
	r.file(0, "a/f", 1, 0)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errPreempted)
	if err := (&walk{tier: r.Tiers()[0], to: &tape{}}).run(ctx, ""); err != errPreempted {
		t.Errorf("cancelled: %v", err)
	}
	v := &tape{fail: errors.New("its own")}
	if err := (&walk{tier: r.Tiers()[0], to: v}).run(context.Background(), ""); err != v.fail || len(v.rows) != 2 {
		t.Errorf("%v after %q", err, v.rows)
	}
}

// TestWalkStaysOnItsFilesystem has another one inside the tier: its files could
// not be renamed to where copies are made.
func TestWalkStaysOnItsFilesystem(t *testing.T) {
	r := newRig(t, 1, Policy{})
	r.file(0, "here", 1, 0)
	mountTmpfs(t, r.at(0, "inside"), "1m")
	r.file(0, "inside/there", 1, 0)
	v := &tape{}
	if err := (&walk{tier: r.Tiers()[0], to: v}).run(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if len(v.rows) != 2 || filepath.Base(v.rows[0]) != "here pin=unset excluded=false" {
		t.Errorf("told %q", v.rows)
	}
}

// What lies there was "not a regular file" of 0 bytes to why, and nothing at all to a
// request that named it.
func TestFileOfAFilesystemInsideATierStaysForThat(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: 24 * time.Hour})
	mountTmpfs(t, r.at(0, "inside"), "1m")
	r.file(0, "inside/d/there", 3, 48*time.Hour)
	v, err := r.m.Why(context.Background(), "inside/d/there")
	if err != nil || v.Skip != Inner || v.Bytes != 3 || v.Detail != Inner.Text() {
		t.Errorf("%+v, %v", v, err)
	}
	for path, want := range map[string]int{"inside/d/there": 1, "inside": 1, "": 0} {
		end, err := r.m.Do(context.Background(), Request{Paths: []string{path}, DryRun: true}, Watch{})
		if err != nil || end.Files != 0 || end.Skipped[Inner] != want {
			t.Errorf("%q: %+v, %v", path, end, err)
		}
	}
}

// Programs that go down step by step make directories whose paths nobody can say. A
// walk left them out without a word.
func TestDirectoryThatIsTooDeepIsCounted(t *testing.T) {
	r := newRig(t, 2, Policy{Demote: 24 * time.Hour, Exclude: []string{"left-out"}})
	for _, top := range []string{"d", "left-out"} {
		if err := os.Mkdir(r.at(0, top), 0o755); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(r.at(0, top), unix.O_RDONLY, 0)
		for range 20 {
			if err != nil {
				t.Fatal(err)
			}
			name := strings.Repeat("n", 250)
			if err = unix.Mkdirat(fd, name, 0o755); err == nil {
				up := fd
				fd, err = unix.Openat(up, name, unix.O_RDONLY, 0)
				unix.Close(up)
			}
		}
		unix.Close(fd)
	}
	var told []Event
	end, err := r.m.Plan(context.Background(), func(e Event) { told = append(told, e) })
	if err != nil || end.Skipped[Deep] != 1 || len(told) != 1 || !strings.HasPrefix(told[0].Path, "d/nnn") {
		t.Errorf("%+v, %v, told of %d", end, err, len(told))
	}
}

// mountTmpfs mounts a filesystem for the test.
func mountTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount(2) of a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}
