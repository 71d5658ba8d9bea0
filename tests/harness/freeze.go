package harness

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Requests of <linux/fs.h>.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// Freeze stops every write to a filesystem until the returned function is
// called: a daemon that works on it stays where it is.
func Freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(fd, fiFreeze, 0); err != nil {
		t.Fatalf("freeze %s: %v", dir, err)
	}
	thawed := false
	thaw = func() {
		if !thawed {
			thawed = true
			if err := unix.IoctlSetInt(fd, fiThaw, 0); err != nil {
				t.Errorf("thaw %s: %v", dir, err)
			}
			unix.Close(fd)
		}
	}
	t.Cleanup(thaw)
	return thaw
}

// WaitInside waits until a thread of the daemon is held by a frozen
// filesystem, in the sleep that no signal ends.
func WaitInside(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
			if _, state, ok := bytes.Cut(stat, []byte(") ")); ok && state[0] == 'D' {
				return
			}
		}
	}
	t.Fatal("the daemon does not reach the frozen filesystem")
}
