package coherent

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestWhatIsCachedCostsNothingLater: two seconds later, names, attributes and the
// absence of a name are in the kernel still, although the timeouts are 0.
func TestWhatIsCachedCostsNothingLater(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	look := func() {
		for rank := range 2 {
			harness.Stat(t, m.Path(fmt.Sprint("d/e/f", rank)))
		}
		if harness.Exists(t, m.Path("d/none")) {
			t.Fatal("d/none exists")
		}
	}
	for rank := range 2 {
		m.Put(rank, fmt.Sprint("d/e/f", rank), "x")
	}
	agree(t, m, []string{"d/e/f0", "d/e/f1"}, "making files")
	look()
	time.Sleep(2 * time.Second) // a sweep is made twice
	look()
	before := m.Status().Ops
	time.Sleep(2 * time.Second)
	look()
	after := m.Status().Ops
	for _, op := range []string{"LOOKUP", "GETATTR"} {
		if before[op] != after[op] {
			t.Errorf("%d %s", after[op]-before[op], op)
		}
	}
}

// TestWhatChmodAndLinkAnswerIsAskedForAgain: the kernel takes it although it was told of
// a change in the tier since, which would then stay hidden.
func TestWhatChmodAndLinkAnswerIsAskedForAgain(t *testing.T) {
	m := newMount(t, "ext4")
	m.Put(0, "f", "x")
	m.Put(0, "d/f", "x")
	agree(t, m, []string{"f", "d/f"}, "making files")
	for _, c := range []struct {
		what, of string
		change   func() error
	}{
		{"chmod of a file", "f", func() error { return os.Chmod(m.Path("f"), 0o600) }},
		{"chmod of a directory", "d", func() error { return os.Chmod(m.Path("d"), 0o700) }},
		{"link", "f", func() error { return os.Link(m.Path("f"), m.Path("g")) }},
	} {
		fd, err := unix.Open(m.Path(c.of), unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		before := m.Status().Ops["GETATTR"]
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		if n := m.Status().Ops["GETATTR"] - before; n != 1 {
			t.Errorf("%s: the attributes are asked for %d times afterwards, want once", c.what, n)
		}
	}
}

// TestTimeoutsAreWhatTheyWere: with cache=timeout nothing is taken back.
func TestTimeoutsAreWhatTheyWere(t *testing.T) {
	m := harness.New(t, 1, "cache=timeout", "entry_timeout=3600", "attr_timeout=3600", "negative_timeout=3600")
	m.Put(1, "f", "x")
	m.Up()
	harness.Stat(t, m.Path("f"))
	if harness.Exists(t, m.Path("none")) {
		t.Fatal("none exists")
	}
	harness.Append(t, m.Tier(1, "f"), "more")
	m.Put(0, "none", "x")
	time.Sleep(100 * time.Millisecond)
	if size := harness.Stat(t, m.Path("f")).Size; size != 1 {
		t.Errorf("%d bytes are seen", size)
	}
	if harness.Exists(t, m.Path("none")) {
		t.Error("the new name is seen")
	}
}

// TestFileChangedByAnotherOfItsNames: the other name is not even in the tier.
func TestFileChangedByAnotherOfItsNames(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs", "tmpfs"} {
		m := newMount(t, fstype)
		m.Put(0, "f", "x")
		agree(t, m, []string{"f"}, "making f")
		other := m.Primary + "-other"
		for i, change := range []func() error{
			func() error { return os.Link(m.Tier(0, "f"), other) },
			func() error { return write(other, unix.O_APPEND) },
			func() error { return unix.Truncate(other, 0) },
			func() error { return unix.Chmod(other, 0o640) },
			func() error { return unix.Rename(other, other+"~") },
			func() error { return unix.Rename(other+"~", other) },
			func() error { return unix.Unlink(other) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			agree(t, m, []string{"f"}, fmt.Sprint(fstype, " change ", i))
		}
	}
}

// TestFileWithTheNumberOfADirectory: a directory goes from a tier and a file gets its
// number, while the mount has the directory still, of another tier: what happens to
// the file is seen.
func TestFileWithTheNumberOfADirectory(t *testing.T) {
	m := newMount(t, "ext4", "xfs") // ext4 gives no number out again for some seconds
	const dirs, stay = 40, 8
	gone := map[uint64]string{}
	for i := range dirs {
		dir := fmt.Sprint("d", i)
		m.Put(0, dir+"/x", "x")
		harness.Mkdir(t, m.Tier(1, dir))
		agree(t, m, []string{dir}, "making "+dir)
		if i >= stay {
			gone[harness.Stat(t, m.Tier(1, dir)).Ino] = dir
		}
	}
	for i := stay; i < dirs; i++ {
		if err := unix.Rmdir(m.Tier(1, fmt.Sprint("d", i))); err != nil {
			t.Fatal(err)
		}
	}
	unix.Sync() // XFS frees inodes later
	time.Sleep(300 * time.Millisecond)
	tried := 0
	for i := range 8 * stay {
		file := fmt.Sprintf("d%d/f%d", i%stay, i)
		m.Put(1, file, "x")
		dir := gone[harness.Stat(t, m.Tier(1, file)).Ino]
		if dir == "" {
			continue
		}
		tried++
		agree(t, m, []string{dir, file}, "making "+file)
		harness.Append(t, m.Tier(1, file), "more")
		agree(t, m, []string{dir, file}, "writing to "+file)
	}
	if tried == 0 {
		t.Error("no file has got the number of a directory")
	}
}

// TestWriterBesideTheMountWhoKeepsTheFileOpen is seen with each write; who stores
// into a mapping, when it is gone.
func TestWriterBesideTheMountWhoKeepsTheFileOpen(t *testing.T) {
	m := newMount(t, "ext4")
	m.Put(0, "f", strings.Repeat("x", 4096))
	agree(t, m, []string{"f"}, "making f")
	fd, err := unix.Open(m.Tier(0, "f"), unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := unix.Write(fd, make([]byte, 8192)); err != nil {
			t.Fatal(err)
		}
		agree(t, m, []string{"f"}, "a write")
	}
	mapped, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	time.Sleep(20 * time.Millisecond) // another time of the kernel's coarse clock
	mapped[0] = 'y'
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	agree(t, m, []string{"f"}, "the end of a mapping")
}

// TestWriterThroughTheMount: its writes go past the daemon, and are not watched
// while it has the file open. What others write meanwhile is seen after
// attr_timeout, and what comes later at once again.
func TestWriterThroughTheMount(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	for rank := range 2 {
		rel := fmt.Sprint("f", rank)
		m.Put(rank, rel, "x")
		agree(t, m, []string{rel}, "making "+rel)
		fd, err := unix.Open(m.Path(rel), unix.O_WRONLY|unix.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := unix.Write(fd, []byte("more")); err != nil {
				t.Fatal(err)
			}
			agree(t, m, []string{rel}, "a write through the mount")
			harness.Append(t, m.Tier(rank, rel), "behind it")
			agree(t, m, []string{rel}, "a write behind the mount")
		}
		unix.Close(fd)
		harness.Stat(t, m.Path(rel))
		harness.Append(t, m.Tier(rank, rel), "later")
		agree(t, m, []string{rel}, "a write behind the mount, when the file is closed")
	}
}

// TestWriterThroughTheMountIsHeardTwice: what it goes on to write is not even an event,
// each of which would cost it time; nor once its file has lost its name.
func TestWriterThroughTheMountIsHeardTwice(t *testing.T) {
	harness.Require(t, "passthrough")
	m := newMount(t, "ext4")
	m.Put(0, "old", "x")
	agree(t, m, []string{"old"}, "making a file")
	for _, name := range []string{"old", "new", "removed", "replaced"} {
		f, err := os.OpenFile(m.Path(name), os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "removed":
			harness.Remove(t, m.Path(name))
		case "replaced":
			harness.Rename(t, m.Path("new"), m.Path(name))
		}
		before := cacheOf(m)
		const writes = 100
		for range writes {
			if _, err := f.WriteString("more"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Millisecond) // longer than events wait
		}
		if n := cacheOf(m).Events - before.Events; n > writes/5 {
			t.Errorf("%s: %d events of %d writes", name, n, writes)
		}
		f.Close()
	}
}

// TestFileIsWatchedAgainAfterItsLastWriter: also what others write in the moment of the
// close is seen, and while a reader keeps the file open. A timeout would take a minute.
func TestFileIsWatchedAgainAfterItsLastWriter(t *testing.T) {
	harness.Require(t, "passthrough")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M")}, "cache=coherent", "attr_timeout=60")
	m.Up()
	if s := cacheOf(m); !s.Coherent {
		t.Fatal(s.Why)
	}
	write := func(f *os.File) {
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
	}
	for writes := range 5 {
		for i := range 20 {
			rel := fmt.Sprintf("f%d.%d", writes, i)
			f, err := os.OpenFile(m.Path(rel), os.O_WRONLY|os.O_CREATE, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			for range writes {
				write(f)
				time.Sleep(2 * time.Millisecond) // longer than events wait
			}
			if i%2 == 0 {
				reader, err := os.Open(m.Path(rel))
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
			}
			behind, err := os.OpenFile(m.Tier(0, rel), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			harness.Stat(t, m.Path(rel))
			f.Close()
			harness.Stat(t, m.Path(rel))
			write(behind)
			agree(t, m, []string{rel}, fmt.Sprint(writes, " writes and a close"))
			for range 3 {
				write(behind)
				agree(t, m, []string{rel}, "a write behind the mount")
			}
			behind.Close()
		}
	}
}

// TestWriterOfAFileWithANameOnEachTier: for the mount it is two files. A name that comes
// when the writer is not heard any more is right once he has closed the file.
func TestWriterOfAFileWithANameOnEachTier(t *testing.T) {
	harness.Require(t, "passthrough")
	m := newMount(t, "ext4", "same")
	for _, when := range []string{"before", "after"} {
		m.Put(0, when, "x")
		link := func() {
			if err := os.Link(m.Tier(0, when), m.Tier(1, "link-"+when)); err != nil {
				t.Fatal(err)
			}
			agree(t, m, []string{"link-" + when}, "a link")
		}
		if when == "before" {
			link()
		}
		f, err := os.OpenFile(m.Path(when), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := f.WriteString("more"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond) // longer than events wait
			if when == "before" {
				agree(t, m, []string{"link-before"}, "a write through the mount, under another name")
			}
		}
		if when == "after" {
			link()
			if _, err := f.WriteString("at last"); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		agree(t, m, []string{when, "link-" + when}, "the close")
	}
}

// TestWriterOfManyFilesIsNotHeard: each of them once would be more than the queue holds.
func TestWriterOfManyFilesIsNotHeard(t *testing.T) {
	harness.Require(t, "passthrough")
	m := newMount(t, "ext4")
	all := make([]*os.File, 500)
	for i := range all {
		f, err := os.Create(m.Path(fmt.Sprint("f", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		all[i] = f
	}
	time.Sleep(100 * time.Millisecond) // all that was done is read
	before := cacheOf(m)
	for range 3 {
		for _, f := range all {
			if _, err := f.WriteString("more"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := cacheOf(m).Events - before.Events; n == 0 || n > 200 {
		t.Errorf("%d events", n)
	}
}

// TestOwnOperationsAreNotTakenForOthers: what goes through the mount must not make
// the kernel forget what it knows.
func TestOwnOperationsAreNotTakenForOthers(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	before := cacheOf(m)
	const n = 1000
	for i := range n {
		p := m.Path(fmt.Sprint("f", i))
		if err := unix.Mknod(p, unix.S_IFREG|0o644, 0); err != nil { // not opened: a close is an event
			t.Fatal(err)
		}
		harness.Chmod(t, p, 0o600)
		harness.Rename(t, p, p+"renamed")
		harness.Mkdir(t, m.Path(fmt.Sprint("d", i)))
		harness.Remove(t, p+"renamed")
	}
	time.Sleep(100 * time.Millisecond)
	after := cacheOf(m)
	t.Logf("%d times: %d events, %d our own, %d told, %d sweeps", n, after.Events-before.Events, after.Own-before.Own, after.Told-before.Told, after.Sweeps-before.Sweeps)
	if after.Sweeps != before.Sweeps {
		t.Errorf("everything was looked up anew %d times", after.Sweeps-before.Sweeps)
	}
	if after.Own-before.Own < 2*n {
		t.Errorf("only %d events are our own", after.Own-before.Own)
	}
	if told := after.Told - before.Told; told > n { // of 5n operations: an event may be read before its call has returned
		t.Errorf("the kernel was told of %d", told)
	}
}

// TestOverflowMakesEverythingNew: more happens than the queue holds.
func TestOverflowMakesEverythingNew(t *testing.T) {
	const limit = "/proc/sys/fs/fanotify/max_queued_events"
	was := harness.Read(t, limit)
	harness.Write(t, limit, "16")
	t.Cleanup(func() { os.WriteFile(limit, []byte(was), 0) })
	m := newMount(t, "ext4", "xfs")
	harness.Write(t, limit, was)
	var paths []string
	for i := range 60 {
		rel := fmt.Sprint("d/f", i)
		m.Put(i%2, rel, "x")
		paths = append(paths, rel, fmt.Sprint("d/none", i))
	}
	agree(t, m, paths, "making files")
	if err := unix.Kill(m.Pid(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		harness.Append(t, m.Tier(i%2, fmt.Sprint("d/f", i)), "more")
		m.Put(i%2, fmt.Sprint("d/none", i), "x")
	}
	if err := unix.Kill(m.Pid(), unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	agree(t, m, paths, "an overflow")
	if s := cacheOf(m); s.Sweeps == 0 {
		t.Error("the queue did not overflow: nothing was shown")
	}
}

// TestNobodyLosesHisPlace: changes beside a directory must not take away what is
// mounted in it, nor the way out from who is in it.
func TestNobodyLosesHisPlace(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	m.Put(0, "d/e/f", "x")
	harness.Mkdir(t, m.Tier(0, "d/e/inner"))
	agree(t, m, []string{"d/e/inner", "d/e/f"}, "making it")
	time.Sleep(20 * time.Millisecond) // for events that come late
	harness.Must(t, "mount", "-t", "tmpfs", "tmpfs", m.Path("d/e/inner"))
	defer harness.Must(t, "umount", m.Path("d/e/inner"))
	fd, err := unix.Open(m.Path("d/e"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	paths := []string{"d/e/f", "d/e/g", "d/e"}
	m.Put(1, "d/e/g", "y") // made there, directory by directory
	agree(t, m, paths, "a copy of the directory")
	harness.Rename(t, m.Tier(1, "d"), m.Tier(1, "gone"))
	agree(t, m, paths[:2], "the copy was moved away")
	harness.Rename(t, m.Tier(1, "gone"), m.Tier(1, "d"))
	agree(t, m, paths[:2], "the copy came back")
	if len(harness.MountsAt(m.Path("d/e/inner"))) != 1 {
		t.Error("what was mounted inside is gone")
	}
	if to, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err != nil || to != m.Path("d/e") {
		t.Errorf("the open directory is at %q, %v", to, err)
	}
}

// TestLookingIsNoChange: a directory is known before all tiers were asked for it,
// and what the others have is no news.
func TestLookingIsNoChange(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	m.Down()
	for i := range 100 {
		for rank := range 2 {
			harness.Mkdir(t, m.Tier(rank, fmt.Sprint("d", i)))
			harness.Write(t, m.Tier(rank, fmt.Sprintf("d%d/f%d", i, rank)), "")
		}
	}
	m.Up()
	for i := range 100 {
		if _, err := os.ReadDir(m.Path(fmt.Sprint("d", i))); err != nil {
			t.Error(err)
		}
	}
	harness.Must(t, "ls", "-lR", m.Dir)
	if s := cacheOf(m); s.Sweeps != 0 {
		t.Errorf("%d sweeps", s.Sweeps)
	}
}
