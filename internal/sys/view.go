package sys

import "golang.org/x/sys/unix"

// View opens the directory fd once more, in a mount of its own that nobody
// else sees, with the mount attributes set and clear (MOUNT_ATTR_*) changed.
// Needs CAP_SYS_ADMIN and Linux 5.12 (mount_setattr(2)). The tree's own
// descriptor is an O_PATH one, which open_by_handle_at(2) refuses, so "." is
// opened in it.
func View(fd int, set, clear uint64) (int, error) {
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: set, Attr_clr: clear, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return -1, err
	}
	return Open(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
