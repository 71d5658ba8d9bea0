// Package faultfs is a disk that fails on demand: a FUSE filesystem that passes
// directories through, and lets a test make the nth call on them fail, wait or
// come up short. It is served by a second self of the test binary, since a
// process must not touch what it serves.
package faultfs

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// Plan is what goes wrong. Calls are counted from Arm on, those that match.
type Plan struct {
	Disk  int      // which of the disks, -1 for all
	Ops   []string // names as in fuse.h, such as "RENAME2"; none for all
	Nth   int      // the call that it happens to, from 1
	Stays bool     // … and to every one after it
	Done  bool     // the call is carried out, and then comes what follows

	Errno   unix.Errno
	Hang    bool // no answer until Disarm
	DelayMS int
	Short   bool // half of the data is read or written
	Die     bool // the server exits; see Revive

	NoLinks  bool // besides: the disks have no hard links
	NoOwners bool // besides: chown(2) and chmod(2) are done without effect
	NoXattrs bool // besides: of extended attributes the root says EOPNOTSUPP, all else EIO
	NoInodes bool // besides: statfs(2) says of all inodes that they are used

	// Besides: inode numbers are made from names, and change some time after a rename,
	// as rclone's do, and when the server is another, as those of libfuse do.
	NoNumbers bool
}

// Report is what came of a plan.
type Report struct {
	Calls []Call // those that matched
	Hit   bool   // the plan was carried out
	Stuck int    // calls that hang at the moment
}

// Call is one call on a disk.
type Call struct {
	Disk int
	Op   string
	Name string
}

func (c Call) String() string { return fmt.Sprintf("%d:%s(%s)", c.Disk, c.Op, c.Name) }

// FS is a process that serves disks.
type FS struct {
	t     *testing.T
	Disks []string // where they are mounted
	Roots []string // the directories behind them

	cmd  *exec.Cmd
	mu   sync.Mutex
	conn net.Conn      // GUARDED_BY(mu)
	dec  *json.Decoder // GUARDED_BY(mu)
}

var serveCall = harness.Func("faultfs", serve)

// New makes n disks of fresh directories and mounts them. They are unmounted
// when the test ends.
func New(t *testing.T, n int) *FS {
	t.Helper()
	harness.Require(t, "root", "fuse")
	f := &FS{t: t}
	for range n {
		dir := harness.TempDir(t)
		harness.Mkdir(t, dir+"/root")
		harness.Mkdir(t, dir+"/disk")
		f.Roots = append(f.Roots, dir+"/root")
		f.Disks = append(f.Disks, dir+"/disk")
	}
	t.Cleanup(f.Down)
	f.Up()
	return f
}

// Up serves the disks, again after Kill or Down.
func (f *FS) Up() {
	f.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	ours := os.NewFile(uintptr(pair[0]), "control")
	var args []string
	for i := range f.Disks {
		args = append(args, f.Roots[i], f.Disks[i])
	}
	f.cmd = serveCall.Cmd(args...)
	f.cmd.Stderr = os.Stderr
	f.cmd.ExtraFiles = []*os.File{theirs}
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not the terminal's ^C
	err = f.cmd.Start()
	theirs.Close()
	if err != nil {
		f.t.Fatal(err)
	}
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.conn, f.dec = conn, json.NewDecoder(conn)
	f.mu.Unlock()
	f.ask(request{}) // it is mounted when it answers
}

// Pid is the serving process.
func (f *FS) Pid() int { return f.cmd.Process.Pid }

// Arm puts a plan in force instead of the last one.
func (f *FS) Arm(p Plan) {
	f.t.Helper()
	f.ask(request{Arm: &p})
}

// Disarm ends the plan; what hangs goes on.
func (f *FS) Disarm() Report {
	f.t.Helper()
	return f.ask(request{Disarm: true})
}

// Report tells how the plan goes.
func (f *FS) Report() Report {
	f.t.Helper()
	return f.ask(request{})
}

func (f *FS) ask(r request) (rep Report) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := json.NewEncoder(f.conn).Encode(r); err != nil {
		f.t.Fatalf("faultfs: %v", err)
	}
	if err := f.dec.Decode(&rep); err != nil {
		f.t.Fatalf("faultfs: %v", err)
	}
	return rep
}

// Kill ends the server: every call on its disks is ENOTCONN from then on.
func (f *FS) Kill() {
	if f.cmd == nil {
		return
	}
	f.cmd.Process.Kill()
	f.cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn.Close()
	f.cmd = nil
}

// Revive mounts the disks anew after their server has died.
func (f *FS) Revive() {
	f.t.Helper()
	f.Kill()
	f.Unmount()
	f.Up()
}

// Unmount takes the disks off their directories, which are empty then. Who has
// something open on them keeps it while the server lives.
func (f *FS) Unmount() {
	for _, dir := range f.Disks {
		unix.Unmount(dir, unix.MNT_DETACH)
	}
}

// Down ends it all.
func (f *FS) Down() {
	f.Unmount()
	f.Kill()
}
