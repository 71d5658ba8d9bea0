package sys

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel that has getxattrat(2) answers as one that has not.
func TestGetxattratIsAboutTheNameItself(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(dir+"/file", "user.color", []byte("red"), 0); err != nil {
		t.Skip("no attributes here:", err)
	}
	if err := unix.Setxattr(dir, "user.color", []byte("blue"), 0); err != nil {
		t.Fatal(err)
	}
	fd := openPath(t, dir)
	defer noGetxattrat.Store(noGetxattrat.Load())
	for _, old := range []bool{false, true} {
		noGetxattrat.Store(old)
		for _, c := range []struct {
			name, attr, want string
			err              error
		}{
			{"file", "user.color", "red", nil},
			{".", "user.color", "blue", nil},
			{"link", "user.color", "", unix.ENODATA},
			{"file", "user.size", "", unix.ENODATA},
			{"none", "user.color", "", unix.ENOENT},
		} {
			b := make([]byte, 8)
			n, err := Getxattrat(fd, c.name, c.attr, b)
			if err != c.err || string(b[:max(n, 0)]) != c.want {
				t.Errorf("old kernel %v, %s of %s: %q, %v", old, c.attr, c.name, b[:max(n, 0)], err)
			}
		}
		if _, err := Getxattrat(fd, "file", "user.color", make([]byte, 1)); err != unix.ERANGE {
			t.Errorf("old kernel %v, no room: %v", old, err)
		}
		if n, err := Getxattrat(fd, "file", "user.color", nil); n != 3 || err != nil {
			t.Errorf("old kernel %v, size: %d, %v", old, n, err)
		}
	}
}
