package sys

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// xattrArgs is struct xattr_args (linux/xattr.h).
type xattrArgs struct {
	value unsafe.Pointer // __aligned_u64
	_     [8 - unsafe.Sizeof(uintptr(0))]byte
	size  uint32
	flags uint32
}

// noGetxattrat is set when the kernel has turned out to be older than 6.13.
var noGetxattrat atomic.Bool

// Getxattrat is lgetxattr(2) of name in the directory dirfd, which may be O_PATH:
// getxattrat(2), or by way of /proc, which takes five times as long.
func Getxattrat(dirfd int, name, attr string, dst []byte) (int, error) {
	if !noGetxattrat.Load() {
		n, err := getxattrat(dirfd, name, attr, dst)
		switch err {
		case unix.ENOSYS:
			noGetxattrat.Store(true)
		case unix.EPERM: // a filter of system calls that does not know this one
		default:
			return n, err
		}
	}
	return unix.Lgetxattr(FDPath(dirfd)+"/"+name, attr, dst)
}

func getxattrat(dirfd int, name, attr string, dst []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	key, err := unix.BytePtrFromString(attr)
	if err != nil {
		return 0, err
	}
	args := xattrArgs{value: unsafe.Pointer(unsafe.SliceData(dst)), size: uint32(len(dst))}
	n, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
