package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// callers are the limits that a daemon must not take over from whoever mounts:
// a shell with ulimit -f would set the size of every client's files.
var callers = []int{unix.RLIMIT_FSIZE, unix.RLIMIT_CPU, unix.RLIMIT_AS, unix.RLIMIT_DATA, unix.RLIMIT_NPROC}

// maxFiles is how many descriptors a daemon of root gives itself at least, if
// the kernel allows it: every file that a client opens is one here.
const maxFiles = 1 << 20

// RaiseLimits frees the process of the limits of its caller, and raises that of
// open files. execve(2) keeps them. Beyond the hard limits it takes
// CAP_SYS_RESOURCE; without it they are what is had.
func RaiseLimits() {
	for _, what := range callers {
		raise(what, unix.RLIM_INFINITY)
	}
	raise(unix.RLIMIT_NOFILE, min(maxFiles, mostFiles()))
}

// raise raises a limit to want, or, where that is not allowed, to the hard one.
func raise(what int, want uint64) {
	var lim unix.Rlimit
	if unix.Getrlimit(what, &lim) != nil {
		return
	}
	hard := max(lim.Max, want)
	if lim.Cur == hard || unix.Setrlimit(what, &unix.Rlimit{Cur: hard, Max: hard}) == nil {
		return
	}
	lim.Cur = lim.Max
	_ = unix.Setrlimit(what, &lim)
}

// mostFiles is what the kernel allows (proc_sys_fs(5), nr_open).
func mostFiles() uint64 {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
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
