package harness

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Write makes or replaces a file (mode 0644).
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Append adds to a file.
func Append(t testing.TB, path, text string) {
	t.Helper()
	if err := appendFile(path, text); err != nil {
		t.Fatal(err)
	}
}

// Read returns a file's content.
func Read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Mkdir makes a directory (mode 0755) and what is missing above it.
func Mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// Remove removes one name.
func Remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Rename renames.
func Rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// Symlink makes a symbolic link.
func Symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// Chown sets owner and group.
func Chown(t testing.TB, path string, uid, gid int) {
	t.Helper()
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// Chmod sets the mode, all twelve bits of it.
func Chmod(t testing.TB, path string, mode uint32) {
	t.Helper()
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatalf("chmod %s: %v", path, err)
	}
}

// Exists says whether there is such a name. An error other than "no such
// file" fails the test: it is not an answer.
func Exists(t testing.TB, path string) bool {
	t.Helper()
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); err {
	case nil:
		return true
	case unix.ENOENT, unix.ENOTDIR:
		return false
	default:
		t.Fatalf("lstat %s: %v", path, err)
		return false
	}
}

// List returns the names in a directory, sorted.
func List(t testing.TB, path string) []string {
	t.Helper()
	rows, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range rows {
		names = append(names, row.Name())
	}
	return names
}

// WantList fails the test unless a directory has exactly these names.
func WantList(t testing.TB, path string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := List(t, path); !slices.Equal(got, want) {
		t.Errorf("%s lists %q, want %q", path, got, want)
	}
}

// WantRead fails the test unless a file has exactly this content.
func WantRead(t testing.TB, path, want string) {
	t.Helper()
	if got := Read(t, path); got != want {
		t.Errorf("%s reads %q, want %q", path, abridged(got), abridged(want))
	}
}

// WantErrno fails the test unless err is, or wraps, the wanted errno.
func WantErrno(t testing.TB, what string, err error, want unix.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// Stat is lstat(2).
func Stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func abridged(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…" + strings.ToValidUTF8(s[len(s)-100:], "")
}
