package tier

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quietConfig is that of a set whose log nobody reads.
func quietConfig(timeout time.Duration) Config {
	return Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Timeout: timeout}
}

// openSet opens the place's directories as tiers until the end of the test.
func (b *place) openSet(timeout time.Duration, names ...string) *Set {
	b.Helper()
	s, err := b.trySet(timeout, names...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

func (b *place) trySet(timeout time.Duration, names ...string) (*Set, error) {
	var paths []string
	for _, name := range names {
		paths = append(paths, b.path(name))
	}
	return OpenSet(paths, quietConfig(timeout))
}

func TestSetHasNoMoreTiersThanARankCanName(t *testing.T) {
	var s Set
	full := make([]*Tier, MaxTiers)
	s.tiers.Store(&full)
	if _, err := s.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "256 tiers at most") {
		t.Errorf("one too many: %v", err)
	}
}

// refusedSet wants OpenSet to refuse, with the parts in its text, and to leave
// no descriptor.
func (b *place) refusedSet(names []string, parts ...string) error {
	b.Helper()
	before := countFDs(b.T)
	s, err := b.trySet(time.Minute, names...)
	if err == nil {
		s.Close()
		b.Errorf("%q were taken for tiers", names)
		return nil
	}
	wantError(b.T, err, parts...)
	if n := countFDs(b.T) - before; n != 0 {
		b.Errorf("%q: %d descriptors are left", names, n)
	}
	return err
}

// countFDs counts the descriptors but those of Go's own poller, which come with
// its first use.
func countFDs(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); !strings.HasPrefix(to, "anon_inode:[event") {
			n++
		}
	}
	return n
}

func (b *place) symlink(target, name string) {
	b.Helper()
	if err := os.Symlink(target, b.path(name)); err != nil {
		b.Fatal(err)
	}
}

func TestOpenSet(t *testing.T) {
	b := newPlace(t, "a", "ab", "real/c") // the name of one begins with that of another
	b.symlink("real/c", "link")
	before := countFDs(t)
	s, err := b.trySet(time.Minute, "a/", "ab", "link/.")
	if err != nil {
		t.Fatal(err)
	}
	for rank, want := range []string{"a", "ab", "real/c"} {
		tr := s.Tiers()[rank]
		var st unix.Stat_t
		if err := unix.Stat(b.path(want), &st); err != nil {
			t.Fatal(err)
		}
		if tr.Root != b.path(want) || tr.Rank != rank || tr.Dev() != st.Dev || tr.ReadOnly() || tr.Away() {
			t.Errorf("tier %d: %q rank %d dev %d", rank, tr.Root, tr.Rank, tr.Dev())
		}
		if !sameDir(tr.RootFD(), pathFD(t, b.path(want))) {
			t.Errorf("tier %d is another directory", rank)
		}
	}
	before += 3 // those of pathFD
	if s.Primary() != s.Tiers()[0] || s.Away() {
		t.Error("the primary is another tier, or away")
	}
	s.Close()
	if n := countFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors are left of a closed set", n)
	}
}

func TestRelativeTierIsMadeAbsolute(t *testing.T) {
	b := newPlace(t, "a")
	t.Chdir(b.dir)
	s, err := OpenSet([]string{"./a"}, quietConfig(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Primary().Root; got != b.path("a") {
		t.Errorf("root %q", got)
	}
}

func TestTierThatIsNoDirectoryIsRefused(t *testing.T) {
	b := newPlace(t, "a")
	writeText(t, b.path("file"), "")
	b.symlink("file", "to-file")
	b.symlink("nowhere", "dangling")
	b.symlink("loop", "loop")
	if err := unix.Mkfifo(b.path("fifo"), 0600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "to-file", "fifo", "file/below"} {
		err := b.refusedSet([]string{"a", name}, "fallback", b.path(name), "not a directory; ")
		var missing *MissingError
		if errors.As(err, &missing) {
			t.Errorf("%s: nofail would forgive it", name)
		}
	}
	for _, name := range []string{"none", "dangling", "a/none/deeper"} {
		err := b.refusedSet([]string{name, "a"}, "primary", b.path(name), "no such directory; create it, or mount its disk first")
		var missing *MissingError
		if !errors.As(err, &missing) {
			t.Errorf("%s: nofail would not forgive it", name)
		}
	}
	b.refusedSet([]string{"loop"}, b.path("loop"))
	b.refusedSet([]string{"bad\nname"}, `bad\nname`)
}

func TestSameDirectoryTwiceIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.symlink("a", "link")
	for _, names := range [][]string{{"a", "a"}, {"a", "b", "a"}, {"b", "a", "./a/"}, {"a", "link"}, {"link", "a"}} {
		b.refusedSet(names, "are the same directory; each tier needs one of its own")
	}
}

func TestTierInsideAnotherIsRefused(t *testing.T) {
	b := newPlace(t, "a/sub/deep", "b")
	b.symlink("a/sub", "link")
	for _, names := range [][]string{{"a", "a/sub"}, {"a/sub", "a"}, {"b", "a", "a/sub/deep"}, {"a", "link"}, {"link/deep", "b", "a"}} {
		b.refusedSet(names, "lies inside tier", b.path("a"), "and a tier cannot hold another; name a directory outside it")
	}
}

func TestSameDirectoryThroughABindMountIsRefused(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "bind")
	mountAt(t, b.path("a"), b.path("bind"), "", unix.MS_BIND, "")
	b.refusedSet([]string{"a", "bind"}, "are the same directory")
}

