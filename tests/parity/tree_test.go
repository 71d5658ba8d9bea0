package parity

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// rows reads an open directory from its position to its end.
func (r *run) rows(fd int) []harness.Row {
	all, err := harness.RestOfRows(fd, 8192)
	r.must("getdents", err)
	return all
}

// rowNames are names with their types, sorted, without "." and "..".
func rowNames(rows []harness.Row) []string {
	var names []string
	for _, e := range harness.Visible(rows) {
		names = append(names, fmt.Sprintf("%s/%d", shortName(e.Name), e.Kind))
	}
	sort.Strings(names)
	return names
}

// tree describes everything below dir: attributes, contents, link targets,
// extended attributes, and which names are one file. Entries deeper than
// PATH_MAX are left out. Block counts are compared by the scenarios that are
// about them, because a filesystem may allocate late.
func tree(dir string) []string {
	t := treeWriter{root: dir, first: map[uint64]string{}}
	t.walk(".")
	return t.lines
}

type treeWriter struct {
	root  string
	lines []string
	first map[uint64]string // the first name seen of an inode with several
}

func (t *treeWriter) walk(rel string) {
	full := filepath.Join(t.root, rel)
	if len(full) > 3000 {
		return
	}
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		t.lines = append(t.lines, rel+": "+errName(err))
		return
	}
	line := fmt.Sprintf("tree %s: %s", shortName(rel), attrs(&st, nil))
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if st.Nlink > 1 && !isDir {
		if first, seen := t.first[st.Ino]; seen {
			t.lines = append(t.lines, line+" same as "+shortName(first))
			return
		}
		t.first[st.Ino] = rel
	}
	t.lines = append(t.lines, line+t.details(full, st.Mode&unix.S_IFMT, st.Size))
	if isDir {
		t.descend(rel, full)
	}
}

func (t *treeWriter) descend(rel, full string) {
	names, err := os.ReadDir(full)
	if err != nil {
		t.lines = append(t.lines, rel+": "+errName(err))
	}
	for _, e := range names {
		if rel != "." || e.Name() != ".tierfs" {
			t.walk(filepath.Join(rel, e.Name()))
		}
	}
}

// details are content, link target and extended attributes.
func (t *treeWriter) details(full string, kind uint32, size int64) string {
	var text string
	switch {
	case kind == unix.S_IFREG && size < 64<<20:
		b, err := os.ReadFile(full)
		text = fmt.Sprintf(" content %s %s", brief(b), errName(err))
	case kind == unix.S_IFLNK:
		target, err := os.Readlink(full)
		text = fmt.Sprintf(" target %s %s", shortName(target), errName(err))
	}
	names, err := listxattr(full)
	if err != nil {
		return text + " xattrs " + errName(err)
	}
	for _, name := range names {
		b := make([]byte, 65536)
		n, err := unix.Lgetxattr(full, name, b)
		text += fmt.Sprintf(" xattr %s=%s %s", shortName(name), brief(b[:max(n, 0)]), errName(err))
	}
	return text
}
