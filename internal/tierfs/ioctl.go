package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// ioctl serves the file attributes of ioctl_iflags(2) and ioctl_fsxattr(2):
// chattr(1), project IDs. Who may set them the kernel has judged by then, with
// what it has read before (vfs_fileattr_set). Nothing else is forwarded: an
// ioctl can be meant for the filesystem behind a tier, like FS_IOC_SHUTDOWN.
func (fs *FS) ioctl(r *fusedev.Request, op *fusedev.IoctlOp) error {
	var serve func(f *tier.File) error
	var out []byte
	on := fs.readable
	switch op.Cmd {
	case unix.FS_IOC_GETFLAGS:
		serve = func(f *tier.File) error {
			v, err := f.GetFlags()
			out = make([]byte, 4)
			fusedev.PutUint32(out, v)
			return err
		}
	case sys.FsGetXattrCmd:
		serve = func(f *tier.File) error {
			v, err := f.FsGetXattr()
			out = v[:]
			return err
		}
	case unix.FS_IOC_SETFLAGS:
		if len(op.In) < 4 {
			return unix.EINVAL
		}
		on, serve = fs.readableCopies, func(f *tier.File) error { return f.SetFlags(fusedev.Uint32(op.In)) }
	case sys.FsSetXattrCmd:
		if len(op.In) < sys.FsXattrSize {
			return unix.EINVAL
		}
		on, serve = fs.readableCopies, func(f *tier.File) error { return f.FsSetXattr((*[sys.FsXattrSize]byte)(op.In)) }
	default:
		return unix.ENOTTY
	}
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	err = on(in, serve)
	if out == nil {
		// The kernel does not expect that the times change. They may although it
		// failed: ext4 sets the flags first, then the project.
		fs.srv.InvalAttr(op.Node)
	}
	if err != nil {
		return err
	}
	r.Ioctl(out)
	return nil
}

// readable is onInode with a descriptor open for reading, which ioctl(2) wants.
func (fs *FS) readable(in *inode.Inode, fn func(f *tier.File) error) error {
	return fs.onInode(in, reopened(fn))
}

// readableCopies is readable for what a directory gets on every tier.
func (fs *FS) readableCopies(in *inode.Inode, fn func(f *tier.File) error) error {
	if in.IsDir() {
		return fs.eachCopy(in, "the flags", false, reopened(fn))
	}
	return fs.readable(in, fn)
}

func reopened(fn func(f *tier.File) error) func(f *tier.File) error {
	return func(f *tier.File) error {
		open, err := f.Reopen(unix.O_RDONLY | unix.O_NONBLOCK)
		if err != nil {
			return err
		}
		defer open.Close()
		return fn(open)
	}
}
