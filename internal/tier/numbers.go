package tier

import (
	"bytes"
	"encoding/binary"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// NumbersLast reports whether files of the tier keep their inode numbers when they
// are renamed, and when the filesystem is mounted anew. With FUSE that has to be
// found out, once, with a file of that name, which is free, in the directory that
// staging opens: mergerfs and tierfs have the numbers of their disks, rclone makes
// them from paths, and what stands on libfuse has those of the connection, unless it
// asks for others. As long as it cannot be found out they do not last.
func (t *Tier) NumbersLast(staging func() (*Dir, error), name string) bool {
	if last := t.numbers.Load(); last != nil {
		return *last
	}
	d, err := staging()
	if err != nil {
		return false
	}
	defer d.Put()
	last, err := d.numbersLast(name)
	if err != nil {
		return false
	}
	t.numbers.Store(&last)
	return last
}

// numbersLast renames a file and looks at its number anew. The kernel may know the
// new name by the old number; it asks when it is told to make a directory there
// (LOOKUP_EXCL in fuse_dentry_revalidate).
func (d *Dir) numbersLast(name string) (bool, error) {
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
		err = d.Rename(name, d, renamed, 0)
	}
	if err != nil {
		d.Unlink(name)
		return false, err
	}
	defer d.Unlink(renamed)
	if err := d.Mkdir(renamed, 0700); err != unix.EEXIST {
		return false, err
	}
	err = d.Stat(renamed, &is)
	return is.Ino == was.Ino && is.Ino != node, err
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
