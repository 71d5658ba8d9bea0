package parity

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawCall is a system call for this thread alone; package unix would change
// the credentials of all threads.
func rawCall(trap uintptr, args ...int) error {
	var a [6]uintptr
	for i, v := range args {
		a[i] = uintptr(v)
	}
	_, _, no := unix.Syscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5])
	if no != 0 {
		return no
	}
	return nil
}

// setgroups sets the supplementary groups of this thread alone.
func setgroups(groups []int) error {
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	_, _, no := unix.Syscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0)
	if no != 0 {
		return no
	}
	return nil
}

// ioctl issues any request with a pointer to arg.
func ioctl(fd int, req uint, arg *[64]byte) error {
	_, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(arg)))
	if no != 0 {
		return no
	}
	return nil
}

// aligned is memory for O_DIRECT.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	skip := -uintptr(unsafe.Pointer(&b[0])) & 4095
	return b[skip : skip+uintptr(n)]
}

// futimens sets the times of an open file.
func futimens(fd int, atime, mtime unix.Timespec) error {
	ts := [2]unix.Timespec{atime, mtime}
	_, _, no := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if no != 0 {
		return no
	}
	return nil
}
