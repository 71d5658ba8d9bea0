package union

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestReadOnlyFallbackRefusesAndThePrimaryWorks(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/p", "primary")
	u.Put(1, "d/f", "fallback")
	u.Put(1, "low/f", "fallback")
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.want("d/f", "fallback")
	_, err := unix.Open(u.Path("d/f"), unix.O_WRONLY, 0)
	u.refuse("write", err, unix.EROFS)
	u.refuse("truncate", os.Truncate(u.Path("d/f"), 0), unix.EROFS)
	u.refuse("chmod", unix.Chmod(u.Path("d/f"), 0o600), unix.EROFS)
	u.refuse("setxattr", unix.Setxattr(u.Path("d/f"), "user.k", []byte("v"), 0), unix.EROFS)
	u.refuse("unlink", unix.Unlink(u.Path("d/f")), unix.EROFS)
	u.refuse("rename", u.rename("d/f", "d/g"), unix.EROFS)
	u.refuse("link", unix.Link(u.Path("d/f"), u.Path("d/g")), unix.EROFS)
	u.refuse("create where only the fallback has the directory", unix.Mkdir(u.Path("low/s"), 0o755), unix.EROFS)
	u.want("d/f", "fallback")

	harness.Append(t, u.Path("d/p"), "+more")
	u.create("d/new", "x")
	u.ok("rename", u.rename("d/new", "d/newer"))
	u.ok("unlink", unix.Unlink(u.Path("d/newer")))
	u.wantList("d", "f", "p")
}

func TestReadOnlyFallbackUnderCreatePrimary(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	u.Put(1, "low/f", "fallback")
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.create("low/new", "x")
	u.wantOn("low/new", 0)
	u.wantList("low", "f", "new")
}

func TestWithoutFallbackNothingIsMarked(t *testing.T) {
	u := newUnion(t, 0)
	u.Put(0, "d/f", "x")
	u.Up()
	u.create("g", "y")
	u.ok("mkdir", unix.Mkdir(u.Path("e"), 0o755))
	u.ok("unlink", unix.Unlink(u.Path("d/f")))
	u.Down()
	harness.WantList(t, u.Primary, "d", "e", "g")
}

func TestMarksAreHidden(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "f", "x")
	u.dir("d", 0, 1)
	u.Up()
	for rank := range u.Tiers {
		if st := harness.Stat(t, u.Tier(rank, ".tierfs")); st.Mode != unix.S_IFDIR|0o700 {
			t.Errorf("tier %d: .tierfs has mode %o", rank, st.Mode)
		}
	}
	u.wantList("", "d", "f")
	u.wantNone(".tierfs")
	u.wantNone(".tierfs/members")
	for name, mk := range makers {
		u.refuse("create "+name, mk(u.Path(".tierfs")), unix.EPERM)
	}
	u.refuse("rename to it", u.rename("f", ".tierfs"), unix.EPERM)
	u.refuse("rename a directory to it", u.rename("d", ".tierfs"), unix.EPERM)
	u.refuse("link to it", unix.Link(u.Path("f"), u.Path(".tierfs")), unix.EPERM)
	u.refuse("unlink", unix.Unlink(u.Path(".tierfs")), unix.ENOENT)
	u.refuse("rmdir", unix.Rmdir(u.Path(".tierfs")), unix.ENOENT)
	u.refuse("rename it", u.rename(".tierfs", "x"), unix.ENOENT)
	u.ok("one level down it is a name like any other", unix.Mkdir(u.Path("d/.tierfs"), 0o755))
	u.wantList("d", ".tierfs")
	u.want("f", "x")
}

