package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	socketSuffix = ".sock"
	tempPrefix   = ".new-" // of a socket that is not in its place yet
)

// lock keeps other daemons from making and removing sockets in dir, or fails with
// EWOULDBLOCK if one keeps us from it for longer than patience. Between two
// of them otherwise: one finds a socket dead, the other puts its own in that
// place, the first removes it.
func lock(dir string, patience time.Duration) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := sys.Lock(fd, patience); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// lockTime is how long another daemon is waited for, which is at its socket for some
// milliseconds; one that is stopped keeps nobody from mounting.
const lockTime = 2 * time.Second

// Sweep removes from dir what daemons that were killed have left, unless one is
// at it.
func Sweep(dir string) {
	unlock, err := lock(dir, 0)
	if err != nil {
		return
	}
	defer unlock()
	sweep(dir)
}

// sweep removes what daemons that were killed have left in dir: sockets on
// which nobody listens, and those that never came to their place.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Type() != os.ModeSocket {
			continue
		}
		if strings.HasPrefix(e.Name(), tempPrefix) || strings.HasSuffix(e.Name(), socketSuffix) && deserted(path) {
			_ = os.Remove(path)
		}
	}
}

// deserted reports that nobody listens. A daemon that is merely slow has a
// backlog.
func deserted(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}
