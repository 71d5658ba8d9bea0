package mover

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonHasAText reads the constants from their source, so that a new
// one cannot be forgotten.
func TestEveryReasonHasAText(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "tree.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
			return true
		}
		word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		text, known := texts[Reason(word)]
		if !known || text == "" || text != Reason(word).Text() || strings.HasSuffix(text, ".") {
			t.Errorf("%s: text %q", spec.Names[0].Name, text)
		}
		return true
	})
	if seen != len(texts) {
		t.Errorf("%d constants, %d texts", seen, len(texts))
	}
	if got := Reason("of a newer daemon").Text(); got != "of a newer daemon" {
		t.Errorf("an unknown reason: %q", got)
	}
}
