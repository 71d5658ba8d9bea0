package tier

import (
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Dir is an open directory of a tier. Its methods are the *at calls on single
// names. It is counted: who gets one puts it back, and the last closes it.
type Dir struct {
	Tier *Tier
	gen  uint32 // of the tier when it was opened
	fd   int
	dev  atomic.Uint64 // its st_dev, 0 if nobody has asked
	refs atomic.Int32
}

func newDir(t *Tier, gen uint32, fd int) *Dir {
	d := &Dir{Tier: t, gen: gen, fd: fd}
	d.refs.Store(1)
	return d
}

// Get takes another reference.
func (d *Dir) Get() *Dir {
	d.refs.Add(1)
	return d
}

// tryGet is Get unless the last reference has been given back meanwhile.
func (d *Dir) tryGet() bool {
	for {
		n := d.refs.Load()
		if n == 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Stale reports that the tier has come back as another mount of its disk since
// the directory was opened.
func (d *Dir) Stale() bool { return d.gen != d.Tier.gen.Load() }

func (d *Dir) do(call func() error) error     { return d.Tier.run(d.gen, false, call) }
func (d *Dir) doLong(call func() error) error { return d.Tier.run(d.gen, true, call) }

// Put gives a reference back.
func (d *Dir) Put() {
	if d.refs.Add(-1) == 0 {
		unix.Close(d.fd)
	}
}

// FD is the descriptor, valid until Put. It may be O_PATH.
func (d *Dir) FD() int { return d.fd }

// Stat is fstatat(2) of name, not following symlinks.
func (d *Dir) Stat(name string, st *unix.Stat_t) error {
	return d.do(func() error { return d.Tier.fstatat(d.fd, name, st) })
}

// Gone reports whether name no longer leads to the file that was st, after a call that
// was to remove it and has failed. The filesystem is asked, as the kernel may go by what
// it knows from before (AT_STATX_FORCE_SYNC, statx(2)): for the name of a file that has
// others it may know no better, but not for the number of them.
func (d *Dir) Gone(name string, st *unix.Stat_t) bool {
	var sx unix.Statx_t
	err := d.do(func() error {
		const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_FORCE_SYNC
		return unix.Statx(d.fd, name, flags, unix.STATX_NLINK, &sx)
	})
	return err == unix.ENOENT || err == unix.ESTALE || err == nil && uint64(sx.Nlink) < uint64(st.Nlink)
}

// Ask has the filesystem asked for name, which the kernel may know to be absent from
// before a call that has failed (LOOKUP_EXCL in fuse_dentry_revalidate): it is to become
// a link to a directory, which no filesystem is asked to make.
func (d *Dir) Ask(name string) {
	_ = d.do(func() error { return unix.Linkat(d.fd, ".", d.fd, name, 0) })
}

// StatSelf is fstat(2) of the directory.
func (d *Dir) StatSelf(st *unix.Stat_t) error {
	err := d.do(func() error { return d.Tier.fstat(d.fd, st) })
	if err == nil {
		d.dev.Store(st.Dev)
	}
	return err
}

// Dev is the directory's st_dev, which stays the same while it is open.
func (d *Dir) Dev() (uint64, error) {
	if dev := d.dev.Load(); dev != 0 {
		return dev, nil
	}
	var st unix.Stat_t
	err := d.StatSelf(&st)
	return st.Dev, err
}

// Life tells name, or the directory itself for "", from files that had its
// number before (sys.Life). It is 0, not known, on a network filesystem: its
// handles may change while the file stays.
func (d *Dir) Life(name string) (life uint32) {
	if d.Tier.Network {
		return 0
	}
	_ = d.do(func() error {
		life = sys.Life(d.fd, name)
		return nil
	})
	return life
}

// Born is when name was made, if its filesystem tells, by this machine's clock.
func (d *Dir) Born(name string) (at time.Time, ok bool) {
	if d.Tier.Network {
		return at, false
	}
	var sx unix.Statx_t
	err := d.do(func() error { return unix.Statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &sx) })
	return time.Unix(sx.Btime.Sec, int64(sx.Btime.Nsec)), err == nil && sx.Mask&unix.STATX_BTIME != 0
}

// OpenDir opens the directory name. The descriptor is readable where the
// daemon may read (fsync and fgetxattr want that), else O_PATH.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd := -1
	err := d.do(func() (err error) {
		fd, err = sys.Open(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err == unix.EACCES {
			fd, err = sys.Open(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		}
		return err
	})
	switch err {
	case nil:
		return newDir(d.Tier, d.gen, fd), nil
	case unix.ELOOP: // a symlink took its place
		return nil, unix.ENOTDIR
	}
	return nil, err
}

// List opens the directory itself for reading its rows.
func (d *Dir) List() (*File, error) { return d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0) }

// ListQuietly is List that leaves the directory's access time alone.
func (d *Dir) ListQuietly() (*File, error) { return d.OpenQuietly(".", unix.O_DIRECTORY) }

// OpenQuietly opens name for reading, with more flags, so that its access time
// stays, where the daemon may ask for that (O_NOATIME, open(2)).
func (d *Dir) OpenQuietly(name string, flags int) (*File, error) {
	f, err := d.Open(name, unix.O_RDONLY|unix.O_NOATIME|flags, 0)
	if err == unix.EPERM {
		return d.Open(name, unix.O_RDONLY|flags, 0)
	}
	return f, err
}

// Getxattr is lgetxattr(2) of name, a symlink's own.
func (d *Dir) Getxattr(name, attr string, dst []byte) (n int, err error) {
	err = d.do(func() (err error) {
		n, err = sys.Getxattrat(d.fd, name, attr, dst)
		return d.Tier.xattrError(attr, err)
	})
	return n, err
}

// Open is openat(2), never following a symlink.
func (d *Dir) Open(name string, flags int, mode uint32) (*File, error) {
	fd := -1
	do := d.do
	if flags&(unix.O_CREAT|unix.O_TRUNC) != 0 {
		do = d.doLong
	}
	err := do(func() (err error) {
		fd, err = sys.Open(d.fd, name, flags|unix.O_NOFOLLOW, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &File{Tier: d.Tier, gen: d.gen, FD: fd}, nil
}

// OpenPath opens name with O_PATH, a symlink itself included.
func (d *Dir) OpenPath(name string) (*File, error) { return d.Open(name, unix.O_PATH, 0) }

// Self is the directory as a File, for the calls that both have. It does not
// take a reference.
func (d *Dir) Self() *File { return &File{Tier: d.Tier, gen: d.gen, FD: d.fd} }

// Mkdir is mkdirat(2).
func (d *Dir) Mkdir(name string, mode uint32) error {
	return d.doLong(func() error { return unix.Mkdirat(d.fd, name, mode) })
}

// Mknod is mknodat(2).
func (d *Dir) Mknod(name string, mode uint32, rdev uint32) error {
	return d.doLong(func() error { return unix.Mknodat(d.fd, name, mode, int(rdev)) })
}

// Symlink is symlinkat(2).
func (d *Dir) Symlink(target, name string) error {
	return d.doLong(func() error { return unix.Symlinkat(target, d.fd, name) })
}

// Readlink is readlinkat(2), whole.
func (d *Dir) Readlink(name string) (string, error) { return readlink(d.do, d.fd, name) }

func readlink(do func(func() error) error, dirfd int, name string) (target string, err error) {
	err = do(func() error {
		for size := 256; ; size *= 4 {
			b := make([]byte, size)
			n, err := unix.Readlinkat(dirfd, name, b)
			if err != nil {
				return err
			}
			if n < size {
				target = string(b[:n])
				return nil
			}
		}
	})
	return target, err
}

// Link is linkat(2) from name in d to newName in to, which is of the same tier.
func (d *Dir) Link(name string, to *Dir, newName string) error {
	return d.doLong(func() error { return unix.Linkat(d.fd, name, to.fd, newName, 0) })
}

// LinkFile gives the open file f the name name (linkat(2), AT_EMPTY_PATH by
// way of /proc). It brings an unnamed file into the tree.
func (d *Dir) LinkFile(f *File, name string) error {
	return d.doLong(func() error {
		return unix.Linkat(unix.AT_FDCWD, sys.FDPath(f.FD), d.fd, name, unix.AT_SYMLINK_FOLLOW)
	})
}

// Unlink is unlinkat(2) of a non-directory.
func (d *Dir) Unlink(name string) error {
	return d.doLong(func() error { return unix.Unlinkat(d.fd, name, 0) })
}

// Rmdir is unlinkat(2) of a directory.
func (d *Dir) Rmdir(name string) error {
	return d.doLong(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

// Rename is renameat2(2) to newName in to, which is of the same tier. Where the
// filesystem does not know RENAME_NOREPLACE (NFS, other FUSE filesystems), the
// new name is looked up before; nothing but a change out of band comes between.
func (d *Dir) Rename(name string, to *Dir, newName string, flags uint) error {
	if flags == 0 {
		return d.doLong(func() error { return unix.Renameat(d.fd, name, to.fd, newName) })
	}
	err := d.doLong(func() error { return unix.Renameat2(d.fd, name, to.fd, newName, flags) })
	if flags != unix.RENAME_NOREPLACE || err != unix.EINVAL && err != unix.ENOSYS && err != unix.EOPNOTSUPP {
		return err
	}
	var st unix.Stat_t
	switch err := to.Stat(newName, &st); err {
	case nil:
		return unix.EEXIST
	case unix.ENOENT:
		return d.Rename(name, to, newName, 0)
	default:
		return err
	}
}

// HasDefaultACL reports whether new files take their permissions from an ACL
// of the directory.
func (d *Dir) HasDefaultACL() bool {
	const name = "system.posix_acl_default"
	size := 0
	d.do(func() (err error) {
		size, err = unix.Fgetxattr(d.fd, name, nil)
		if err == unix.EBADF { // O_PATH
			size, err = unix.Getxattr(sys.FDPath(d.fd), name, nil)
		}
		return d.Tier.xattrError(name, err)
	})
	return size > 0
}

// Sync makes the directory's names durable. Filesystems that cannot sync
// directories say EINVAL.
func (d *Dir) Sync() error {
	f, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(false); err != unix.EINVAL {
		return err
	}
	return nil
}

// SyncFS makes all of the filesystem durable (syncfs(2)). It tells of what could
// not be written since the directory was opened.
func (d *Dir) SyncFS() error {
	return d.doLong(func() error { return unix.Syncfs(d.fd) })
}

// SyncNames makes the names in directories of one tier durable as Sync does, and
// where that may fail unseen all of the filesystem (see sys.Logs): for what must
// hold before a file's other copy goes, or the record of its move.
func SyncNames(dirs ...*Dir) error {
	if d := dirs[0]; d.Tier.Logs {
		return d.SyncFS()
	}
	for _, d := range dirs {
		if err := d.Sync(); err != nil {
			return err
		}
	}
	return nil
}
