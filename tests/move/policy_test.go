package move

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// comes waits until a file is on one tier, and on no other.
func (m mount) comes(rank int, rel string) {
	m.t.Helper()
	harness.Eventually(m.t, fmt.Sprintf("%s is on tier %d alone", rel, rank), func() bool { return slices.Equal(m.on(rel), []int{rank}) })
}

func (m mount) ok(what string, err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
}

func (m mount) pin(rel, value string) {
	m.t.Helper()
	m.ok("pin", unix.Setxattr(m.Path(rel), "user.tierfs.pin", []byte(value), 0))
}

// TestFilesGoDownByThemselves, keep their path, content and times, and stay
// where a pin or a pattern keeps them.
func TestFilesGoDownByThemselves(t *testing.T) {
	m := newMount(t, "demote=1s", "exclude=*.tmp", "exclude=cache/keep")
	m.Up()
	harness.Mkdir(t, m.Path("docs/deep"))
	harness.Mkdir(t, m.Path("cache/keep"))
	harness.Mkdir(t, m.Path("pinned/not"))
	m.pin("pinned", "primary")
	for _, name := range []string{"docs/deep/a", "docs/b.tmp", "cache/keep/c", "pinned/d", "pinned/not/e"} {
		harness.Write(t, m.Path(name), name)
	}
	m.pin("pinned/not/e", "fallback")
	open, err := os.Open(m.Path("docs/deep/a"))
	m.ok("open", err)
	before := harness.Stat(t, m.Path("docs/deep/a"))
	m.comes(1, "pinned/not/e") // by now the open one had its turn too
	m.comes(0, "docs/deep/a")
	m.ok("close", open.Close())
	m.comes(1, "docs/deep/a")
	harness.WantRead(t, m.Path("docs/deep/a"), "docs/deep/a")
	if after := harness.Stat(t, m.Path("docs/deep/a")); after.Ino != before.Ino || after.Mtim != before.Mtim {
		t.Errorf("inode %d, modified %v; was %d, %v", after.Ino, after.Mtim, before.Ino, before.Mtim)
	}
	for _, name := range []string{"docs/b.tmp", "cache/keep/c", "pinned/d"} {
		if !harness.Exists(t, m.Tier(0, name)) {
			t.Errorf("%s has moved", name)
		}
	}
}

// TestPinsThatMeanNothing are refused in the mount, and hold a file where it is
// if they come from behind it: somebody wanted it to stay somewhere.
func TestPinsThatMeanNothing(t *testing.T) {
	m := newMount(t, "demote=1s")
	m.Put(0, "f", "text")
	m.Put(0, "d/g", "text")
	m.Put(0, "d/own", "text")
	m.Put(0, "free", "text")
	ok(t, "pin", unix.Setxattr(m.Tier(0, "d"), "user.tierfs.pin", []byte("primry"), 0))
	m.Up()
	for _, value := range []string{"primry", "Primary", "", "primary ", strings.Repeat("x", 200)} {
		for _, rel := range []string{"f", "d"} {
			harness.WantErrno(t, value, unix.Setxattr(m.Path(rel), "user.tierfs.pin", []byte(value), 0), unix.EINVAL)
		}
	}
	for _, value := range []string{"primary", "fallback", "none", "none\n", "primary\x00"} {
		m.pin("f", value)
	}
	m.pin("d/own", "fallback")
	m.comes(1, "free")
	m.comes(1, "d/own")
	m.comes(0, "d/g")
	said := `user.tierfs.pin of "/d" is "primry"; want primary, fallback or none`
	harness.OneLine(t, harness.Must(t, harness.CLI, "why", m.Path("d/g")), "stays: "+said)
	harness.Contains(t, harness.Must(t, harness.CLI, "plan", m.Dir), "stay, pinned by a user.tierfs.pin that means nothing: 1 file, 4 B\n  "+m.Path("d/g"))
	harness.Contains(t, harness.Must(t, harness.CLI, "plan", "--all", m.Dir), m.Path("d/g")+": stays: pinned by a user.tierfs.pin that means nothing ("+said)
	m.carry("demote", "d").wantSkip(t, "d/g", "bad-pin")
	ok(t, "unpin", unix.Removexattr(m.Path("d"), "user.tierfs.pin"))
	m.comes(1, "d/g")
}

