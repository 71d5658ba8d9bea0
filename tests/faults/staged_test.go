package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// mover is a mount whose files move to a disk that fails on demand.
type mover struct {
	*harness.Mount
	t   *testing.T
	low *faultfs.FS
}

func newMover(t *testing.T, opts ...string) *mover {
	t.Helper()
	low := faultfs.New(t, 1)
	m := &mover{harness.NewOn(t, []string{harness.TempDir(t), low.Disks[0]}, opts...), t, low}
	m.Up()
	return m
}

// demote begins to move three files of a directory.
func (m *mover) demote(dir string) *exec.Cmd {
	m.t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		m.Put(0, dir+"/"+name, strings.Repeat(name, 100<<10))
	}
	time.Sleep(1100 * time.Millisecond) // what has just changed stays
	cmd := exec.Command(harness.CLI, "demote", "--older-than", "1s", m.Path(dir))
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd
}

// staged is how many copies are not in place.
func (m *mover) staged() int {
	m.t.Helper()
	all, err := os.ReadDir(m.low.Roots[0] + "/.tierfs/staging")
	if err != nil {
		m.t.Fatal(err)
	}
	return len(all)
}

// TestCopiesThatADiskHasKeptGoLater: each failed move left whole copies, of which
// nobody knew until the next mount, tierfs check neither.
func TestCopiesThatADiskHasKeptGoLater(t *testing.T) {
	for when, then := range map[string]func(m *mover){
		"with the next move": func(m *mover) { harness.Must(t, harness.CLI, "demote", "--older-than", "1s", m.Dir) },
		"by themselves":      func(m *mover) { harness.Within(5*time.Second, func() bool { return m.staged() == 0 }) },
	} {
		t.Run(when, func(t *testing.T) {
			m := newMover(t)
			m.low.Arm(faultfs.Plan{Disk: 0, Ops: []string{"FSYNC", "UNLINK"}, Nth: 1, Stays: true, Errno: unix.EIO})
			m.demote("d").Wait()
			if n := m.staged(); n != 3 {
				t.Fatalf("%d copies are left, want 3", n)
			}
			out, _, code := harness.Run(t, harness.CLI, "check", m.Dir)
			if harness.Contains(t, out, "staged: tier 1: ", "3 findings, 0 mended\n"); code != 1 {
				t.Errorf("check ends with %d", code)
			}
			if n := strings.Count(m.Log(), ".tierfs/staging"); n != 1 {
				t.Errorf("told of %d times\n%s", n, m.Log())
			}
			m.low.Disarm()
			then(m)
			if n := m.staged(); n > 0 {
				t.Errorf("%d copies are left", n)
			}
			harness.Must(t, harness.CLI, "check", m.Dir)
			harness.WantList(t, m.Path("d"), "a", "b", "c")
		})
	}
}

// TestCopyThatADiskDeniesToHaveMadeGoes: the file is there, and the answer is an error.
func TestCopyThatADiskDeniesToHaveMadeGoes(t *testing.T) {
	m := newMover(t)
	m.low.Arm(faultfs.Plan{Disk: 0, Ops: []string{"CREATE"}, Nth: 1, Stays: true, Errno: unix.EIO, Done: true})
	m.demote("d").Wait()
	if !m.low.Disarm().Hit {
		t.Fatal("nothing was made")
	}
	if n := m.staged(); n > 0 {
		t.Errorf("%d copies are left", n)
	}
}

// TestCopiesOfAnOutageGoWhenTheTierIsBack, for each of several outages: they added up.
func TestCopiesOfAnOutageGoWhenTheTierIsBack(t *testing.T) {
	m := newMover(t, "tier_timeout=2")
	for n := range 2 {
		m.low.Arm(faultfs.Plan{Disk: 0, Ops: []string{"WRITE"}, Nth: 1, Stays: true, DelayMS: 500})
		dir := fmt.Sprint(n)
		move := m.demote(dir)
		harness.Eventually(t, "the copies are begun", func() bool { return m.staged() == 3 })
		if err := unix.Kill(m.low.Pid(), unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		away := harness.Within(10*time.Second, func() bool { return strings.Count(m.Log(), "tier is away") > n })
		if err := unix.Kill(m.low.Pid(), unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if !away {
			t.Fatal("the tier is not away")
		}
		m.low.Disarm()
		move.Wait()
		harness.Eventually(t, "the copies have gone", func() bool { return m.staged() == 0 })
		harness.WantList(t, m.Path(dir), "a", "b", "c")
	}
	harness.Must(t, harness.CLI, "check", m.Dir)
}

// TestMoveThatAnOutageInterruptedEndsAsAnyOther: the chores end it, when the tier is back.
// A backup by what is newer found the directories, and nothing told that files had moved
// which the job had left.
func TestMoveThatAnOutageInterruptedEndsAsAnyOther(t *testing.T) {
	m := newMover(t, "tier_timeout=2")
	dirs := []string{m.Primary + "/d", m.low.Roots[0] + "/d"}
	mtime := func(dir string) unix.Timespec {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			t.Fatal(err)
		}
		return st.Mtim
	}
	m.low.Arm(faultfs.Plan{Disk: 0, Ops: []string{"RENAME2", "FSYNCDIR"}, Nth: 1, Stays: true, DelayMS: 800})
	move := m.demote("d")
	before := mtime(dirs[0])
	if !harness.Within(20*time.Second, func() bool {
		all, err := os.ReadDir(dirs[1])
		calls := m.low.Report().Calls
		return err == nil && len(all) == 3 && calls[len(calls)-1].Op == "FSYNCDIR"
	}) {
		t.Fatal("the copies are not in place, or not made durable there")
	}
	m.low.Arm(faultfs.Plan{Disk: 0, Nth: 1, Stays: true, Errno: unix.EIO})
	if err := move.Wait(); err == nil {
		t.Error("the job has left nothing")
	}
	harness.WantList(t, dirs[0], "a", "b", "c")
	m.low.Disarm()
	harness.Eventually(t, "the move has ended", func() bool {
		left, err := filepath.Glob(m.Primary + "/.tierfs/journal/*")
		more, _ := filepath.Glob(m.low.Roots[0] + "/.tierfs/journal/*")
		return err == nil && len(left)+len(more) == 0
	})
	harness.WantList(t, dirs[0])
	harness.WantList(t, dirs[1], "a", "b", "c")
	harness.Eventually(t, "the log tells", func() bool { return strings.Contains(m.Log(), "have moved after all files=") })
	for _, dir := range dirs {
		if now := mtime(dir); now != before {
			t.Errorf("%s has the modification time %v, want %v", dir, now, before)
		}
	}
}

// TestTrialFileThatADiskHasKeptGoesLater: by it a mount finds out whether inode numbers
// last. Nobody knew of it until the next mount.
func TestTrialFileThatADiskHasKeptGoesLater(t *testing.T) {
	low := faultfs.New(t, 1)
	m := &mover{harness.NewOn(t, []string{harness.TempDir(t), low.Disks[0]}), t, low}
	m.Up()
	m.Down()
	low.Arm(faultfs.Plan{Disk: 0, Ops: []string{"UNLINK"}, Nth: 1, Stays: true, Errno: unix.EIO})
	m.Up()
	if m.staged() == 0 {
		t.Fatal("there is none")
	}
	low.Disarm()
	harness.Eventually(t, "it has gone", func() bool { return m.staged() == 0 })
}
