package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// FsGetXattrCmd is FS_IOC_FSGETXATTR, _IOR('X', 31, struct fsxattr),
// FsSetXattrCmd is FS_IOC_FSSETXATTR, _IOW('X', 32, struct fsxattr), and
// FsXattrSize the size of their struct (linux/fs.h), in which the project ID,
// fsx_projid, lies at FsXattrProject.
const (
	FsGetXattrCmd  = 0x801c581f
	FsSetXattrCmd  = 0x401c5820
	FsXattrSize    = 28
	FsXattrProject = 12
)

// FsGetXattr is FS_IOC_FSGETXATTR: the struct as the kernel lays it out.
func FsGetXattr(fd int) (v [FsXattrSize]byte, err error) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), FsGetXattrCmd, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return v, errno
	}
	return v, nil
}

// FsSetXattr is FS_IOC_FSSETXATTR.
func FsSetXattr(fd int, v *[FsXattrSize]byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), FsSetXattrCmd, uintptr(unsafe.Pointer(v)))
	if errno != 0 {
		return errno
	}
	return nil
}

// GetFlags is FS_IOC_GETFLAGS (ioctl_iflags(2)).
func GetFlags(fd int) (uint32, error) {
	var v uint32
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.FS_IOC_GETFLAGS, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, errno
	}
	return v, nil
}

// SetFlags is FS_IOC_SETFLAGS.
func SetFlags(fd int, v uint32) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.FS_IOC_SETFLAGS, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return errno
	}
	return nil
}
