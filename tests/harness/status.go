package harness

import (
	"encoding/json"
	"os"
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
	for range 2 {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
			m.T.Fatal(err)
		}
		m.Status() // a moment, for what is under way
	}
}

// Forgotten is how often the kernel said that it forgets inodes.
func (s Status) Forgotten() uint64 { return s.Ops["FORGET"] + s.Ops["BATCH_FORGET"] }
