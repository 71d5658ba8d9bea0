package harness

import (
	"encoding/binary"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Row is one entry of getdents64(2), with the offset that leads behind it.
type Row struct {
	Name string
	Ino  uint64
	Off  int64
	Kind byte
}

// Rows is one getdents64(2) with a buffer of size bytes: none at the end.
func Rows(fd, size int) (rows []Row, err error) {
	b := make([]byte, size)
	n, err := unix.Getdents(fd, b)
	for b = b[:max(n, 0)]; len(b) > 0; {
		length := binary.NativeEndian.Uint16(b[16:])
		name, _, _ := strings.Cut(string(b[19:length]), "\x00")
		rows = append(rows, Row{name, binary.NativeEndian.Uint64(b), int64(binary.NativeEndian.Uint64(b[8:])), b[18]})
		b = b[length:]
	}
	return rows, err
}

// RestOfRows reads an open directory from its position to its end, in pieces of size
// bytes.
func RestOfRows(fd, size int) (all []Row, err error) {
	for {
		some, err := Rows(fd, size)
		if err != nil || len(some) == 0 {
			return all, err
		}
		all = append(all, some...)
	}
}

// NamesOf are the names of rows in their order, without "." and "..".
func NamesOf(rows []Row) (names []string) {
	for _, r := range Visible(rows) {
		names = append(names, r.Name)
	}
	return names
}

// Visible are rows without "." and "..".
func Visible(rows []Row) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Name == "." || r.Name == ".." })
}
