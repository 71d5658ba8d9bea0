package tier

import (
	"errors"
	"os"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Private is a directory under the tier's .tierfs, made when missing, for the
// caller to Put: the staging area and the journal. It belongs to the daemon
// and has the mode 0700 like .tierfs itself.
func (t *Tier) Private(name string) (*Dir, error) {
	root := t.RootDir()
	defer root.Put()
	fd := -1
	err := root.do(func() error {
		mark, err := OpenMarkDir(root.fd, true)
		if err != nil {
			return bare(err)
		}
		defer unix.Close(mark)
		if err := unix.Mkdirat(mark, name, 0700); err != nil && err != unix.EEXIST {
			return err
		}
		fd, err = openPrivate(mark, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newDir(t, root.gen, fd), nil
}

// openPrivate opens what must be a directory of the daemon alone.
func openPrivate(mark int, name string) (int, error) {
	fd, err := sys.Open(mark, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	// The set-group-ID bit comes from the tier's root, as in openMarkDir.
	if err == nil && (st.Mode&07777&^unix.S_ISGID != 0700 || int(st.Uid) != os.Geteuid()) {
		err = unix.EPERM
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bare is the errno in err, by which ops decide.
func bare(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}