// TestMountOverThePrimary: clients keep their path, and the mount shows the
// fallback's files in it. The tier is watched through a second binding.
func TestMountOverThePrimary(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/p", "primary")
	u.Put(1, "d/f", "fallback")
	beside := harness.TempDir(t)
	harness.Must(t, "mount", "--bind", u.Primary, beside)
	t.Cleanup(func() { harness.Unmount(t, beside) })
	u.Dir = u.Primary
	u.Up()
	u.wantList("d", "f", "p")
	u.want("d/p", "primary")
	u.want("d/f", "fallback")
	u.create("new", "x")
	harness.WantRead(t, beside+"/new", "x")
	harness.Append(t, u.Path("d/f"), "+more")
	harness.WantRead(t, u.Tier(1, "d/f"), "fallback+more")
	u.ok("rename", u.rename("d/p", "q"))
	harness.WantRead(t, beside+"/q", "primary")
	u.ok("chmod", unix.Chmod(u.Dir, 0o711))
	harness.Must(t, "df", u.Dir)
	u.Down()
	harness.WantList(t, u.Primary+"/d")
	harness.WantRead(t, u.Primary+"/q", "primary")
}

// TestMountOverADisk: the primary is the root of its filesystem, as in
// "/srv/home /srv/home fuse.tierfs fallback=/srv/oldhome".
func TestMountOverADisk(t *testing.T) {
	for over := range 2 {
		u := newUnionOn(t, []string{harness.On(t, "tmpfs", "16M"), harness.On(t, "tmpfs", "16M")})
		u.Put(0, "p", "primary")
		u.Put(1, "f", "fallback")
		u.Dir = u.Tiers[over]
		u.Up()
		u.wantList("", "f", "p")
		u.create("new", "x")
		u.Down()
		harness.WantRead(t, u.Primary+"/new", "x")
	}
}

// TestThreeTiers works through all three in one tree.
func TestThreeTiers(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "xfs", "300M"), harness.On(t, "btrfs", "128M")})
	u.Put(0, "d/a", "A")
	u.Put(1, "d/b", "B")
	u.Put(2, "d/c", "C")
	u.Put(2, "low/x", "X")
	u.Up()
	u.wantList("d", "a", "b", "c")
	for rel, text := range map[string]string{"d/a": "A", "d/b": "B", "d/c": "C", "low/x": "X"} {
		u.want(rel, text)
		harness.Append(t, u.Path(rel), "+")
		u.want(rel, text+"+")
		u.ok("setxattr", unix.Setxattr(u.Path(rel), "user.k", []byte("v"), 0))
	}
	u.create("low/new", "x")
	u.wantOn("low/new", 2)
	u.ok("rename over the middle", u.rename("d/c", "d/b"))
	u.wantOn("d/b", 2)
	u.ok("rename over the highest", u.rename("d/b", "d/a"))
	u.wantOn("d/a", 2)
	u.want("d/a", "C+")
	u.ok("rename the directory", u.rename("d", "e"))
	u.wantOn("e", 0, 1, 2)
	harness.Must(t, "rm", "-r", u.Path("e"))
	u.wantOn("e")
}

// TestFilesystemInsideATier: a disk mounted inside a tier is shown, with
// numbers of its own, and what cannot cross it says so.
func TestFilesystemInsideATier(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "f", "x")
	u.dir("disk", 0)
	harness.Must(t, "mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", u.Tier(0, "disk"))
	t.Cleanup(func() { harness.Unmount(t, u.Tier(0, "disk")) })
	u.Put(0, "disk/d/g", "on the inner disk")
	u.Up()
	u.want("disk/d/g", "on the inner disk")
	u.create("disk/new", "y")
	u.refuse("rename", u.rename("f", "disk/f"), unix.EXDEV)
	u.refuse("link", unix.Link(u.Path("f"), u.Path("disk/f")), unix.EXDEV)
	harness.Must(t, "mv", u.Path("f"), u.Path("disk/f"))
	u.want("disk/f", "x")
	seen := map[uint64]string{}
	for path, ino := range u.numbers() {
		if other, twice := seen[ino]; twice {
			t.Errorf("%s and %s both have number %d", path, other, ino)
		}
		seen[ino] = path
	}
}

// TestFullLowestTierOverflowsUpward: a directory that only the fallback has, on
// a fallback without room; the primary has plenty.
func TestFullLowestTierOverflowsUpward(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	u.Put(1, "old/f", "x")
	u.Up()
	fill(t, u.Fallbacks[0]+"/ballast")
	u.create("old/g", "y")
	u.wantOn("old/g", 0)
	u.want("old/f", "x")
	u.wantList("old", "f", "g")
}
