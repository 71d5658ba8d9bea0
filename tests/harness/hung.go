package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hung tells where a command that does not end waits, and all that it has started, and
// the daemons that were given one of its paths. What of it is tierfs ends with SIGQUIT,
// for which Go tells on standard error, the command's mostly, where its goroutines are.
func hung(cmd *exec.Cmd) string {
	started := descendants(cmd.Process.Pid)
	var text strings.Builder
	for _, pid := range started {
		text.WriteString(stacksOf(pid))
	}
	for _, pid := range started {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.Contains(string(comm), "tier") { // mount.fuse.tier, of 15 bytes, too
			unix.Kill(pid, unix.SIGQUIT)
			time.Sleep(200 * time.Millisecond) // one tells after the other
		}
	}
	for _, p := range processes() {
		named := func(arg string) bool { return filepath.IsAbs(arg) && slices.Contains(cmd.Args, arg) }
		if strings.Contains(p.args[0], "tierfs") && !slices.Contains(started, p.pid) && slices.ContainsFunc(p.args[1:], named) {
			text.WriteString(stacksOf(p.pid))
		}
	}
	return text.String()
}

// descendants are a process and all under it that have not lost their parent.
func descendants(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			n, _ := strconv.Atoi(child)
			all = append(all, descendants(n)...)
		}
	}
	return all
}

// stacksOf tells where the threads of a process that does not end wait: each one's
// number, name and state, then what it waits for in the kernel, its system call and stack.
func stacksOf(pid int) string {
	var text strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		read := func(name string) string {
			content, _ := os.ReadFile(task + "/" + name)
			return strings.TrimSuffix(string(content), "\n")
		}
		stat := read("stat")
		fmt.Fprintf(&text, "process %d, thread %s: wchan %s, syscall %s\n%s\n",
			pid, stat[:min(len(stat), strings.LastIndex(stat, ")")+3)], read("wchan"), read("syscall"), read("stack"))
	}
	return text.String()
}
