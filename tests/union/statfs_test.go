package union

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// space is what statfs(2) says, in bytes and inodes.
type space struct{ total, free, avail, files, ffree uint64 }

func statfs(t *testing.T, path string) space {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	unit := uint64(st.Frsize)
	return space{st.Blocks * unit, st.Bfree * unit, st.Bavail * unit, st.Files, st.Ffree}
}

func (s space) plus(o space) space {
	return space{s.total + o.total, s.free + o.free, s.avail + o.avail, s.files + o.files, s.ffree + o.ffree}
}

// near allows for the rounding to larger blocks and for the tiers' own files.
func near(a, b space) bool {
	close := func(x, y, d uint64) bool { return max(x, y)-min(x, y) <= d }
	const mb = 1 << 20
	return close(a.total, b.total, mb) && close(a.free, b.free, mb) && close(a.avail, b.avail, mb) &&
		close(a.files, b.files, 8) && close(a.ffree, b.ffree, 8)
}

func TestStatfsIsTheSumOfDistinctFilesystems(t *testing.T) {
	one, two := harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "256M")
	for _, dir := range []string{one + "/a", two + "/a", two + "/b"} {
		harness.Mkdir(t, dir)
	}
	u := newUnionOn(t, []string{one + "/a", two + "/a", two + "/b"})
	u.Up()
	want := statfs(t, one).plus(statfs(t, two))
	if got := statfs(t, u.Dir); !near(got, want) {
		t.Errorf("statfs %+v, want the sum %+v", got, want)
	}
	u.Put(1, "f", "x")
	if got := statfs(t, u.Path("f")); !near(got, want) {
		t.Errorf("statfs of a file %+v, want the sum %+v", got, want)
	}
	var st unix.Statfs_t
	u.ok("statfs", unix.Statfs(u.Dir, &st))
	if st.Namelen != 255 {
		t.Errorf("longest name %d, want 255", st.Namelen)
	}
	if st.Bsize != st.Frsize {
		t.Errorf("blocks of %d bytes, transfers of %d: programs take either for the unit", st.Frsize, st.Bsize)
	}
}

func TestStatfsPrimaryShowsThePrimaryAlone(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "256M")}, "statfs=primary")
	u.Up()
	if got, want := statfs(t, u.Dir), statfs(t, u.Primary); !near(got, want) {
		t.Errorf("statfs %+v, want the primary's %+v", got, want)
	}
}
