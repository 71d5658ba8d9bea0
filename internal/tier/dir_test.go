package tier

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// outside is a tier with a link that leads out of it, to a file and to a
// directory that must stay as they are.
type outside struct {
	*place
	d      *Dir
	before map[string]string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	b := newPlace(t, "tier/dir", "out/dir")
	writeText(t, b.path("out/file"), "secret")
	writeText(t, b.path("tier/file"), "")
	b.symlink(b.path("out/file"), "tier/link")
	b.symlink(b.path("out/dir"), "tier/dirlink")
	b.symlink("/nowhere/at/all", "tier/dangling")
	o := &outside{place: b, before: snapshotOf(b, "out")}
	o.d = b.openSet(time.Minute, "tier").Primary().RootDir()
	t.Cleanup(func() {
		if err := o.untouched(); err != "" {
			t.Error(err)
		}
		o.d.Put()
	})
	return o
}

// snapshotOf is all below a directory of the place.
func snapshotOf(b *place, name string) map[string]string {
	b.Helper()
	all := (&place{T: b.T, dir: b.path(name)}).snapshot()
	for path := range all {
		names := make([]byte, 256)
		if n, err := unix.Llistxattr(path, names); err == nil {
			all[path] += string(names[:n])
		}
	}
	return all
}

func (o *outside) untouched() string {
	o.Helper()
	after := snapshotOf(o.place, "out")
	for path, was := range o.before {
		if after[path] != was {
			return path + " was " + was + ", is " + after[path]
		}
	}
	if len(after) != len(o.before) {
		return "what lies outside has become more"
	}
	return ""
}

func (o *outside) mode(name string) uint32 {
	o.Helper()
	var st unix.Stat_t
	if err := o.d.Stat(name, &st); err != nil {
		o.Errorf("%s: %v", name, err)
	}
	return st.Mode & unix.S_IFMT
}

func TestDirLooksAtTheLinkItself(t *testing.T) {
	o := newOutside(t)
	for _, name := range []string{"link", "dirlink", "dangling"} {
		if mode := o.mode(name); mode != unix.S_IFLNK {
			t.Errorf("%s has type %o", name, mode)
		}
		f, err := o.d.OpenPath(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var st unix.Stat_t
		var sx unix.Statx_t
		if err := f.Stat(&st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%s: fstat %o, %v", name, st.Mode, err)
		}
		if err := f.Statx(0, unix.STATX_BASIC_STATS, &sx); err != nil || uint32(sx.Mode)&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%s: statx %o, %v", name, sx.Mode, err)
		}
		if target, err := f.Readlink(); err != nil || target == "" {
			t.Errorf("%s: leads to %q, %v", name, target, err)
		}
		f.Close()
	}
	if target, err := o.d.Readlink("link"); err != nil || target != o.path("out/file") {
		t.Errorf("link leads to %q, %v", target, err)
	}
}

func TestDirOpensNoLink(t *testing.T) {
	o := newOutside(t)
	for _, name := range []string{"link", "dirlink", "dangling"} {
		if d, err := o.d.OpenDir(name); err != unix.ENOTDIR {
			t.Errorf("%s as a directory: %v, %v", name, d, err)
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR | unix.O_CREAT, unix.O_RDONLY | unix.O_NONBLOCK} {
			f, err := o.d.Open(name, flags, 0600)
			if err != unix.ELOOP {
				t.Errorf("%s with flags %x: %v, want ELOOP", name, flags, err)
			}
			if err == nil {
				f.Close()
			}
		}
		if _, err := o.d.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0600); err != unix.EEXIST {
			t.Errorf("%s made exclusively: %v", name, err)
		}
		if _, err := o.d.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != unix.ENOTDIR && err != unix.ELOOP {
			t.Errorf("%s listed: %v", name, err)
		}
	}
	if d, err := o.d.OpenDir("file"); err != unix.ENOTDIR {
		t.Errorf("a file as a directory: %v, %v", d, err)
	}
}