// TestRemountChangesThePolicyAtOnce in both directions.
func TestRemountChangesThePolicyAtOnce(t *testing.T) {
	m := newMount(t)
	m.Put(0, "f", "text")
	m.Up()
	m.remount("demote=1s")
	m.comes(1, "f")
	m.remount("demote=0,exclude=,mover_rate=0")
	m.Put(0, "g", "text")
	time.Sleep(3 * time.Second) // three scans, if there were any
	m.comes(0, "g")
	idle := fmt.Sprintf("mount.tierfs: remount %q: option low: has no effect by itself; add high=PERCENT%%, or low=0\n", m.Dir)
	for _, c := range []struct{ opts, says string }{{"low=10", idle}, {"high=90", ""}, {"low=20", ""}, {"high=0,low=20", idle}, {"low=0", ""}} {
		if _, stderr, code := harness.Run(t, "mount", "-o", "remount,"+c.opts, m.Dir); code != 0 || stderr != c.says {
			t.Errorf("%s: %d, %q, want %q", c.opts, code, stderr, c.says)
		}
	}
	if _, stderr, code := harness.Run(t, "mount", "-o", "remount,high=50%,low=60%", m.Dir); code == 0 || !strings.Contains(stderr, "more than high") {
		t.Errorf("low over high: %d, %s", code, stderr)
	}
}

func (m mount) remount(opts string) {
	m.t.Helper()
	harness.Must(m.t, "mount", "-o", "remount,"+opts, m.Dir)
}

// TestOpensBringAFileUp, but not those of a command that is ignored.
func TestOpensBringAFileUp(t *testing.T) {
	m := newMount(t, "demote=1s", "promote=3/1h", "ignore_comm=cat")
	m.Put(1, "d/read", "text")
	m.Put(1, "d/backed up", "text")
	m.Up()
	time.Sleep(1100 * time.Millisecond) // what has just changed stays
	for range 3 {
		harness.WantRead(t, m.Path("d/read"), "text")
		harness.Must(t, "cat", m.Path("d/backed up"))
	}
	if !harness.Within(20*time.Second, func() bool { return slices.Equal(m.on("d/read"), []int{0}) }) {
		t.Fatal("it does not come up")
	}
	harness.WantRead(t, m.Path("d/read"), "text")
	time.Sleep(2500 * time.Millisecond) // it is old enough to go down, and was opened lately
	m.comes(0, "d/read")
	m.comes(1, "d/backed up")
}

// TestNothingMovesAfterALazyUnmount: another daemon may have the tiers by then.
func TestNothingMovesAfterALazyUnmount(t *testing.T) {
	m := newMount(t, "demote=1s")
	m.Put(0, "before", "text")
	m.Up()
	m.comes(1, "before")
	root, err := os.Open(m.Dir)
	m.ok("open", err)
	harness.Must(t, "umount", "-l", m.Dir)
	m.Put(0, "after", "text")
	time.Sleep(3 * time.Second)
	m.comes(0, "after")
	m.ok("close", root.Close())
	m.Gone(0)
}

// TestTiersFillUpOneAfterTheOther: the middle one keeps more free than it has.
func TestTiersFillUpOneAfterTheOther(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	tiers := []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "16M"), harness.On(t, "ext4", "64M")}
	m := mount{harness.NewOn(t, tiers, "demote=1s", "minfree=4M"), t}
	m.Up()
	for _, name := range []string{"a", "b"} {
		harness.Write(t, m.Path(name), strings.Repeat("x", 7<<20))
		harness.Eventually(t, name+" has left the primary", func() bool { return !harness.Exists(t, m.Tier(0, name)) })
	}
	m.comes(1, "a")
	m.comes(2, "b")
}

// TestUnmountEndsAMove that would take hours: the file stays where it was.
func TestUnmountEndsAMove(t *testing.T) {
	m := newMount(t, "demote=1s", "mover_rate=1K")
	m.Put(0, "big", strings.Repeat("x", 8<<20))
	m.Up()
	staging := m.Tier(1, ".tierfs/staging")
	harness.Eventually(t, "the copy has begun", func() bool {
		rows, err := os.ReadDir(staging)
		return err == nil && len(rows) > 0
	})
	harness.Must(t, "umount", m.Dir)
	m.Gone(0)
	m.comes(0, "big")
	if left := harness.List(t, staging); len(left) > 0 {
		t.Errorf("left in staging: %q", left)
	}
}
