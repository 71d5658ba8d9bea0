// Package docs holds the manual page, --help and the parser together.
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/mountopt"
)

const page = "../../man/mount.tierfs.8"

// macros are the words of mdoc(7) that only say how the next word looks.
var macros = []string{"Ar", "Cm", "It", "Ns", "Op"}

// plain is what a reader sees of an .It line: "create=parent|primary".
func plain(line string) string {
	var b strings.Builder
	optional := false
	for _, word := range strings.Fields(strings.TrimPrefix(line, ".")) {
		switch {
		case word == "Op":
			optional = true
			b.WriteByte('[')
		case !slices.Contains(macros, word):
			b.WriteString(word)
		}
	}
	if optional {
		b.WriteByte(']')
	}
	return b.String()
}

// items are the list items of the page with their text, each heading split at
// its commas.
func items(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var heads []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ".It Cm "):
			heads = strings.Split(plain(line), ",")
			for _, head := range heads {
				all[head] = ""
			}
		case strings.HasPrefix(line, ".It "), strings.HasPrefix(line, ".El"), strings.HasPrefix(line, ".Sh"), strings.HasPrefix(line, ".Ss"):
			heads = nil
		default:
			for _, head := range heads {
				all[head] += line + "\n"
			}
		}
	}
	return all
}

// heading is how the page and --help write an option: passthrough[=auto|on|off].
func heading(e mountopt.Entry) string {
	value, optional := strings.CutPrefix(e.Arg, "[")
	switch {
	case e.Arg == "":
		return e.Name
	case optional:
		return e.Name + "[=" + value
	}
	return e.Name + "=" + value
}

func TestManualPageHasEveryOption(t *testing.T) {
	documented := items(t)
	known := map[string]bool{}
	for _, e := range mountopt.Help() {
		if e.Group == mountopt.GroupIgnored {
			continue
		}
		head := heading(e)
		known[head] = true
		body, ok := documented[head]
		switch {
		case !ok:
			t.Errorf("%s: no item %q", page, head)
		case e.Group != mountopt.GroupTierfs || e.Default == "" || e.Setting == "allow_other":
		case !strings.Contains(body, "Default: "+e.Default+"."):
			t.Errorf("%s: item %q does not say %q", page, head, "Default: "+e.Default+".")
		}
	}
	for head := range documented {
		if !known[head] {
			t.Errorf("%s: %q is no option", page, head)
		}
	}
}

// What is accepted without effect stands in one paragraph.
func TestManualPageNamesWhatIsIgnored(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nAccepted without effect:\n")
	list, _, _ = strings.Cut(list, "\n.Pp\n")
	var documented, ignored []string
	for _, word := range strings.Fields(list) {
		if word = strings.TrimRight(word, ","); word != "" && word != "." && word != ".Cm" {
			documented = append(documented, word)
		}
	}
	for _, e := range mountopt.Help() {
		if e.Group == mountopt.GroupIgnored {
			ignored = append(ignored, e.Name)
		}
	}
	slices.Sort(documented)
	slices.Sort(ignored)
	if !slices.Equal(documented, ignored) {
		t.Errorf("%s: accepted without effect: %v, want %v", page, documented, ignored)
	}
}

func TestHelpNamesEveryOption(t *testing.T) {
	out, err := exec.Command(binary(t), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("--help: %v\n%s", err, out)
	}
	words := strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune(" ,\n\t", r) })
	for _, e := range mountopt.Help() {
		if !slices.Contains(words, heading(e)) {
			t.Errorf("--help does not say %q", heading(e))
		}
	}
}

// The README's table is a selection; what it shows must exist.
func TestReadmeShowsOnlyOptionsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Options\n")
	table, _, _ = strings.Cut(table, "\n## ")
	known := map[string]bool{}
	for _, e := range mountopt.Help() {
		known[e.Name] = true
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for option := range strings.SplitSeq(cell, ", ") {
			name, _, _ := strings.Cut(strings.Trim(option, "`"), "=")
			if !known[name] {
				t.Errorf("README.md: %q is no option", name)
			}
		}
	}
}

// binary is the built command.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TIERFS_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "mount.tierfs")
	cmd := exec.Command("go", "build", "-o", path, "../../mount.tierfs")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
