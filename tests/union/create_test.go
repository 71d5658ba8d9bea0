package union

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// makers make one thing of each type.
var makers = map[string]func(path string) error{
	"file": func(path string) error {
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		unix.Close(fd)
		return err
	},
	"directory": func(path string) error { return unix.Mkdir(path, 0o755) },
	"link":      func(path string) error { return unix.Symlink("target", path) },
	"fifo":      func(path string) error { return unix.Mkfifo(path, 0o644) },
	"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o644, 0) },
	"device":    func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))) },
}

func TestCreateGoesToTheHighestTierThatHasTheParent(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("everywhere", 0, 1, 2)
	u.dir("low/er", 1, 2)
	u.dir("lowest", 2)
	u.Up()
	for name, mk := range makers {
		for dir, rank := range map[string]int{".": 0, "everywhere": 0, "low": 1, "low/er": 1, "lowest": 2} {
			rel := dir + "/" + name
			u.ok(rel, mk(u.Path(rel)))
			u.wantOn(rel, rank)
		}
	}
	u.wantOn("low", 1, 2)
	u.wantOn("lowest", 2)
}

func TestCreatePrimaryMakesMissingParentsAsTheyAreBelow(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	u.dir("a/b/c", 1)
	for i, rel := range []string{"a", "a/b", "a/b/c"} {
		p := u.Tier(1, rel)
		harness.Chown(t, p, 100+i, 200+i)
		harness.Chmod(t, p, []uint32{0o751, 0o2775, 0o1777}[i])
		u.ok("setxattr", unix.Setxattr(p, "user.note", fmt.Append(nil, "of ", rel), 0))
		harness.Must(t, "setfacl", "-m", fmt.Sprintf("u:%d:rwx,d:u:%d:rx", 300+i, 400+i), p)
	}
	for i, rel := range []string{"a/b/c", "a/b", "a"} {
		setTimes(t, u.Tier(1, rel), int64(1000+i))
	}
	u.Up()
	acls := harness.Must(t, "getfacl", "-pnR", u.Tier(1, "a"))
	u.create("a/b/c/new", "content")
	u.wantOn("a/b/c/new", 0)
	u.want("a/b/c/new", "content")

	for i, rel := range []string{"a", "a/b"} {
		st := harness.Stat(t, u.Tier(0, rel))
		want := harness.Stat(t, u.Tier(1, rel))
		if st.Mode != want.Mode || st.Uid != want.Uid || st.Gid != want.Gid {
			t.Errorf("%s: mode %o owner %d:%d, want %o %d:%d", rel, st.Mode, st.Uid, st.Gid, want.Mode, want.Uid, want.Gid)
		}
		if st.Mtim != want.Mtim || st.Atim.Sec != want.Atim.Sec {
			t.Errorf("%s: times %v %v, want %v %v", rel, st.Atim, st.Mtim, want.Atim, want.Mtim)
		}
		b := make([]byte, 100)
		if n, err := unix.Getxattr(u.Tier(0, rel), "user.note", b); err != nil || string(b[:n]) != "of "+rel {
			t.Errorf("%s: xattr %q %v (%d)", rel, b[:max(n, 0)], err, i)
		}
	}
	harness.Remove(t, u.Tier(0, "a/b/c/new"))
	got := harness.Must(t, "getfacl", "-pnR", u.Tier(0, "a"))
	if want := replaceAll(acls, u.Tier(1, ""), u.Tier(0, "")); got != want {
		t.Errorf("access lists of the made parents:\n%s\nwant\n%s", got, want)
	}
}

func TestCreatePrimaryPutsEverythingOnThePrimary(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	u.dir("old/dir", 1)
	u.Up()
	for name, mk := range makers {
		u.ok(name, mk(u.Path("old/dir/"+name)))
		u.wantOn("old/dir/"+name, 0)
	}
	u.wantList("old/dir", "file", "directory", "link", "fifo", "socket", "device")
}

