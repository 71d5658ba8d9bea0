package union

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestHighestTierWins(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "all", "primary")
	u.Put(1, "all", "first")
	u.Put(2, "all", "second")
	u.Put(1, "lower", "first")
	u.Put(2, "lower", "second")
	u.Put(2, "lowest", "second")
	u.Put(2, "deep/er/f", "second")
	u.Put(1, "deep/er/g", "first")
	u.Up()
	u.want("all", "primary")
	u.want("lower", "first")
	u.want("lowest", "second")
	u.want("deep/er/f", "second")
	u.want("deep/er/g", "first")
	u.wantNone("nothing")
	u.wantNone("deep/nothing")
}

// TestNonDirectoryHidesWhatIsBelow: a file of the primary must not show the
// content of a directory below it, nor the other way round.
func TestNonDirectoryHidesWhatIsBelow(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "x", "a file")
	u.Put(1, "x/inner", "hidden")
	harness.Symlink(t, "nowhere", u.Tier(0, "link"))
	u.Put(1, "link", "hidden")
	u.Put(0, "dir/inner", "shown")
	u.Put(1, "dir2/inner", "shown")
	u.Up()
	u.want("x", "a file")
	var st unix.Stat_t
	u.refuse("a name below the file", unix.Lstat(u.Path("x/inner"), &st), unix.ENOTDIR)
	if got, err := os.Readlink(u.Path("link")); got != "nowhere" {
		t.Errorf("the link reads %q, %v", got, err)
	}
	u.wantList("", "x", "link", "dir", "dir2")
}

// TestMergingStopsAtTheFirstNonDirectory: what is below a file that is itself
// below a directory belongs to another tree.
func TestMergingStopsAtTheFirstNonDirectory(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "x/primary", "shown")
	u.Put(1, "x", "a file in between")
	u.Put(2, "x/lowest", "hidden")
	u.Up()
	u.wantList("x", "primary")
	u.wantNone("x/lowest")
	u.want("x/primary", "shown")
}

func TestDirectoryShowsTheHighestTiersOwnerAndTheNewestTime(t *testing.T) {
	u := newUnion(t, 1)
	u.dir("d/a", 0)
	u.dir("d/b", 1)
	u.dir("d/c", 1)
	harness.Chmod(t, u.Tier(0, "d"), 0o2750)
	harness.Chown(t, u.Tier(0, "d"), 11, 12)
	harness.Chmod(t, u.Tier(0, "d"), 0o2750)
	harness.Chmod(t, u.Tier(1, "d"), 0o777)
	harness.Chown(t, u.Tier(1, "d"), 21, 22)
	setTimes(t, u.Tier(0, "d"), 1000)
	setTimes(t, u.Tier(1, "d"), 2000)
	u.Up()
	st := harness.Stat(t, u.Path("d"))
	if st.Mode != unix.S_IFDIR|0o2750 || st.Uid != 11 || st.Gid != 12 {
		t.Errorf("mode %o owner %d:%d, want those of the primary", st.Mode, st.Uid, st.Gid)
	}
	if st.Mtim.Sec != 2000 {
		t.Errorf("mtime %d, want the newest", st.Mtim.Sec)
	}
	if want := harness.Stat(t, u.Tier(0, "d")).Nlink + harness.Stat(t, u.Tier(1, "d")).Nlink; st.Nlink != want {
		t.Errorf("nlink %d, want the sum %d", st.Nlink, want)
	}
}

func TestFileAttributesAreTheBackingFilesOwn(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "d/f", "some content of the fallback")
	u.ok("truncate", os.Truncate(u.Tier(1, "d/f"), 1<<20))
	harness.Chown(t, u.Tier(1, "d/f"), 21, 22)
	harness.Chmod(t, u.Tier(1, "d/f"), 0o641)
	u.ok("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, u.Tier(1, "d/f"), []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 3, Nsec: 123456789}}, 0))
	u.Up()
	got, want := harness.Stat(t, u.Path("d/f")), harness.Stat(t, u.Tier(1, "d/f"))
	got.Dev, got.Ino, want.Dev, want.Ino = 0, 0, 0, 0
	if got != want {
		t.Errorf("shown   %+v\nbacking %+v", got, want)
	}
}

func setTimes(t *testing.T, path string, sec int64) {
	t.Helper()
	ts := []unix.Timespec{{Sec: sec}, {Sec: sec}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		t.Fatal(err)
	}
}

// TestDeadFallbackIsNotNoSuchFile: an application that is told ENOENT creates
// the document anew, and the real one is hidden for ever. The fallback is a
// mount whose daemon is killed, so that it answers ENOTCONN.
func TestDeadFallbackIsNotNoSuchFile(t *testing.T) {
	below := newUnion(t, 0, "entry_timeout=0", "attr_timeout=0")
	below.Put(0, "old", "on the dead tier")
	below.dir("both", 0)
	below.Up()
	u := newUnionOn(t, []string{harness.TempDir(t), below.Dir}, "entry_timeout=0", "attr_timeout=0")
	u.Put(0, "here", "on the primary")
	u.dir("both", 0)
	u.Up()
	u.want("old", "on the dead tier")
	kill(t, below)

	u.want("here", "on the primary")
	for _, rel := range []string{"old", "new", "both/new"} {
		var st unix.Stat_t
		if err := unix.Lstat(u.Path(rel), &st); err == nil || err == unix.ENOENT {
			t.Errorf("lstat %s: %v, want an error that is not ENOENT", rel, err)
		}
		fd, err := unix.Open(u.Path(rel), unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err == nil {
			unix.Close(fd)
			t.Errorf("%s was created anew", rel)
		}
	}
	if _, err := os.ReadDir(u.Path("both")); err == nil {
		t.Error("a listing without the dead tier's part ended as if it were complete")
	}
	u.wantNotOnPrimary("new")
}

// wantNotOnPrimary fails the test if the primary has a name.
func (u union) wantNotOnPrimary(rel string) {
	u.t.Helper()
	if harness.Exists(u.t, u.Tier(0, rel)) {
		u.t.Errorf("%s was made on the primary", rel)
	}
}

func kill(t *testing.T, u union) {
	t.Helper()
	u.ok("kill", unix.Kill(u.Pid(), unix.SIGKILL))
	u.Gone(128 + int(unix.SIGKILL))
}
