package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const trouble = "../../docs/troubleshooting.md"

// varies is what differs in a message: a verb of package fmt in the source, an
// ellipsis in the document.
var varies = regexp.MustCompile(`%(\[\d\])?[a-z]|…`)

// said are all strings of the source, cut where they vary.
func said(t *testing.T) (all []string) {
	t.Helper()
	for _, root := range []string{"../../mount.tierfs", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					all = append(all, varies.Split(strings.ReplaceAll(text, "%%", "%"), -1)...)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A message that is looked up must be the one that is seen.
func TestTroubleshootingQuotesMessagesThatExist(t *testing.T) {
	text, err := os.ReadFile(trouble)
	if err != nil {
		t.Fatal(err)
	}
	source := said(t)
	quoted := 0
	for line := range strings.Lines(string(text)) {
		message, ok := strings.CutPrefix(line, "    ")
		if !ok {
			continue
		}
		quoted++
		for _, prefix := range []string{"mount.tierfs: ", "tierfs: "} {
			message = strings.TrimPrefix(message, prefix)
		}
		long := false
		for _, part := range varies.Split(strings.TrimSpace(message), -1) {
			part = strings.TrimSpace(part)
			long = long || len(part) >= 10
			if !saidIn(source, part) {
				t.Errorf("%s: no message of tierfs has %q", trouble, part)
			}
		}
		if !long {
			t.Errorf("%s: too little to tell it by: %s", trouble, message)
		}
	}
	if quoted < 40 {
		t.Errorf("%s: quotes %d messages", trouble, quoted)
	}
}

// saidIn reports whether text is put together from strings of the source: each
// piece of it, the longest that there is, is more than a word by chance.
func saidIn(all []string, text string) bool {
	const least = 15
	for text = strings.TrimLeft(text, " :;"); text != ""; text = strings.TrimLeft(text, " :;") {
		n := len(text)
		for n >= min(least, len(text)) && !containedIn(all, text[:n]) {
			n--
		}
		if n < min(least, len(text)) {
			return false
		}
		text = text[n:]
	}
	return true
}

func containedIn(all []string, part string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, part) })
}
