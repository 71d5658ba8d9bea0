package tier

import (
	"fmt"
	"strings"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Holder is the daemon that has the lock of a tier, as it has written itself
// into the lock file. That is for messages alone: the file may be anybody's.
type Holder struct {
	PID  int    // in its own namespace; 0 if it is not known
	At   string // where it has mounted, which may have been moved since
	Conn string // its connection to the kernel; "" before there is one
}

// Sign writes into the locks by which connection to the kernel the mount is served.
func (j *JoinResult) Sign(conn string) {
	for _, l := range j.locks {
		signLock(l.fd, j.at, conn)
	}
}

// signLock writes into the lock file fd that we have it, for the mount on at. A
// full disk must not keep a mount from its lock, so it is done as far as it can
// be. Nothing stays open for writing, see openLock.
func signLock(fd int, at, conn string) {
	if at == "" {
		return
	}
	w, err := sys.Reopen(fd, unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return
	}
	defer unix.Close(w)
	_, _ = unix.Pwrite(w, fmt.Appendf(nil, "%d,%s %s\n", unix.Getpid(), conn, at), 0)
}

// readHolder reads what signLock has written.
func readHolder(fd int) (h Holder) {
	text := make([]byte, unix.PathMax+32)
	n, _ := unix.Pread(fd, text, 0)
	line, whole := strings.CutSuffix(string(text[:max(n, 0)]), "\n")
	who, at, _ := strings.Cut(line, " ")
	pid, conn, _ := strings.Cut(who, ",")
	if _, err := fmt.Sscanf(pid, "%d", &h.PID); err != nil || !whole || !strings.HasPrefix(at, "/") {
		return Holder{}
	}
	h.At, h.Conn = at, conn
	return h
}
