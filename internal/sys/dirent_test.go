package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rowBytes builds a struct linux_dirent64 (getdents64(2)): ino at 0, offset at
// 8, length at 16, type at 18, the name from 19 on.
func rowBytes(ino uint64, typ uint8, name string) []byte {
	size := (19 + len(name) + 1 + 7) &^ 7
	b := make([]byte, size)
	binary.NativeEndian.PutUint64(b, ino)
	binary.NativeEndian.PutUint64(b[8:], 77)
	binary.NativeEndian.PutUint16(b[16:], uint16(size))
	b[18] = typ
	copy(b[19:], name)
	return b
}

// withLength is a row that claims to be n bytes long.
func withLength(row []byte, n int) []byte {
	row = slices.Clone(row)
	binary.NativeEndian.PutUint16(row[16:], uint16(n))
	return row
}

func collect(b []byte) (rows []Dirent, err error) {
	err = parseDirents(b, func(d Dirent) error {
		rows = append(rows, d)
		return nil
	})
	return rows, err
}

func TestParseDirents(t *testing.T) {
	longest := strings.Repeat("x", 255)
	b := slices.Concat(rowBytes(2, unix.DT_DIR, "."), rowBytes(1, unix.DT_DIR, ".."),
		rowBytes(1<<63|9, unix.DT_REG, "a"), rowBytes(4, unix.DT_UNKNOWN, "ä\xff\n"), rowBytes(5, unix.DT_DIR, "..."),
		rowBytes(6, unix.DT_LNK, "1234"), rowBytes(7, unix.DT_LNK, "12345"), rowBytes(8, unix.DT_FIFO, longest))
	want := []Dirent{{1<<63 | 9, unix.DT_REG, "a"}, {4, unix.DT_UNKNOWN, "ä\xff\n"}, {5, unix.DT_DIR, "..."},
		{6, unix.DT_LNK, "1234"}, {7, unix.DT_LNK, "12345"}, {8, unix.DT_FIFO, longest}}
	got, err := collect(b)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := collect(nil); len(got) != 0 || err != nil {
		t.Errorf("nothing gave %v, %v", got, err)
	}
}

// A tier may be a filesystem on a stick, or somebody's FUSE server.
func TestHostileRowsAreEIO(t *testing.T) {
	good := rowBytes(3, unix.DT_REG, "good")
	noNUL := rowBytes(3, unix.DT_REG, "1234")
	for i := 19; i < len(noNUL); i++ {
		noNUL[i] = 'y'
	}
	for _, c := range []struct {
		what string
		row  []byte
	}{
		{"a slash", rowBytes(3, unix.DT_REG, "a/b")},
		{"a way out", rowBytes(3, unix.DT_REG, "../../etc/shadow")},
		{"only a slash", rowBytes(3, unix.DT_DIR, "/")},
		{"no name", rowBytes(3, unix.DT_REG, "")},
		{"no length", withLength(good, 0)},
		{"less than a header", withLength(good, 18)},
		{"a header alone", withLength(good, 19)},
		{"more than there is", withLength(good, len(good)+1)},
		{"far more", withLength(good, 0xffff)},
		{"cut", good[:18]},
		{"one byte", good[:1]},
	} {
		rows, err := collect(slices.Concat(good, c.row))
		if err != unix.EIO || len(rows) != 1 {
			t.Errorf("%s: %v after %d rows, want EIO after 1", c.what, err, len(rows))
		}
	}
	if rows, err := collect(noNUL); err != nil || len(rows) != 1 || rows[0].Name != "yyyyy" {
		t.Errorf("a name that fills its row: %v, %v", rows, err)
	}
}

func TestParseDirentsStopsAtTheFirstError(t *testing.T) {
	enough := errors.New("enough")
	calls := 0
	err := parseDirents(slices.Concat(rowBytes(1, 0, "a"), rowBytes(2, 0, "b")), func(Dirent) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// More rows than the buffer holds: nothing is lost or doubled at its seams.
func TestReadDirListsAllOfABigDirectory(t *testing.T) {
	dir := t.TempDir()
	want := map[string]uint8{}
	for i := range 300 {
		name := fmt.Sprintf("%0*d", 1+i%200, i)
		want[name] = unix.DT_REG
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"...", ".hidden", "dir"} {
		want[name] = unix.DT_DIR
		if err := os.Mkdir(filepath.Join(dir, name), 0700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	want["link"] = unix.DT_LNK
	fd, err := Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = ReadDir(fd, make([]byte, 4096), func(d Dirent) error {
		typ, ok := want[d.Name]
		if !ok || d.Type != typ && d.Type != unix.DT_UNKNOWN {
			t.Errorf("row %+v is doubled or wrong", d)
		}
		delete(want, d.Name)
		var st unix.Stat_t
		if err := unix.Fstatat(fd, d.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Ino != d.Ino {
			t.Errorf("%q has the number %d, the row says %d (%v)", d.Name, st.Ino, d.Ino, err)
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v, and these were not listed: %v", err, want)
	}
}

func TestReadDirOfNoDirectoryFails(t *testing.T) {
	fd, err := Open(unix.AT_FDCWD, "/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = ReadDir(fd, make([]byte, 4096), func(Dirent) error { return nil })
	if err != unix.ENOTDIR {
		t.Errorf("got %v, want ENOTDIR", err)
	}
}

// FuzzParseDirents holds every row that is accepted to be a single name, and
// all of them to be no more than what came in.
func FuzzParseDirents(f *testing.F) {
	f.Add(slices.Concat(rowBytes(1, unix.DT_DIR, "."), rowBytes(2, unix.DT_REG, "name"), rowBytes(3, unix.DT_DIR, "other")))
	f.Add(rowBytes(3, unix.DT_REG, "a/b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := collect(b)
		if err != nil && err != unix.EIO {
			t.Fatalf("error %v", err)
		}
		if len(rows)*direntHeader > len(b) {
			t.Fatalf("%d rows in %d bytes", len(rows), len(b))
		}
		for _, d := range rows {
			if d.Name == "" || d.Name == "." || d.Name == ".." || strings.ContainsAny(d.Name, "/\x00") {
				t.Errorf("row %q was let through", d.Name)
			}
		}
	})
}
