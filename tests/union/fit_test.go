package union

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingIsPutWhereAFileHidesTheDirectory: d is a directory on the primary
// and a file on the tier below, where the merging ends. A d made below that file
// would not be seen, and what is moved into it would be gone for all who use
// the mount (a random program found it: mv into d/ lost the document).
func TestNothingIsPutWhereAFileHidesTheDirectory(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("d", 0)
	u.dir("high/e", 0)
	u.Put(1, "d", "in the way")
	u.Put(1, "high", "in the way")
	u.Put(1, "file1", "on tier 1")
	u.Put(2, "file2", "on tier 2")
	u.Put(2, "tree/f", "on tier 2")
	u.Put(1, "both/f", "on tier 1")
	u.Put(2, "both/f", "on tier 2")
	u.Up()
	for _, to := range []string{"d/", "high/e/"} {
		for _, name := range []string{"file1", "file2", "tree", "both"} {
			u.refuse("rename "+name+" into "+to, u.rename(name, to+name), unix.EBUSY)
		}
		u.refuse("link into "+to, unix.Link(u.Path("file2"), u.Path(to+"file2")), unix.EBUSY)
		u.wantList(to)
	}
	u.wantSaidOnce("d", u.Tiers[1])
	u.wantSaidOnce("high", u.Tiers[1])
	u.want("file1", "on tier 1")
	u.want("file2", "on tier 2")
	u.want("tree/f", "on tier 2")
	u.want("both/f", "on tier 1")
	u.wantOn("d", 0, 1)
	u.wantOn("high", 0, 1)
	u.wantOn("high/e", 0)
}
