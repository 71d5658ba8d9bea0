package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// ioctl serves FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (chattr(1)), and
// FS_IOC_FSGETXATTR, by which the kernel reads the old flags before it sets
// new ones (vfs_fileattr_set). Nothing else is forwarded: an ioctl can be
// meant for the filesystem behind a tier, like FS_IOC_SHUTDOWN.
func (fs *FS) ioctl(r *fusedev.Request, op *fusedev.IoctlOp) error {
	var serve func(f *tier.File) error
	var out []byte
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
		serve = func(f *tier.File) error { return f.SetFlags(fusedev.Uint32(op.In)) }
	default:
		return unix.ENOTTY
	}
	in, err := fs.get(op.Node)
	if err != nil {
		return err
	}
	if err := fs.readable(in, serve); err != nil {
		return err
	}
	r.Ioctl(out)
	return nil
}
