package stress

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// view is a tree by path: what each name is.
type view map[string]string

// describe is what must be the same in the mount and in the tier.
func describe(t *testing.T, path string, st *unix.Stat_t) string {
	t.Helper()
	text := fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return text
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%s -> %s %v", text, target, err)
	}
	return fmt.Sprintf("%s nlink %d size %d mtime %v sum %s", text, st.Nlink, st.Size, st.Mtim, sum([]byte(harness.Read(t, path))))
}

// shown is the tree as the mount shows it.
func shown(t *testing.T, root string) view {
	t.Helper()
	return mergedView(t, []string{root})
}

// mergedView is the tree as the tiers, in rank order, must be shown.
func mergedView(t *testing.T, tiers []string) view {
	t.Helper()
	v := view{}
	v.merge(t, tiers, ".")
	return v
}

func (v view) merge(t *testing.T, tiers []string, rel string) {
	t.Helper()
	var dirs []string
	for _, tier := range tiers {
		path := filepath.Join(tier, rel)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err == unix.ENOENT {
			continue
		} else if err != nil {
			t.Fatalf("lstat %s: %v", path, err)
		}
		if len(dirs) == 0 {
			v[rel] = describe(t, path, &st)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			break
		}
		dirs = append(dirs, tier)
	}
	names := map[string]bool{}
	for _, tier := range dirs {
		for _, name := range harness.List(t, filepath.Join(tier, rel)) {
			names[name] = true
		}
	}
	for name := range names {
		if path := filepath.Join(rel, name); path != ".tierfs" && path != "lost+found" {
			v.merge(t, dirs, path)
		}
	}
}

// compare reports the first differences of two trees.
func compare(t *testing.T, what string, got, want view) {
	t.Helper()
	reported := 0
	for _, path := range append(keys(got), keys(want)...) {
		if got[path] != want[path] && reported < 10 {
			t.Errorf("%s: %s is\n  %q, want\n  %q", what, path, got[path], want[path])
			reported++
		}
	}
}
