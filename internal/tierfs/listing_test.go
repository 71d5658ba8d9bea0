package tierfs

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListingGivesBackItsRows(t *testing.T) {
	if size := reflect.TypeFor[row]().Size(); size != 16 {
		t.Errorf("a row has %d bytes", size)
	}
	r := rand.New(rand.NewPCG(1, 2))
	l := &listing{}
	var names []string
	text := 0
	for i := range 10_000 {
		name := fmt.Sprint(i, strings.Repeat("n", r.IntN(250)))
		names = append(names, name)
		l.add(name, uint64(i), i%3, unix.DT_REG)
		text += len(name)
	}
	if l.len() != len(names) || l.text != text {
		t.Errorf("%d rows with names of %d bytes, want %d of %d", l.len(), l.text, len(names), text)
	}
	for i, name := range names {
		if row := l.row(i); l.name(row) != name || row.ino != uint64(i) || int(row.rank) != i%3 || row.typ != unix.DT_REG {
			t.Fatalf("row %d is %q, %+v", i, l.name(row), *row)
		}
	}
}

// The names of one tier are taken in when the next is listed.
func TestNameSetHasWhatItWasGiven(t *testing.T) {
	l, s := &listing{}, &nameSet{}
	if s.has(l, "0") {
		t.Error("an empty set has a name")
	}
	for _, n := range []int{1, 100, 5000, 5001, 20_000} {
		for l.len() < n {
			l.add(fmt.Sprint(l.len()), 0, 0, unix.DT_REG)
		}
		if last := fmt.Sprint(n - 1); s.has(l, last) {
			t.Errorf("%q is there before it was taken in", last)
		}
		s.extend(l)
		for i := range n {
			if !s.has(l, fmt.Sprint(i)) {
				t.Fatalf("of %d names %d is not there", n, i)
			}
		}
		if s.has(l, fmt.Sprint(n)) || s.has(l, "") {
			t.Errorf("of %d names there is one more", n)
		}
		if len(s.slots) > 16 && len(s.slots) >= 3*n {
			t.Errorf("%d slots for %d names", len(s.slots), n)
		}
	}
}
