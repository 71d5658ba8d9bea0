package tier

import (
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// File is an open descriptor on a tier, possibly O_PATH.
type File struct {
	Tier *Tier
	gen  uint32 // of the tier when it was opened
	FD   int
}

func (f *File) do(call func() error) error     { return f.Tier.run(f.gen, false, call) }
func (f *File) doLong(call func() error) error { return f.Tier.run(f.gen, true, call) }

// Close is close(2). Its error is that of FLUSH, not this.
func (f *File) Close() { unix.Close(f.FD) }

// Stat is fstat(2).
func (f *File) Stat(st *unix.Stat_t) error {
	return f.do(func() error { return f.Tier.fstat(f.FD, st) })
}

// Readlink is the target of a symlink opened with O_PATH (readlinkat(2), since
// Linux 2.6.39).
func (f *File) Readlink() (string, error) { return readlink(f.do, f.FD, "") }

// Statx is statx(2) of the descriptor.
func (f *File) Statx(flags int, mask int, sx *unix.Statx_t) error {
	return f.do(func() error { return unix.Statx(f.FD, "", flags|unix.AT_EMPTY_PATH, mask, sx) })
}

// Reopen opens the same inode with other flags.
func (f *File) Reopen(flags int) (*File, error) {
	fd := -1
	err := f.doLong(func() (err error) {
		fd, err = sys.Reopen(f.FD, flags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &File{Tier: f.Tier, gen: f.gen, FD: fd}, nil
}

// ReadDir lists the open directory from its position on, without "." and "..".
func (f *File) ReadDir(fn func(sys.Dirent) error) error {
	buf := rowBuffers.Get().(*[]byte)
	defer rowBuffers.Put(buf)
	return f.doLong(func() error { return sys.ReadDir(f.FD, *buf, fn) })
}

// rowBuffers are for getdents64(2): to clear one would take longer than to read a
// small directory.
var rowBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// ReadRows is one step of ReadDir, with buf of at least 4 KiB.
func (f *File) ReadRows(buf []byte, fn func(sys.Dirent) error) (more bool, err error) {
	err = f.doLong(func() (err error) {
		more, err = sys.ReadRows(f.FD, buf, fn)
		return err
	})
	return more, err
}

// Sync is fsync(2), or fdatasync(2).
func (f *File) Sync(dataOnly bool) error {
	return f.doLong(func() error {
		if dataOnly {
			return unix.Fdatasync(f.FD)
		}
		return unix.Fsync(f.FD)
	})
}

// Lock takes the exclusive lock of flock(2), as sys.Lock does, if that keeps nobody from
// reading the file: else the error is EOPNOTSUPP.
func (f *File) Lock(patience time.Duration) error {
	if f.Tier.exclude {
		return unix.EOPNOTSUPP
	}
	return sys.LockBy(func() error { return f.do(func() error { return unix.Flock(f.FD, unix.LOCK_EX|unix.LOCK_NB) }) }, patience)
}

// Flush is what close(2) of one more descriptor says: errors of earlier
// writes on NFS and SSHFS.
func (f *File) Flush() error {
	return f.doLong(func() error {
		fd, err := unix.FcntlInt(uintptr(f.FD), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
}

// Chmod is chmod(2) of the inode.
func (f *File) Chmod(mode uint32) error {
	return f.doLong(func() error {
		err := unix.Fchmod(f.FD, mode)
		if err == unix.EBADF { // O_PATH
			err = unix.Chmod(sys.FDPath(f.FD), mode)
		}
		return err
	})
}

// Chown is chown(2) of the inode, of a symlink itself; -1 leaves an ID.
func (f *File) Chown(uid, gid int) error {
	return f.doLong(func() error { return unix.Fchownat(f.FD, "", uid, gid, unix.AT_EMPTY_PATH) })
}

// Utimens is utimensat(2) of the inode, of a symlink itself.
func (f *File) Utimens(times *[2]unix.Timespec) error {
	return f.doLong(func() error {
		err := unix.UtimesNanoAt(f.FD, "", times[:], unix.AT_EMPTY_PATH)
		if err == unix.EINVAL || err == unix.ENOENT { // AT_EMPTY_PATH is newer (Linux 5.8)
			err = unix.UtimesNanoAt(unix.AT_FDCWD, sys.FDPath(f.FD), times[:], 0)
		}
		return err
	})
}

// Truncate is truncate(2) of the inode.
func (f *File) Truncate(size int64) error {
	return f.doLong(func() error { return unix.Truncate(sys.FDPath(f.FD), size) })
}

// Ftruncate is ftruncate(2) of a descriptor open for writing.
func (f *File) Ftruncate(size int64) error {
	return f.doLong(func() error { return unix.Ftruncate(f.FD, size) })
}

// Dup is another descriptor of the same open file.
func (f *File) Dup() (*File, error) {
	fd, err := unix.FcntlInt(uintptr(f.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &File{Tier: f.Tier, gen: f.gen, FD: fd}, nil
}

// Getxattr is getxattr(2): into dst, or the size with an empty dst.
func (f *File) Getxattr(name string, dst []byte) (n int, err error) {
	err = f.do(func() (err error) {
		n, err = unix.Fgetxattr(f.FD, name, dst)
		if err == unix.EBADF { // O_PATH
			n, err = unix.Getxattr(sys.FDPath(f.FD), name, dst)
		}
		return f.Tier.xattrError(name, err)
	})
	return n, err
}

// Listxattr is listxattr(2).
func (f *File) Listxattr(dst []byte) (n int, err error) {
	err = f.do(func() (err error) {
		n, err = unix.Flistxattr(f.FD, dst)
		if err == unix.EBADF { // O_PATH
			n, err = unix.Listxattr(sys.FDPath(f.FD), dst)
		}
		return f.Tier.xattrError("user.none", err)
	})
	return n, err
}

// Setxattr is setxattr(2).
func (f *File) Setxattr(name string, value []byte, flags int) error {
	return f.doLong(func() error {
		return f.Tier.xattrError(name, unix.Setxattr(sys.FDPath(f.FD), name, value, flags))
	})
}

// Removexattr is removexattr(2).
func (f *File) Removexattr(name string) error {
	return f.doLong(func() error {
		return f.Tier.xattrError(name, unix.Removexattr(sys.FDPath(f.FD), name))
	})
}

// Pread is pread(2), again until dst is full or the file ends.
func (f *File) Pread(dst []byte, off int64) (n int, err error) { return f.whole(unix.Pread, dst, off) }

// Pwrite is pwrite(2) until src is written or an error stops it.
func (f *File) Pwrite(src []byte, off int64) (n int, err error) {
	return f.whole(unix.Pwrite, src, off)
}

// whole repeats a call until it has done all of b, or does no more. An error after a part
// is left for the next call to meet.
func (f *File) whole(call func(fd int, b []byte, off int64) (int, error), b []byte, off int64) (n int, err error) {
	err = f.doLong(func() error {
		for n < len(b) {
			m, err := call(f.FD, b[n:], off+int64(n))
			if err == unix.EINTR {
				continue
			}
			if err != nil && n == 0 {
				return err
			}
			if err != nil || m == 0 {
				return nil
			}
			n += m
		}
		return nil
	})
	return n, err
}

// Seek is lseek(2).
func (f *File) Seek(off int64, whence int) (pos int64, err error) {
	err = f.do(func() (err error) {
		pos, err = unix.Seek(f.FD, off, whence)
		return err
	})
	return pos, err
}

// Fallocate is fallocate(2).
func (f *File) Fallocate(mode uint32, off, length int64) error {
	return f.doLong(func() error { return unix.Fallocate(f.FD, mode, off, length) })
}

// CopyRange is copy_file_range(2) within one tier.
func (f *File) CopyRange(off int64, to *File, toOff int64, length int, flags uint32) (n int, err error) {
	err = f.doLong(func() (err error) {
		n, err = unix.CopyFileRange(f.FD, &off, to.FD, &toOff, length, int(flags))
		return err
	})
	return n, err
}

// GetFlags and SetFlags are FS_IOC_GETFLAGS and FS_IOC_SETFLAGS.
func (f *File) GetFlags() (v uint32, err error) {
	err = f.do(func() (err error) {
		v, err = sys.GetFlags(f.FD)
		return err
	})
	return v, err
}

// FsGetXattr is FS_IOC_FSGETXATTR.
func (f *File) FsGetXattr() (v [sys.FsXattrSize]byte, err error) {
	err = f.do(func() (err error) {
		v, err = sys.FsGetXattr(f.FD)
		return err
	})
	return v, err
}

// FsSetXattr is FS_IOC_FSSETXATTR.
func (f *File) FsSetXattr(v *[sys.FsXattrSize]byte) error {
	return f.doLong(func() error { return sys.FsSetXattr(f.FD, v) })
}

// SetFlags is FS_IOC_SETFLAGS (ioctl_iflags(2)).
func (f *File) SetFlags(v uint32) error {
	return f.doLong(func() error { return sys.SetFlags(f.FD, v) })
}

// CloneFrom makes f share the blocks of src (ioctl_ficlonerange(2)). It fails
// where the two are not on one filesystem that can.
func (f *File) CloneFrom(src *File) error {
	return f.doLong(func() error { return unix.IoctlFileClone(f.FD, src.FD) })
}

// StartSync begins to write n bytes of the content back, without waiting for
// them (sync_file_range(2)).
func (f *File) StartSync(off, n int64) {
	_ = f.doLong(func() error { return unix.SyncFileRange(f.FD, off, n, unix.SYNC_FILE_RANGE_WRITE) })
}

// Expect begins to read the first n bytes, without waiting for them
// (posix_fadvise(2)).
func (f *File) Expect(n int64) {
	_ = f.doLong(func() error { return unix.Fadvise(f.FD, 0, n, unix.FADV_WILLNEED) })
}

// Forget drops what the page cache has of the content and is written back
// (posix_fadvise(2)): it will not be read again soon.
func (f *File) Forget() {
	_ = f.doLong(func() error { return unix.Fadvise(f.FD, 0, 0, unix.FADV_DONTNEED) })
}
