package daemon

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RaiseFiles raises the limit of open files to the hard limit: every file that
// a client opens is one here. What cannot be raised is used as it is.
func RaiseFiles() {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil && lim.Cur < lim.Max {
		lim.Cur = lim.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
	}
}

// oomScore makes the daemon one of the last processes that the kernel kills
// for memory: it is the only door to the data. -1000, never, is left to what
// keeps the machine alive.
const oomScore = "-900"

// ProtectFromOOM lowers the process's oom_score_adj, which execve(2) keeps. It
// takes CAP_SYS_RESOURCE; without it the score stays.
func ProtectFromOOM() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
}

// NameProcess sets the name that ps(1) and pidof(8) know: after executing
// /proc/self/exe it is "exe".
func NameProcess(argv0 string) {
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(argv0)), 0)
}

// path is what programs are looked up in when the caller gave none, as mount(8)
// and autofs do.
const path = "/sbin:/usr/sbin:/bin:/usr/bin"

// SetPath sees to it that there is a PATH.
func SetPath() {
	if os.Getenv("PATH") == "" {
		_ = os.Setenv("PATH", path)
	}
}
