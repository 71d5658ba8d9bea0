package harness

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// withFiles executes a command with a limit of open files that it cannot raise.
var withFiles = Func("harness.withFiles", func(args []string) error {
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // capabilities are a thread's
	// EINVAL or EPERM: the machine has not got it anyway.
	_ = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_RESOURCE, 0, 0, 0)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args[1:], os.Environ())
})

// UpWithFiles is Up with a daemon that may have only so many files open.
func (m *Mount) UpWithFiles(n int) {
	m.T.Helper()
	cmd := withFiles.Cmd(append([]string{strconv.Itoa(n)}, m.Args()...)...)
	cmd.Env = append(cmd.Env, envDir+m.Dir)
	if stdout, stderr, code := m.UpBy(cmd); code != 0 {
		m.T.Fatalf("%q: exit code %d\n%s%s", cmd.Args, code, stdout, stderr)
	}
}
