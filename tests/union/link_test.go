package union

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestLinkStaysOnTheHomeTier, with the parents it needs made there.
func TestLinkStaysOnTheHomeTier(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(2, "low/f", "content")
	u.Put(0, "high/g", "content")
	u.dir("high/deep/er", 0)
	harness.Chmod(t, u.Tier(0, "high/deep"), 0o750)
	u.Up()
	u.ok("link", unix.Link(u.Path("low/f"), u.Path("high/deep/er/l")))
	u.wantOn("high/deep/er/l", 2)
	a, b := harness.Stat(t, u.Path("low/f")), harness.Stat(t, u.Path("high/deep/er/l"))
	if a.Ino != b.Ino || a.Nlink != 2 || b.Nlink != 2 {
		t.Errorf("inodes %d %d, link counts %d %d", a.Ino, b.Ino, a.Nlink, b.Nlink)
	}
	if st := harness.Stat(t, u.Tier(2, "high/deep")); st.Mode&0o777 != 0o750 {
		t.Errorf("the made parent has mode %o", st.Mode)
	}
	harness.Append(t, u.Path("low/f"), "+more")
	u.want("high/deep/er/l", "content+more")
	u.ok("unlink", os.Remove(u.Path("low/f")))
	u.want("high/deep/er/l", "content+more")
	if st := harness.Stat(t, u.Path("high/deep/er/l")); st.Nlink != 1 {
		t.Errorf("link count %d after unlink", st.Nlink)
	}
}

func TestLinkOverANameOnAnyTier(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "p", "x")
	u.Put(1, "f", "x")
	u.Up()
	u.refuse("over a fallback's", unix.Link(u.Path("p"), u.Path("f")), unix.EEXIST)
	u.refuse("over a primary's", unix.Link(u.Path("f"), u.Path("p")), unix.EEXIST)
}

// TestHardLinksOnTheTierAreOneFile, found in any order.
func TestHardLinksOnTheTierAreOneFile(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "a/f", "x")
	u.dir("b", 1)
	u.ok("link", unix.Link(u.Tier(1, "a/f"), u.Tier(1, "b/g")))
	u.Up()
	g, f := harness.Stat(t, u.Path("b/g")), harness.Stat(t, u.Path("a/f"))
	if g != f {
		t.Errorf("two names show\n%+v\n%+v", f, g)
	}
	u.ok("chmod", unix.Chmod(u.Path("a/f"), 0o600))
	if st := harness.Stat(t, u.Path("b/g")); st.Mode&0o777 != 0o600 {
		t.Errorf("the other name still shows mode %o", st.Mode)
	}
}

// TestTargetInsideATierIsShownRelative: the link was made beside the mount
// with an absolute path; through the mount it must lead to the merged view.
func TestTargetInsideATierIsShownRelative(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/here", "on the primary")
	u.Put(1, "d/there", "on the fallback")
	u.dir("x/y", 1)
	inside := []struct {
		rank             int
		rel, raw, target string // target is a path in the mount
	}{
		{1, "x/y/same", u.Tier(1, "d/there"), "d/there"},
		{1, "x/y/other", u.Tier(0, "d/here"), "d/here"},
		{1, "x/beside", u.Tier(1, "x/y"), "x/y"},
		{1, "top", u.Tier(1, "d"), "d"},
		{0, "d/sibling", u.Tier(0, "d/here"), "d/here"},
		{1, "x/root", u.Tiers[1], "."},
		{1, "x/dangling", u.Tier(1, "no/such"), "no/such"},
	}
	for _, c := range inside {
		harness.Symlink(t, c.raw, u.Tier(c.rank, c.rel))
	}
	verbatim := map[string]string{"x/relative": "../d/there", "x/outside": "/etc/passwd", "x/prefix": u.Tiers[1] + "aster/file"}
	for rel, raw := range verbatim {
		harness.Symlink(t, raw, u.Tier(1, rel))
	}
	u.Up()
	for _, c := range inside {
		got := u.readlink(c.rel)
		if filepath.IsAbs(got) || filepath.Join(filepath.Dir(c.rel), got) != c.target {
			t.Errorf("%s -> %s is shown as %q, want a way to %s", c.rel, c.raw, got, c.target)
		}
	}
	for rel, raw := range verbatim {
		if got := u.readlink(rel); got != raw {
			t.Errorf("%s is shown as %q, want %q", rel, got, raw)
		}
	}
	u.want("x/y/same", "on the fallback")
	u.want("x/y/other", "on the primary")
	u.wantList("top", "here", "there", "sibling")
	u.wantList("x/root", "d", "top", "x")
}

// readlink also checks that the link's size is that of the target shown.
func (u union) readlink(rel string) string {
	u.t.Helper()
	target, err := os.Readlink(u.Path(rel))
	u.ok("readlink", err)
	if st := harness.Stat(u.t, u.Path(rel)); st.Size != int64(len(target)) {
		u.t.Errorf("%s: size %d, want that of %q", rel, st.Size, target)
	}
	return target
}

// TestSizeOfALinkFollowsARenameAboveIt: the way to a target in a tier gets
// longer with the link's own path, and with it st_size, which readers of links
// take for the length of what readlink(2) gives.
func TestSizeOfALinkFollowsARenameAboveIt(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "target", "x")
	u.dir("dir", 0)
	u.dir("deep/er", 0)
	harness.Symlink(t, u.Tier(0, "target"), u.Tier(0, "dir/link"))
	u.Up()
	harness.Stat(t, u.Path("dir/link"))
	u.ok("rename", u.rename("dir", "deep/er/dir"))
	st := harness.Stat(t, u.Path("deep/er/dir/link"))
	if target := u.readlink("deep/er/dir/link"); target != "../../../target" || st.Size != int64(len(target)) {
		t.Errorf("leads to %q and has the size %d", target, st.Size)
	}
}

func TestRawlinksShowsEveryTargetVerbatim(t *testing.T) {
	u := newUnion(t, 1, "rawlinks")
	u.Put(1, "d/there", "x")
	raw := u.Tier(1, "d/there")
	harness.Symlink(t, raw, u.Tier(1, "l"))
	u.Up()
	if got := u.readlink("l"); got != raw {
		t.Errorf("shown as %q, want %q", got, raw)
	}
}

func TestTargetIsStoredVerbatim(t *testing.T) {
	u := newUnion(t, 1)
	u.dir("d", 1)
	u.Up()
	for _, target := range []string{u.Path("d/x"), "../x", u.Tier(1, "d/x"), "/abs"} {
		u.ok("symlink", os.Symlink(target, u.Path("d/l")))
		if got, _ := os.Readlink(u.Tier(1, "d/l")); got != target {
			t.Errorf("stored %q, want %q", got, target)
		}
		u.ok("unlink", os.Remove(u.Path("d/l")))
	}
}
