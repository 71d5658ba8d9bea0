package tier

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// NumbersLast reports whether files of the tier keep their inode numbers when they
// are renamed, and when the filesystem is mounted anew. With FUSE that has to be
// found out, once, with a file under the free name in the directory that staging
// gives, and drop removes: mergerfs and tierfs have the numbers of their disks, rclone
// makes them from paths, and what stands on libfuse has those of the connection, unless
// it asks for others. As long as it cannot be found out they do not last.
func (t *Tier) NumbersLast(staging func() (d *Dir, name string, err error), drop func(d *Dir, name string)) bool {
	if last := t.numbers.Load(); last != nil || t.byNode {
		return last != nil && *last
	}
	d, name, err := staging()
	if err != nil {
		return false
	}
	defer d.Put()
	last, err := d.numbersLast(name, drop)
	if err != nil {
		return false
	}
	t.numbers.Store(&last)
	return last
}

// numbersLast renames a file and looks at its number anew. The kernel may know the
// new name by the old number; it asks when it is told to make a directory there
// (LOOKUP_EXCL in fuse_dentry_revalidate).
func (d *Dir) numbersLast(name string, drop func(d *Dir, name string)) (bool, error) {
	defer drop(d, name)
	f, err := d.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var was, is unix.Stat_t
	err = f.Stat(&was)
	node := uint64(0)
	if err == nil {
		node, err = f.node()
	}
	renamed := name + "-renamed"
	if err == nil {
		defer drop(d, renamed)
		err = d.Rename(name, d, renamed, 0)
	}
	if err != nil {
		return false, err
	}
	if err := d.Mkdir(renamed, 0700); err != unix.EEXIST {
		return false, err
	}
	err = d.Stat(renamed, &is)
	return is.Ino == was.Ino && is.Ino != node, err
}

// TellByNode has the files of a FUSE filesystem whose numbers do not last told apart by
// the kernel's own inodes, whose handles take the place of the numbers in what Stat says.
// rclone gives a directory that is made the number of one that was renamed, while the
// kernel holds both, and now this and now that number to one file. It is called before
// the tier serves, and tells whether it is one.
func (t *Tier) TellByNode() bool {
	t.byNode = t.fuse
	return t.fuse
}

// ByNode reports whether files are told apart so. A number is another one then when the
// kernel has dropped its inode of the file, which it does not while that is open.
func (t *Tier) ByNode() bool { return t.byNode }

// number is what an inode is told by that has the number ino. Where the kernel gives no
// handles of FUSE, which is before Linux 6.8, the number has to do.
func (t *Tier) number(fd int, ino uint64) uint64 {
	if t.byNode {
		if h, err := sys.Handle(fd, ""); err == nil {
			sum := fnv.New64a()
			sum.Write(h.Bytes())
			return sum.Sum64()
		}
	}
	return ino
}

// fstat is fstat(2).
func (t *Tier) fstat(fd int, st *unix.Stat_t) error {
	err := unix.Fstat(fd, st)
	if err == nil {
		st.Ino = t.number(fd, st.Ino)
	}
	return err
}

// StatRoot is fstat(2) of the tier's root, also while it is taken for away.
func (t *Tier) StatRoot(st *unix.Stat_t) error { return t.fstat(t.RootFD(), st) }

// fstatat is fstatat(2), not following symlinks.
func (t *Tier) fstatat(dirfd int, name string, st *unix.Stat_t) error {
	if !t.byNode {
		return unix.Fstatat(dirfd, name, st, unix.AT_SYMLINK_NOFOLLOW)
	}
	return onNode(dirfd, name, func(fd int) error { return t.fstat(fd, st) })
}

// statx is statx(2), not following symlinks, and returns the number that the filesystem
// shows. As that does, it mounts nothing (autofs(5)).
func (t *Tier) statx(dirfd int, name string, mask int, sx *unix.Statx_t) (shown uint64, err error) {
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if !t.byNode {
		err = unix.Statx(dirfd, name, flags, mask, sx)
		return sx.Ino, err
	}
	err = onNode(dirfd, name, func(fd int) error {
		err := unix.Statx(fd, "", flags|unix.AT_EMPTY_PATH, mask, sx)
		if err == nil {
			shown, sx.Ino = sx.Ino, t.number(fd, sx.Ino)
		}
		return err
	})
	return shown, err
}

// onNode runs fn on the inode that name leads to, whatever it leads to by the end.
func onNode(dirfd int, name string, fn func(fd int) error) error {
	fd, err := sys.Open(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return fn(fd)
}

// node is the ID by which the kernel and a FUSE server know a file, as long as the
// kernel does. It begins the file's handle (fuse_encode_fh).
func (f *File) node() (id uint64, err error) {
	err = f.do(func() error {
		h, err := sys.Handle(f.FD, "")
		if err == nil && h.Size() >= 8 {
			b := h.Bytes()
			id = uint64(binary.NativeEndian.Uint32(b))<<32 | uint64(binary.NativeEndian.Uint32(b[4:]))
		}
		return err
	})
	return id, err
}

// Leads reports whether name leads to the file that f has open, whatever its number
// is by now. What is open is not forgotten, so no other file has its handle.
func (d *Dir) Leads(name string, f *File) (leads bool, err error) {
	err = d.do(func() error {
		a, err := sys.Handle(d.fd, name)
		if err != nil {
			return err
		}
		b, err := sys.Handle(f.FD, "")
		if err != nil {
			return err
		}
		leads = a.Type() == b.Type() && bytes.Equal(a.Bytes(), b.Bytes())
		return nil
	})
	return leads, err
}
