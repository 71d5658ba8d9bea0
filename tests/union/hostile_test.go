package union

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestDirectoriesMovedIntoEachOtherBehindTheMount: somebody who can write in a
// tier swaps parent and child while a client stands in the child. The way up
// from it once had no end, and the daemon died of its stack.
func TestDirectoriesMovedIntoEachOtherBehindTheMount(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "A/B/f", "x")
	u.Up()
	client, err := os.Open(u.Path("A/B"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	harness.List(t, u.Path("A/B"))
	harness.Rename(t, u.Tier(0, "A/B"), u.Tier(0, "B"))
	harness.Rename(t, u.Tier(0, "A"), u.Tier(0, "B/A"))
	var st unix.Stat_t
	for range 3 {
		unix.Fstatat(int(client.Fd()), "A", &st, unix.AT_SYMLINK_NOFOLLOW)
		unix.Fstatat(int(client.Fd()), "x", &st, unix.AT_SYMLINK_NOFOLLOW)
		unix.Nanosleep(&unix.Timespec{Sec: 1, Nsec: 100e6}, nil)
	}
	u.wantList("", "B")
	u.want("B/f", "x")
}

// TestFilesThatAreHeldShowNumbersOfTheirOwn: ext4 gives a freed number to the
// next file at once, while a client still holds the last one.
func TestFilesThatAreHeldShowNumbersOfTheirOwn(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	u.Up()
	seen := map[uint64]int{}
	for i := range 6 {
		harness.Write(t, u.Path("f"), "x")
		fd := u.open("f", unix.O_PATH)
		var st unix.Stat_t
		u.ok("fstat", unix.Fstat(fd, &st))
		if was, twice := seen[st.Ino]; twice {
			t.Errorf("files %d and %d, both held, show the number %#x", was, i, st.Ino)
		}
		seen[st.Ino] = i
		u.ok("unlink", unix.Unlink(u.Path("f")))
	}
}
