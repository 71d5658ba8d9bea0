package harness

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type process struct {
	pid  int
	args []string
}

// processes are those of the test's PID namespace, zombies and kernel threads
// (which have no arguments) left out.
func processes() []process {
	names, err := os.ReadDir("/proc")
	if err != nil {
		panic("harness: " + err.Error())
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(text) == 0 {
			continue
		}
		all = append(all, process{pid, strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")})
	}
	return all
}

// envDir marks what was started to mount on a directory: the arguments may name
// it in another way.
const envDir = "TIERFS_TEST_DIR="

// processesOf are those that were started as a mount helper for dir.
func processesOf(dir string) []process {
	var of []process
	for _, p := range processes() {
		if strings.Contains(p.args[0], "tierfs") && p.args[0] != guardName && (slices.Contains(p.args[1:], dir) || slices.Contains(environ(p.pid), envDir+dir)) {
			of = append(of, p)
		}
	}
	return of
}

// guardName is the process that a daemon starts to be outlived by.
const guardName = "tierfs-guard"

// Guards are the processes that watch over the daemon of a mount.
func (m *Mount) Guards() []int {
	var all []int
	for _, p := range processes() {
		if p.args[0] == guardName && p.args[len(p.args)-1] == m.Dir {
			all = append(all, p.pid)
		}
	}
	return all
}

// Processes counts those that were started as a mount helper for the mount.
func (m *Mount) Processes() int { return len(processesOf(m.Dir)) }

func environ(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.Split(string(text), "\x00")
}

// daemonOf finds the daemon of a mount point: the process that was started for
// it and holds /dev/fuse. The newest one, if a lazily unmounted one still ends.
func daemonOf(dir string) int {
	found := 0
	for _, p := range processesOf(dir) {
		if slices.Contains(descriptors(p.pid), "/dev/fuse") {
			found = max(found, p.pid)
		}
	}
	return found
}

// Pid is the daemon's.
func (m *Mount) Pid() int {
	m.T.Helper()
	if m.pid == 0 {
		m.T.Fatalf("%s is not mounted", m.Dir)
	}
	return m.pid
}

// FDs are the targets of the daemon's descriptors, sorted.
func (m *Mount) FDs() []string {
	m.T.Helper()
	return descriptors(m.Pid())
}

func descriptors(pid int) []string {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, name := range names {
		if target, err := os.Readlink(dir + name.Name()); err == nil {
			all = append(all, target)
		}
	}
	sort.Strings(all)
	return all
}

// CheckFDs fails the test when the daemon holds descriptors that it did not
// hold after mounting. The kernel sends RELEASE when it likes, so the answer
// may take a moment. Not counted: directories (a bounded cache of tier
// directories is kept) and sockets (workers start when they are needed).
func (m *Mount) CheckFDs() {
	m.T.Helper()
	var leaked []string
	if Within(5*time.Second, func() bool { leaked = m.leaked(); return len(leaked) == 0 }) {
		return
	}
	m.T.Errorf("daemon %d leaks descriptors: %q", m.pid, leaked)
}

func (m *Mount) leaked() []string {
	had := map[string]int{}
	for _, target := range m.fds {
		had[target]++
	}
	var leaked []string
	dir := fmt.Sprintf("/proc/%d/fd/", m.Pid())
	names, _ := os.ReadDir(dir)
	for _, name := range names {
		target, err := os.Readlink(dir + name.Name())
		if err != nil || strings.HasPrefix(target, "socket:") || isDirectory(dir+name.Name()) {
			continue
		}
		if had[target]--; had[target] < 0 {
			leaked = append(leaked, target)
		}
	}
	return leaked
}

func isDirectory(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// reap waits for the end of one orphan. The harness is the first process of
// its PID namespace, so daemons become its children when the helper ends; only
// the named one is waited for, which leaves those of os/exec alone.
func reap(pid int, limit time.Duration) (code int, ended bool) {
	var status unix.WaitStatus
	ended = Within(limit, func() bool {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		return got == pid || err == unix.ECHILD
	})
	if status.Signaled() {
		return 128 + int(status.Signal()), ended
	}
	return status.ExitStatus(), ended
}

// holders names the processes that keep the mount busy, for messages.
func (m *Mount) holders() string {
	var text strings.Builder
	for _, p := range processes() {
		for _, target := range descriptors(p.pid) {
			if target == m.Dir || strings.HasPrefix(target, m.Dir+"/") {
				fmt.Fprintf(&text, "held by %d %q: %s\n", p.pid, p.args, target)
			}
		}
	}
	return text.String()
}
