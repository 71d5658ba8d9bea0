package harness

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

// Status is what a daemon tells of itself.
type Status struct {
	Ops     map[string]uint64 `json:"ops"`
	Inodes  int               `json:"inodes"`
	Handles int               `json:"handles"`
}

// Status asks the daemon.
func (m *Mount) Status() Status {
	m.T.Helper()
	out := Must(m.T, CLI, "status", "--json", m.Dir)
	var all []Status
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		m.T.Fatalf("status: %v\n%s", err, out)
	}
	return all[0]
}

// DropCaches makes the kernel forget the inodes of the mount, of which nothing
// may be open. A file that was just closed is held until its RELEASE.
func (m *Mount) DropCaches() {
	m.T.Helper()
	Eventually(m.T, "all files are closed", func() bool { return m.Status().Handles == 0 })
	if err := DropUnused(m.Dir); err != nil {
		m.T.Fatal(err)
	}
	m.Status() // a moment, for what is under way
}

// DropUnused makes the kernel forget the inodes of what is mounted at dir that nobody
// uses.
//
// A reconfiguration drops the unused dentries of that one filesystem
// (reconfigure_super), and their inodes with them. /proc/sys/vm/drop_caches
// would do it to all, and to the tests that run at the same time.
func DropUnused(dir string) error {
	fd, err := unix.Fspick(unix.AT_FDCWD, dir, unix.FSPICK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fspick %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := unix.FsconfigReconfigure(fd); err != nil {
		return fmt.Errorf("reconfigure %s: %w", dir, err)
	}
	return nil
}

// Forgotten is how often the kernel said that it forgets inodes.
func (s Status) Forgotten() uint64 { return s.Ops["FORGET"] + s.Ops["BATCH_FORGET"] }
