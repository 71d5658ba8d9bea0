// Package move has files moved between tiers, by policy and on request, while
// others use them, while disks fill up, fail and go away, and while the daemon or
// the power ends, and looks whether every file is still there, once and whole.
package move

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// quiet is for how long a file must not have changed to move.
const quiet = 1100 * time.Millisecond

// leftovers is what a move keeps in the tiers for its time.
func leftovers(t *testing.T, tiers []string) (left []string) {
	t.Helper()
	for _, tier := range tiers {
		for _, dir := range []string{"staging", "trash", "journal"} {
			rows, err := os.ReadDir(filepath.Join(tier, ".tierfs", dir))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, row := range rows {
				left = append(left, filepath.Join(tier, ".tierfs", dir, row.Name()))
			}
		}
	}
	return left
}

// wantTidy fails the test if a move has left anything.
func wantTidy(t *testing.T, tiers []string) {
	t.Helper()
	if left := leftovers(t, tiers); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// files are the paths of what a tier, or a mount, has beside directories.
func files(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir() && (rel == ".tierfs" || d.Name() == "lost+found"):
			return filepath.SkipDir
		case !d.IsDir():
			all = append(all, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// twice are the paths that are on several tiers, and on which.
func twice(t *testing.T, tiers []string) map[string][]string {
	t.Helper()
	on := map[string][]string{}
	for _, tier := range tiers {
		for _, rel := range files(t, tier) {
			on[rel] = append(on[rel], tier)
		}
	}
	maps.DeleteFunc(on, func(_ string, on []string) bool { return len(on) == 1 })
	return on
}

// wantOnce fails the test if a path is on several tiers.
func wantOnce(t *testing.T, tiers []string) {
	t.Helper()
	for rel, on := range twice(t, tiers) {
		t.Errorf("%s is on %q", rel, on)
	}
}

// readQuietly reads a file and leaves its access time alone.
func readQuietly(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	n, err := f.ReadAt(b, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %d of %d bytes: %w", path, n, st.Size, err)
	}
	return b, nil
}

// attributes are the extended attributes of a file, without what tierfs tells by
// such.
func attributes(t *testing.T, path string) map[string]string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		t.Fatalf("%s: list of attributes: %v", path, err)
	}
	all := map[string]string{}
	for _, name := range strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }) {
		if slices.Contains([]string{"user.tierfs.tier", "user.tierfs.path"}, name) {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatalf("%s: attribute %s: %v", path, name, err)
		}
		all[name] = string(value[:n])
	}
	return all
}

// awaitRecord waits until a move has written its record: it is about to change names.
func awaitRecord(t *testing.T, tiers []string) {
	t.Helper()
	wait, end := watchJournals(t, tiers)
	defer end()
	wait()
}

// watchJournals returns a function that waits until a move has written its
// record, and one that ends the watch.
func watchJournals(t *testing.T, tiers []string) (wait, end func()) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	end = func() { unix.Close(fd) }
	for _, tier := range tiers {
		journal := filepath.Join(tier, ".tierfs/journal")
		if err := os.Mkdir(journal, 0o700); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		if _, err := unix.InotifyAddWatch(fd, journal, unix.IN_MOVED_TO); err != nil {
			t.Fatal(err)
		}
	}
	wait = func() {
		t.Helper()
		events := make([]byte, 64<<10)
		for n := 1; n > 0; n, _ = unix.Read(fd, events) { // the past
		}
		n, err := 0, error(unix.EINTR)
		for err == unix.EINTR {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		}
		if n != 1 {
			t.Fatalf("nothing moves: %v", err)
		}
	}
	return wait, end
}
