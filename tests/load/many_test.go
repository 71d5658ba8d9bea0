package load

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// onMemory is a mount of two tiers with room for millions of files.
func onMemory(t *testing.T, opts ...string) *harness.Mount {
	t.Helper()
	harness.Require(t, "root", "fuse")
	const room = "4G,nr_inodes=0"
	return harness.NewOn(t, []string{harness.On(t, "tmpfs", room), harness.On(t, "tmpfs", room)}, opts...)
}

// touch makes an empty file.
func touch(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	unix.Close(fd)
}

// TestDirectoryOfAMillionEntries: each once, although a tenth lies on both
// tiers, and within the memory that a listing may have.
func TestDirectoryOfAMillionEntries(t *testing.T) {
	m := onMemory(t)
	n := size(t, 50_000, 1_000_000)
	for _, tier := range m.Tiers {
		harness.Mkdir(t, tier+"/d")
	}
	for i := range n {
		name := fmt.Sprintf("/d/document-%07d.pdf", i)
		if i%2 == 0 || i%10 == 1 {
			touch(t, m.Primary+name)
		}
		if i%2 == 1 {
			touch(t, m.Fallbacks[0]+name)
		}
	}
	m.Up()
	before, _ := memory(t, m)
	resetPeak(t, m)
	begin := time.Now()
	d, err := os.Open(m.Path("d"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]bool, n)
	count := 0
	for {
		names, err := d.Readdirnames(10_000)
		for _, name := range names {
			var i int
			if _, err := fmt.Sscanf(name, "document-%d.pdf", &i); err != nil || seen[i] {
				t.Fatalf("%q is listed twice, or is nothing (%v)", name, err)
			}
			seen[i] = true
			count++
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, peak := memory(t, m)
	t.Logf("%d entries in %v: %s at most, %s before, %d B an entry", n, time.Since(begin).Round(time.Millisecond), mib(peak), mib(before), (peak-before)/n)
	if count != n {
		t.Errorf("%d entries, want %d", count, n)
	}
	if peak > atRest+perRow*n {
		t.Errorf("listing %d entries took %s", n, mib(peak))
	}
	d.Close()
	wantMemoryBack(t, m)
}

// TestTreeOfAMillionFiles is walked with a stat of each file, twice: the kernel
// asks for every one, and then has them.
func TestTreeOfAMillionFiles(t *testing.T) {
	m := onMemory(t)
	n := size(t, 40_000, 1_000_000)
	const each = 100
	dirs := map[string]bool{}
	for i := range n / each {
		dir := fmt.Sprintf("/%03d/directory-%05d", i/100, i)
		harness.Mkdir(t, m.Tiers[i%2]+dir)
		dirs[filepath.Dir(dir)], dirs[dir] = true, true
		for j := range each {
			touch(t, fmt.Sprintf("%s%s/document-%07d.pdf", m.Tiers[i%2], dir, i*each+j))
		}
	}
	m.Up("entry_timeout=3600,attr_timeout=3600")
	rest, _ := memory(t, m)
	if rest > atRest {
		t.Errorf("%s at rest", mib(rest))
	}
	for _, walk := range []string{"cold", "warm"} {
		begin := time.Now()
		if got, want := lines(t, "find", m.Dir, "-printf", "%s\n"), n+len(dirs)+1; got != want {
			t.Errorf("a %s walk sees %d of %d", walk, got, want)
		}
		now, peak := memory(t, m)
		inodes := m.Status().Inodes
		t.Logf("%s walk of %d in %v: %d inodes, %s resident, %s at most, %d B an inode", walk, n, time.Since(begin).Round(time.Millisecond), inodes, mib(now), mib(peak), (now-rest)/inodes)
		if inodes < n && harness.Duration(t, "TIERFS_SOAK", 0) > 0 { // elsewhere another test may drop the caches
			t.Errorf("the daemon has %d inodes after a walk over %d files", inodes, n)
		}
		if now > atRest+perInode*inodes {
			t.Errorf("%s are resident for %d inodes", mib(now), inodes)
		}
	}
	wantMemoryBack(t, m)
}

// TestDeepTrees: 64 directories deep, with names that make paths near the
// limit, on one tier and on both, through all that one does to a tree.
func TestDeepTrees(t *testing.T) {
	m := harness.New(t, 1)
	const depth = 64
	name := func(level int) string { return fmt.Sprintf("%02d-%s", level, strings.Repeat("n", 55)) }
	path := func(from, to int) string {
		var parts []string
		for level := from; level < to; level++ {
			parts = append(parts, name(level))
		}
		return filepath.Join(parts...)
	}
	harness.Mkdir(t, filepath.Join(m.Fallbacks[0], "t", path(0, depth/2)))
	harness.Mkdir(t, m.Primary+"/t")
	m.Up("create=primary")
	at := m.Path("t")
	if err := unix.Chdir(at); err != nil {
		t.Fatal(err)
	}
	defer unix.Chdir("/")
	for level := range depth {
		if level >= depth/2 {
			if err := unix.Mkdir(path(0, level+1), 0o755); err != nil {
				t.Fatalf("level %d: %v", level, err)
			}
		}
		harness.Write(t, filepath.Join(path(0, level+1), "f"), fmt.Sprint(level))
	}
	check := func(top string) {
		t.Helper()
		for level := range depth {
			harness.WantRead(t, filepath.Join(top, path(1, level+1), "f"), fmt.Sprint(level))
		}
		if n := lines(t, "find", top, "-name", "f"); n != depth {
			t.Errorf("find sees %d files of %d", n, depth)
		}
	}
	check(name(0))
	harness.Rename(t, name(0), "moved")
	check("moved")
	unix.Chdir("/")
	m.Down()
	m.Up("create=primary")
	if err := unix.Chdir(at); err != nil {
		t.Fatal(err)
	}
	check("moved")
	harness.Must(t, "rm", "-r", "moved")
	unix.Chdir("/")
	for _, tier := range m.Tiers {
		harness.WantList(t, tier+"/t")
	}
}
