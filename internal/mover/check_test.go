package mover

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// stage is a set of tiers in a temporary directory.
type stage struct {
	*testing.T
	dir string
	set *tier.Set
}

func newStage(t *testing.T, tiers int) *stage {
	t.Helper()
	s := &stage{T: t, dir: t.TempDir()}
	var roots []string
	for rank := range tiers {
		roots = append(roots, s.at(rank, ""))
		if err := os.Mkdir(s.at(rank, ""), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	set, err := tier.OpenSet(roots, tier.Config{Log: slog.New(slog.DiscardHandler), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.set = set
	t.Cleanup(set.Close)
	return s
}

func (s *stage) at(rank int, name string) string { return filepath.Join(s.dir, fmt.Sprint(rank), name) }

func (s *stage) write(rank int, name, content string) {
	s.Helper()
	if err := os.MkdirAll(filepath.Dir(s.at(rank, name)), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.at(rank, name), []byte(content), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) symlink(rank int, target, name string) {
	s.Helper()
	if err := os.Symlink(target, s.at(rank, name)); err != nil {
		s.Fatal(err)
	}
}

// found runs a check and returns its findings as "kind rank/path over".
func (s *stage) found(c *Check) []string {
	s.Helper()
	var all []string
	c.Tiers = s.set.Tiers()
	c.Emit = func(f Finding) {
		all = append(all, fmt.Sprintf("%s %d/%s %d", f.Kind, f.Rank, f.Path, f.Over))
		if f.Text("/srv/fast") == string(f.Kind) {
			s.Errorf("%s has no text", f.Kind)
		}
	}
	c.NumbersLast = func(*tier.Tier) bool { return true }
	if c.Made == nil {
		c.Made = func(_ *tier.Tier, st *unix.Stat_t) (unix.Stat_t, error) { return *st, nil }
	}
	if c.Owned == nil {
		c.Owned = func(int, string, string) bool { return false }
	}
	if err := c.Run(s.Context()); err != nil {
		s.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func (s *stage) want(c *Check, want ...string) {
	s.Helper()
	slices.Sort(want)
	if got := s.found(c); !slices.Equal(got, want) {
		s.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestCheckFindsNothingInAUnion(t *testing.T) {
	s := newStage(t, 3)
	s.write(0, "a/b/c", "1")
	s.write(1, "a/b/d", "2")
	s.write(2, "a/e/f", "3")
	s.write(2, "g", "4")
	c := &Check{}
	s.want(c)
	if c.Directories != 4 || c.Entries != 10 {
		t.Errorf("saw %d directories and %d entries", c.Directories, c.Entries)
	}
}

func TestCheckFindsHiddenCopies(t *testing.T) {
	s := newStage(t, 3)
	long := strings.Repeat("x", compareChunk)
	for name, text := range map[string][3]string{
		"same": {"1", "1", ""}, "size": {"1", "12", ""}, "bytes": {"12", "13", ""}, "late": {long + "a", "", long + "b"},
		"long": {long + "a", long + "a", ""}, "empty": {"-", "-", "1"}, "d/lower": {"", "1", "1"},
	} {
		for rank, content := range text {
			if content != "" {
				s.write(rank, name, strings.TrimPrefix(content, "-"))
			}
		}
	}
	s.symlink(0, "to", "link")
	s.symlink(1, "to", "link")
	s.symlink(2, "elsewhere", "link")
	s.want(&Check{}, "same-copy 1/same 0", "other-copy 1/size 0", "other-copy 1/bytes 0", "other-copy 2/late 0",
		"same-copy 1/long 0", "same-copy 1/empty 0", "other-copy 2/empty 0", "same-copy 2/d/lower 1",
		"same-copy 1/link 0", "other-copy 2/link 0")
}

// TestCheckTellsByMetadataToo: a copy that nobody but its owner might read, or that
// had attributes of its own, was the same file if its bytes were, and a repair
// removed it.
func TestCheckTellsByMetadataToo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: owners are to differ")
	}
	const userACL = "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	for want, change := range map[string]func(name string) error{
		"owner":      func(name string) error { return os.Chown(name, 1000, -1) },
		"group":      func(name string) error { return os.Chown(name, -1, 1000) },
		"mode":       func(name string) error { return os.Chmod(name, 0o600) },
		"attributes": func(name string) error { return unix.Setxattr(name, "user.important", []byte("1"), 0) },
		"ACL":        func(name string) error { return unix.Setxattr(name, accessACL, []byte(userACL), 0) },
		"content":    func(name string) error { return os.WriteFile(name, []byte("2"), 0o644) },
		"":           func(name string) error { return os.Chtimes(name, time.Time{}, time.Unix(1, 0)) },
	} {
		for rank := range 2 {
			s := newStage(t, 2)
			s.write(0, "f", "1")
			s.write(1, "f", "1")
			if err := change(s.at(rank, "f")); err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			c, got := &Check{}, []string(nil)
			s.found(c)
			c.Emit = func(f Finding) { got = append(got, string(f.Kind)+" "+strings.Join(f.Differs, " ")) }
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			text := "other-copy " + want
			if want == "" {
				text = "same-copy "
			}
			if len(got) != 1 || got[0] != text {
				t.Errorf("changed on tier %d: found %q, want %q", rank, got, text)
			}
		}
	}
}

// What a filesystem cannot hold of a file is not lost with it: vfat has one owner and
// one mode for all.
func TestCheckCountsNoDifferenceThatTheTierMakes(t *testing.T) {
	for name, made := range map[string]uint32{"same-copy": 0o755, "other-copy": 0o644} {
		s := newStage(t, 2)
		s.write(0, "f", "1")
		s.write(1, "f", "1")
		if err := os.Chmod(s.at(1, "f"), 0o755); err != nil {
			t.Fatal(err)
		}
		c := &Check{Made: func(to *tier.Tier, st *unix.Stat_t) (unix.Stat_t, error) {
			held := *st
			held.Mode = held.Mode&^07777 | made
			if to.Rank != 1 {
				t.Errorf("made on tier %d", to.Rank)
			}
			return held, nil
		}}
		s.want(c, name+" 1/f 0")
	}
}

func TestCheckFindsFilesAndDirectoriesOfOneName(t *testing.T) {
	s := newStage(t, 4)
	s.write(0, "a", "file")
	s.write(1, "a/under", "hidden")
	s.write(0, "b/x", "1")
	s.write(1, "b", "file")
	s.write(2, "b/x", "1") // below the file, so not merged
	s.write(3, "c/y", "1")
	s.symlink(2, "t", "c")
	s.want(&Check{}, "other-type 1/a 0", "other-type 1/b 0", "other-type 2/b 1", "other-type 3/c 2")
}

func TestCheckLooksIntoTheMark(t *testing.T) {
	s := newStage(t, 2)
	for _, name := range []string{"members", "lock", "staging/own", "staging/dead", "journal/record", "trash/file", "stranger"} {
		s.write(1, ".tierfs/"+name, "x")
	}
	s.write(0, "old/.tierfs/members", "{}")
	s.write(0, "mine/.tierfs/notes", "a user's own")
	c := &Check{Owned: func(rank int, dir, name string) bool { return rank == 1 && dir == "staging" && name == "own" }}
	s.want(c, "staged 1/.tierfs/staging/dead 1", "record 1/.tierfs/journal/record 1", "trash 1/.tierfs/trash/file 1",
		"foreign 1/.tierfs/stranger 1", "foreign 0/old/.tierfs 0")
}

// A single tier has nothing to hide, and its .tierfs belongs to the set that it is
// a member of.
func TestCheckOfOneTier(t *testing.T) {
	s := newStage(t, 1)
	s.write(0, ".tierfs/staging/x", "x")
	c := &Check{}
	s.want(c)
	if c.Directories != 1 {
		t.Errorf("saw %d directories", c.Directories)
	}
}

func TestCheckLeavesAccessTimesAlone(t *testing.T) {
	s := newStage(t, 2)
	s.write(0, "d/a", "1")
	s.write(1, "d/a", "1")
	old := time.Unix(1_000_000_000, 0)
	for _, name := range []string{"d/a", "d", ""} {
		for rank := range 2 {
			if err := os.Chtimes(s.at(rank, name), old, old.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.want(&Check{}, "same-copy 1/d/a 0")
	for _, name := range []string{"d/a", "d", ""} {
		for rank := range 2 {
			var st unix.Stat_t
			if err := unix.Stat(s.at(rank, name), &st); err != nil || st.Atim.Sec != old.Unix() {
				t.Errorf("tier %d, %q: atime %d, %v", rank, name, st.Atim.Sec, err)
			}
		}
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	s := newStage(t, 2)
	s.write(0, "a", "1")
	s.write(1, "a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &Check{Tiers: s.set.Tiers(), Emit: func(f Finding) { t.Errorf("found %+v", f) }}
	c.Owned = func(int, string, string) bool { return false }
	if err := c.Run(ctx); err != context.Canceled {
		t.Error(err)
	}
}
