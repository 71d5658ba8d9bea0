package daemon

import (
	"os"
	"strconv"
	"strings"
)

// Place is where a mount is to be seen.
type Place struct {
	Dir     string
	Foreign bool // in the mount namespace of its daemon, not in ours
}

// PlaceOf finds the mount of the type that the daemon pid serves by conn, a
// Connection, wherever it was moved to. It is nowhere after a lazy unmount, and
// where it is in other mount namespaces alone.
func PlaceOf(pid int, fstype, conn string) (p Place, ok bool) {
	if isWhole(conn) && !connected(conn) {
		return p, false // the number is another's by now
	}
	for _, who := range []string{"thread-self", strconv.Itoa(pid)} {
		if m, err := mountOf(who, fstype, conn); err == nil {
			return Place{Dir: m.Dir, Foreign: who != "thread-self"}, true
		}
	}
	return p, false
}

// mountOf is the mount of a connection in the mount namespace of a process, that of
// all of it first. The error is os.ErrNotExist if it is not there.
func mountOf(who, fstype, conn string) (found Mount, err error) {
	text, err := os.ReadFile("/proc/" + who + "/mountinfo")
	if err != nil {
		return found, err
	}
	err = os.ErrNotExist
	minor, ok := MinorOf(conn)
	for _, m := range ParseMounts(string(text)) {
		if !ok || m.Major != 0 || m.Minor != minor || m.Type != fstype {
			continue
		}
		if m.Root == "/" {
			return m, nil
		}
		found, err = m, nil
	}
	return found, err
}

// isWhole reports whether the name of a Connection is more than a number, which is
// given to another as soon as it is free.
func isWhole(conn string) bool { return strings.Contains(conn, ".") }

// Kept reports whether the connection of that name is there still: it goes with its
// mount and with who is in that. The name need not tell, then known is false.
func Kept(conn string) (kept, known bool) { return connected(conn), isWhole(conn) }

// MinorOf is the minor device number of the mount of a Connection.
func MinorOf(conn string) (minor uint32, ok bool) {
	text, _, _ := strings.Cut(conn, ".")
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil
}
