package harness

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Stop stops the daemon until the test ends. Every thread has stopped when it
// returns: one that still runs would take a request, for which the kernel then
// waits whatever signal the asker gets.
func (m *Mount) Stop() {
	m.T.Helper()
	pid := m.Pid()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		m.T.Fatal(err)
	}
	m.T.Cleanup(func() { _ = unix.Kill(pid, unix.SIGCONT) })
	Eventually(m.T, "all threads of the daemon have stopped", func() bool {
		tasks := fmt.Sprintf("/proc/%d/task", pid)
		for _, task := range List(m.T, tasks) {
			if !strings.Contains(Read(m.T, tasks+"/"+task+"/status"), "State:\tT") {
				return false
			}
		}
		return true
	})
}
