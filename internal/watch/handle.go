package watch

import "golang.org/x/sys/unix"

// Kinds of handles that have their inode's number in them, and a generation after it.
// To others a handle is opaque, as open_by_handle_at(2) has it.
const (
	ino32 = 0x01 // FILEID_INO32_GEN, include/linux/exportfs.h: ext4, F2FS, XFS with small numbers
	ino64 = 0x81 // XFS_FILEID_TYPE_64FLAG with it, fs/xfs/xfs_export.h
)

// number is the inode number in a handle, which stands as in an event.
func number(handle []byte) (ino uint64, ok bool) {
	if len(handle) < 4 {
		return 0, false
	}
	kind, body := order.Uint32(handle), handle[4:]
	switch {
	case kind == ino32 && len(body) == 4+4:
		return uint64(order.Uint32(body)), true
	case kind == ino64 && len(body) == 8+4:
		return order.Uint64(body), true
	}
	return 0, false
}

// numbered reports whether the handles of fd's filesystem are of such a kind, going by
// that of fd itself, whose number is ino.
func numbered(fd int, ino uint64) bool {
	h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return false
	}
	got, ok := number(append(order.AppendUint32(nil, uint32(h.Type())), h.Bytes()...))
	return ok && got == ino
}
