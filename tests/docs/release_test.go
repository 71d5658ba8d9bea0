package docs

import (
	"os"
	"regexp"
	"testing"
)

// The packages are of the release that CHANGELOG.md names first.
func TestPackagesAreOfTheNewestRelease(t *testing.T) {
	release := find(t, "../../CHANGELOG.md", `(?m)^## ([0-9]\S*)`)
	for file, pattern := range map[string]string{
		"../../packaging/debian/changelog": `^tierfs \((.*)\)`,
		"../../packaging/rpm/tierfs.spec":  `(?m)^Version:\s*(\S+)$`,
	} {
		if got := find(t, file, pattern); got != release {
			t.Errorf("%s: %s, want %s", file, got, release)
		}
	}
}

// find is what the parentheses of pattern match first in a file.
func find(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s: no %s", file, pattern)
	}
	return string(m[1])
}
