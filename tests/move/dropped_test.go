package move

import (
	"bytes"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestDirectoryStaysThoughItsNumberChanges, as it does when the kernel has dropped the
// tier's inode. mkdir(2) does not look again when it is told that a handle is stale.
func TestDirectoryStaysThoughItsNumberChanges(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, m mount)
		at   string // where d is then, "" if it is gone
	}{
		{"as it was", func(*testing.T, mount) {}, "d"},
		{"looked up", func(t *testing.T, m mount) { harness.Stat(t, m.Path("g/d")) }, "d"},
		{"renamed", func(t *testing.T, m mount) { ok(t, "rename", os.Rename(m.Path("g/d"), m.Path("g/e/d"))) }, "e/d"},
		{"renamed over another", func(t *testing.T, m mount) { ok(t, "rename", unix.Rename(m.Path("g/d"), m.Path("g/e"))) }, "e"},
		{"replaced", func(t *testing.T, m mount) { ok(t, "rename", unix.Rename(m.Path("g/e"), m.Path("g/d"))) }, ""},
		{"exchanged", func(t *testing.T, m mount) {
			ok(t, "exchange", unix.Renameat2(unix.AT_FDCWD, m.Path("g/d"), unix.AT_FDCWD, m.Path("g/e"), unix.RENAME_EXCHANGE))
		}, "e"},
		{"made again", func(t *testing.T, m mount) {
			ok(t, "rmdir", os.Remove(m.Path("g/d")))
			harness.Mkdir(t, m.Path("g/d"))
		}, ""},
		{"on both tiers", func(t *testing.T, m mount) {
			harness.Write(t, m.Path("g/d/f"), "content")
			time.Sleep(quiet)
			m.carry("promote", "g/d/f").wantMoved(t, 1)
		}, "d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk, m := numberless(t)
			top := disk.Disks[0] + "/g"
			m.Up()
			for _, dir := range []string{top, top + "/d", top + "/e"} {
				harness.Mkdir(t, dir)
			}
			harness.Stat(t, m.Path("g/e"))
			d, err := unix.Open(m.Path("g/d"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			ok(t, "open", err)
			defer unix.Close(d)
			was := handle(t, top+"/d")
			harness.Eventually(t, "the kernel has dropped it", func() bool {
				ok(t, "drop", harness.DropUnused(disk.Disks[0]))
				return !bytes.Equal(was, handle(t, top+"/d"))
			})
			c.do(t, m)
			for _, name := range []string{"d", "e"} {
				if harness.Exists(t, m.Path("g/"+name)) {
					ok(t, "mkdir", os.Mkdir(m.Path("g/"+name+"/path"), 0o700))
				}
			}
			err = unix.Mkdirat(d, "new", 0o700)
			switch {
			case c.at == "" && err == nil:
				t.Error("a directory that is gone has got an entry")
			case c.at != "" && (err != nil || !harness.Exists(t, m.Path("g/"+c.at+"/new"))):
				t.Errorf("mkdirat in %s: %v", c.at, err)
			}
		})
	}
}

// handle is that of what path leads to: another once the kernel has dropped its inode.
func handle(t *testing.T, path string) []byte {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	ok(t, "handle", err)
	return h.Bytes()
}

// TestDirectoryThatWasReplacedIsNotServedByWhatWasOpen: somebody gives its name to another
// one behind the mount, and a client, who is not told, renames that. What was open of the
// old one served it from then on.
func TestDirectoryThatWasReplacedIsNotServedByWhatWasOpen(t *testing.T) {
	disk, m := numberless(t, "entry_timeout=30")
	below := disk.Roots[0]
	m.Put(1, "d/of", "the old one")
	m.Up()
	harness.WantRead(t, m.Path("d/of"), "the old one")
	was := handle(t, disk.Disks[0]+"/d")
	ok(t, "rename", os.Rename(below+"/d", below+"/kept"))
	harness.Mkdir(t, below+"/d")
	harness.Write(t, below+"/d/of", "the new one")
	harness.Eventually(t, "the tier shows it", func() bool { return !bytes.Equal(was, handle(t, disk.Disks[0]+"/d")) })
	ok(t, "rename", os.Rename(m.Path("d"), m.Path("e")))
	harness.Write(t, m.Path("e/new"), "")
	harness.WantList(t, m.Path("e"), "new", "of")
	harness.WantList(t, below+"/e", "new", "of")
	harness.WantList(t, below+"/kept", "of")
}
