package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindMountPointResolvesAsTheKernelDoes(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(base)
	for _, dir := range []string{"a/b", "c"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"l": "a/b", "abs": base + "/a", "twice": "l", "slash": "a/b/"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for in, want := range map[string]string{
		"a/b":       "/a/b",
		"a/b///":    "/a/b",
		base + "/c": "/c",
		"l":         "/a/b",
		"l/":        "/a/b",
		"slash":     "/a/b",
		"twice":     "/a/b",
		"abs/b":     "/a/b",
		"l/..":      "/a", // not base: the link is followed first
		"l/.":       "/a/b",
		".":         "",
		"a/../c":    "/c",
	} {
		p, err := FindMountPoint(in)
		if err != nil || p.Path != base+want || p.Taken {
			t.Errorf("%q: %+v, %v; want %q", in, p, err, base+want)
		}
	}
}

func TestFindMountPointErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("loop", "loop"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"none":                   "no such directory; create it",
		"none/none":              "no such directory; create it",
		"file/x":                 "not a directory",
		"loop":                   "too many levels of symbolic links",
		strings.Repeat("x", 300): "file name too long",
	} {
		_, err := FindMountPoint(dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "mount point ") {
			t.Errorf("%.20q: %v; want %q", dir, err, want)
		}
	}
	p, err := FindMountPoint("file")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("file: %v", err)
	}
}

func TestFindMountPointSeesWhatIsMounted(t *testing.T) {
	p, err := FindMountPoint("/proc/")
	if err != nil || !p.Taken || p.Top.Type != "proc" || p.Path != "/proc" {
		t.Errorf("/proc/: %+v, %v", p, err)
	}
	if p.Dead() || p.Check() != nil {
		t.Error("/proc is dead or no directory")
	}
	if p, err := FindMountPoint("/"); err != nil || p.Path != "/" || !p.Taken {
		t.Errorf("/: %+v, %v", p, err)
	}
}
