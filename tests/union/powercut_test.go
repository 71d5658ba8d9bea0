package union

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// disks is a union on two ext4 images, of which copies are made as a power
// cut would leave them.
type disks struct {
	union
	images []string
}

func newDisks(t *testing.T) disks {
	t.Helper()
	harness.Require(t, "root", "fuse", "loop")
	var d disks
	var tiers []string
	for range 2 {
		dir, image := harness.OnImage(t, "ext4", "32M")
		tiers, d.images = append(tiers, dir), append(d.images, image)
	}
	d.union = newUnionOn(t, tiers, "minfree=0%")
	return d
}

// settle writes everything so far to the disks: the state before the story.
func (d disks) settle() {
	d.t.Helper()
	for _, dir := range d.Tiers {
		harness.Must(d.t, "sync", "-f", dir)
	}
}

// cut copies the images as they are at this moment, without any sync, mounts
// the copies, which replays their journals, and returns where.
func (d disks) cut() []string {
	d.t.Helper()
	dir := harness.TempDir(d.t)
	var copies []string
	for i, image := range d.images {
		copy := filepath.Join(dir, "image"+string(rune('0'+i)))
		harness.Must(d.t, "cp", "--reflink=auto", "--sparse=always", image, copy)
		copies = append(copies, copy)
	}
	var at []string
	for i, copy := range copies {
		mnt := filepath.Join(dir, "tier"+string(rune('0'+i)))
		harness.Mkdir(d.t, mnt)
		harness.Must(d.t, "mount", "-o", "loop", copy, mnt)
		d.t.Cleanup(func() { harness.Unmount(d.t, mnt) })
		at = append(at, mnt)
	}
	return at
}

