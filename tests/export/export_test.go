// Package export tests file handles: what name_to_handle_at(2) gives is what
// an NFS server hands to its clients, and has to mean the same file for as long
// as that is there.
package export

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// exported is a mount with noforget over two disks that reuse the number of a
// removed file at once, and filled by fill.
func exported(t *testing.T, fill func(m *harness.Mount)) *harness.Mount {
	t.Helper()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")}, "noforget")
	fill(m)
	m.Up()
	return m
}

// handle is what an NFS server would keep of a path.
func handle(t *testing.T, path string) unix.FileHandle {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Fatalf("name_to_handle_at %s: %v", path, err)
	}
	return h
}

// open opens a handle on the mount.
func open(t *testing.T, m *harness.Mount, h unix.FileHandle, flags int) (*os.File, error) {
	t.Helper()
	root, err := unix.Open(m.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	fd, err := unix.OpenByHandleAt(root, h, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "handle"), nil
}

// wantContent fails the test unless a handle leads to a file with this content.
func wantContent(t *testing.T, m *harness.Mount, h unix.FileHandle, want string) {
	t.Helper()
	f, err := open(t, m, h, unix.O_RDONLY)
	if err != nil {
		t.Errorf("the handle of the file with %q: %v", want, err)
		return
	}
	defer f.Close()
	b := make([]byte, 100)
	n, _ := f.Read(b)
	if string(b[:n]) != want {
		t.Errorf("the handle of the file with %q leads to one with %q", want, b[:n])
	}
}

// wantStale fails the test unless a handle leads nowhere, now and later.
func wantStale(t *testing.T, m *harness.Mount, h unix.FileHandle) {
	t.Helper()
	for range 2 {
		f, err := open(t, m, h, unix.O_PATH)
		harness.WantErrno(t, "open_by_handle_at", err, unix.ESTALE)
		if err == nil {
			f.Close()
		}
		m.DropCaches()
	}
}

func TestHandleSurvivesADroppedCache(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		for i, tier := range m.Tiers {
			harness.Mkdir(t, tier+"/a/b/c")
			harness.Write(t, fmt.Sprintf("%s/a/b/c/f%d", tier, i), fmt.Sprint("content ", i))
		}
		harness.Symlink(t, "target", m.Fallbacks[0]+"/a/link")
	})
	want := map[string]unix.Stat_t{}
	handles := map[string]unix.FileHandle{}
	for _, rel := range []string{".", "a", "a/b/c", "a/b/c/f0", "a/b/c/f1", "a/link"} {
		handles[rel], want[rel] = handle(t, m.Path(rel)), harness.Stat(t, m.Path(rel))
	}
	for range 2 {
		m.DropCaches()
		wantContent(t, m, handles["a/b/c/f0"], "content 0")
		wantContent(t, m, handles["a/b/c/f1"], "content 1")
		for rel, h := range handles {
			f, err := open(t, m, h, unix.O_PATH)
			if err != nil {
				t.Errorf("%s: %v", rel, err)
				continue
			}
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != want[rel].Ino || st.Mode != want[rel].Mode || st.Nlink != want[rel].Nlink {
				t.Errorf("%s: %v, inode %d mode %o nlink %d, want %+v", rel, err, st.Ino, st.Mode, st.Nlink, want[rel])
			}
			f.Close()
		}
	}
	harness.Eventually(t, "the kernel has forgotten", func() bool { return m.Status().Forgotten() > 0 })
}

// The kernel finds a directory's path by asking for "..", up to the root
// (fuse_get_parent).
func TestDirectoryOpenedByHandleKnowsItsPath(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		harness.Mkdir(t, m.Primary+"/a/b")
		harness.Mkdir(t, m.Fallbacks[0]+"/a/b/c/d")
		harness.Write(t, m.Fallbacks[0]+"/a/b/c/d/f", "x")
	})
	h := handle(t, m.Path("a/b/c/d"))
	m.DropCaches()
	f, err := open(t, m, h, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || path != m.Path("a/b/c/d") {
		t.Errorf("it is at %q, %v", path, err)
	}
	names, err := f.Readdirnames(-1)
	if err != nil || len(names) != 1 || names[0] != "f" {
		t.Errorf("it lists %q, %v", names, err)
	}
}

