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

// A name keeps its position in the listings that follow, for as many as the offsets tell
// apart; and all names have new ones where those are used up.
func TestPositionsThatFollow(t *testing.T) {
	of := func(names ...string) *listing {
		l := &listing{}
		for _, name := range names {
			l.add(name, 1, 0, unix.DT_REG)
		}
		return l
	}
	say := func(l *listing) (s string) {
		for i := range l.len() {
			s += fmt.Sprint(l.name(l.row(i)), l.position(i), " ")
		}
		return s
	}
	var serial uint8
	last := of(".", "..", "a", "b")
	last.number(&serial, nil)
	cut := of(".", "..", "a")
	cut.follow(last)
	if of := serial; cut.number(&of, last) || cut.serial == last.serial {
		t.Error("a listing without the last name of the one before has the same serial")
	}
	for _, step := range []struct {
		next   *listing
		want   string
		serial uint8
	}{
		{of(".", "..", "a", "b"), ".1 ..2 a3 b4 ", 1},
		{of(".", "..", "a", "b", "c"), ".1 ..2 a3 b4 c5 ", 1},
		{of(".", "..", "d", "c", "b", "a"), ".1 ..2 a3 b4 c5 d6 ", 1},
		{of(".", "..", "d", "c", "a"), ".1 ..2 a3 c5 d6 ", 2},
		{of(".", "..", "a", "c"), ".1 ..2 a3 c5 ", 3},
		{of(".", "..", "a", "c", "d"), ".1 ..2 a3 c5 d7 ", 3},
		{of(".", ".."), ".1 ..2 ", 4},
		{of(".", "..", "e"), ".1 ..2 e8 ", 4},
	} {
		step.next.follow(last)
		step.next.number(&serial, last)
		if got := say(step.next); got != step.want || step.next.serial != step.serial {
			t.Errorf("%q after %q, serial %d, want %q, %d", got, say(last), step.next.serial, step.want, step.serial)
		}
		last = step.next
	}
	if at, _ := last.seek(1<<offsetBits | 4); at != 2 {
		t.Errorf("from the first listing it goes on at row %d", at)
	}
	if at, _ := last.seek(5<<offsetBits | 4); at >= 0 {
		t.Errorf("from a listing that was not given yet it goes on at row %d", at)
	}
	if at, _ := last.seek(1 << 40); at != last.len() {
		t.Errorf("from what is no offset it goes on at row %d", at)
	}
	last.ended = true
	next := of(".", "..", "e")
	next.follow(last)
	if next.number(&serial, last); next.serial != 4 || !next.ended {
		t.Errorf("the same once more has the serial %d, ended %v", next.serial, next.ended)
	}
	last = next
	next = of(".", "..", "e", "g")
	next.follow(last)
	if next.number(&serial, last); next.serial != 5 {
		t.Errorf("what follows a listing that was read to its end has the serial %d", next.serial)
	}
	last = next
	spent := 0
	for range 2 * maxSerial {
		next := of(".", "..")
		next.follow(last)
		next.adds = false
		if next.number(&serial, last) {
			spent++
		}
		last = next
	}
	if at, _ := last.seek(uint64(last.serial%maxSerial+1) << offsetBits); spent != 2 || at < 0 {
		t.Errorf("serials begin anew %d times; the oldest listing goes on at row %d", spent, at)
	}
	last.last = offsetMask
	next = of(".", "..", "f")
	next.follow(last)
	if next.number(&serial, last); say(next) != ".1 ..2 f3 " || next.older != 0 {
		t.Errorf("positions are used up, and it has %q and those of %d before", say(next), next.older)
	}
}
