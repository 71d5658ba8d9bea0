package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// seed is what each case finds in a directory of its own: names that are on one
// tier, on both and hidden, with all kinds of directories around them. "p:" is
// the primary, "f:" the fallback.
var seed = []struct{ at, what string }{
	{"p:hot", "hot"}, {"p:warm", "warm"}, {"f:cold", "cold"}, {"f:old", "old"},
	{"p:dup", "dup of the primary"}, {"f:dup", "dup of the fallback"},
	{"p:pair", "pair of the primary"}, {"f:pair", "pair of the fallback"},
	{"p:d/hot", "d hot"}, {"f:d/cold", "d cold"}, {"p:d/s/hot", "d s hot"}, {"f:d/s/cold", "d s cold"},
	{"p:high/up", "high up"}, {"f:low/deep", "low deep"},
	{"p:e/", ""}, {"f:e/", ""}, {"p:pe/", ""}, {"f:fe/", ""},
	{"p:ln", "->hot"}, {"f:cln", "->cold"},
}

// sow makes a case's directory on both tiers, behind the mount.
func sow(t *testing.T, tiers []string, dir string) {
	t.Helper()
	for _, root := range tiers {
		harness.Mkdir(t, root+"/"+dir)
	}
	for _, s := range seed {
		rank := strings.Index("pf", s.at[:1])
		path := tiers[rank] + "/" + dir + "/" + s.at[2:]
		target, link := strings.CutPrefix(s.what, "->")
		switch {
		case strings.HasSuffix(path, "/"):
			harness.Mkdir(t, path)
		case link:
			harness.Symlink(t, target, path)
		default:
			harness.Mkdir(t, path[:strings.LastIndexByte(path, '/')])
			harness.Write(t, path, s.what)
			if err := unix.Setxattr(path, "user.seed", []byte(s.what), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tree is what a directory holds: for each path its kind, mode, owner and
// content.
type tree map[string]string

// look walks a directory. An error is what is at its place, and fails a
// comparison.
func look(dir string) tree {
	at := tree{}
	at.walk(dir, "")
	return at
}

func (at tree) walk(dir, rel string) {
	rows, err := os.ReadDir(dir)
	if err != nil {
		at[rel+"/"] = "readdir: " + err.Error()
	}
	for _, row := range rows {
		path, below := dir+"/"+row.Name(), rel+"/"+row.Name()
		at[below] = describe(path)
		if row.IsDir() {
			at.walk(path, below)
		}
	}
}

func describe(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "lstat: " + err.Error()
	}
	text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		if err != nil {
			return "read: " + err.Error()
		}
		text += " " + string(content)
		if st.Mtim.Sec < 1e9 { // set by hand
			text += fmt.Sprint(" of ", st.Mtim.Sec)
		}
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "readlink: " + err.Error()
		}
		text += " -> " + target
	}
	value := make([]byte, 100)
	if n, err := unix.Lgetxattr(path, "user.test", value); err == nil {
		text += " test=" + string(value[:n])
	} else if err != unix.ENODATA && err != unix.EOPNOTSUPP && err != unix.EPERM {
		text += " getxattr: " + err.Error()
	}
	return text
}

// diff tells how a tree differs from the one that is wanted, "" if it does not.
func (at tree) diff(want tree) string {
	var text strings.Builder
	for path, is := range at {
		if was, ok := want[path]; !ok {
			fmt.Fprintf(&text, "\n\t%s: is %q, should not be", path, is)
		} else if is != was {
			fmt.Fprintf(&text, "\n\t%s: is %q, want %q", path, is, was)
		}
	}
	for path, was := range want {
		if _, ok := at[path]; !ok {
			fmt.Fprintf(&text, "\n\t%s: is missing, want %q", path, was)
		}
	}
	return text.String()
}

// lost are the documents of both trees a and b that at has nowhere.
func (at tree) lost(a, b tree) (gone []string) {
	has := at.contents()
	kept := b.contents()
	for content := range a.contents() {
		if kept[content] && !has[content] {
			gone = append(gone, content)
		}
	}
	return gone
}

func (at tree) contents() map[string]bool {
	all := map[string]bool{}
	for _, is := range at {
		if strings.HasPrefix(is, "100") {
			all[strings.SplitN(is, " ", 3)[2]] = true
		}
	}
	return all
}

// union is what a directory on several tiers shows by the rules, and what is
// hidden there, found out without the mount.
func union(tiers []string, dir string) (shown tree, hidden tree) {
	shown, hidden = tree{}, tree{}
	for _, root := range tiers {
		if _, err := os.Lstat(root + "/" + dir); err == nil {
			shown.merge(hidden, look(root+"/"+dir))
		}
	}
	return shown, hidden
}

func (at tree) merge(hidden, lower tree) {
	above := maps.Clone(at)
	for path, is := range lower {
		was, ok := above[path]
		switch {
		case ok && isDir(was) && isDir(is):
		case ok || covered(above, path):
			hidden[path] = is
		default:
			at[path] = is
		}
	}
}

// covered reports whether a non-directory stands above path.
func covered(above tree, path string) bool {
	for up := filepath.Dir(path); up != "/"; up = filepath.Dir(up) {
		if is, ok := above[up]; ok && !isDir(is) {
			return true
		}
	}
	return false
}

func isDir(is string) bool { return strings.HasPrefix(is, "4") }
