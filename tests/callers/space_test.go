package callers

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

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

// Of <linux/quota.h>.
const (
	qSetQuota  = 0x800008
	qifBLimits = 1
)

type dqblk struct {
	bhardlimit, bsoftlimit, curspace, ihardlimit, isoftlimit, curinodes, btime, itime uint64
	valid                                                                             uint32
}

// limit gives a user a hard limit of KiB on a filesystem.
func limit(t *testing.T, dir string, uid int, kib uint64) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	q := dqblk{bhardlimit: kib, bsoftlimit: kib, valid: qifBLimits}
	_, _, no := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), uintptr(uint32(qSetQuota)<<8), uintptr(uid), uintptr(unsafe.Pointer(&q)), 0, 0)
	if no != 0 {
		t.Skipf("missing quota: the kernel keeps none: %v", no)
	}
}

func quotaDisk(t *testing.T) string {
	t.Helper()
	harness.Require(t, "root", "loop", "ext4")
	at := harness.TempDir(t)
	dir, image := at+"/d", at+"/image"
	harness.Mkdir(t, dir)
	harness.Write(t, image, "")
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "mkfs.ext4", "-q", "-O", "quota", "-E", "quotatype=usrquota", image)
	if _, _, code := harness.Run(t, "mount", "-o", "loop,usrquota", image, dir); code != 0 {
		harness.Skip(t, "missing quota: the kernel mounts no ext4 with it")
	}
	t.Cleanup(func() { harness.Must(t, "umount", dir) })
	return dir
}

var writeSome = harness.Func("writeSome", func(args []string) error {
	return say(os.WriteFile(args[0], make([]byte, 2<<20), 0o644))
})

// TestQuotaIsTheOwners: what a user writes through the daemon counts as the
// user's own, and stops at the user's limit.
func TestQuotaIsTheOwners(t *testing.T) {
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			m := harness.NewOn(t, []string{quotaDisk(t), harness.On(t, "ext4", "64M")}, mode)
			open(t, m)
			limit(t, m.Primary, alice, 1024)
			m.Up()
			run(t, writeSome, bob, friends, nil, "ok", m.Path("p/bob"))
			run(t, writeSome, alice, staff, nil, "EDQUOT", m.Path("p/alice"))
			if st := harness.Stat(t, filepath.Join(m.Primary, "p/alice")); st.Size > 1<<20 {
				t.Errorf("alice wrote %d bytes, the limit is 1 MiB", st.Size)
			}
		})
	}
}
