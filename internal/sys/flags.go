package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

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
