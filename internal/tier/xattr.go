package tier

import (
	"bytes"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// shadowACL begins the names under which XFS lists its ACLs a second time. A copy
// of one elsewhere would be an attribute like any other, and the old ACL again
// when it comes back to an XFS: it is no attribute to anybody.
const shadowACL = "trusted.SGI_ACL_"

// Xattrs are the names of the extended attributes; none where the filesystem
// has no such thing.
func (f *File) Xattrs() ([]string, error) {
	b, err := whole(func(dst []byte) (int, error) { return f.Listxattr(dst) })
	if err != nil || len(b) == 0 {
		if err == unix.EOPNOTSUPP {
			err = nil
		}
		return nil, err
	}
	var names []string
	for _, name := range bytes.Split(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		if !bytes.HasPrefix(name, []byte(shadowACL)) {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// Xattr is the value of an extended attribute, however long.
func (f *File) Xattr(name string) ([]byte, error) {
	return whole(func(dst []byte) (int, error) { return f.Getxattr(name, dst) })
}

// xattrError is what err means for a call on an extended attribute of that name.
// rclone has none, and says so of directories alone: of a file it is an I/O error,
// which would be one of everybody who looks for an ACL. It is called within run, which
// counts what a disk fails.
func (t *Tier) xattrError(name string, err error) error {
	if err != unix.EIO || !t.Network || t.Remote {
		return err
	}
	d := t.RootDir()
	defer d.Put()
	if _, asked := unix.Getxattr(sys.FDPath(d.fd), name, nil); asked == unix.EOPNOTSUPP {
		return asked
	}
	return err
}

func whole(get func(dst []byte) (int, error)) ([]byte, error) {
	for range maxGrown {
		size, err := get(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		b := make([]byte, size)
		n, err := get(b)
		if err == unix.ERANGE { // it grew meanwhile
			continue
		}
		return b[:max(n, 0)], err
	}
	return nil, unix.EIO
}

// maxGrown is how often an attribute may have grown since its size was told. A
// filesystem that always says so must not keep us for ever.
const maxGrown = 16
