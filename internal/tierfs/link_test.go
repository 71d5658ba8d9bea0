package tierfs

import (
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

func TestRelative(t *testing.T) {
	for _, c := range []struct{ path, target, want string }{
		{"link", "a", "a"},
		{"link", "a/b", "a/b"},
		{"link", "", "."},
		{"a/link", "", ".."},
		{"a/b/link", "", "../.."},
		{"a/link", "a/b", "b"},
		{"a/link", "b/c", "../b/c"},
		{"a/b/c/link", "a/x/y", "../../x/y"},
		{"a/link", "ab", "../ab"},
		{"a/link", "../a", "../../a"},
		{"a/c/link", "a/../b", "../../b"},
	} {
		if got := relative(c.path, c.target); got != c.want {
			t.Errorf("relative(%q, %q) is %q, want %q", c.path, c.target, got, c.want)
		}
	}
}

// However odd a target is, the link leads where it led, is not empty, and does
// not lead out of the mount by being absolute.
func TestRelativeLeadsToTheTarget(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	join := func(parts []string, n int) string {
		var p []string
		for range n {
			p = append(p, parts[r.IntN(len(parts))])
		}
		return strings.Join(p, "/")
	}
	for range 20000 {
		link := join([]string{"a", "b", "c"}, 1+r.IntN(4)) + "/link"
		target := strings.TrimLeft(join([]string{"a", "b", "c", "", "."}, r.IntN(5)), "/") // shownTarget cuts those off
		got := relative(link, target)
		if got == "" || got[0] == '/' || path.Join("/", path.Dir(link), got) != path.Join("/", target) {
			t.Fatalf("relative(%q, %q) is %q", link, target, got)
		}
	}
}

func TestShownTargetOfATargetInATier(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(0, "d/e")
	r.mkdir(1, "d")
	outside := t.TempDir()
	// So deep that the way up is longer than a tier's own path.
	deep := strings.Repeat("s/", len(r.at(0, ""))) + "link"
	r.mkdir(0, path.Dir(deep))
	longest := r.at(1, "") + "/" + strings.Repeat("x/", unix.PathMax)
	longest = longest[:unix.PathMax-1]
	for name, c := range map[string]struct{ stored, shown string }{
		"plain":    {"d/e", "d/e"},
		"up":       {"../x", "../x"},
		"root":     {r.at(0, ""), "."},
		"slash":    {r.at(0, "") + "/", "."},
		"primary":  {r.at(0, "d/e"), "d/e"},
		"fallback": {r.at(1, "d/none"), "d/none"},
		"outside":  {outside, outside},
		"like":     {r.at(0, "") + "x/y", r.at(0, "") + "x/y"},
		"d/deep":   {r.at(1, "x"), "../x"},
		"d/same":   {r.at(1, "d/x"), "x"},
		"d/twice":  {r.at(1, "") + "//d//x", "x"},
		"d/self":   {r.at(1, "d") + "/", "."},
		"long":     {longest, longest[len(r.at(1, ""))+1:]},
		deep:       {longest, longest},
	} {
		if err := os.Symlink(c.stored, r.at(0, name)); err != nil {
			t.Fatal(err)
		}
		for raw, want := range map[bool]string{false: c.shown, true: c.stored} {
			fs := r.open()
			fs.rawLinks = raw
			in := r.admit(fs, name)
			got, err := fs.target(in, (*tier.Dir).Peek)
			if err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Lstat(r.at(0, name), &st); err != nil {
				t.Fatal(err)
			}
			if got == "" || path.IsAbs(got) != path.IsAbs(want) || path.Clean(got) != path.Clean(want) || raw && got != want {
				t.Errorf("%s -> %s, raw=%v: shown as %q, want %q", name, c.stored, raw, got, want)
			}
			if shown := fs.attrs(in, &st, 0).Stat.Size; shown != int64(len(got)) {
				t.Errorf("%s: its size is %d, readlink(2) gives %d bytes", name, shown, len(got))
			}
		}
	}
}
