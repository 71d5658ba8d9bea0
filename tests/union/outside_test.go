package union

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// expired waits until the kernel has forgotten names and attributes of a mount
// with a time-out of 100 ms.
func expired() { time.Sleep(150 * time.Millisecond) }

var briefly = []string{"entry_timeout=0.1", "attr_timeout=100ms"}

func TestNewFilesBehindTheMountAreSeenAtOnce(t *testing.T) {
	u := newUnion(t, 1, "cache=timeout")
	u.dir("d", 1)
	u.Up()
	for rank := range 2 {
		for _, dir := range []string{"", "d/"} {
			rel := fmt.Sprint(dir, "new", rank)
			u.wantNone(rel)
			u.Put(rank, rel, "made outside")
			if dir == "" {
				u.want(rel, "made outside")
			}
		}
	}
}

func TestChangesBehindTheMountAreSeenAfterTheTimeout(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(0, "d/p", "old")
	u.Put(1, "d/f", "old")
	u.Put(1, "d/gone", "old")
	u.Put(1, "d/covered", "of the fallback")
	u.Put(0, "d/uncovered", "of the primary")
	u.Put(1, "d/uncovered", "of the fallback")
	u.Up()
	for _, rel := range []string{"d/p", "d/f", "d/gone", "d/covered", "d/uncovered"} {
		harness.Read(t, u.Path(rel))
	}
	harness.Write(t, u.Tier(0, "d/p"), "new and longer")
	harness.Remove(t, u.Tier(1, "d/f"))
	u.Put(1, "d/f", "another file")
	harness.Remove(t, u.Tier(1, "d/gone"))
	u.Put(0, "d/covered", "of the primary")
	harness.Remove(t, u.Tier(0, "d/uncovered"))
	harness.Rename(t, u.Tier(0, "d/p"), u.Tier(0, "d/moved"))
	expired()
	u.want("d/moved", "new and longer")
	u.wantNone("d/p")
	u.want("d/f", "another file")
	u.wantNone("d/gone")
	u.want("d/covered", "of the primary")
	u.want("d/uncovered", "of the fallback")
	u.wantList("d", "covered", "f", "moved", "uncovered")
}

// TestTypeChangesBehindTheMountAreNotStale: a name that turns from file to
// link to directory must not give ESTALE to anyone.
func TestTypeChangesBehindTheMountAreNotStale(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(0, "d/keep", "x")
	u.Up()
	for i := range 3 {
		u.Put(1, "d/x", fmt.Sprint("file ", i))
		expired() // that it is not there, as was seen last
		u.want("d/x", fmt.Sprint("file ", i))
		harness.Remove(t, u.Tier(1, "d/x"))
		harness.Symlink(t, "keep", u.Tier(1, "d/x"))
		expired()
		u.want("d/x", "x")
		harness.Remove(t, u.Tier(1, "d/x"))
		u.Put(1, "d/x/inner", "in a directory")
		expired()
		u.want("d/x/inner", "in a directory")
		u.ok("remove", os.RemoveAll(u.Tier(1, "d/x")))
		expired()
		u.wantNone("d/x")
	}
}

