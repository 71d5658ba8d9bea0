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
	flags := 0
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	h, _, err := unix.NameToHandleAt(dirfd, name, flags)
	if err != nil {
		return 0
	}
	sum := fnv.New32a()
	sum.Write(h.Bytes())
	return max(sum.Sum32(), 1)
}
