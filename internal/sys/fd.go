package sys

import (
	"hash/fnv"
	"strconv"

	"golang.org/x/sys/unix"
)

// FDPath names what the descriptor fd refers to, for the calls that have no
// descriptor variant for O_PATH (getxattr(2), chmod(2), truncate(2)). The
// magic link leads to the inode itself, a symlink's own inode included, and
// is not followed any further (proc(5)).
func FDPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Reopen opens the inode that fd refers to again with other flags.
func Reopen(fd, flags int) (int, error) {
	return Open(unix.AT_FDCWD, FDPath(fd), flags&^unix.O_NOFOLLOW, 0)
}

// Open is openat(2) with O_CLOEXEC and O_LARGEFILE, again after EINTR.
func Open(dirfd int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_CLOEXEC|unix.O_LARGEFILE, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Writev is writev(2) of two parts, for a reply of header and body.
func Writev(fd int, head, body []byte) (int, error) {
	return unix.Writev(fd, [][]byte{head, body})
}

// Life tells the inode name in dirfd, or dirfd itself for "", from those that
// had its number before and will have it after: a hash of its file handle,
// which has the filesystem's generation number in it. 0 is not known: the
// filesystem has no handles.
func Life(dirfd int, name string) uint32 {
	h, _, err := unix.NameToHandleAt(dirfd, name, emptyPath(name))
	if err != nil {
		return 0
	}
	sum := fnv.New32a()
	sum.Write(h.Bytes())
	return max(sum.Sum32(), 1)
}

// emptyPath is the flag by which an empty name is the descriptor itself.
func emptyPath(name string) int {
	if name == "" {
		return unix.AT_EMPTY_PATH
	}
	return 0
}

// atHandleFID asks for a handle that need not serve to open the file: FUSE gives no
// others where its server exports nothing (Linux 6.8; the flag is in 6.6).
const atHandleFID = 0x200

// Handle is what tells the inode name in dirfd, or dirfd itself for "", from all
// others of its filesystem, by name_to_handle_at(2).
func Handle(dirfd int, name string) (unix.FileHandle, error) {
	h, _, err := unix.NameToHandleAt(dirfd, name, emptyPath(name)|atHandleFID)
	if err == unix.EINVAL {
		h, _, err = unix.NameToHandleAt(dirfd, name, emptyPath(name))
	}
	return h, err
}
