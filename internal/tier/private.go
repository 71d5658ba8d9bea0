package tier

import (
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
			return err
		}
		defer unix.Close(mark)
		if err := unix.Mkdirat(mark, name, 0700); err != nil && err != unix.EEXIST {
			return err
		}
		fd, err = sys.Open(mark, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newDir(t, root.gen, fd), nil
}
