package tierfs

import (
	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"golang.org/x/sys/unix"
)

// Serve implements fusedev.Handler.
func (fs *FS) Serve(r *fusedev.Request, op any) error {
	err := fs.serveInode(r, op)
	switch {
	case err != nil:
		fs.failed(r, op, err)
	case r.Late():
		fs.unheard(r, op)
	}
	if checking {
		fs.check(op)
	}
	return err
}

// serveInode serves the ops on inodes, whatever they are.
func (fs *FS) serveInode(r *fusedev.Request, op any) error {
	switch op := op.(type) {
	case *fusedev.LookupOp:
		return fs.lookup(r, op)
	case *fusedev.GetattrOp:
		return fs.getattr(r, op)
	case *fusedev.SetattrOp:
		return fs.setattr(r, op)
	case *fusedev.ForgetOp:
		for _, f := range op.Entries {
			fs.forget(f.Node, f.N)
		}
		return nil
	case *fusedev.StatxOp:
		return fs.statx(r, op)
	case *fuseops.StatFSOp:
		return fs.statfs(op)
	}
	return fs.serveFile(r, op)
}

// serveFile serves the ops on files and their content.
func (fs *FS) serveFile(r *fusedev.Request, op any) error {
	switch op := op.(type) {
	case *fusedev.CreateOp:
		return fs.create(r, op)
	case *fuseops.OpenFileOp:
		return fs.open(r, op)
	case *fuseops.ReleaseFileHandleOp:
		fs.release(uint64(op.Handle))
		return nil
	case *fusedev.ReadOp:
		return fs.read(r, op)
	case *fusedev.WriteOp:
		return fs.write(r, op)
	case *fusedev.SyncOp:
		return fs.sync(r, op)
	case *fuseops.FlushFileOp:
		return fs.flush(r, op)
	case *fuseops.FallocateOp:
		return fs.fallocate(r, op)
	case *fusedev.LseekOp:
		return fs.lseek(r, op)
	case *fusedev.CopyFileRangeOp:
		return fs.copyRange(r, op)
	case *fusedev.IoctlOp:
		return fs.ioctl(r, op)
	}
	return fs.serveName(r, op)
}

// serveName serves the ops on names and listings.
func (fs *FS) serveName(r *fusedev.Request, op any) error {
	switch op := op.(type) {
	case *fusedev.MkdirOp:
		return fs.mkdir(r, op)
	case *fusedev.MknodOp:
		return fs.mknod(r, op)
	case *fuseops.CreateSymlinkOp:
		return fs.symlink(r, op)
	case *fuseops.ReadSymlinkOp:
		return fs.readlink(op)
	case *fuseops.CreateLinkOp:
		return fs.link(r, op)
	case *fuseops.UnlinkOp:
		return fs.unlink(r, uint64(op.Parent), op.Name)
	case *fuseops.RmDirOp:
		return fs.rmdir(r, uint64(op.Parent), op.Name)
	case *fusedev.RenameOp:
		return fs.rename(r, op)
	case *fuseops.OpenDirOp:
		return fs.openDir(r, op)
	case *fusedev.ReaddirOp:
		return fs.readDir(r, op)
	case *fuseops.ReleaseDirHandleOp:
		fs.releaseDir(uint64(op.Handle))
		return nil
	}
	return fs.serveXattr(r, op)
}

// serveXattr serves the ops on extended attributes.
func (fs *FS) serveXattr(r *fusedev.Request, op any) error {
	switch op := op.(type) {
	case *fusedev.GetxattrOp:
		return fs.getxattr(r, op)
	case *fusedev.ListxattrOp:
		return fs.listxattr(r, op)
	case *fusedev.SetxattrOp:
		return fs.setxattr(r, op)
	case *fuseops.RemoveXattrOp:
		return fs.removexattr(r, op)
	}
	return unix.ENOSYS
}

// failed is told that an op was answered with an error. A change of names that has
// failed on a disk may have left something, such as times, and the kernel takes
// an error for no change at all.
func (fs *FS) failed(r *fusedev.Request, op any, err error) {
	if !fs.coherence.on.Load() || absent(err) || err == unix.EEXIST || err == unix.ENOTEMPTY || err == unix.ESTALE {
		return
	}
	for _, at := range fs.changes(r, op) {
		fs.coherence.relisted(at.parent)
	}
}

// unheard is told that an op was done after the kernel was told that it has failed.
func (fs *FS) unheard(r *fusedev.Request, op any) {
	for _, at := range fs.changes(r, op) {
		fs.coherence.renew(at.parent, at.name)
	}
}

// changes are the names that an op changes.
func (fs *FS) changes(r *fusedev.Request, op any) (all []entryName) {
	add := func(dir uint64, name string) {
		if d := fs.table.Get(dir); d != nil {
			all = append(all, entryName{d, name})
		}
	}
	switch op := op.(type) {
	case *fusedev.RenameOp:
		add(op.Parent, op.Name)
		add(op.NewParent, op.NewName)
	case *fusedev.CreateOp:
		add(r.Node, op.Name)
	case *fusedev.MkdirOp:
		add(r.Node, op.Name)
	case *fusedev.MknodOp:
		add(r.Node, op.Name)
	case *fuseops.CreateSymlinkOp:
		add(r.Node, op.Name)
	case *fuseops.CreateLinkOp:
		add(r.Node, op.Name)
	case *fuseops.UnlinkOp:
		add(r.Node, op.Name)
	case *fuseops.RmDirOp:
		add(r.Node, op.Name)
	}
	return all
}
