package harness

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// On mounts a fresh filesystem (ext4, xfs, btrfs or tmpfs) of the given size,
// such as "64M", and returns its directory. It is unmounted at the end.
func On(t *testing.T, fstype, size string) string {
	t.Helper()
	dir, _ := OnImage(t, fstype, size)
	return dir
}

// OnImage is On that also tells the image's path ("" for tmpfs), for tests
// that copy it as a power cut would leave it.
func OnImage(t *testing.T, fstype, size string) (dir, image string) {
	t.Helper()
	Require(t, "root")
	at := TempDir(t)
	dir = at + "/d"
	Mkdir(t, dir)
	if fstype == "tmpfs" {
		Must(t, "mount", "-t", "tmpfs", "-o", "mode=755,size="+size, "tmpfs", dir)
	} else {
		Require(t, "loop", fstype)
		image = at + "/image"
		makeImage(t, fstype, image, size)
		Must(t, "mount", "-t", fstype, "-o", "loop", image, dir)
	}
	t.Cleanup(func() { Unmount(t, dir) })
	return dir, image
}

// Unmount unmounts what a test has mounted, a tier or what it is on. Whoever opens a
// loop device, and be it to look at it, keeps the filesystem that its file is on busy
// so long; what is busy after ten seconds is held, and fails the test.
func Unmount(t *testing.T, dir string) {
	t.Helper()
	var stderr string
	code := 1
	if !Within(10*time.Second, func() bool {
		_, stderr, code = Run(t, "umount", dir)
		return code == 0 || !strings.Contains(stderr, "busy")
	}) {
		unix.Unmount(dir, unix.MNT_DETACH)
	}
	if code != 0 {
		t.Errorf("umount %s: %s", dir, stderr)
	}
}

func makeImage(t *testing.T, fstype, image, size string) {
	t.Helper()
	bytes := sizeInBytes(t, size)
	bytes = max(bytes, map[string]int64{"xfs": 300 << 20, "btrfs": 128 << 20}[fstype]) // mkfs refuses smaller ones
	Write(t, image, "")
	if err := os.Truncate(image, bytes); err != nil {
		t.Fatal(err)
	}
	quiet := map[string][]string{"ext4": {"-q", "-F"}, "xfs": {"-q"}, "btrfs": {"-q"}}[fstype]
	Must(t, append(append([]string{"mkfs." + fstype}, quiet...), image)...)
}

func sizeInBytes(t *testing.T, size string) int64 {
	t.Helper()
	shift := map[byte]int{'K': 10, 'M': 20, 'G': 30}[size[len(size)-1]]
	n, err := strconv.ParseInt(strings.TrimRight(size, "KMG"), 10, 64)
	if err != nil {
		t.Fatalf("size %q: %v", size, err)
	}
	return n << shift
}