// A file keeps its handle wherever it goes within the mount, with all that is
// in it if it is a directory.
func TestHandleFollowsARename(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		for i, tier := range m.Tiers {
			harness.Mkdir(t, tier+"/from/deep")
			harness.Mkdir(t, tier+"/to")
			harness.Write(t, fmt.Sprintf("%s/from/f%d", tier, i), fmt.Sprint("file ", i))
			harness.Write(t, fmt.Sprintf("%s/from/deep/g%d", tier, i), fmt.Sprint("deep ", i))
		}
	})
	want := map[string]unix.FileHandle{}
	for i := range 2 {
		want[fmt.Sprint("file ", i)] = handle(t, m.Path(fmt.Sprint("from/f", i)))
		want[fmt.Sprint("deep ", i)] = handle(t, m.Path(fmt.Sprint("from/deep/g", i)))
	}
	check := func() {
		t.Helper()
		m.DropCaches()
		for content, h := range want {
			wantContent(t, m, h, content)
		}
		m.DropCaches() // the rename is to find the inodes by their names
	}
	for i := range 2 {
		harness.Rename(t, m.Path(fmt.Sprint("from/f", i)), m.Path(fmt.Sprint("from/h", i)))
	}
	check()
	for i := range 2 {
		harness.Rename(t, m.Path(fmt.Sprint("from/h", i)), m.Path(fmt.Sprint("to/h", i)))
	}
	check()
	harness.Rename(t, m.Path("from/deep"), m.Path("to/deeper"))
	check()
	harness.Rename(t, m.Path("to"), m.Path("elsewhere"))
	check()
	if err := os.Link(m.Path("elsewhere/h1"), m.Path("from/link")); err != nil {
		t.Fatal(err)
	}
	harness.Remove(t, m.Path("elsewhere/h1"))
	check()
}

// ext4 gives the number of a removed file to the next new one. A handle must
// never lead to that.
func TestHandleOfARemovedFileIsStaleForGood(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		for i, tier := range m.Tiers {
			harness.Mkdir(t, tier+"/d")
			harness.Write(t, fmt.Sprintf("%s/d/f%d", tier, i), "old")
		}
	})
	for i, tier := range m.Tiers {
		path := m.Path(fmt.Sprint("d/f", i))
		before := harness.Stat(t, fmt.Sprintf("%s/d/f%d", tier, i)).Ino
		h := handle(t, path)
		m.DropCaches()
		harness.Remove(t, path)
		m.DropCaches()
		// The new one goes to the same tier: out of band, so that it surely does.
		reuse(t, filepath.Join(tier, "d"), before)
		m.DropCaches()
		harness.List(t, m.Path("d"))
		for _, name := range harness.List(t, m.Path("d")) {
			harness.Read(t, m.Path("d/"+name))
		}
		wantStale(t, m, h)
	}
}

// reuse makes files in dir until one has the number ino.
func reuse(t *testing.T, dir string, ino uint64) string {
	t.Helper()
	for i := range 1000 {
		path := fmt.Sprintf("%s/new%d", dir, i)
		harness.Write(t, path, "new")
		if harness.Stat(t, path).Ino == ino {
			return path
		}
	}
	t.Fatalf("no new file in %s has the number %d", dir, ino)
	return ""
}

// The same behind the mount, where nobody says that the file has gone; once
// under another name and once under its own.
func TestHandleOfAFileReplacedOutOfBandIsStale(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		for _, name := range []string{"f", "g", "h"} {
			harness.Mkdir(t, m.Fallbacks[0]+"/d")
			harness.Write(t, m.Fallbacks[0]+"/d/"+name, "old")
		}
	})
	dir := m.Fallbacks[0] + "/d"
	for _, c := range []struct {
		name   string
		rename bool // to the old one's name
		look   bool // before the handle is used
	}{{"f", true, false}, {"g", true, true}, {"h", false, true}} {
		ino := harness.Stat(t, dir+"/"+c.name).Ino
		h := handle(t, m.Path("d/"+c.name))
		m.DropCaches()
		harness.Remove(t, dir+"/"+c.name)
		now := reuse(t, dir, ino)
		if c.rename {
			harness.Rename(t, now, dir+"/"+c.name)
			now = dir + "/" + c.name
		}
		if c.look {
			harness.WantRead(t, m.Path("d/"+filepath.Base(now)), "new")
			m.DropCaches()
		}
		wantStale(t, m, h)
		harness.WantRead(t, m.Path("d/"+filepath.Base(now)), "new")
		wantContent(t, m, handle(t, m.Path("d/"+filepath.Base(now))), "new")
	}
}

