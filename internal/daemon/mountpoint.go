package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// MountPoint is the directory that a mount goes to. Nothing here opens, lists
// or enters it: it may be an automount point that waits for this very mount, or
// a FUSE mount that does not answer.
type MountPoint struct {
	Path string // absolute, without symlinks and trailing slashes

	Taken bool  // something is mounted there
	Top   Mount // the topmost mount there, if Taken
}

// FindMountPoint looks at dir.
func FindMountPoint(dir string) (MountPoint, error) {
	path, err := canonical(dir)
	if err != nil {
		return MountPoint{}, explainMountPoint(dir, err)
	}
	mounts, err := Mounts()
	if err != nil {
		return MountPoint{}, err
	}
	p := MountPoint{Path: path}
	p.Top, p.Taken = visible(mounts, path)
	return p, nil
}

// visible returns the mount that a path walk to path ends on, if path is its
// mount point. A mount that another one higher up hides has its line as well,
// so the kernel is asked which it is; without an answer (a kernel before 5.8, a
// dead FUSE daemon) the lines alone decide.
func visible(mounts []Mount, path string) (Mount, bool) {
	var st unix.Statx_t
	// No attribute is wanted, so that no filesystem is asked for one.
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_DONT_SYNC
	err := unix.Statx(unix.AT_FDCWD, path, flags, 0, &st)
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return Top(mounts, path)
	}
	m, ok := ByID(mounts, st.Mnt_id)
	return m, ok && m.Dir == path
}

// Check reports why nothing can be mounted here.
func (p MountPoint) Check() error {
	st, err := os.Stat(p.Path)
	if err != nil {
		return explainMountPoint(p.Path, err)
	}
	if !st.IsDir() {
		return explainMountPoint(p.Path, unix.ENOTDIR)
	}
	return nil
}

// Lock keeps others who call it for this place from mounting there, until release is
// called. It is a lock of the directory above, by flock(2): without a right to read that,
// on a network filesystem, or after lockTime, there is none.
func (p MountPoint) Lock() (release func()) {
	fd, err := unix.Open(filepath.Dir(p.Path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	_ = sys.Lock(fd, lockTime)
	return func() { unix.Close(fd) }
}

// lockTime bounds the wait for a lock that anybody may hold who can read the directory:
// a mount takes some milliseconds.
const lockTime = 2 * time.Second

// Dead reports whether the FUSE mount here has lost its daemon. It asks for
// fresh attributes, which a living daemon answers; one that is stopped, or waits
// for a tier, is given deadTime.
func (p MountPoint) Dead() bool {
	said := make(chan error, 1)
	go func() { // left behind where nothing answers; the process ends soon
		var st unix.Statx_t
		said <- unix.Statx(unix.AT_FDCWD, p.Path, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_FORCE_SYNC, unix.STATX_TYPE, &st)
	}()
	select {
	case err := <-said:
		return err == unix.ENOTCONN || err == unix.ECONNABORTED
	case <-time.After(deadTime):
		return false
	}
}

// deadTime is how long a mount may take to say that it is there. The kernel says
// at once that a daemon has gone.
const deadTime = 2 * time.Second

// ErrNoDirectory is of a mount point that is not there.
var ErrNoDirectory = errors.New("no such directory")

func explainMountPoint(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("mount point %q: %w; create it", dir, ErrNoDirectory)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("mount point %q: not a directory; name an existing directory", dir)
	case errors.Is(err, unix.ENOTCONN):
		return fmt.Errorf("mount point %q: the FUSE mount there has died; umount -l it first", dir)
	}
	return fmt.Errorf("mount point %q: %w; name a directory that can be reached", dir, bare(err))
}

// bare takes the call and the path off an error of package os, which the text
// around it names already.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// maxLinks is the kernel's own bound (MAXSYMLINKS).
const maxLinks = 40

// canonical is realpath(3) that only ever stats the last component: all before
// it is walked through anyhow. What cannot be a symlink because it does not
// answer (a dead mount) is taken as it is.
func canonical(dir string) (string, error) {
	for range maxLinks {
		parent, base, err := split(dir)
		if err != nil || base == "" {
			return parent, err
		}
		path := strings.TrimSuffix(parent, "/") + "/" + base
		link, err := isLink(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENAMETOOLONG) {
			return "", err
		}
		if err != nil || !link {
			return path, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if dir = target; !filepath.IsAbs(target) {
			dir = parent + "/" + target
		}
	}
	return "", unix.ELOOP
}

// isLink says whether path is a symlink, from what the kernel knows already: a
// mount whose daemon is stopped would never answer.
func isLink(path string) (bool, error) {
	var st unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_TYPE, &st)
	return st.Mode&unix.S_IFMT == unix.S_IFLNK, err
}

// split cuts dir into its parent, canonical, and its last component. A
// component that names no entry of its parent (none, ".", "..") is resolved
// with it, and base is empty.
func split(dir string) (parent, base string, err error) {
	if !filepath.IsAbs(dir) {
		wd, err := os.Getwd()
		if err != nil {
			return "", "", err
		}
		dir = wd + "/" + dir
	}
	dir = strings.TrimRight(dir, "/")
	i := strings.LastIndexByte(dir, '/')
	if i < 0 {
		return "/", "", nil
	}
	parent, base = dir[:i+1], dir[i+1:]
	if base == "." || base == ".." {
		parent, base = dir, ""
	}
	parent, err = filepath.EvalSymlinks(parent)
	return parent, base, err
}