// TestExistingNameIsFoundOnEveryTier: and a refused create must not turn a directory
// of the fallback into a merged one.
func TestExistingNameIsFoundOnEveryTier(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	u.Put(1, "d/f", "x")
	u.dir("d/s", 1)
	u.Up()
	for name, mk := range makers {
		u.refuse(name+" over a file", mk(u.Path("d/f")), unix.EEXIST)
		u.refuse(name+" over a directory", mk(u.Path("d/s")), unix.EEXIST)
	}
	u.refuse("link", unix.Link(u.Path("d/f"), u.Path("d/s")), unix.EEXIST)
	u.wantOn("d", 1)
}

func TestCreateInAMissingDirectory(t *testing.T) {
	u := newUnion(t, 1)
	u.Up()
	for name, mk := range makers {
		u.refuse(name, mk(u.Path("no/"+name)), unix.ENOENT)
	}
}

func TestTierBelowMinfreeIsPassedOver(t *testing.T) {
	small, large := harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "256M")
	u := newUnionOn(t, []string{small, large}, "minfree=100M")
	u.dir("d/e", 0)
	harness.Chmod(t, u.Tier(0, "d"), 0o700)
	harness.Chown(t, u.Tier(0, "d"), 5, 6)
	u.Up()
	u.create("f", "x")
	u.wantOn("f", 1)
	u.create("d/e/f", "x")
	u.wantOn("d/e/f", 1)
	if st := harness.Stat(t, u.Tier(1, "d")); st.Mode&0o7777 != 0o700 || st.Uid != 5 || st.Gid != 6 {
		t.Errorf("the parent was made with mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	u.want("d/e/f", "x")
	u.ok("mkdir", unix.Mkdir(u.Path("d/e/g"), 0o755))
	u.wantOn("d/e/g", 1)
}

// spaceAge is how long the daemon may take the room on a tier for known.
const spaceAge = 1100 * time.Millisecond

func TestTierWithRoomIsUsedUnderDefaultMinfree(t *testing.T) {
	small, large := harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")
	u := newUnionOn(t, []string{small, large})
	u.Up()
	u.create("f", "x")
	u.wantOn("f", 0)
	fill(t, small+"/ballast")
	time.Sleep(spaceAge)
	u.create("g", "y")
	u.wantOn("g", 1)
	harness.Remove(t, small+"/ballast")
	time.Sleep(spaceAge)
	u.create("h", "z")
	u.wantOn("h", 0)
}

// fill takes the room of a filesystem, up to the last few blocks.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := int64(16 << 20); size >= 4096; size /= 2 {
		for {
			end, _ := f.Seek(0, 2)
			if unix.Fallocate(int(f.Fd()), 0, end, size) != nil {
				break
			}
		}
	}
}

// TestFullTierIsPassedOver: a tier with blocks but without inodes says ENOSPC
// only when asked.
func TestFullTierIsPassedOver(t *testing.T) {
	small := harness.TempDir(t)
	harness.Must(t, "mount", "-t", "tmpfs", "-o", "size=64M,nr_inodes=40,mode=755", "tmpfs", small)
	t.Cleanup(func() { harness.Unmount(t, small) })
	u := newUnionOn(t, []string{small, harness.On(t, "ext4", "64M")})
	u.dir("d", 0)
	u.Up()
	for i := 0; ; i++ {
		if err := unix.Mknod(fmt.Sprintf("%s/ballast%d", small, i), unix.S_IFREG|0o644, 0); err != nil {
			u.refuse("mknod", err, unix.ENOSPC)
			break
		}
	}
	for name, mk := range makers {
		u.ok(name, mk(u.Path("d/"+name)))
		u.wantOn("d/"+name, 1)
	}
	fd, err := unix.Open(u.Path("d"), unix.O_TMPFILE|unix.O_RDWR, 0o644)
	u.ok("temporary file", err)
	unix.Close(fd)
}

func TestWithoutRoomAnywhereCreateSaysSo(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	u.Up()
	fill(t, u.Tier(0, "ballast"))
	fill(t, u.Tier(1, "ballast2"))
	err := os.WriteFile(u.Path("f"), make([]byte, 1<<20), 0o644)
	u.refuse("write", err, unix.ENOSPC)
}
