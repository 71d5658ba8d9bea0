package harness

import (
	"os"
	"strconv"
	"strings"
	"testing"

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
	t.Cleanup(func() {
		if _, stderr, code := Run(t, "umount", dir); code != 0 {
			t.Errorf("umount %s: %s", dir, stderr)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir, image
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
