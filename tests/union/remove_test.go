package union

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestNothingComesBackAfterUnlink: removing only the visible copy would show
// an old version of the document the moment the new one is deleted.
func TestNothingComesBackAfterUnlink(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "all", "p")
	u.Put(1, "all", "f1")
	u.Put(2, "all", "f2")
	u.Put(0, "outer", "p")
	u.Put(2, "outer", "f2")
	u.Put(2, "lowest", "f2")
	harness.Symlink(t, "x", u.Tier(0, "mixed"))
	u.Put(1, "mixed", "a file below a link")
	u.ok("mkfifo", unix.Mkfifo(u.Tier(2, "mixed"), 0o644))
	u.Up()
	for _, rel := range []string{"all", "outer", "lowest", "mixed"} {
		u.ok("unlink "+rel, os.Remove(u.Path(rel)))
		u.wantNone(rel)
		u.wantOn(rel)
	}
	u.wantList("")
}

func TestUnlinkOverADirectoryBelowIsBusy(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "x", "visible")
	u.Put(1, "x", "shadowed")
	u.Put(2, "x/inner", "would appear")
	u.Up()
	u.refuse("unlink", unix.Unlink(u.Path("x")), unix.EBUSY)
	u.want("x", "visible")
	u.wantOn("x", 0, 1, 2)
	harness.WantRead(t, u.Tier(1, "x"), "shadowed")
	u.wantSaidOnce("x", u.Tiers[2])
}

func TestUnlinkOverAReadOnlyCopyChangesNothing(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "x", "visible")
	u.Put(1, "x", "cannot be removed")
	u.Put(2, "x", "could be removed")
	u.Put(0, "free", "p")
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.refuse("unlink", unix.Unlink(u.Path("x")), unix.EROFS)
	u.want("x", "visible")
	u.wantOn("x", 0, 1, 2)
	u.ok("unlink", unix.Unlink(u.Path("free")))
}

func TestUnlinkOverAnImmutableCopyChangesNothing(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "x", "visible")
	u.Put(1, "x", "immutable")
	u.Put(2, "x", "could be removed")
	immutable(t, u.Tier(1, "x"))
	u.Up()
	if err := unix.Unlink(u.Path("x")); err != unix.EBUSY && err != unix.EPERM {
		t.Errorf("unlink: %v, want EBUSY", err)
	}
	u.want("x", "visible")
	harness.WantRead(t, u.Tier(1, "x"), "immutable")
}

// TestFailedUnlinkLeavesTheVisibleCopy: copies go lowest first.
func TestFailedUnlinkLeavesTheVisibleCopy(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "x", "visible")
	u.Put(1, "x", "shadowed")
	immutable(t, u.Tier(0, "x"))
	u.Up()
	u.refuse("unlink", unix.Unlink(u.Path("x")), unix.EPERM)
	u.want("x", "visible")
}

func immutable(t *testing.T, path string) {
	t.Helper()
	harness.Must(t, "chattr", "+i", path)
	t.Cleanup(func() { harness.Must(t, "chattr", "-i", path) })
}

func TestUnlinkedButOpenOnEveryTier(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "p", "of the primary")
	u.Put(1, "f", "of the fallback")
	u.Put(0, "both", "of both")
	u.Put(1, "both", "shadowed")
	u.Up()
	for rel, text := range map[string]string{"p": "of the primary", "f": "of the fallback", "both": "of both"} {
		fd := u.open(rel, unix.O_RDWR)
		u.ok("unlink", unix.Unlink(u.Path(rel)))
		b := make([]byte, 100)
		n, err := unix.Pread(fd, b, 0)
		if err != nil || string(b[:n]) != text {
			t.Errorf("%s reads %q, %v", rel, b[:max(n, 0)], err)
		}
		var st unix.Stat_t
		u.ok("fstat", unix.Fstat(fd, &st))
		if st.Nlink != 0 {
			t.Errorf("%s: nlink %d", rel, st.Nlink)
		}
		u.create(rel, "made anew")
		u.want(rel, "made anew")
		u.wantOn(rel, 0)
	}
}

func TestRmdirRemovesEveryCopy(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("all", 0, 1, 2)
	u.dir("outer", 0, 2)
	u.dir("lowest", 2)
	u.Up()
	for _, rel := range []string{"all", "outer", "lowest"} {
		u.ok("rmdir "+rel, unix.Rmdir(u.Path(rel)))
		u.wantNone(rel)
		u.wantOn(rel)
	}
}

func TestRmdirOfAMergedDirectoryThatIsNotEmpty(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("d", 0, 1)
	u.Put(2, "d/f", "on the lowest tier alone")
	u.Up()
	u.refuse("rmdir", unix.Rmdir(u.Path("d")), unix.ENOTEMPTY)
	u.wantOn("d", 0, 1, 2)
	u.ok("unlink", unix.Unlink(u.Path("d/f")))
	u.ok("rmdir", unix.Rmdir(u.Path("d")))
	u.wantOn("d")
}

func TestRmdirOverAFileBelowIsBusy(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("x", 0, 1)
	u.Put(2, "x", "would appear")
	u.Up()
	u.refuse("rmdir", unix.Rmdir(u.Path("x")), unix.EBUSY)
	u.wantOn("x", 0, 1, 2)
	u.wantList("x")
}

func TestRmdirOverAReadOnlyCopyChangesNothing(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("d", 0, 1, 2)
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.refuse("rmdir", unix.Rmdir(u.Path("d")), unix.EROFS)
	u.wantOn("d", 0, 1, 2)
}

func TestRecursiveRemovalOfAMergedTree(t *testing.T) {
	u := newUnion(t, 2)
	for rank := range 3 {
		for _, rel := range []string{"t/a/x", "t/b/c/y", "t/z"} {
			u.Put(rank, rel, "x")
		}
	}
	u.Put(1, "t/only/here", "x")
	u.Put(2, "t/a/b/c/d/e", "x")
	u.Up()
	harness.Must(t, "rm", "-r", u.Path("t"))
	u.wantOn("t")
	u.wantList("")
}
