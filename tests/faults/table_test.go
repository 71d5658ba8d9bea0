package faults

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// tally collects the outcomes of each row of the table, with a case for each.
type tally map[string]map[outcome]*trial

func (y tally) add(c *trial) {
	row := c.op.row
	if c.atClose() {
		row = "close"
	}
	if y[row] == nil {
		y[row] = map[outcome]*trial{}
	}
	y[row][c.outcome] = c
}

func (y tally) cell(row string) string {
	var words []string
	for _, o := range slices.Sorted(maps.Keys(y[row])) {
		words = append(words, string(o))
	}
	return strings.Join(words, ", ")
}

// hold compares a column of the table with what was seen. A soak, where every
// call is tried, tells which words were not: some depend on what the kernel
// happened to ask for.
func (y tally) hold(t *testing.T, column string, cases int) {
	t.Helper()
	y.within(t, column, cases)
	for row, words := range readColumn(t, column) {
		if harness.Soak && y[row] != nil && strings.Count(words, ",")+1 > len(y[row]) {
			t.Logf("docs/semantics.md, Faults, %q, %q: says %q, and only %q was seen", row, column, words, y.cell(row))
		}
	}
}

// within fails the test unless every outcome is in the column.
func (y tally) within(t *testing.T, column string, cases int) {
	t.Helper()
	t.Logf("%d cases", cases)
	if t.Failed() {
		return
	}
	promised := readColumn(t, column)
	for row := range y {
		words := strings.Split(promised[row], ", ")
		for o, c := range y[row] {
			if !slices.Contains(words, string(o)) {
				t.Errorf("docs/semantics.md, Faults, %q, %q: says %q, but it is %q: %v", row, column, promised[row], y.cell(row), c)
			}
		}
	}
}

// readColumn reads a column of the table by its row names.
func readColumn(t *testing.T, column string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Faults\n")
	section, _, _ = strings.Cut(section, "\n## ")
	at, cells := -1, map[string]string{}
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if at < 0 {
			at = slices.Index(row, column)
		} else if at < len(row) {
			cells[row[0]] = row[at]
		}
	}
	if at < 0 {
		t.Fatalf("docs/semantics.md, Faults: no column %q", column)
	}
	return cells
}

// TestTableHasEveryOperation: a row that nothing tests promises nothing.
func TestTableHasEveryOperation(t *testing.T) {
	promised := readColumn(t, "one call fails")
	rows := map[string]bool{"---": true, "close": true}
	for _, o := range ops {
		rows[o.row] = true
	}
	for row := range promised {
		if !rows[row] {
			t.Errorf("docs/semantics.md, Faults, %q: no such operation is tested", row)
		}
	}
	for row := range rows {
		if _, ok := promised[row]; !ok {
			t.Errorf("docs/semantics.md, Faults: no row %q", row)
		}
	}
}
