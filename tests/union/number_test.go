package union

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// twinUnion has 200 files on each of two fresh filesystems, which gave them
// the same inode numbers.
func twinUnion(t *testing.T, opts ...string) union {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")}, opts...)
	same := false
	for i := range 200 {
		u.Put(0, fmt.Sprintf("p/%03d", i), "x")
		u.Put(1, fmt.Sprintf("f/%03d", i), "x")
		rel := fmt.Sprintf("%03d", i)
		same = same || harness.Stat(t, u.Tier(0, "p/"+rel)).Ino == harness.Stat(t, u.Tier(1, "f/"+rel)).Ino
	}
	if !same {
		t.Fatal("the two filesystems share no inode number: the test shows nothing")
	}
	return u
}

// numbers are the inode numbers of every file, by path.
func (u union) numbers() map[string]uint64 {
	u.t.Helper()
	all := map[string]uint64{}
	err := filepath.WalkDir(u.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) != "lost+found" {
			all[path] = harness.Stat(u.t, path).Ino
		}
		return err
	})
	u.ok("walk", err)
	return all
}

func TestInodeNumbersAreDistinctBetweenTiersAndStable(t *testing.T) {
	for _, opt := range []string{"inodes=64", "inodes=32"} {
		t.Run(opt, func(t *testing.T) {
			u := twinUnion(t, opt)
			u.Up()
			first := u.numbers()
			seen := map[uint64]string{}
			for path, ino := range first {
				if other, twice := seen[ino]; twice {
					t.Errorf("%s and %s both have number %d", path, other, ino)
				}
				seen[ino] = path
				if ino == 0 || opt == "inodes=32" && ino > 1<<32-1 {
					t.Errorf("%s has number %d", path, ino)
				}
			}
			if opt == "inodes=64" {
				if got, want := first[u.Path("p/007")], harness.Stat(t, u.Tier(0, "p/007")).Ino; got != want {
					t.Errorf("a primary's file has number %d, backing %d", got, want)
				}
			}
			u.Down()
			u.Up()
			for path, ino := range u.numbers() {
				if first[path] != ino {
					t.Errorf("%s had number %d, after a new mount %d", path, first[path], ino)
				}
			}
		})
	}
}

func TestListedNumbersAreThoseOfStat(t *testing.T) {
	for _, opt := range []string{"inodes=64", "inodes=32"} {
		t.Run(opt, func(t *testing.T) {
			u := twinUnion(t, opt)
			u.dir("both/sub", 0, 1)
			u.Put(0, "both/p", "x")
			u.Put(1, "both/f", "x")
			u.Up()
			for _, dir := range []string{".", "p", "f", "both"} {
				for _, r := range rest(t, u.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)) {
					if got := harness.Stat(t, u.Path(dir+"/"+r.Name)).Ino; got != r.Ino {
						t.Errorf("%s/%s is listed with number %d and has %d", dir, r.Name, r.Ino, got)
					}
				}
			}
		})
	}
}

func TestNumberStaysThroughRenameAndWrite(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "d/f", "x")
	u.Put(0, "p", "x")
	u.Up()
	for _, c := range [][2]string{{"d/f", "g"}, {"p", "d/p"}} {
		before := harness.Stat(t, u.Path(c[0])).Ino
		harness.Append(t, u.Path(c[0]), "more")
		u.ok("chmod", unix.Chmod(u.Path(c[0]), 0o600))
		u.ok("rename", u.rename(c[0], c[1]))
		if after := harness.Stat(t, u.Path(c[1])).Ino; after != before {
			t.Errorf("%s: number %d became %d", c[1], before, after)
		}
	}
}

// TestOpenFilesNumberIsNotGivenAway: ext4 gives a freed inode to the next file
// at once, and two different open files must never look like one.
func TestOpenFilesNumberIsNotGivenAway(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "f", "x")
	u.Up()
	fd := u.open("f", unix.O_RDWR)
	var st unix.Stat_t
	u.ok("fstat", unix.Fstat(fd, &st))
	harness.Remove(t, u.Tier(1, "f")) // behind the mount
	for i := range 50 {
		u.Put(1, fmt.Sprintf("n%d", i), "y")
		if got := harness.Stat(t, u.Path(fmt.Sprintf("n%d", i))).Ino; got == st.Ino {
			t.Errorf("n%d has the number of the file that is still open", i)
		}
	}
	u.ok("fstat", unix.Fstat(fd, &st))
}

func TestSparseAndDeviceNumbersSurvive(t *testing.T) {
	u := newUnion(t, 1)
	u.ok("mknod", unix.Mknod(u.Tier(1, "dev"), unix.S_IFBLK|0o600, int(unix.Mkdev(259, 70000))))
	u.Put(1, "sparse", "x")
	u.ok("truncate", os.Truncate(u.Tier(1, "sparse"), 5<<30))
	u.Up()
	if got, want := harness.Stat(t, u.Path("dev")).Rdev, harness.Stat(t, u.Tier(1, "dev")).Rdev; got != want {
		t.Errorf("device %x, want %x", got, want)
	}
	got, want := harness.Stat(t, u.Path("sparse")), harness.Stat(t, u.Tier(1, "sparse"))
	if got.Size != want.Size || got.Blocks != want.Blocks || got.Blksize != want.Blksize {
		t.Errorf("size %d blocks %d, want %d %d", got.Size, got.Blocks, want.Size, want.Blocks)
	}
}
