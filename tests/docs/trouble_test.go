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

// source calls look with each node of the program's syntax.
func source(t *testing.T, look func(token.Position, ast.Node)) {
	t.Helper()
	for _, root := range []string{"../../mount.tierfs", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if n != nil {
					look(files.Position(n.Pos()), n)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// literal is the text of a string in the source; "" for anything else.
func literal(n ast.Node) string {
	if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		text, _ := strconv.Unquote(lit.Value)
		return text
	}
	return ""
}

// said are all strings of the source, cut where they vary.
func said(t *testing.T) (all []string) {
	t.Helper()
	source(t, func(_ token.Position, n ast.Node) {
		if text := literal(n); text != "" {
			all = append(all, varies.Split(strings.ReplaceAll(text, "%%", "%"), -1)...)
		}
	})
	return all
}

type warning struct {
	at   token.Position
	text string
}

// warnings are what the source has as the text of a warning or an error in the
// log. Texts that are put together have tests elsewhere.
func warnings(t *testing.T) (all []warning) {
	t.Helper()
	source(t, func(at token.Position, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "Warn" && method.Sel.Name != "Error" {
			return
		}
		if text := literal(call.Args[0]); text != "" {
			all = append(all, warning{at, text})
		}
	})
	if len(all) < 25 {
		t.Errorf("only %d warnings found", len(all))
	}
	return all
}

// A warning in the log is one line: what, why and, after a semicolon, what to do
// or what will be done about it.
func TestWarningsSayWhatToDo(t *testing.T) {
	for _, w := range warnings(t) {
		if !strings.Contains(w.text, "; ") || strings.HasSuffix(w.text, ".") || strings.Contains(w.text, "\n") {
			t.Errorf("%s: %q does not say what to do", w.at, w.text)
		}
	}
}

// A message that is looked up must be the one that is seen.
func TestTroubleshootingQuotesMessagesThatExist(t *testing.T) {
	text, err := os.ReadFile(trouble)
	if err != nil {
		t.Fatal(err)
	}
	all := said(t)
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
			if !saidIn(all, part) {
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

// reasons are what plan, why and status say of a file that stays, from the source.
func reasons(t *testing.T) (all []string) {
	t.Helper()
	source(t, func(at token.Position, n ast.Node) {
		if pair, ok := n.(*ast.KeyValueExpr); ok && strings.HasSuffix(at.Filename, "/mover/reason.go") {
			if text := literal(pair.Value); text != "" && text != "moved" {
				all = append(all, text)
			}
		}
	})
	return all
}

// What is to be done about a file that stays is said for each reason, and for no
// other.
func TestTroubleshootingHasEveryReason(t *testing.T) {
	text, err := os.ReadFile(trouble)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n### A file stays\n")
	table, _, _ = strings.Cut(table, "\n### ")
	var told []string
	for line := range strings.Lines(table) {
		if cell, ok := strings.CutPrefix(line, "| "); ok && !strings.HasPrefix(cell, "why, says ") {
			cell, _, _ = strings.Cut(cell, " | ")
			told = append(told, strings.Split(cell, "; ")...)
		}
	}
	want := reasons(t)
	slices.Sort(told)
	slices.Sort(want)
	if len(want) < 25 || !slices.Equal(told, want) {
		t.Errorf("%s has the reasons\n%s\nthe source\n%s", trouble, strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// Who looks up a line of the log finds it.
func TestTroubleshootingHasEveryWarning(t *testing.T) {
	text, err := os.ReadFile(trouble)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings(t) {
		if !strings.Contains(string(text), w.text) {
			t.Errorf("%s: %q is not in %s", w.at, w.text, trouble)
		}
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
