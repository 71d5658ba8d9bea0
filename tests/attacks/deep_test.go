package attacks

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// dig makes a directory in a directory in a directory, or with "walk" goes down
// where they are, and writes or reads a file at the bottom.
var dig = harness.Func("dig", func(args []string) error {
	depth, _ := strconv.Atoi(args[1])
	walk := args[2] == "walk"
	at, err := unix.Open(args[0], unix.O_PATH|unix.O_DIRECTORY, 0)
	for i := 0; i < depth && err == nil; i++ {
		if !walk {
			if err = unix.Mkdirat(at, "d", 0o755); err != nil {
				break
			}
		}
		up := at
		at, err = unix.Openat(up, "d", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		unix.Close(up)
	}
	if err != nil {
		return err
	}
	fd, err := unix.Openat(at, "f", unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	if !walk {
		_, err = unix.Write(fd, []byte("deep"))
		return errors.Join(err, unix.Renameat(at, "f", at, "g"), unix.Renameat(at, "g", at, "f"))
	}
	text := make([]byte, 10)
	n, err := unix.Read(fd, text)
	if string(text[:max(n, 0)]) != "deep" {
		err = errors.Join(err, fmt.Errorf("read %q", text[:max(n, 0)]))
	}
	return err
})

// TestDeepTreeStopsNobody: a tree is deeper than any path is long, and than
// there are directory descriptors to keep. Each step into it once took the time
// of all steps before, squared, with everybody waiting.
func TestDeepTreeStopsNobody(t *testing.T) {
	const depth = "1500"
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Fallbacks[0]+"/d")
	harness.Chown(t, m.Fallbacks[0]+"/d", mallory, mallory)
	m.UpWithFiles(400)
	as(t, dig, mallory, m.Path("d"), depth, "make")
	serves(t, m)
	m.Down()
	m.UpWithFiles(400)
	as(t, dig, mallory, m.Path("d"), depth, "walk")
	serves(t, m)
}

// TestEdgesOfOffsets: seeks, sizes and directory positions at and beyond what
// numbers hold.
func TestEdgesOfOffsets(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		harness.Require(t, "root", "fuse")
		disk := harness.On(t, "tmpfs", "64M") // takes as large an offset as FUSE
		beside := disk + "/beside"
		for _, dir := range []string{"p", "f", "beside"} {
			harness.Mkdir(t, disk+"/"+dir)
		}
		m := harness.NewOn(t, []string{disk + "/p", disk + "/f"}, opts)
		for i := range 50 {
			harness.Write(t, fmt.Sprintf("%s/%d", m.Tiers[i%2], i), "x")
		}
		m.Up()
		inMount, native := edges(t, m.Path("f")), edges(t, beside+"/f")
		for i := range native {
			if inMount[i] != native[i] {
				t.Errorf("%s: %s, beside the mount %s", opts, inMount[i], native[i])
			}
		}
		d, err := unix.Open(m.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{0, 1, 1 << 31, 1<<31 - 1, 1 << 32, math.MaxInt64, math.MaxInt64 - 1, 1 << 62, 51, 52, 53} {
			if _, err := unix.Seek(d, off, unix.SEEK_SET); err != nil && err != unix.EINVAL {
				t.Errorf("seekdir to %d: %v", off, err)
			}
			n, err := unix.Getdents(d, make([]byte, 64<<10))
			if err != nil || off > 60 && n != 0 {
				t.Errorf("at %d: %d bytes of rows, %v", off, n, err)
			}
		}
		unix.Close(d)
		serves(t, m)
	}
}

// edges tells what each call at the edges says.
func edges(t *testing.T, path string) (said []string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer unix.Close(fd)
	say := func(what string, n int64, err error) { said = append(said, fmt.Sprintf("%s: %d, %v", what, n, err)) }
	buf := make([]byte, 10)
	var offsets []int64
	for _, at := range []int64{0, 1 << 31, 1 << 32, 1 << 40, 1 << 43, math.MaxInt64} {
		offsets = append(offsets, at-1, at, at+1, -at) // the last wraps
	}
	for _, off := range offsets {
		for whence := range 5 {
			pos, err := unix.Seek(fd, off, whence)
			say(fmt.Sprintf("seek to %d from %d", off, whence), pos, err)
			unix.Seek(fd, 0, unix.SEEK_SET)
		}
		n, err := unix.Pread(fd, buf, off)
		say(fmt.Sprintf("pread at %d", off), int64(n), err)
		if off < 1<<33 || off > 1<<44 { // what a filesystem can take is its own affair
			n, err = unix.Pwrite(fd, buf[:1], off)
			say(fmt.Sprintf("pwrite at %d", off), int64(n), err)
			say(fmt.Sprintf("ftruncate to %d", off), 0, unix.Ftruncate(fd, off))
			say("back", 0, unix.Ftruncate(fd, 0))
		}
		say(fmt.Sprintf("fallocate at %d", off), 0, unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, max(off, math.MaxInt64-5), 1))
	}
	return said
}