func TestDirChangesTheLinkItself(t *testing.T) {
	o := newOutside(t)
	for _, name := range []string{"link", "dirlink"} {
		f, err := o.d.OpenPath(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Utimens(&[2]unix.Timespec{{Sec: 11}, {Sec: 22}}); err != nil {
			t.Errorf("%s: utimens %v", name, err)
		}
		var st unix.Stat_t
		if err := f.Stat(&st); err != nil || st.Mtim.Sec != 22 {
			t.Errorf("%s: mtime %d, %v", name, st.Mtim.Sec, err)
		}
		if err := f.Chmod(0777); err == nil {
			t.Errorf("%s: the mode of a link was set", name) // EOPNOTSUPP since Linux 6.6
		}
		if err := f.Truncate(0); err == nil {
			t.Errorf("%s was truncated", name)
		}
		if err := f.Setxattr("user.x", []byte("y"), 0); err == nil {
			t.Errorf("%s: a link has a user attribute", name)
		}
		if os.Geteuid() == 0 {
			if err := f.Chown(12, 34); err != nil {
				t.Errorf("%s: chown %v", name, err)
			}
			if err := f.Stat(&st); err != nil || st.Uid != 12 || st.Gid != 34 {
				t.Errorf("%s: belongs to %d:%d, %v", name, st.Uid, st.Gid, err)
			}
		}
	}
}

func TestDirMakesNothingThroughALink(t *testing.T) {
	o := newOutside(t)
	for _, name := range []string{"link", "dirlink", "dangling"} {
		for what, err := range map[string]error{
			"mkdir":   o.d.Mkdir(name, 0700),
			"mknod":   o.d.Mknod(name, unix.S_IFREG|0600, 0),
			"symlink": o.d.Symlink("x", name),
			"link":    o.d.Link("file", o.d, name),
		} {
			if err != unix.EEXIST {
				t.Errorf("%s over %s: %v, want EEXIST", what, name, err)
			}
		}
		if err := o.d.Rmdir(name); err != unix.ENOTDIR {
			t.Errorf("rmdir of %s: %v", name, err)
		}
	}
}

func TestDirLinksMovesAndRemovesTheLinkItself(t *testing.T) {
	o := newOutside(t)
	to, err := o.d.OpenDir("dir")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Put()
	f, err := o.d.OpenPath("link")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := o.d.Link("link", to, "second"); err != nil {
		t.Errorf("link: %v", err)
	}
	if err := to.LinkFile(f, "third"); err != nil {
		t.Errorf("link of the descriptor: %v", err)
	}
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil || st.Nlink != 3 {
		t.Errorf("the link has %d names, %v", st.Nlink, err)
	}
	if err := o.d.Rename("dirlink", to, "moved", 0); err != nil {
		t.Errorf("rename: %v", err)
	}
	if err := o.d.Rename("file", o.d, "dangling", 0); err != nil { // over a link
		t.Errorf("rename over a link: %v", err)
	}
	if err := o.d.Rename("dangling", to, "moved", unix.RENAME_EXCHANGE); err != nil {
		t.Errorf("exchange: %v", err)
	}
	if mode := o.mode("dangling"); mode != unix.S_IFLNK {
		t.Errorf("what was exchanged has type %o", mode)
	}
	if err := o.d.Unlink("link"); err != nil {
		t.Errorf("unlink: %v", err)
	}
	if err := to.Unlink("second"); err != nil {
		t.Errorf("unlink: %v", err)
	}
}

func TestDirIsClosedByItsLastPut(t *testing.T) {
	b := newPlace(t, "a/dir")
	root := b.openSet(time.Minute, "a").Primary().RootDir()
	defer root.Put()
	d, err := root.OpenDir("dir")
	if err != nil {
		t.Fatal(err)
	}
	fd := d.FD()
	d.Get()
	d.Put()
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		t.Errorf("closed while in use: %v", err)
	}
	d.Put()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("open after its last user: %v", err)
	}
}

func TestReadlinkIsWhole(t *testing.T) {
	b := newPlace(t, "a")
	d := b.openSet(time.Minute, "a").Primary().RootDir()
	defer d.Put()
	for _, size := range []int{1, 255, 256, 257, 1024, 4000} {
		target := strings.Repeat("x", size)
		if err := d.Symlink(target, "link"); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Readlink("link"); err != nil || got != target {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if err := d.Unlink("link"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Readlink("."); err != unix.EINVAL {
		t.Errorf("readlink of a directory: %v", err)
	}
}

// What an ordinary user's daemon may search but not read still serves lookups.
func TestUnreadableDirectoryIsOpenedByPath(t *testing.T) {
	needRoot(t) // to be somebody else for a while
	b := newPlace(t, "a/dir/sub")
	for _, name := range []string{"a", "a/dir"} {
		if err := os.Chmod(b.path(name), 0711); err != nil {
			t.Fatal(err)
		}
	}
	root := b.openSet(time.Minute, "a").Primary().RootDir()
	defer root.Put()
	err := sys.AsUser(54321, 54321, func() error {
		d, err := root.OpenDir("dir")
		if err != nil {
			return err
		}
		defer d.Put()
		var st unix.Stat_t
		if err := d.Stat("sub", &st); err != nil {
			t.Errorf("a name in it: %v", err)
		}
		if _, err := d.List(); err != unix.EACCES {
			t.Errorf("listing it: %v", err)
		}
		if err := d.Sync(); err != unix.EACCES {
			t.Errorf("syncing it: %v", err)
		}
		if d.HasDefaultACL() {
			t.Error("it has an ACL")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
