package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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

// StateOf looks at a daemon by its process, as this PID namespace has it, by its
// mount of the type at dir, as its own mount namespace has it, and by its
// Connection: that goes with the mount's last user, wherever it was moved to.
func StateOf(pid int, dir, fstype, conn string) State {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	switch {
	case err != nil:
		return Unknown
	case exiting(string(stat)):
		return Ending
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if errors.Is(err, fs.ErrPermission) {
		return Serving
	}
	at := func(m Mount) bool { return m.Dir == dir && m.Type == fstype }
	if err == nil && slices.ContainsFunc(ParseMounts(string(text)), at) {
		return Serving
	}
	if connected(conn) {
		return Serving
	}
	return Detached // an error is that of a process which has left its namespace
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