// The same where the number goes to a file without a name, and it keeps its own handle
// when it gets one.
func TestHandleOfAFileRemovedOutOfBandLeadsToNoTemporaryFile(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		harness.Mkdir(t, m.Primary+"/d")
		harness.Write(t, m.Primary+"/d/f", "old")
	})
	ino := harness.Stat(t, m.Primary+"/d/f").Ino
	h := handle(t, m.Path("d/f"))
	m.DropCaches()
	harness.Remove(t, m.Primary+"/d/f")
	fd, err := unix.Open(m.Path("d"), unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "temporary")
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != ino {
		t.Fatalf("number %d, %v, want %d", st.Ino, err, ino)
	}
	if old, err := open(t, m, h, unix.O_PATH); err == nil {
		t.Error("the handle leads to the temporary file")
		old.Close()
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.AT_FDCWD, m.Path("d/g"), unix.AT_SYMLINK_FOLLOW); err != nil {
		t.Fatal(err)
	}
	f.Close() // or its inode stays in the kernel
	wantStale(t, m, h)
	wantContent(t, m, handle(t, m.Path("d/g")), "new")
}

func TestHandleOfAReplacedOrRemovedNameIsStale(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		harness.Write(t, m.Fallbacks[0]+"/over", "old")
		harness.Write(t, m.Primary+"/new", "new")
		harness.Mkdir(t, m.Primary+"/d/sub")
		harness.Mkdir(t, m.Fallbacks[0]+"/d/sub")
	})
	over, kept, sub := handle(t, m.Path("over")), handle(t, m.Path("new")), handle(t, m.Path("d/sub"))
	m.DropCaches()
	harness.Rename(t, m.Path("new"), m.Path("over"))
	harness.Remove(t, m.Path("d/sub"))
	harness.Mkdir(t, m.Path("d/sub"))
	m.DropCaches()
	wantStale(t, m, over)
	wantStale(t, m, sub)
	wantContent(t, m, kept, "new")
}

// The next daemon counts its IDs from the beginning.
func TestHandleOfAnEarlierDaemonIsStale(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		harness.Mkdir(t, m.Primary+"/d")
		harness.Write(t, m.Primary+"/d/f", "old")
		harness.Write(t, m.Primary+"/d/g", "other")
	})
	dir, file := handle(t, m.Path("d")), handle(t, m.Path("d/f"))
	m.Down()
	m.Up()
	wantStale(t, m, file)
	// The other file may have the very ID that the first one had.
	harness.Read(t, m.Path("d/g"))
	harness.Read(t, m.Path("d/f"))
	for range 2 {
		for _, h := range []unix.FileHandle{file, dir} {
			_, err := open(t, m, h, unix.O_PATH)
			harness.WantErrno(t, "open_by_handle_at", err, unix.ESTALE)
		}
		m.DropCaches()
	}
}

// handleFID is AT_HANDLE_FID (linux/fcntl.h, Linux 6.5).
const handleFID = 0x200

// A handle that is good for as long as the kernel happens to remember the inode
// is worse than none.
func TestWithoutNoforgetThereAreNoHandles(t *testing.T) {
	harness.Require(t, "root", "fuse", "linux-6.9")
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/f", "x")
	m.Up()
	_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, m.Path("f"), 0)
	harness.WantErrno(t, "name_to_handle_at", err, unix.EOPNOTSUPP)
	// fanotify(7) knows files by handles that need not be opened.
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, m.Path("f"), handleFID)
	if err != nil {
		t.Fatalf("name_to_handle_at for fanotify: %v", err)
	}
	if f, err := open(t, m, h, unix.O_PATH); err == nil {
		f.Close()
		t.Error("such a handle can be opened")
	}
}

// IDs are kept, but not those of files that are gone.
func TestRemovedFilesAreNotKept(t *testing.T) {
	m := exported(t, func(m *harness.Mount) { harness.Mkdir(t, m.Fallbacks[0]+"/d") })
	harness.Write(t, m.Path("d/stays"), "x")
	before := m.Status().Inodes
	for i := range 500 {
		path := m.Path(fmt.Sprint("d/", i))
		harness.Write(t, path, "x")
		if i%3 == 0 {
			harness.Rename(t, path, m.Path("d/over"))
		} else {
			harness.Remove(t, path)
		}
	}
	harness.Remove(t, m.Path("d/over"))
	for i := range 100 {
		harness.Mkdir(t, m.Path(fmt.Sprint("d/sub", i)))
		harness.Remove(t, m.Path(fmt.Sprint("d/sub", i)))
	}
	m.DropCaches()
	harness.Eventually(t, "the removed files are forgotten", func() bool { return m.Status().Inodes <= before })
	for i := range 50 {
		harness.Write(t, m.Path(fmt.Sprint("d/", i)), "x")
	}
	m.DropCaches()
	if n := m.Status().Inodes; n != before+50 {
		t.Errorf("%d inodes are kept, want %d", n, before+50)
	}
}

func TestNoforgetCannotBeRemounted(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.New(t, 0)
	m.Up()
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,noforget", m.Dir)
	if code == 0 {
		t.Error("a remount turned noforget on")
	}
	harness.Contains(t, stderr, "noforget")
}
