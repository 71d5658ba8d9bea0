package callers

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// reservedDisk is an ext4 with a tenth of its blocks reserved for root.
func reservedDisk(t *testing.T) string {
	t.Helper()
	dir, image := harness.OnImage(t, "ext4", "64M")
	harness.Must(t, "umount", dir)
	harness.Must(t, "tune2fs", "-m", "10", image)
	harness.Must(t, "mount", "-o", "loop", image, dir)
	return dir
}

// filled writes a file until there is no room, and says how much went in.
func filled(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var total int64
	for b := make([]byte, 64<<10); len(b) >= 4096; {
		n, err := f.Write(b)
		total += int64(n)
		if errors.Is(err, unix.ENOSPC) {
			b = b[:len(b)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return total
}

// TestReservedBlocksStayReserved: ext4 gives them to root and to nobody else,
// and a client's root must not take them through the daemon.
func TestReservedBlocksStayReserved(t *testing.T) {
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			m := harness.NewOn(t, []string{reservedDisk(t)}, mode)
			m.Up()
			used := filled(t, m.Path("fill"))
			var st unix.Statfs_t
			if err := unix.Statfs(m.Primary, &st); err != nil {
				t.Fatal(err)
			}
			if st.Bfree-st.Bavail == 0 {
				t.Fatal("nothing is reserved: the test shows nothing")
			}
			if reserved := int64(st.Bfree) * st.Bsize; reserved < 4<<20 {
				t.Errorf("%d bytes written, %d left of those reserved for root", used, reserved)
			}
			fd, err := unix.Open(m.Path("fill"), unix.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			harness.WantErrno(t, "fallocate", unix.Fallocate(fd, 0, used, 2<<20), unix.ENOSPC)
		})
	}
}

var writeSome = harness.Func("writeSome", func(args []string) error {
	return say(os.WriteFile(args[0], make([]byte, 2<<20), 0o644))
})

// TestQuotaIsTheOwners: what a user writes through the daemon counts as the
// user's own, and stops at the user's limit.
func TestQuotaIsTheOwners(t *testing.T) {
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			m := harness.NewOn(t, []string{harness.QuotaDisk(t), harness.On(t, "ext4", "64M")}, mode)
			open(t, m)
			harness.Limit(t, m.Primary, alice, 1024)
			m.Up()
			run(t, writeSome, bob, friends, nil, "ok", m.Path("p/bob"))
			run(t, writeSome, alice, staff, nil, "EDQUOT", m.Path("p/alice"))
			if st := harness.Stat(t, filepath.Join(m.Primary, "p/alice")); st.Size > 1<<20 {
				t.Errorf("alice wrote %d bytes, the limit is 1 MiB", st.Size)
			}
		})
	}
}
