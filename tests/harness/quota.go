package harness

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of <linux/quota.h>.
const (
	qSetQuota  = 0x800008
	qifBLimits = 1
)

type dqblk struct {
	bhardlimit, bsoftlimit, curspace, ihardlimit, isoftlimit, curinodes, btime, itime uint64
	valid                                                                             uint32
}

// QuotaDisk mounts a fresh ext4 with quotas for users and returns its directory.
func QuotaDisk(t *testing.T) string {
	t.Helper()
	Require(t, "root", "loop", "ext4")
	at := TempDir(t)
	dir, image := at+"/d", at+"/image"
	Mkdir(t, dir)
	Write(t, image, "")
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	Must(t, "mkfs.ext4", "-q", "-O", "quota", "-E", "quotatype=usrquota", image)
	if _, _, code := Run(t, "mount", "-o", "loop,usrquota", image, dir); code != 0 {
		Skip(t, "missing quota: the kernel mounts no ext4 with it")
	}
	t.Cleanup(func() { Unmount(t, dir) })
	return dir
}

// Limit gives a user a hard limit of KiB on a filesystem.
func Limit(t *testing.T, dir string, uid int, kib uint64) {
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
