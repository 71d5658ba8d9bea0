package sys

import "golang.org/x/sys/unix"

// Magic numbers that x/sys/unix lacks (statfs(2), linux/magic.h).
const (
	cephSuperMagic = 0x00c36400
	v9fsMagic      = 0x01021997
	afsSuperMagic  = 0x5346414f
	cifsMagic      = 0xff534d42
	smb2Magic      = 0xfe534d42
)

// Network reports whether the filesystem's server checks permissions and
// reports write errors at close(2): there the fsuid goes over the wire, and
// FLUSH must reach the backing file.
func Network(st *unix.Statfs_t) bool {
	return st.Type == unix.FUSE_SUPER_MAGIC || Remote(st)
}

// Remote reports whether the filesystem is a server's, by a client in the kernel.
func Remote(st *unix.Statfs_t) bool {
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC, cephSuperMagic, v9fsMagic, afsSuperMagic, cifsMagic, smb2Magic:
		return true
	}
	return false
}

// LocksData reports whether flock(2) of a file keeps others from reading and writing it,
// as a client in the kernel makes a lock of SMB of it (cifs_flock; SMB2 LOCK).
func LocksData(st *unix.Statfs_t) bool {
	t := uint32(st.Type)
	return t == cifsMagic || t == smb2Magic
}

// CountsInodes reports whether the filesystem says how many inodes are free. Btrfs
// has no number of them (statfs(2)). That none is free counts for nothing with
// FUSE: bazil.org/fuse, on which rclone mount stands, leaves that field empty.
func CountsInodes(st *unix.Statfs_t) bool {
	return st.Files > 0 && (st.Ffree > 0 || st.Type != unix.FUSE_SUPER_MAGIC)
}

// Logs reports whether fsync(2) of a directory is not enough for its names, as on
// btrfs. There it writes a log, which another fsync may be writing at that moment;
// the next mount that replays it brings names back which had been renamed or
// removed (seen with Linux 6.18).
func Logs(st *unix.Statfs_t) bool { return uint32(st.Type) == unix.BTRFS_SUPER_MAGIC }

// Stacked reports whether the filesystem is known to lie upon another. The kernel
// lets no file there be one of passthrough (fuse_backing_open: s_stack_depth).
func Stacked(st *unix.Statfs_t) bool {
	return st.Type == unix.OVERLAYFS_SUPER_MAGIC || st.Type == unix.ECRYPTFS_SUPER_MAGIC
}

// Watchable reports whether all that changes on the filesystem goes through this
// kernel, and fanotify(7) tells of it: a disk or memory of this machine. Not so
// a server's, and not overlayfs, whose layers change beneath it.
func Watchable(st *unix.Statfs_t) bool {
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// Numbers reports whether files of the filesystem keep their inode numbers, if that
// can be told by its type. FAT has none on the disk, and gives them out as it reads
// files (iunique). What FUSE shows is the server's affair.
func Numbers(st *unix.Statfs_t) (last, known bool) {
	switch st.Type {
	case unix.FUSE_SUPER_MAGIC:
		return false, false
	case unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC:
		return false, true
	}
	return true, true
}