// The names of these tiers say nothing of where they lie; only the table of
// mounts does.
func TestTierInsideAnotherThroughABindMountIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	s := b.openSet(time.Minute, "a", "b", "c")
	for _, c := range []struct {
		what  string
		where [3]string // filesystem and path of each tier, "" if not known
		in    string    // the tier that lies in another
	}{
		{"apart", [3]string{"8:1 /a", "8:1 /b", "8:1 /c"}, ""},
		{"begin alike", [3]string{"8:1 /a", "8:1 /ab", "8:1 /b"}, ""},
		{"other filesystems", [3]string{"8:1 /a", "8:2 /a/b", "8:3 /"}, ""},
		{"unknown", [3]string{"", "", ""}, ""},
		{"one unknown", [3]string{"8:1 /", "", " /x"}, ""},
		{"below the primary", [3]string{"8:1 /a", "8:2 /", "8:1 /a/x/y"}, "c"},
		{"above the primary", [3]string{"8:1 /a/x", "8:1 /a", "8:2 /a"}, "a"},
		{"in a whole disk", [3]string{"8:1 /", "8:1 /b", "8:2 /"}, "b"},
	} {
		err := s.Overlap("/mnt", func(path string) (dev, inner string) {
			if path == "/mnt" {
				return "0:1", "/"
			}
			dev, inner, _ = strings.Cut(c.where[slices.Index([]string{b.path("a"), b.path("b"), b.path("c")}, path)], " ")
			return dev, inner
		})
		if c.in == "" && err != nil {
			t.Errorf("%s: %v", c.what, err)
		} else if c.in != "" {
			wantError(t, err, fmt.Sprintf("tier %q lies inside tier", b.path(c.in)), "by a bind mount, and a tier cannot hold another; name")
		}
	}
}

// A filesystem of its own mounted inside a tier is no part of that tier's, but
// its place is: the tier would show the other one's files.
func TestTierMountedInsideAnotherIsRefused(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a/sub")
	mountAt(t, "tmpfs", b.path("a/sub"), "tmpfs", 0, "")
	b.refusedSet([]string{"a", "a/sub"}, "lies inside tier")
	b.refusedSet([]string{"a/sub", "a"}, "lies inside tier")
}

