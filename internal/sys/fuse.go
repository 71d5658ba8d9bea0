package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of /dev/fuse, from include/uapi/linux/fuse.h (Linux 6.9).
const (
	fuseDevIocBackingOpen  = 0x4010e501 // _IOW(229, 1, struct fuse_backing_map)
	fuseDevIocBackingClose = 0x4004e502 // _IOW(229, 2, uint32_t)
)

// fuseBackingMap is struct fuse_backing_map.
type fuseBackingMap struct {
	fd      int32
	flags   uint32
	padding uint64
}

// FuseBackingOpen registers the file behind fd with the FUSE connection dev
// for passthrough and returns its backing ID. The kernel keeps the calling
// thread's credentials for all I/O under that ID (fuse_backing_open). Needs
// CAP_SYS_ADMIN and Linux 6.9; ELOOP when the file's filesystem is stacked.
func FuseBackingOpen(dev, fd int) (int32, error) {
	m := fuseBackingMap{fd: int32(fd)}
	id, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), fuseDevIocBackingOpen, uintptr(unsafe.Pointer(&m)))
	if errno != 0 {
		return 0, errno
	}
	return int32(id), nil
}

// FuseBackingClose drops a backing ID. Open files keep their I/O path.
func FuseBackingClose(dev int, id int32) error {
	v := uint32(id)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), fuseDevIocBackingClose, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return errno
	}
	return nil
}