// read is what the union of the copies shows under a name, "" for nothing.
func read(t *testing.T, at []string, rel string) string {
	t.Helper()
	for _, tier := range at {
		b, err := os.ReadFile(filepath.Join(tier, rel))
		if err == nil {
			return string(b)
		}
		if !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return ""
}

var (
	oldText = strings.Repeat("the old version\n", 3000)
	newText = strings.Repeat("THE NEW VERSION\n", 5000)
)

// save writes a temporary file and renames it over the document, as editors
// do, without any fsync of their own.
func (d disks) save(tmp, doc string) {
	d.t.Helper()
	d.create(tmp, newText)
	d.ok("rename", d.rename(tmp, doc))
}

// syncs are what may reach a disk before the power goes: one tier's journal,
// the other's, none, both.
var syncs = map[string][]int{"nothing committed": nil, "the fallback committed": {1}, "the primary committed": {0}, "both committed": {0, 1}}

// stories are all ways in which a copy on another filesystem is replaced.
var stories = []struct {
	name    string
	prepare func(d disks)
	act     func(d disks)
	names   []string // under which the document may be found
}{
	{"document on the fallback replaced from the primary",
		func(d disks) { d.Put(1, "doc", oldText) },
		func(d disks) { d.save("tmp", "doc") },
		[]string{"doc"}},
	{"document on both replaced from the primary",
		func(d disks) { d.Put(0, "doc", oldText); d.Put(1, "doc", oldText) },
		func(d disks) { d.save("tmp", "doc") },
		[]string{"doc"}},
	{"document on the primary replaced from the fallback",
		func(d disks) { d.Put(0, "doc", oldText); d.dir("low", 1) },
		func(d disks) { d.save("low/tmp", "doc") },
		[]string{"doc"}},
	{"document in a directory that the fallback lacks",
		func(d disks) { d.Put(0, "a/b/doc", oldText); d.dir("low", 1) },
		func(d disks) { d.save("low/tmp", "a/b/doc") },
		[]string{"a/b/doc"}},
	{"shadowed copies of both names",
		func(d disks) {
			d.Put(0, "tmp", newText)
			d.Put(1, "tmp", "stale")
			d.Put(1, "doc", oldText)
		},
		func(d disks) { d.ok("rename", d.rename("tmp", "doc")) },
		[]string{"doc"}},
	{"file with a shadowed copy renamed",
		func(d disks) { d.Put(0, "doc", newText); d.Put(1, "doc", oldText) },
		func(d disks) { d.ok("rename", d.rename("doc", "moved")) },
		[]string{"moved", "doc"}},
	{"fallback's file moved over a shadowed and a visible copy",
		func(d disks) { d.Put(0, "doc", oldText); d.Put(1, "doc", oldText); d.Put(1, "low/src", newText) },
		func(d disks) { d.ok("rename", d.rename("low/src", "doc")) },
		[]string{"doc"}},
}

// TestPowerCutLeavesOneCompleteCopy: a temporary file was renamed over the
// document on the primary and the fallback's copy removed; the power went
// before the primary's journal was written, and the document was on neither. A run
// takes each story with two of the syncs.
func TestPowerCutLeavesOneCompleteCopy(t *testing.T) {
	for i, s := range stories {
		for j, when := range slices.Sorted(maps.Keys(syncs)) {
			if !harness.Takes(i+j, 2) {
				continue
			}
			t.Run(s.name+"/"+when, func(t *testing.T) {
				d := newDisks(t)
				s.prepare(d)
				d.Up()
				d.settle()
				s.act(d)
				for _, rank := range syncs[when] {
					harness.Must(t, "sync", "-f", d.Tiers[rank])
				}
				d.wantComplete(d.cut(), s.names)
			})
		}
	}
}

// TestPowerCutInTheMiddle holds the operation where it first touches one tier,
// by freezing that tier, and cuts the power there.
func TestPowerCutInTheMiddle(t *testing.T) {
	for _, s := range stories {
		for frozen := range 2 {
			t.Run(s.name+"/tier "+string(rune('0'+frozen)), func(t *testing.T) {
				d := newDisks(t)
				s.prepare(d)
				d.Up()
				d.settle()
				thaw := harness.Freeze(t, d.Tiers[frozen])
				done := make(chan bool)
				go func() { defer close(done); s.act(d) }()
				harness.WaitInside(t, d.Pid())
				at := d.cut()
				thaw()
				<-done
				d.wantComplete(at, s.names)
			})
		}
	}
}

// wantComplete fails the test unless one of the names shows one of the
// versions, whole.
func (d disks) wantComplete(at, names []string) {
	d.t.Helper()
	for _, name := range names {
		if text := read(d.t, at, name); text == oldText || text == newText {
			return
		}
	}
	for _, name := range names {
		text := read(d.t, at, name)
		d.t.Errorf("after the power cut %s has %d bytes and is neither version", name, len(text))
	}
}

// TestPowerCutHidesNoRenamedFile: a file of the fallback, on disk for long, was
// renamed over one of the primary. The power went when the fallback had written
// that the old name is gone and the primary not yet that its file is: the name
// showed what was to be replaced, and the other file was hidden below it.
func TestPowerCutHidesNoRenamedFile(t *testing.T) {
	for when, ranks := range syncs {
		t.Run(when, func(t *testing.T) {
			d := newDisks(t)
			d.Put(0, "doc", oldText)
			d.Put(1, "low/new", newText)
			d.Up()
			d.settle()
			d.ok("rename", d.rename("low/new", "doc"))
			for _, rank := range ranks {
				harness.Must(t, "sync", "-f", d.Tiers[rank])
			}
			at := d.cut()
			if read(t, at, "doc") != newText && read(t, at, "low/new") != newText {
				t.Error("the file that was renamed is not reachable under any name")
			}
			d.Down()
			newUnionOn(t, at).Up()
			if doc, low := read(t, at, "doc"), read(t, at, "low/new"); (doc != newText || low != "") && (doc != oldText || low != newText) {
				t.Errorf("after a new mount the names have %d and %d bytes: the rename is neither done nor undone", len(doc), len(low))
			}
		})
	}
}

// TestPowerCutBringsNoShadowedCopyToLight when the file above it was renamed.
func TestPowerCutBringsNoShadowedCopyToLight(t *testing.T) {
	for when, ranks := range syncs {
		t.Run(when, func(t *testing.T) {
			d := newDisks(t)
			d.Put(0, "doc", newText)
			d.Put(1, "doc", oldText)
			d.Up()
			d.settle()
			d.ok("rename", d.rename("doc", "moved"))
			for _, rank := range ranks {
				harness.Must(t, "sync", "-f", d.Tiers[rank])
			}
			if read(t, d.cut(), "doc") == oldText {
				t.Error("the shadowed copy is back under the old name")
			}
		})
	}
}

// TestPowerCutLeavesARenamedDirectoryWhole: one tier's journal may hold the
// rename and the other's not; the next mount must show one directory.
func TestPowerCutLeavesARenamedDirectoryWhole(t *testing.T) {
	for when, ranks := range syncs {
		t.Run(when, func(t *testing.T) {
			d := newDisks(t)
			d.Put(0, "d/p", "P")
			d.Put(1, "d/f", "F")
			d.dir("to", 0, 1)
			d.Up()
			d.settle()
			d.ok("rename", d.rename("d", "to/e"))
			for _, rank := range ranks {
				harness.Must(t, "sync", "-f", d.Tiers[rank])
			}
			at := d.cut()
			d.Down()
			after := newUnionOn(t, at)
			after.Up()
			whole, gone := "to/e", "d"
			if harness.Exists(t, after.Path("d")) {
				whole, gone = "d", "to/e"
			}
			after.wantList(whole, "f", "p")
			after.wantOn(whole, 0, 1)
			after.wantOn(gone)
		})
	}
}

// TestFsyncOfADirectorySyncsEveryTier: a program that fsyncs a directory after
// a change does not know on which tier the change was.
func TestFsyncOfADirectorySyncsEveryTier(t *testing.T) {
	d := newDisks(t)
	d.Put(0, "d/p", "x")
	d.Put(1, "d/f", "x")
	d.Put(1, "d/g", "x")
	d.Up()
	d.settle()
	d.ok("unlink", unix.Unlink(d.Path("d/f")))
	d.ok("rename", d.rename("d/g", "d/h"))
	d.ok("rename", d.rename("d/p", "d/q"))
	dir, err := unix.Open(d.Path("d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	d.ok("open", err)
	d.ok("fsync", unix.Fsync(dir))
	unix.Close(dir)
	at := d.cut()
	harness.WantList(t, at[0]+"/d", "q")
	harness.WantList(t, at[1]+"/d", "h")
}

// TestFsyncedFileSurvives: fsync of a file, and of the directory it is in,
// means on the disk of its home tier what it means beside the mount.
func TestFsyncedFileSurvives(t *testing.T) {
	d := newDisks(t)
	d.dir("low", 1)
	d.Up()
	d.settle()
	for rel, rank := range map[string]int{"p": 0, "low/f": 1} {
		d.create(rel, newText)
		fd, err := unix.Open(d.Path(rel), unix.O_RDWR, 0)
		d.ok("open", err)
		d.ok("fsync", unix.Fsync(fd))
		unix.Close(fd)
		dir, err := unix.Open(filepath.Dir(d.Path(rel)), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		d.ok("open", err)
		d.ok("fsync", unix.Fsync(dir))
		unix.Close(dir)
		harness.WantRead(t, filepath.Join(d.cut()[rank], rel), newText)
	}
}

// TestSyncMountAnswersWhatIsOnDisk: with sync and dirsync nothing that was
// answered is lost, without a word from the program; also after a remount.
func TestSyncMountAnswersWhatIsOnDisk(t *testing.T) {
	for _, options := range []string{"sync", "sync,passthrough=off", "dirsync", "remount,sync"} {
		t.Run(options, func(t *testing.T) {
			d := newDisks(t)
			d.dir("low", 1)
			d.dir("both", 0, 1)
			d.Put(0, "here", "old")
			d.Put(1, "low/there", "old")
			d.Put(1, "low/long", oldText)
			for _, rel := range []string{"unlinked", "renamed", "replacing", "gone/f", "low/unlinked", "low/renamed", "low/gone/f"} {
				d.Put(len(rel)%2, rel, "x")
			}
			if strings.HasPrefix(options, "remount") {
				d.Up()
				harness.Must(t, "mount", "-o", options, d.Dir)
			} else {
				d.Up(options)
			}
			d.settle()
			for _, dir := range []string{"", "low/", "both/"} {
				d.ok("mkdir", unix.Mkdir(d.Path(dir+"dir"), 0o755))
				d.ok("symlink", unix.Symlink("target", d.Path(dir+"symlink")))
				d.ok("mknod", unix.Mknod(d.Path(dir+"fifo"), unix.S_IFIFO|0o600, 0))
				d.create(dir+"file", newText)
				d.ok("link", unix.Link(d.Path(dir+"file"), d.Path(dir+"link")))
			}
			for _, dir := range []string{"", "low/"} {
				d.ok("unlink", unix.Unlink(d.Path(dir+"unlinked")))
				d.ok("rename", d.rename(dir+"renamed", dir+"new"))
				d.ok("unlink", unix.Unlink(d.Path(dir+"gone/f")))
				d.ok("rmdir", unix.Rmdir(d.Path(dir+"gone")))
			}
			d.ok("rename", d.rename("replacing", "low/there"))
			d.ok("truncate", unix.Truncate(d.Path("low/long"), 5))
			at := d.cut()
			d.Down()
			after := newUnionOn(t, at)
			after.Up()
			after.wantList("", "both", "dir", "fifo", "file", "here", "link", "lost+found", "low", "new", "symlink")
			after.wantList("low", "dir", "fifo", "file", "link", "long", "new", "symlink", "there")
			after.wantList("both", "dir", "fifo", "file", "link", "symlink")
			after.want("low/there", "x")
			if !strings.HasPrefix(options, "dirsync") {
				after.want("low/long", oldText[:5])
				for _, rel := range []string{"file", "low/file", "both/link"} {
					after.want(rel, newText)
				}
			}
		})
	}
}
