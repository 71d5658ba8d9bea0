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

// Link is what is to be seen of a Connection at one look, by its name.
type Link struct {
	Minor    uint32 // the minor device number of its mount
	Numbered bool   // the name has that
	Whole    bool   // … and tells the connection from the next of that number, which is given again as soon as it is free
	Kept     bool   // it is there still: it goes with its mount and with who is in that
}

// LinkOf looks at a Connection. Of one whose name is not whole Kept is false.
func LinkOf(conn string) (l Link) {
	text, _, whole := strings.Cut(conn, ".")
	n, err := strconv.ParseUint(text, 10, 32)
	l = Link{Minor: uint32(n), Numbered: err == nil, Whole: whole}
	if l.Numbered {
		now, f := Connection(l.Minor)
		if f != nil {
			f.Close()
		}
		l.Kept = f != nil && now == conn
	}
	return l
}

// Place finds the mount of the type that the daemon pid serves by the connection,
// wherever it was moved to. It is nowhere after a lazy unmount, and where it is in other
// mount namespaces alone.
func (l Link) Place(pid int, fstype string) (p Place, ok bool) {
	if l.Whole && !l.Kept {
		return p, false // the number is another's by now
	}
	for _, who := range []string{"thread-self", strconv.Itoa(pid)} {
		if m, err := l.mount(who, fstype); err == nil {
			return Place{Dir: m.Dir, Foreign: who != "thread-self"}, true
		}
	}
	return p, false
}

// mount is the mount of the connection in the mount namespace of a process, that of
// all of it first. The error is os.ErrNotExist if it is not there.
func (l Link) mount(who, fstype string) (found Mount, err error) {
	text, err := os.ReadFile("/proc/" + who + "/mountinfo")
	if err != nil {
		return found, err
	}
	err = os.ErrNotExist
	for _, m := range ParseMounts(string(text)) {
		if !l.Numbered || m.Major != 0 || m.Minor != l.Minor || m.Type != fstype {
			continue
		}
		if m.Root == "/" {
			return m, nil
		}
		found, err = m, nil
	}
	return found, err
}
