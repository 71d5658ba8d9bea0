package mountopt

import "strings"

// unknownOption names the nearest known option, if one is near.
func unknownOption(given string) error {
	e := &Error{What: "unknown option " + quote(given)}
	near := nearest(given)
	switch {
	case strings.HasPrefix(given, "/"):
		e.Why = "looks like a directory"
		e.Do = "separate fallbacks by colons, and put a value that has a comma in double quotes"
	case near != "":
		e.Why = "did you mean " + quote(near) + "?"
	default:
		e.Why = "tierfs has none of that name"
		e.Do = "see mount.tierfs --help"
	}
	return e
}

// nearest returns the option that given is a likely misspelling of, or "". One
// slip in three letters is the most, and two in all: more is another word.
func nearest(given string) string {
	name := canonical(given)
	best, limit := "", min(len(name)/3, 2)
	if len(name) > maxName {
		return ""
	}
	for i := range table {
		if table[i].isPrefix() {
			continue
		}
		if d := distance(name, table[i].Name); d <= limit {
			best, limit = table[i].Name, d-1
		}
	}
	return best
}

// maxName is longer than any option with two slips in it, and bounds the work
// on whatever is pasted into -o.
const maxName = 32

// distance counts the letters to insert, remove, change or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	var before []int // the row of a[:i-2]
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
