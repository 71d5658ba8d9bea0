package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// State is what is to be seen of a daemon from outside.
type State int

const (
	Unknown  State = iota // no process of that number can be seen
	Ending                // it has ended, or was killed, and not given everything up yet
	Detached              // its mount is not to be seen any more: it may be about to end
	Serving               // its mount is there, or somebody is in that still
)

// State looks at the daemon of the connection by its process, as this PID namespace has
// it, and by the connection, which goes with the mount's last user. Where that cannot be
// seen, there is its mount of the type, as its own mount namespace has it.
func (l Link) State(pid int, fstype string) State {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	switch {
	case err != nil:
		return Unknown
	case exiting(string(stat)):
		return Ending
	}
	serves := l.Kept
	if !l.Whole {
		_, err := l.mount(strconv.Itoa(pid), fstype)
		serves = err == nil || errors.Is(err, fs.ErrPermission)
	}
	if serves {
		return Serving
	}
	return Detached
}

// exiting tells of a line of /proc/PID/stat whether the process has ended, or its
// first thread is about to (PF_EXITING of linux/sched.h): it gives its files up
// after that.
func exiting(stat string) bool {
	const pfExiting = 0x4
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the command may have anything in it
	if len(fields) < 7 {
		return false
	}
	flags, _ := strconv.ParseUint(fields[6], 10, 64)
	return strings.Contains("ZXx", fields[0]) || flags&pfExiting != 0
}
