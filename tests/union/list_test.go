package union

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// getdents is one getdents64(2), with "." and "..": none at the end.
func getdents(t *testing.T, fd, size int) []harness.Row {
	t.Helper()
	rows, err := harness.Rows(fd, size)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// rest reads a directory from its position to its end.
func rest(t *testing.T, fd int) []harness.Row {
	t.Helper()
	rows, err := harness.RestOfRows(fd, 16384)
	if err != nil {
		t.Fatal(err)
	}
	return harness.Visible(rows)
}

func names(rows []harness.Row) []string { return slices.Sorted(slices.Values(harness.NamesOf(rows))) }

func (u union) seek(fd int, off int64) {
	u.t.Helper()
	if _, err := unix.Seek(fd, off, unix.SEEK_SET); err != nil {
		u.t.Fatalf("seek to %d: %v", off, err)
	}
}

func TestEachNameIsListedOnceWithTheWinnersType(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(0, "both", "p")
	u.Put(1, "both", "f")
	u.Put(0, "only primary", "p")
	u.Put(2, "only lowest", "f")
	u.Put(0, "file over directory", "p")
	u.dir("file over directory", 1)
	u.dir("directory", 0, 1, 2)
	harness.Symlink(t, "x", u.Tier(1, "link"))
	u.Put(2, "link", "hidden")
	u.Up()
	got := map[string]byte{}
	for _, r := range rest(t, u.open(".", unix.O_RDONLY|unix.O_DIRECTORY)) {
		if _, twice := got[r.Name]; twice {
			t.Errorf("%s is listed twice", r.Name)
		}
		got[r.Name] = r.Kind
	}
	want := map[string]byte{"both": unix.DT_REG, "only primary": unix.DT_REG, "only lowest": unix.DT_REG,
		"file over directory": unix.DT_REG, "directory": unix.DT_DIR, "link": unix.DT_LNK}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// bigUnion has 10,000 names in "d": 4,000 on each tier and 2,000 on both.
func bigUnion(t *testing.T) (union, []string) {
	u := newUnion(t, 1)
	u.dir("d", 0, 1)
	var all []string
	for i := range 10000 {
		name := fmt.Sprintf("name-%05d", i)
		all = append(all, name)
		if i < 6000 {
			u.ok("mknod", unix.Mknod(u.Tier(0, "d/"+name), unix.S_IFREG|0o644, 0))
		}
		if i >= 4000 {
			u.ok("mknod", unix.Mknod(u.Tier(1, "d/"+name), unix.S_IFREG|0o644, 0))
		}
	}
	u.Up()
	return u, all
}

func TestListingOfTenThousandIsCompleteAndSeekable(t *testing.T) {
	u, all := bigUnion(t)
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	rows := rest(t, fd)
	if got := names(rows); !slices.Equal(got, all) {
		t.Fatalf("%d names listed, want %d, each once", len(got), len(all))
	}
	for i := 0; i < len(rows)-1; i += 331 {
		u.seek(fd, rows[i].Off)
		next := getdents(t, fd, 1024)
		if len(next) == 0 || next[0] != rows[i+1] {
			t.Fatalf("behind %s comes %v, want %s", rows[i].Name, next, rows[i+1].Name)
		}
	}
	u.seek(fd, rows[5000].Off)
	if tail := rest(t, fd); len(tail) != len(rows)-5001 {
		t.Errorf("%d rows from the middle on, want %d", len(tail), len(rows)-5001)
	}
}

// TestRemovalWhileListingRemovesAll is rm -r: names are removed between two
// reads of the directory, and every one must still be seen.
func TestRemovalWhileListingRemovesAll(t *testing.T) {
	u, all := bigUnion(t)
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	removed := 0
	for rows := getdents(t, fd, 4096); len(rows) > 0; rows = getdents(t, fd, 4096) {
		for _, name := range harness.NamesOf(rows) {
			u.ok("unlink "+name, unix.Unlink(u.Path("d/"+name)))
			removed++
		}
	}
	if removed != len(all) {
		t.Errorf("%d removed, want %d", removed, len(all))
	}
	u.wantList("d")
	u.ok("rmdir", unix.Rmdir(u.Path("d")))
	u.wantOn("d")
}

func TestOffsetsStayWhenNamesComeAndGo(t *testing.T) {
	u := newUnion(t, 1)
	for i := range 300 {
		u.Put(i%2, fmt.Sprintf("d/%03d", i), "x")
	}
	u.Up()
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	rows := rest(t, fd)
	for i := range 100 {
		u.ok("unlink", unix.Unlink(u.Path("d/"+rows[i].Name)))
		u.create(fmt.Sprintf("d/new%03d", i), "")
	}
	u.seek(fd, rows[199].Off)
	tail := names(rest(t, fd))
	for _, r := range rows[200:] {
		if !slices.Contains(tail, r.Name) {
			t.Errorf("%s is behind the offset and was not listed", r.Name)
		}
	}
	for _, r := range rows[100:200] {
		if slices.Contains(tail, r.Name) {
			t.Errorf("%s is before the offset and was listed again", r.Name)
		}
	}
}

func TestRewinddirShowsWhatIsNew(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/a", "x")
	u.Put(1, "d/b", "x")
	u.Up()
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	if got := names(rest(t, fd)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("listed %q", got)
	}
	u.create("d/c", "new")
	u.ok("unlink", unix.Unlink(u.Path("d/b")))
	u.seek(fd, 0)
	if got := names(rest(t, fd)); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("listed %q after rewinddir", got)
	}
}

func TestListingReadsInSmallPieces(t *testing.T) {
	u := newUnion(t, 1)
	var want []string
	for i := range 50 {
		name := strings.Repeat(string(rune('a'+i%26)), 200) + fmt.Sprint(i)
		want = append(want, name)
		u.Put(i%2, "d/"+name, "x")
	}
	sort.Strings(want)
	u.Up()
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	all, err := harness.RestOfRows(fd, 300)
	u.ok("getdents", err)
	if got := names(all); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
}

func TestTwoReadersOfOneDirectoryDoNotDisturbEachOther(t *testing.T) {
	u := newUnion(t, 1)
	for i := range 500 {
		u.Put(i%2, fmt.Sprintf("d/%03d", i), "x")
	}
	u.Up()
	a, b := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY), u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	var fromA, fromB []harness.Row
	for range 1000 {
		rows, more := getdents(t, a, 512), getdents(t, b, 2048)
		if len(rows)+len(more) == 0 {
			break
		}
		fromA, fromB = append(fromA, rows...), append(fromB, more...)
	}
	if len(names(fromA)) != 500 || !slices.Equal(names(fromA), names(fromB)) {
		t.Errorf("%d and %d rows, want 500 each", len(fromA), len(fromB))
	}
}

func TestEmptyAndRemovedDirectoriesList(t *testing.T) {
	u := newUnion(t, 1)
	u.dir("d", 0, 1)
	u.Up()
	u.wantList("d")
	fd := u.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	u.ok("rmdir", os.Remove(u.Path("d")))
	if _, err := unix.Getdents(fd, make([]byte, 1024)); err != unix.ENOENT {
		t.Errorf("list of a removed directory: %v, want ENOENT", err)
	}
	u.wantOn("d")
}
