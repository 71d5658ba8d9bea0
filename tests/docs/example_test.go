package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/mountopt"
)

// pages are all texts for users.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../../man/*.[1-8]", "../../docs/*.md", "../../README.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = string(text)
		}
	}
	return all
}

// A line that is copied from an example mounts, and waits for all of its disks.
func TestFstabExamplesAreRight(t *testing.T) {
	seen := 0
	for file, text := range pages(t) {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) != 6 || f[2] != "fuse.tierfs" {
				continue
			}
			seen++
			o := mountopt.Default()
			if err := o.Parse(f[3], false); err != nil {
				t.Errorf("%s: %s: %v", file, f[3], err)
			}
			for _, dir := range o.Fallbacks {
				if !slices.Contains(strings.Split(f[3], ","), "x-systemd.requires-mounts-for="+dir) {
					t.Errorf("%s: %s does not wait for %s", file, f[3], dir)
				}
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d lines of fstab found", seen)
	}
}

var called = regexp.MustCompile(`(?:^\.Dl |^\.Ql |^    [#$] |` + "`" + `)tierfs ([a-z]+)((?: --?[a-z-]+)*)`)

// A command that is copied from a text is one, with flags that it has.
func TestTextsNameOnlyCommandsThatExist(t *testing.T) {
	known := map[string]string{}
	for _, form := range forms(t) {
		name, _, _ := strings.Cut(form, " ")
		known[name] += form + " "
	}
	seen := 0
	for file, text := range pages(t) {
		for line := range strings.Lines(text) {
			for _, m := range called.FindAllStringSubmatch(line, -1) {
				seen++
				if known[m[1]] == "" {
					t.Errorf("%s: no command %s in %q", file, m[1], line)
				}
				for flag := range strings.FieldsSeq(m[2]) {
					if !strings.Contains(known[m[1]], flag) {
						t.Errorf("%s: tierfs %s has no %s in %q", file, m[1], flag, line)
					}
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands found", seen)
	}
}

// Options that tierfs(7) marks as such exist.
func TestOverviewNamesOnlyOptionsThatExist(t *testing.T) {
	known := map[string]bool{"x-systemd.requires-mounts-for": true}
	for _, e := range mountopt.Help() {
		known[e.Name] = true
	}
	values := []string{"primary", "fallback", "noatime"} // of pins and of other filesystems
	marked := regexp.MustCompile(`(?m)^\.Cm ([a-z_.-]+)`).FindAllStringSubmatch(pages(t)["../../man/tierfs.7"], -1)
	for _, m := range marked {
		if !known[m[1]] && !slices.Contains(values, m[1]) {
			t.Errorf("tierfs(7): %s is no option", m[1])
		}
	}
	if len(marked) < 10 {
		t.Errorf("only %d options found", len(marked))
	}
}

// Completions offer no command and no flag that there is not.
func TestCompletionsOfferOnlyWhatExists(t *testing.T) {
	var words []string
	for _, form := range forms(t) {
		words = append(words, strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune(" []|", r) })...)
	}
	words = append(words, "--help")
	for shell, pattern := range map[string]string{"bash": `--[a-z-]+`, "zsh": `--[a-z-]+`, "fish": `-l ([a-z-]+)`} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(completions(t, shell), -1) {
			flag := "--" + strings.TrimPrefix(m[len(m)-1], "--")
			if !slices.Contains(words, flag) {
				t.Errorf("%s: offers %s, which no command has", shell, flag)
			}
		}
	}
}
