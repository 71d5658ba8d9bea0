package move

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestDirectoriesKeepTheTimesTheyAreGiven: trees are copied with their times, as cp -a
// and rsync do, while files go down and up, several batches at a time, some of which
// make the directories that others fill. All times are those that were given, also
// where the mode is given after them.
func TestDirectoriesKeepTheTimesTheyAreGiven(t *testing.T) {
	m := newMount(t)
	m.Up()
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	source := harness.TempDir(t)
	for i := range 160 {
		if err := os.MkdirAll(fmt.Sprintf("%s/d%d/sub", source, i%16), 0o755); err != nil {
			t.Fatal(err)
		}
		harness.Write(t, fmt.Sprintf("%s/d%d/f%d", source, i%16, i), "x")
		harness.Write(t, fmt.Sprintf("%s/d%d/sub/g%d", source, i%16, i), "y")
	}
	dirs(t, source, func(path string) {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	})
	end := time.Now().Add(harness.Duration(t, "TIERFS_STRESS", 9*time.Second))
	moved := 0
	var mover sync.WaitGroup
	mover.Go(func() {
		for time.Now().Before(end.Add(2 * time.Second)) {
			for _, which := range []string{"demote", "promote"} {
				r, err := m.ended(m.start(which, ""))
				if err != nil {
					t.Error(err)
					return
				}
				moved += r.moved
			}
		}
	})
	for n := 0; time.Now().Before(end); n++ {
		copied := m.Path(fmt.Sprint("copy", n))
		harness.Must(t, "cp", "-a", source, copied)
		for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); {
			dirs(t, copied, func(path string) { ok(t, "chmod", os.Chmod(path, 0o750)) })
		}
	}
	mover.Wait()
	if moved == 0 {
		t.Error("nothing has moved")
	}
	for rank := range m.Tiers {
		dirs(t, m.Tier(rank, ""), func(path string) {
			if filepath.Dir(path) == m.Tier(rank, "") {
				return
			}
			if st := harness.Stat(t, path); st.Mtim != unix.NsecToTimespec(old.UnixNano()) {
				t.Errorf("tier %d: %s was modified %v", rank, path, time.Unix(st.Mtim.Unix()))
			}
		})
	}
}

// dirs calls fn for each directory below one, the deepest first.
func dirs(t *testing.T, dir string, fn func(path string)) {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.Name() == ".tierfs" {
			return filepath.SkipDir
		}
		if e != nil && e.IsDir() && path != dir {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		fn(all[len(all)-1-i])
	}
}
