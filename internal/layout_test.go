// Package internal has no code of its own. Its test holds the layout that
// docs/design.md describes.
package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tierfs/tierfs"

// mayImport is the whole layout: a package that is not here has no place, and
// what is not in its list it must do without. The command builds the graph, so
// it alone sees everything.
var mayImport = map[string][]string{
	"internal/sys":       {},
	"internal/mountopt":  {},
	"internal/control":   {"internal/sys"},
	"internal/human":     {},
	"internal/tier":      {"internal/human", "internal/sys"},
	"internal/watch":     {"internal/sys"},
	"internal/inode":     {"internal/tier"},
	"internal/fusedev":   {"internal/sys"},
	"internal/daemon":    {"internal/sys"},
	"internal/generator": {"internal/daemon", "internal/mountopt"},
	"internal/mover":     {"internal/human", "internal/tier", "internal/sys"},
	"internal/tierfs":    {"internal/inode", "internal/mover", "internal/tier", "internal/sys", "internal/fusedev", "internal/watch"},
	"mount.tierfs": {"internal/control", "internal/daemon", "internal/fusedev", "internal/generator", "internal/human", "internal/inode", "internal/mover",
		"internal/mountopt", "internal/sys", "internal/tier", "internal/tierfs"},
}

// listed is what go list says of a package. Tests are not in Imports: they may
// reach further.
type listed struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
}

// path is the package's path in the module.
func (p listed) path() string {
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func goList(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,CgoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles)+len(p.CgoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// product reports whether the package is part of the binary: tests and
// benchmarks drive that from outside and answer to no layout.
func (p listed) product() bool {
	return strings.HasPrefix(p.path(), "internal/") || p.path() == "mount.tierfs"
}

func TestPackagesImportOnlyWhatTheLayoutAllows(t *testing.T) {
	for _, p := range goList(t) {
		if !p.product() {
			continue
		}
		allowed, known := mayImport[p.path()]
		if !known {
			t.Errorf("%s: not in the layout", p.path())
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module+"/")
			if ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s", p.path(), own)
			}
		}
	}
}

// Three modules are all that our own code uses besides the standard library:
// the two packages that know FUSE jacobsa/fuse, and the command a progress bar.
func TestOnlyThreeModulesAreUsed(t *testing.T) {
	fuse := []string{"internal/fusedev", "internal/tierfs"}
	for _, p := range goList(t) {
		if !p.product() {
			continue
		}
		for _, imp := range p.Imports {
			host, _, _ := strings.Cut(imp, "/")
			switch {
			case !strings.Contains(host, "."), strings.HasPrefix(imp, module+"/"):
			case strings.HasPrefix(imp, "golang.org/x/sys/"):
			case strings.HasPrefix(imp, "github.com/jacobsa/fuse") && slices.Contains(fuse, p.path()):
			case strings.HasPrefix(imp, "github.com/schollz/progressbar/") && p.path() == "mount.tierfs":
			default:
				t.Errorf("%s imports %s", p.path(), imp)
			}
		}
	}
}

func TestOnlySysIsUnsafe(t *testing.T) {
	for _, p := range goList(t) {
		if p.product() && p.path() != "internal/sys" && slices.Contains(p.Imports, "unsafe") {
			t.Errorf("%s imports unsafe", p.path())
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo: %v", p.path(), p.CgoFiles)
		}
	}
}