func TestTierAddedLaterIsHeldToTheSame(t *testing.T) {
	b := newPlace(t, "a/sub", "b", "c")
	s := b.openSet(time.Minute, "a", "b")
	for _, name := range []string{"a", "a/sub", "none"} {
		if tr, err := s.Open(b.path(name)); err == nil {
			tr.Close()
			t.Errorf("%s was taken for a tier", name)
		}
	}
	tr, err := s.Open(b.path("c"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Tiers()) != 2 || tr.Rank != 2 {
		t.Errorf("%d tiers, and one of rank %d that is not among them", len(s.Tiers()), tr.Rank)
	}
	was := s.Tiers()
	s.Append(tr)
	if len(s.Tiers()) != 3 || s.Tiers()[2] != tr || len(was) != 2 {
		t.Errorf("%d tiers after one was added to %d", len(s.Tiers()), len(was))
	}
}

func TestMountPointInsideATierIsRefused(t *testing.T) {
	b := newPlace(t, "a/sub/deep", "b", "elsewhere", "ab")
	b.symlink("a/sub", "link")
	s := b.openSet(time.Minute, "a", "b")
	for _, dir := range []string{"a/sub", "a/sub/deep", "link", "link/deep", "a/./sub/", "a/none"} {
		err := s.CheckMountPoint(b.path(dir))
		wantError(t, err, "lies inside tier", b.path("a"), "mount on that directory itself, or elsewhere")
	}
}

// The roots are open before the mount covers them; from then on their paths
// lead into the mount.
func TestMountPointOverATierCoversIt(t *testing.T) {
	b := newPlace(t, "dir/a", "dir/b", "elsewhere", "dir/ab")
	b.symlink("dir/b", "link")
	for _, c := range []struct {
		dir  string
		a, b bool
	}{{"dir/a", true, false}, {"link", false, true}, {"dir", true, true}, {"elsewhere", false, false}, {"dir/ab", false, false}, {"none", false, false}} {
		s := b.openSet(time.Minute, "dir/a", "dir/b")
		if err := s.CheckMountPoint(b.path(c.dir)); err != nil {
			t.Errorf("%s: %v", c.dir, err)
		}
		if got := [2]bool{s.Tiers()[0].covered, s.Tiers()[1].covered}; got != [2]bool{c.a, c.b} {
			t.Errorf("%s covers %v", c.dir, got)
		}
	}
	s := b.openSet(time.Minute, "dir/a", "dir/b")
	if err := s.CheckMountPoint("/"); err != nil || !s.Tiers()[0].covered {
		t.Errorf("a mount over everything: %v", err)
	}
}

func TestWarningsTellOfMountsInsideATier(t *testing.T) {
	b := newPlace(t, "a", "ab")
	s := b.openSet(time.Minute, "a")
	got := s.Warnings([]string{"/", b.dir, b.path("a"), b.path("ab"), b.path("a/sub"), b.path("a/other\nline")})
	if len(got) != 2 || !strings.Contains(got[0], b.path("a/sub")) || !strings.Contains(got[1], `other\nline`) {
		t.Errorf("got %q", got)
	}
	for _, w := range got {
		wantPlain(t, w)
	}
}

func TestDistinctNamesAFilesystemOnce(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a", "b")
	var got []int
	s.Distinct(func(t *Tier) { got = append(got, t.Rank) })
	if len(got) != 1 || got[0] != 0 {
		t.Errorf("tiers %v of one filesystem", got)
	}
}

func TestSpaceIsRemembered(t *testing.T) {
	b := newPlace(t, "a")
	tr := b.openSet(time.Minute, "a").Primary()
	if last := tr.LastSpace(); last.Blocks != 0 {
		t.Errorf("known before anybody asked: %+v", last)
	}
	var want unix.Statfs_t
	if err := unix.Statfs(b.path("a"), &want); err != nil {
		t.Fatal(err)
	}
	got, err := tr.Space()
	if err != nil || got.Blocks != want.Blocks || got.Fsid != want.Fsid {
		t.Errorf("%+v, %v", got, err)
	}
	tr.lose(unix.EIO)
	if _, err := tr.Space(); err != unix.EIO {
		t.Errorf("an away tier's space: %v", err)
	}
	if last := tr.LastSpace(); last.Blocks != want.Blocks {
		t.Errorf("what was last seen is %+v", last)
	}
}

func TestReadOnlyFilesystemIsSeen(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "b")
	bindReadOnly(t, b.path("b"))
	s := b.openSet(time.Minute, "a", "b")
	if s.Tiers()[0].ReadOnly() || !s.Tiers()[1].ReadOnly() {
		t.Error("the writable tier is read-only, or the other way round")
	}
}

// A hand-written root may be anywhere, so what it names is looked at as it is.
func TestRootThroughDotsIsResolved(t *testing.T) {
	b := newPlace(t, "a/sub", "b")
	b.symlink("a/sub", "link")
	s, err := OpenSet([]string{filepath.Join(b.dir, "b") + "/../link/.."}, quietConfig(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Primary().Root; got != b.path("a") { // not b.dir: link/.. is in a
		t.Errorf("root %q, want %q", got, b.path("a"))
	}
}

func TestMountPointInsideATierThroughABindMountIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b")
	s := b.openSet(time.Minute, "a", "b")
	at := map[string]string{b.path("a"): "/x/a", b.path("b"): "/x/b", "/inside": "/x/b/c/d", "/beside": "/x/bc", "/bound": "/x/b"}
	place := func(path string) (dev, inner string) { return "8:1", at[path] }
	wantError(t, s.Overlap("/inside", place), b.path("b"), "by a bind mount")
	for _, dir := range []string{"/beside", "/bound", b.path("a")} {
		if err := s.Overlap(dir, place); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	disk := func(path string) (dev, inner string) { return path, "/" }
	if err := s.Overlap(b.path("a"), disk); err != nil {
		t.Errorf("over a disk: %v", err)
	}
}
