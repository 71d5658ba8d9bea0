package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// RootDir is where root's daemons have their sockets.
const RootDir = "/run/tierfs"

// Dir returns the directory for the sockets of uid's daemons.
func Dir(uid int) string {
	if uid == 0 {
		return RootDir
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && uid == os.Geteuid() {
		return filepath.Join(dir, "tierfs")
	}
	return filepath.Join("/run/user", strconv.Itoa(uid), "tierfs")
}

// Path names the socket in dir of the mount with the given device number.
func Path(dir string, major, minor uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%d-%d%s", major, minor, socketSuffix))
}

// MakeDir makes dir, for its owner alone, or holds an existing one to that.
func MakeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// By descriptor, so that nothing can be put in its place in between.
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w; it must be a directory", dir, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: belongs to user %d; remove it", dir, st.Uid)
	}
	if st.Mode&0o077 != 0 {
		return unix.Fchmod(fd, 0o700)
	}
	return nil
}

// Listener is a daemon's socket.
type Listener struct {
	*net.UnixListener
	path   string
	ino    uint64
	closed sync.Once
}

// Listen opens the socket path in an existing directory. It is made beside and
// renamed into place: a socket that a dead daemon left is replaced, and there
// is none that nobody listens on.
func Listen(path string) (*Listener, error) {
	dir := filepath.Dir(path)
	unlock, err := lock(dir, lockTime)
	switch {
	case err == nil:
		defer unlock()
		sweep(dir)
	case err != unix.EWOULDBLOCK:
		return nil, err
	}
	temp := filepath.Join(dir, tempPrefix+strconv.Itoa(os.Getpid()))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	ino, err := publish(temp, path)
	if err != nil {
		l.Close()
		_ = os.Remove(temp)
		return nil, err
	}
	return &Listener{UnixListener: l, path: path, ino: ino}, nil
}

func publish(temp, path string) (ino uint64, err error) {
	if err := os.Chmod(temp, 0o600); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(temp, &st); err != nil {
		return 0, err
	}
	return st.Ino, os.Rename(temp, path)
}

// Close closes the socket and removes it, unless a later daemon has put its
// own there: device numbers are given again. A second Close does nothing, since
// inode numbers are given again too, and a later daemon's socket may have ours.
func (l *Listener) Close() (err error) {
	l.closed.Do(func() { err = l.close() })
	return err
}

func (l *Listener) close() error {
	if unlock, err := lock(filepath.Dir(l.path), lockTime); err == nil {
		defer unlock()
	}
	var st unix.Stat_t
	if unix.Lstat(l.path, &st) == nil && st.Ino == l.ino {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// peer returns who is at the other end (SO_PEERCRED, unix(7)).
func peer(conn net.Conn) (unix.Ucred, error) {
	u, ok := conn.(syscall.Conn)
	if !ok {
		return unix.Ucred{}, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return unix.Ucred{}, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return unix.Ucred{}, err
	}
	return *cred, nil
}