// TestReplacedFileIsNotStaleAtOnce: also within the time-out open(2) must
// reach one of the two files.
func TestReplacedFileIsNotStaleAtOnce(t *testing.T) {
	u := newUnion(t, 1)
	u.Up()
	for i := range 20 {
		u.Put(1, "tmp", fmt.Sprint("version ", i))
		harness.Rename(t, u.Tier(1, "tmp"), u.Tier(1, "f"))
		if _, err := os.ReadFile(u.Path("f")); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestDirectoryRenamedAsItGetsACopyBehindTheMount has what is in that, under its new name.
func TestDirectoryRenamedAsItGetsACopyBehindTheMount(t *testing.T) {
	u := newUnion(t, 1)
	u.dir("b", 0, 1)
	u.Up()
	for i := range 60 {
		from, to := fmt.Sprint("b/from", i), fmt.Sprint("b/to", i)
		u.dir(from, 0)
		u.Put(0, from+"/here", "x")
		harness.List(t, u.Path(from))
		u.dir(from, 1)
		u.Put(1, from+"/there", "x")
		harness.Rename(t, u.Path(from), u.Path(to))
		names := harness.List(t, u.Path(to))
		for end := time.Now().Add(time.Second); len(names) != 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			names = harness.List(t, u.Path(to))
		}
		if len(names) != 2 {
			t.Errorf("round %d: it lists %v", i, names)
		}
	}
}

// TestNameThatLeadsElsewhereBehindTheMount is renamed or removed at once, while the kernel
// has what it led to before, which a client holds: that stays what it is under its new
// name, and what was renamed is what it is.
func TestNameThatLeadsElsewhereBehindTheMount(t *testing.T) {
	for _, cache := range []string{"auto", "timeout"} {
		u := newUnion(t, 1, "cache="+cache)
		u.dir("q", 0, 1)
		u.Up()
		for i := range 40 {
			at := func(name string) string { return fmt.Sprint("q/", name, i) }
			behind := func(name string) string { return u.Tier(1, at(name)) }
			u.dir(at("d"), 1)
			u.Put(1, at("d")+"/f", "in it")
			u.Put(1, at("a"), "old")
			u.Put(1, at("x"), "old")
			for _, name := range []string{"d", "a", "x"} {
				fd, err := unix.Open(u.Path(at(name)), unix.O_PATH|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fd)
				harness.Stat(t, u.Path(at(name)))
				harness.Rename(t, behind(name), behind(name+"moved"))
			}
			u.dir(at("d"), 1)
			u.Put(1, at("a"), "newer")
			u.Put(1, at("x"), "newer")
			u.Put(1, at("y"), "other")
			harness.Remove(t, u.Path(at("d")))
			harness.Rename(t, u.Path(at("a")), u.Path(at("b")))
			if err := unix.Renameat2(unix.AT_FDCWD, u.Path(at("y")), unix.AT_FDCWD, u.Path(at("x")), unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange: %v", err)
			}
			for rel, content := range map[string]string{
				at("dmoved") + "/f": "in it", at("amoved"): "old", at("b"): "newer",
				at("xmoved"): "old", at("x"): "other", at("y"): "newer",
			} {
				u.want(rel, content)
			}
			if names := harness.List(t, u.Path(at("dmoved"))); len(names) != 1 {
				t.Errorf("cache=%s, round %d: the directory that was moved lists %v", cache, i, names)
			}
		}
	}
}

func TestDirectoryMadeBehindTheMountIsMerged(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(0, "d/p", "x")
	u.Up()
	u.wantList("d", "p")
	u.Put(1, "d/f", "from the fallback")
	expired()
	u.wantList("d", "f", "p")
	u.want("d/f", "from the fallback")
	u.ok("remove", os.RemoveAll(u.Tier(1, "d")))
	expired()
	u.wantList("d", "p")
	u.wantNone("d/f")
	u.ok("remove", os.RemoveAll(u.Tier(0, "d")))
	expired()
	u.wantNone("d")
	u.Put(1, "d/again", "x")
	expired()
	u.wantList("d", "again")
}

// TestDirectoryMovedBehindTheMount: cached descriptors must not lead to where
// the directory went.
func TestDirectoryMovedBehindTheMount(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(1, "d/f", "first")
	u.Up()
	u.want("d/f", "first")
	harness.Rename(t, u.Tier(1, "d"), u.Tier(1, "moved"))
	u.Put(1, "d/f", "second")
	expired()
	u.want("d/f", "second")
	u.create("d/g", "x")
	u.wantOn("d/g", 1)
	u.wantOn("moved/g")
	u.want("moved/f", "first")
}

// TestDataIsCoherentWithWritersBesideTheMount: passed-through data is the
// backing file's own page cache.
func TestDataIsCoherentWithWritersBesideTheMount(t *testing.T) {
	harness.Require(t, "passthrough")
	u := newUnion(t, 1)
	u.Put(1, "f", "0123456789")
	u.Up()
	fd := u.open("f", unix.O_RDWR)
	b := make([]byte, 4)
	for i := range 5 {
		text := fmt.Sprintf("<%02d>", i)
		out, err := os.OpenFile(u.Tier(1, "f"), os.O_WRONLY, 0)
		u.ok("open", err)
		_, err = out.WriteAt([]byte(text), 3)
		u.ok("write", err)
		out.Close()
		_, err = unix.Pread(fd, b, 3)
		if err != nil || string(b) != text {
			t.Errorf("read %q, %v, want %q", b, err, text)
		}
	}
}

// TestSymlinkInATierIsNeverFollowed: a directory that is replaced by a link
// must not lead the daemon, which is root, out of the tier.
func TestSymlinkInATierIsNeverFollowed(t *testing.T) {
	u := newUnion(t, 1, "cache=timeout", "entry_timeout=60", "attr_timeout=60")
	u.Put(1, "d/e/f", "inside")
	outside := harness.TempDir(t)
	harness.Mkdir(t, outside+"/e")
	harness.Write(t, outside+"/e/f", "secret")
	harness.Write(t, outside+"/e/g", "secret")
	u.Up()
	u.want("d/e/f", "inside")
	harness.Rename(t, u.Tier(1, "d"), u.Tier(1, "aside"))
	harness.Symlink(t, outside, u.Tier(1, "d"))
	for _, rel := range []string{"d/e/f", "d/e/g"} {
		if b, err := os.ReadFile(u.Path(rel)); string(b) == "secret" {
			t.Errorf("%s reads what is outside of the tier (%v)", rel, err)
		}
	}
	unix.Mknod(u.Path("d/e/made"), unix.S_IFREG|0o644, 0)
	harness.WantList(t, outside+"/e", "f", "g")
}

// TestDirectoryMadeAboveAnotherBehindTheMountStaysTheSame: a directory of the
// fallback is made on the primary too. To those who have it open, or are in it,
// it is the one that it was.
func TestDirectoryMadeAboveAnotherBehindTheMountStaysTheSame(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(1, "d/f", "of the fallback")
	u.Up()
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	before := harness.Stat(t, u.Path("d"))
	u.dir("d", 0)
	expired()
	if after := harness.Stat(t, u.Path("d")); after.Ino != before.Ino {
		t.Errorf("the number was %#x, now it is %#x", before.Ino, after.Ino)
	}
	u.Put(0, "d/new", "of the primary")
	expired()
	for _, name := range []string{"f", "new"} {
		var st unix.Stat_t
		u.ok("fstatat of "+name+" in the open directory", unix.Fstatat(fd, name, &st, 0))
	}
}

// TestHeldDirectoryThatLostACopy: a part of a merged directory is emptied and
// removed behind the mount. Whoever is in the directory lists the other part and
// makes files there; a listing that ended early would make rsync --delete empty
// the backup.
func TestHeldDirectoryThatLostACopy(t *testing.T) {
	for lost := range 2 {
		u := newUnion(t, 1, briefly...)
		u.Put(lost, "d/z", "moved")
		u.dir("d", 1-lost)
		u.Up()
		fd, err := unix.Open(u.Path("d"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		u.ok("open the directory", err)
		if got := names(rest(t, fd)); !slices.Equal(got, []string{"z"}) {
			t.Errorf("listed %q", got)
		}
		harness.Rename(t, u.Tier(lost, "d/z"), u.Tier(1-lost, "d/z"))
		u.ok("rmdir on the tier", unix.Rmdir(u.Tier(lost, "d")))
		u.seek(fd, 0)
		if got := names(rest(t, fd)); !slices.Equal(got, []string{"z"}) {
			t.Errorf("listed %q once a copy was gone", got)
		}
		expired()
		made, err := unix.Openat(fd, "new", unix.O_CREAT|unix.O_WRONLY, 0o644)
		u.ok("create in the directory", err)
		unix.Close(made)
		harness.Stat(t, u.Tier(1-lost, "d/new"))
		unix.Close(fd)
		u.Down()
	}
}

// TestFileThatWasCoveredIsReachableAfterItsRemoval: who holds a file of the
// fallback goes on holding it when another is put above it and the name removed
// from both.
func TestFileThatWasCoveredIsReachableAfterItsRemoval(t *testing.T) {
	u := newUnion(t, 1, briefly...)
	u.Put(1, "f", "of the fallback")
	u.Up()
	fd := u.open("f", unix.O_PATH)
	u.Put(0, "f", "of the primary")
	expired()
	u.want("f", "of the primary")
	u.ok("unlink", unix.Unlink(u.Path("f")))
	u.wantOn("f")
	expired()
	var st unix.Stat_t
	u.ok("fstat", unix.Fstat(fd, &st))
	if st.Nlink != 0 || st.Size != int64(len("of the fallback")) {
		t.Errorf("has %d names and %d bytes", st.Nlink, st.Size)
	}
}

// A file that was opened before a higher tier got its name goes with that name,
// and who has it open sees so at once. The kernel knows of the other file only.
func TestUnlinkTellsWhoHasAHiddenCopyOpen(t *testing.T) {
	u := newUnion(t, 1, "cache=timeout", "entry_timeout=0", "attr_timeout=60")
	u.Put(1, "doc", "below")
	u.Up()
	f, err := os.Open(u.Path("doc"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u.Put(0, "doc", "above")
	harness.WantRead(t, u.Path("doc"), "above")
	if err := os.Remove(u.Path("doc")); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Nlink != 0 {
		t.Errorf("links %d, %v", st.Nlink, err)
	}
}
