package sys

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// openPath opens name with O_PATH until the end of the test.
func openPath(t *testing.T, name string) int {
	t.Helper()
	fd, err := Open(unix.AT_FDCWD, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// The name may lead elsewhere by now, or nowhere: Reopen is about the inode.
func TestReopenOpensTheSameInode(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("mine"), 0600); err != nil {
		t.Fatal(err)
	}
	fd := openPath(t, name)
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("another"), 0600); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if _, err := unix.Read(fd, b); err != unix.EBADF {
		t.Fatalf("an O_PATH descriptor can be read: %v", err)
	}
	re, err := Reopen(fd, unix.O_RDWR|unix.O_NOFOLLOW)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(re)
	if n, err := unix.Read(re, b); err != nil || string(b[:n]) != "mine" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	if _, err := unix.Pwrite(re, []byte("x"), 0); err != nil {
		t.Errorf("write: %v", err)
	}
	flags, err := unix.FcntlInt(uintptr(re), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %x, %v: it would survive an exec", flags, err)
	}
}

func TestReopenOfADirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), nil, 0600); err != nil {
		t.Fatal(err)
	}
	re, err := Reopen(openPath(t, dir), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(re)
	found := ""
	err = ReadDir(re, make([]byte, 4096), func(d Dirent) error {
		found += d.Name
		return nil
	})
	if err != nil || found != "in" {
		t.Errorf("listed %q, %v", found, err)
	}
}

// A symlink's own inode cannot be read as a file, and its target is never
// opened instead.
func TestReopenOfASymlinkDoesNotFollow(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("secret"), 0600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	fd := openPath(t, link)
	re, err := Reopen(fd, unix.O_RDONLY)
	if err == nil {
		unix.Close(re)
	}
	if err != unix.ELOOP {
		t.Errorf("got %v, want ELOOP", err)
	}
	re, err = Reopen(fd, unix.O_PATH)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(re)
	var st unix.Stat_t
	if err := unix.Fstat(re, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("mode %o, %v, want a symlink", st.Mode, err)
	}
}

func TestReopenOfNothingFails(t *testing.T) {
	if _, err := Reopen(-1, unix.O_RDONLY); err != unix.ENOENT {
		t.Errorf("got %v, want ENOENT", err)
	}
}

func TestWritevIsOneMessage(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if n, err := Writev(pair[0], []byte("head"), []byte("body")); n != 8 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	b := make([]byte, 64)
	if n, err := unix.Read(pair[1], b); err != nil || string(b[:n]) != "headbody" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}
