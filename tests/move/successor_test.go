package move

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// interrupted is a mount whose daemon was killed in the middle of a move down of
// d/f: the copy is in place, and the original in the trash. The mount has gone.
func interrupted(t *testing.T, bin string) mount {
	t.Helper()
	m := newMount(t)
	m.Put(0, "d/f", "content")
	m.Put(0, "d/other", "other")
	time.Sleep(quiet)
	d := &death{}
	if _, stderr, code := m.UpBy(d.doomed(m.Mount, bin, "aside")); code != 0 {
		t.Fatal(stderr)
	}
	m.carryNothing("d/f")
	m.Gone(128 + int(unix.SIGKILL))
	harness.Must(t, "umount", "-l", m.Dir)
	if got := len(leftovers(t, m.Tiers)); got != 2 {
		t.Fatalf("left behind: %q", leftovers(t, m.Tiers))
	}
	return m
}

// carryNothing asks for a move that the daemon does not live to end.
func (m mount) carryNothing(rel string) {
	m.t.Helper()
	cmd := m.start("demote", rel)
	if cmd.Wait() == nil {
		m.t.Error("it was done")
	}
}

// holdLock takes the lock of the primary as the daemon pid of the mount on at.
func (m mount) holdLock(pid int, at string) (release func()) {
	m.t.Helper()
	f, err := os.OpenFile(m.Tier(0, ".tierfs/lock"), os.O_RDWR|os.O_TRUNC, 0)
	ok(m.t, "open the lock", err)
	m.t.Cleanup(func() { f.Close() })
	ok(m.t, "flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	fmt.Fprintf(f, "%d %s\n", pid, at)
	return func() { f.Close() }
}

func faulty(t *testing.T) string {
	t.Helper()
	harness.Require(t, "root", "fuse")
	bin := harness.TempDir(t) + "/mount.tierfs"
	harness.Build(t, bin, "-trimpath", "-tags", "faultpoints")
	return bin
}

// TestMountWaitsForADaemonThatEnds: the kernel takes a while to end a killed
// daemon, which keeps its locks until then. A mount that did not wait would serve
// a file whose move is not settled: removed, it came back when it was.
func TestMountWaitsForADaemonThatEnds(t *testing.T) {
	t.Parallel()
	m := interrupted(t, faulty(t))
	ending := exec.Command("sleep", "60")
	ok(t, "start", ending.Start())
	t.Cleanup(func() { ending.Process.Kill(); ending.Wait() })
	const wait = 1500 * time.Millisecond
	release := m.holdLock(ending.Process.Pid, m.Dir)
	begun := time.Now()
	time.AfterFunc(wait, release)
	_, stderr, code := m.TryUp()
	if took := time.Since(begun); code != 0 || stderr != "" || took < wait {
		t.Errorf("code %d after %v: %s", code, took, stderr)
	}
	m.wantTidy()
	ok(t, "remove", os.Remove(m.Path("d/f")))
	if r := m.carry("demote", "d/other"); r.moved != 1 {
		t.Errorf("it does not move files: %+v", r)
	}
	time.Sleep(6 * time.Second) // longer than between two tries to get the locks
	harness.WantList(t, m.Path("d"), "other")
	m.wantTidy()
}

// TestMountRightAfterUmountMovesFiles: the daemon outlives umount(8) by some
// milliseconds.
func TestMountRightAfterUmountMovesFiles(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.Put(0, "f", "content")
	m.Up()
	time.Sleep(quiet)
	for i := range 10 {
		cmd := exec.Command("sh", "-c", `umount "$1" && shift && exec "$@"`, "sh", m.Dir)
		cmd.Args = append(cmd.Args, m.Args()...)
		cmd.Env = append(os.Environ(), "TIERFS_TEST_DIR="+m.Dir)
		if _, stderr, code := harness.RunCmd(t, cmd); code != 0 || stderr != "" {
			t.Fatalf("code %d: %s", code, stderr)
		}
		m.Adopt()
		which := []string{"demote", "promote"}[i%2]
		if r := m.carry(which, "f"); r.code != 0 || r.moved+len(r.skips) != 1 {
			t.Fatalf("%s: %+v", which, r)
		}
	}
}

// TestTakenNamesDoNotComeBack: a mount that serves beside another daemon is asked
// for names whose moves that daemon has left unsettled, and settles them when the
// other has gone.
func TestTakenNamesDoNotComeBack(t *testing.T) {
	t.Parallel()
	bin := faulty(t)
	for name, c := range map[string]struct {
		do   func(t *testing.T, m mount)
		want map[string]string
	}{
		"remove": {
			func(t *testing.T, m mount) { ok(t, "remove", os.Remove(m.Path("d/f"))) },
			map[string]string{}},
		"remove and make anew": {
			func(t *testing.T, m mount) {
				ok(t, "remove", os.Remove(m.Path("d/f")))
				harness.Write(t, m.Path("d/f"), "another")
			},
			map[string]string{"d/f": "another"}},
		"rename": {
			func(t *testing.T, m mount) { harness.Rename(t, m.Path("d/f"), m.Path("d/g")) },
			map[string]string{"d/g": "content"}},
		"replace": {
			func(t *testing.T, m mount) {
				harness.Write(t, m.Path("d/new"), "another")
				harness.Rename(t, m.Path("d/new"), m.Path("d/f"))
			},
			map[string]string{"d/f": "another"}},
		"exchange": {
			func(t *testing.T, m mount) {
				harness.Write(t, m.Tier(1, "d/new"), "another")
				ok(t, "exchange", unix.Renameat2(unix.AT_FDCWD, m.Path("d/new"), unix.AT_FDCWD, m.Path("d/f"), unix.RENAME_EXCHANGE))
			},
			map[string]string{"d/f": "another", "d/new": "content"}},
		"rename the directory": {
			func(t *testing.T, m mount) {
				harness.Rename(t, m.Path("d"), m.Path("e"))
				harness.Mkdir(t, m.Path("d"))
				harness.Rename(t, m.Path("e/other"), m.Path("d/other"))
			},
			map[string]string{"e/f": "content"}},
		"nothing": {
			func(*testing.T, mount) {},
			map[string]string{"d/f": "content"}},
		"change": {
			func(t *testing.T, m mount) { harness.Write(t, m.Path("d/f"), "changed") },
			map[string]string{"d/f": "changed"}},
		// What goes behind the mount may have been lost.
		"lose the copy": {
			func(t *testing.T, m mount) { harness.Remove(t, m.Tier(1, "d/f")) },
			map[string]string{"d/f": "content"}},
		// A copy that goes behind the mount was not removed by who removes what is
		// there instead.
		"lose the copy and remove another": {
			func(t *testing.T, m mount) {
				harness.Write(t, m.Tier(1, "new"), "another")
				harness.Rename(t, m.Tier(1, "new"), m.Tier(1, "d/f"))
				ok(t, "remove", os.Remove(m.Path("d/f")))
			},
			map[string]string{"d/f": "content"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := interrupted(t, bin)
			serving := harness.New(t, 1)
			serving.Up()
			release := m.holdLock(serving.Pid(), serving.Dir)
			_, stderr, code := m.TryUp()
			harness.OneLine(t, stderr, "another tierfs serves these tiers", serving.Dir)
			if code != 0 {
				t.Fatalf("code %d", code)
			}
			harness.WantRead(t, m.Path("d/f"), "content")
			c.do(t, m)
			release()
			if !harness.Within(15*time.Second, func() bool { return len(leftovers(t, m.Tiers)) == 0 }) {
				t.Errorf("not settled: %q", leftovers(t, m.Tiers))
			}
			c.want["d/other"] = "other"
			for rel, want := range c.want {
				harness.WantRead(t, m.Path(rel), want)
			}
			if got := files(t, m.Dir); len(got) != len(c.want) {
				t.Errorf("the mount has %q", got)
			}
			wantOnce(t, m.Tiers)
			m.Adopt() // it holds the locks now
		})
	}
}

// TestMountDoesNotWaitForADaemonThatServes, where its mount is not to be seen at its
// place: it was moved, or detached while somebody is in it. It took three seconds.
func TestMountDoesNotWaitForADaemonThatServes(t *testing.T) {
	t.Parallel()
	moved := harness.TempDir(t)
	for name, hide := range map[string]func(m *harness.Mount) error{
		"moved":    func(m *harness.Mount) error { return unix.Mount(m.Dir, moved, "", unix.MS_MOVE, "") },
		"detached": func(m *harness.Mount) error { return unix.Unmount(m.Dir, unix.MNT_DETACH) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMount(t)
			m.Put(0, "f", "content")
			m.Up()
			f, err := os.Open(m.Path("f"))
			ok(t, "open", err)
			ok(t, name, hide(m.Mount))
			next := newMountOn(t, m.Tiers)
			begun := time.Now()
			_, stderr, code := next.TryUp()
			if took := time.Since(begun); code != 0 || took > 2*time.Second {
				t.Errorf("code %d after %v: %s", code, took, stderr)
			}
			harness.Contains(t, stderr, "another tierfs serves these tiers")
			f.Close()
			unix.Unmount(moved, 0)
			m.Gone(0)
			if !harness.Within(15*time.Second, func() bool { return next.carry("demote", "f").moved == 1 }) {
				t.Error("it does not move files")
			}
			next.Adopt()
		})
	}
}
