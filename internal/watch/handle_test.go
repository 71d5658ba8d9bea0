package watch

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNumberIsTakenFromHandlesThatHaveOne(t *testing.T) {
	handle := func(kind uint32, body ...byte) []byte { return append(order.AppendUint32(nil, kind), body...) }
	for _, c := range []struct {
		what   string
		handle []byte
		ino    uint64
		ok     bool
	}{
		{"32 bits", handle(ino32, 7, 1, 0, 0, 9, 9, 9, 9), 0x107, true},
		{"64 bits", handle(ino64, 7, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9), 1<<32 | 7, true},
		{"tmpfs, which puts the generation first", handle(ino32, 9, 9, 9, 9, 7, 0, 0, 0, 0, 0, 0, 0), 0, false},
		{"btrfs", handle(0x4d, make([]byte, 20)...), 0, false},
		{"nothing", nil, 0, false},
	} {
		if ino, ok := number(c.handle); ino != c.ino || ok != c.ok {
			t.Errorf("%s: %#x, %v, want %#x, %v", c.what, ino, ok, c.ino, c.ok)
		}
	}
}

// A directory speaks for the files of its filesystem.
func TestNumberedFilesystemsNumberTheirFiles(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var dir, file unix.Stat_t
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := unix.Fstat(int(d.Fd()), &dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		t.Fatal(err)
	}
	if numbered(int(d.Fd()), dir.Ino) != numbered(int(f.Fd()), file.Ino) {
		t.Error("a file and its directory have different kinds of handles")
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if (fs.Type == unix.EXT4_SUPER_MAGIC || fs.Type == unix.XFS_SUPER_MAGIC) && !numbered(int(d.Fd()), dir.Ino) {
		t.Error("no number is found in a handle of ext4 or XFS")
	}
	if numbered(int(d.Fd()), dir.Ino+1) {
		t.Error("a number that is not in the handle is found there")
	}
}
