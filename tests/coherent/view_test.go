// Package coherent tests that the kernel caches for long and yet shows no one
// what has changed since: tiers are changed behind the mount, and it must show
// that within a moment.
//
// The mounts have entry_timeout=0 and attr_timeout=0, so that nothing is healed
// by time: what is shown wrong once stays so.
package coherent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

var unhealed = []string{"cache=coherent", "entry_timeout=0", "attr_timeout=0"}

// patience is for a loaded machine; what is measured is printed.
const patience = 20 * time.Second

// newMount mounts directories on fresh filesystems of the given types; "same" is
// one more on the last.
func newMount(t *testing.T, types ...string) *harness.Mount {
	t.Helper()
	var tiers []string
	var disk string
	for i, fstype := range types {
		if fstype != "same" {
			disk = harness.On(t, fstype, "64M")
		}
		dir := filepath.Join(disk, fmt.Sprint("t", i))
		harness.Mkdir(t, dir)
		tiers = append(tiers, dir)
	}
	m := harness.NewOn(t, tiers, unhealed...)
	m.Up()
	if s := cacheOf(m); !s.Coherent {
		t.Fatalf("not coherent on %v: %s", types, s.Why)
	}
	return m
}

// churn makes and removes files all the time, until it is told to stop.
func churn(paths ...string) (stop func()) {
	ended := make(chan struct{})
	var work sync.WaitGroup
	for _, p := range paths {
		work.Go(func() {
			for ; ; os.Remove(p) {
				select {
				case <-ended:
					return
				default:
					os.WriteFile(p, nil, 0o644)
				}
			}
		})
	}
	return func() {
		close(ended)
		work.Wait()
	}
}

// expected describes what rel has to be by the rule of the union.
func expected(m *harness.Mount, rel string) string {
	ranks := make([]int, len(m.Tiers))
	for i := range ranks {
		ranks[i] = i
	}
	var all []unix.Stat_t
	at := ""
	for _, name := range strings.Split(rel, "/") {
		at = filepath.Join(at, name)
		if len(all) > 0 && all[0].Mode&unix.S_IFMT != unix.S_IFDIR {
			return "absent"
		}
		var next []int
		all = nil
		for _, rank := range ranks {
			var st unix.Stat_t
			if unix.Lstat(m.Tier(rank, at), &st) != nil {
				continue
			}
			if dir := st.Mode&unix.S_IFMT == unix.S_IFDIR; !dir && len(all) > 0 {
				break
			}
			next, all = append(next, rank), append(all, st)
			if st.Mode&unix.S_IFMT != unix.S_IFDIR {
				break
			}
		}
		ranks = next
	}
	if len(all) == 0 {
		return "absent"
	}
	st := all[0]
	names := map[string]bool{}
	for i := range all {
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			addNames(names, m.Tier(ranks[i], rel))
		}
		if i == 0 {
			continue
		}
		if st.Nlink += all[i].Nlink; all[i].Nlink == 1 || all[0].Nlink == 1 {
			st.Nlink = 1
		}
		st.Mtim, st.Ctim = newer(st.Mtim, all[i].Mtim), newer(st.Ctim, all[i].Ctim)
	}
	return describe(&st, m.Tier(ranks[0], rel), names)
}

func newer(a, b unix.Timespec) unix.Timespec {
	if b.Sec > a.Sec || b.Sec == a.Sec && b.Nsec > a.Nsec {
		return b
	}
	return a
}

func addNames(names map[string]bool, dir string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if e.Name() != ".tierfs" {
			names[e.Name()] = true
		}
	}
}

// seen describes what the mount shows.
func seen(m *harness.Mount, rel string) string {
	var st unix.Stat_t
	switch err := unix.Lstat(m.Path(rel), &st); err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR:
		return "absent"
	default:
		return err.Error()
	}
	names := map[string]bool{}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		addNames(names, m.Path(rel))
	}
	return describe(&st, m.Path(rel), names)
}

func describe(st *unix.Stat_t, path string, names map[string]bool) string {
	s := fmt.Sprintf("mode %o, %d links, owner %d, mtime %d.%09d, ctime %d.%09d", st.Mode, st.Nlink, st.Uid,
		st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		var list []string
		for name := range names {
			list = append(list, name)
		}
		slices.Sort(list)
		return s + fmt.Sprintf(", entries %q", list)
	case unix.S_IFLNK:
		target, _ := os.Readlink(path)
		return s + ", to " + target
	}
	return s + fmt.Sprintf(", %d bytes", st.Size)
}

// difference is the first of paths that is not shown as it is, or "". The tiers
// are looked at before and after, in case something changes them by itself.
func difference(m *harness.Mount, paths []string) string {
	for _, rel := range paths {
		want := expected(m, rel)
		if got := seen(m, rel); got != want && expected(m, rel) == want {
			return fmt.Sprintf("%s:\n  shown    %s\n  should be %s", rel, got, want)
		}
	}
	return ""
}

// agree waits until the mount shows what is in the tiers, and returns for how
// long it did not.
func agree(t *testing.T, m *harness.Mount, paths []string, what string) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		diff := difference(m, paths)
		took := time.Since(begin)
		if diff == "" {
			return took
		}
		if took > patience {
			t.Fatalf("after %s, still after %v: %s", what, patience, diff)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
