package move

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// interrupted is a mount whose daemon was killed in the middle of a move down of
// d/f: the copy is in place, and the original in the trash. The mount has gone.
func interrupted(t *testing.T, bin string) mount {
	t.Helper()
	m := newMount(t)
	m.interrupt(bin, 0)
	return m
}

// interrupt mounts for a move down of d/f from a tier that ends so.
func (m mount) interrupt(bin string, from int) {
	m.t.Helper()
	m.Put(from, "d/f", "content")
	m.Put(from, "d/other", "other")
	time.Sleep(quiet)
	d := &death{}
	if _, stderr, code := m.UpBy(d.doomed(m.Mount, bin, "aside")); code != 0 {
		m.t.Fatal(stderr)
	}
	m.carryNothing("d/f")
	m.Gone(128 + int(unix.SIGKILL))
	harness.Must(m.t, "umount", "-l", m.Dir)
	if got := len(leftovers(m.t, m.Tiers)); got != 2 {
		m.t.Fatalf("left behind: %q", leftovers(m.t, m.Tiers))
	}
}

// carryNothing asks for a move that the daemon does not live to end.
func (m mount) carryNothing(rel string) {
	m.t.Helper()
	cmd := m.start("demote", rel)
	if cmd.Wait() == nil {
		m.t.Error("it was done")
	}
}

// holdLock takes the lock of the primary and signs it.
func (m mount) holdLock(signature string) (release func()) {
	m.t.Helper()
	f, err := os.OpenFile(m.Tier(0, ".tierfs/lock"), os.O_RDWR|os.O_TRUNC, 0)
	ok(m.t, "open the lock", err)
	m.t.Cleanup(func() { f.Close() })
	ok(m.t, "flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	fmt.Fprintln(f, signature)
	return func() { f.Close() }
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
	release := m.holdLock(fmt.Sprintf("%d, %s", ending.Process.Pid, m.Dir))
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
			release := m.holdLock(fmt.Sprintf("%d,%s %s", serving.Pid(), strings.TrimPrefix(harness.MountsAt(serving.Dir)[0].Dev, "0:"), serving.Dir))
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

// TestFallbackThatIsAddedBringsNothingBack: the record of the move is on a fallback that the
// next mount does without, and a remount adds. Nobody read it, and a file that was removed then
// was back at the mount after.
func TestFallbackThatIsAddedBringsNothingBack(t *testing.T) {
	t.Parallel()
	m := mount{harness.New(t, 2), t}
	m.interrupt(faulty(t), 1)
	all := m.Fallbacks
	m.Fallbacks = all[:1]
	if _, stderr, code := m.TryUp(); code != 0 {
		t.Fatal(stderr)
	}
	harness.Must(t, "mount", "-o", "remount,"+harness.FallbackOption(all...), m.Dir)
	m.Adopt()
	harness.Eventually(t, "what was left is settled", func() bool { return len(leftovers(t, m.Tiers)) == 0 })
	m.wantTidy()
	harness.WantRead(t, m.Path("d/f"), "content")
	ok(t, "remove", os.Remove(m.Path("d/f")))
	m.Down()
	m.Fallbacks = all
	m.Up()
	harness.WantList(t, m.Path("d"), "other")
}

// TestKilledInARenameOverALowerFile: the renamed file is seen, and what it has replaced goes
// with the next mount.
func TestKilledInARenameOverALowerFile(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(t, 1)
	m := newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "minfree=0")
	m.Put(0, "d/temp", "saved")
	m.Put(1, "d/f", "replaced")
	m.Up()
	disk.Arm(faultfs.Plan{Ops: []string{"UNLINK"}, Nth: 1, Hang: true, Errno: unix.EIO})
	renamed := make(chan error, 1)
	go func() { renamed <- os.Rename(m.Path("d/temp"), m.Path("d/f")) }()
	harness.Eventually(t, "what is replaced is being removed", func() bool { return disk.Report().Stuck == 1 })
	ok(t, "kill", unix.Kill(m.Pid(), unix.SIGKILL))
	disk.Disarm()
	<-renamed
	m.Gone(128 + int(unix.SIGKILL))
	harness.Must(t, "umount", "-l", m.Dir)
	harness.WantRead(t, m.Tier(1, "d/f"), "replaced")
	m.Up()
	m.wantTidy()
	harness.WantRead(t, m.Path("d/f"), "saved")
	m.wantOn(0, "d/f", "saved")
	m.Down()
}

// TestFallbackThatIsAddedLeavesARenameUnderWay, of a second mount without the locks that has
// that fallback already: what it is in the midst of is no leftover.
func TestFallbackThatIsAddedLeavesARenameUnderWay(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(t, 1)
	m := newMountOn(t, []string{harness.TempDir(t), harness.TempDir(t), disk.Disks[0]}, "minfree=0")
	m.Put(0, "d/f", "replaced")
	m.Put(2, "d/temp", "saved")
	other := newMountOn(t, m.Tiers, "minfree=0")
	all := m.Fallbacks
	m.Fallbacks = all[:1]
	m.Up()
	if _, stderr, code := other.TryUp(); code != 0 {
		t.Fatal(stderr)
	}
	other.Adopt()
	disk.Arm(faultfs.Plan{Ops: []string{"UNLINK"}, Nth: 1, DelayMS: 2000})
	renamed := make(chan error)
	go func() { renamed <- os.Rename(other.Path("d/temp"), other.Path("d/f")) }()
	harness.Eventually(t, "what is to be replaced is aside", func() bool { return !harness.Exists(t, m.Tier(0, "d/f")) })
	harness.Must(t, "mount", "-o", "remount,"+harness.FallbackOption(all...), m.Dir)
	m.Adopt()
	ok(t, "rename", <-renamed)
	disk.Disarm()
	harness.Eventually(t, "nothing is left", func() bool { return len(leftovers(t, m.Tiers)) == 0 })
	for _, at := range []*harness.Mount{m.Mount, other.Mount} {
		harness.WantRead(t, at.Path("d/f"), "saved")
		harness.WantList(t, at.Path("d"), "f")
	}
	m.wantTidy()
	other.Down()
	m.Down()
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
			harness.Eventually(t, "nobody is in it", func() bool { return unix.Unmount(moved, 0) != unix.EBUSY })
			m.Gone(0)
			if !harness.Within(15*time.Second, func() bool { return next.carry("demote", "f").moved == 1 }) {
				t.Error("it does not move files")
			}
			next.Adopt()
		})
	}
}

// TestOtherDaemonIsNamedWhereItIsNow: a new mount, its status, plan and repair, and
// adopt, named the place where it had been mounted once, and where another was now.
func TestOtherDaemonIsNamedWhereItIsNow(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string]func(t *testing.T, m mount) (where string, end func()){
		"moved": func(t *testing.T, m mount) (string, func()) {
			to := harness.TempDir(t)
			ok(t, "move", unix.Mount(m.Dir, to, "", unix.MS_MOVE, ""))
			out := harness.Must(t, harness.CLI, "status", to)
			if !strings.HasPrefix(out, to+": ") {
				t.Errorf("its own status: %s", out)
			}
			harness.Contains(t, harness.Must(t, harness.CLI, "status", "--json", to), fmt.Sprintf("%q: %q", "mount_point", to))
			return "mounted on " + to, func() { ok(t, "unmount", unix.Unmount(to, 0)) }
		},
		"moved in its own namespace": func(t *testing.T, m mount) (string, func()) {
			to := harness.TempDir(t)
			within := func(args ...string) {
				harness.Must(t, append([]string{"nsenter", "-m", "-t", fmt.Sprint(m.Pid())}, args...)...)
			}
			within("mount", "--move", m.Dir, to)
			return fmt.Sprintf("mounted on %s in its own mount namespace", to), func() { within("umount", to) }
		},
		"detached": func(t *testing.T, m mount) (string, func()) {
			f, err := os.Open(m.Path("f"))
			ok(t, "open", err)
			ok(t, "detach", unix.Unmount(m.Dir, unix.MNT_DETACH))
			us := strings.TrimSpace(harness.Read(t, "/proc/self/comm"))
			return fmt.Sprintf("lazily unmounted from %s, held by %s (%d)", m.Dir, us, os.Getpid()), func() { f.Close() }
		},
		"in another namespace": func(t *testing.T, m mount) (string, func()) {
			p := separate(t)
			ok(t, "unmount", unix.Unmount(m.Dir, 0))
			return fmt.Sprintf("lazily unmounted from %s, held by cat (%d, by its mount namespace)", m.Dir, p.Process.Pid), func() { p.Process.Kill(); p.Wait() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			m := newMount(t)
			m.Put(0, "f", "content")
			if strings.HasSuffix(name, "its own namespace") {
				p := separate(t)
				m.UpBy(exec.Command("nsenter", append([]string{"-m", "-t", fmt.Sprint(p.Process.Pid)}, m.Args()...)...))
				m.Adopt()
				p.Process.Kill()
				p.Wait()
			} else {
				m.Up()
			}
			where, end := hide(t, m)
			harness.Must(t, "mount", "-t", "tmpfs", "another", m.Dir)
			where = fmt.Sprintf(" (daemon %d, %s)", m.Pid(), where)

			next := newMountOn(t, m.Tiers, "demote=1d")
			_, stderr, _ := next.TryUp()
			harness.OneLine(t, stderr, "mount.tierfs: another tierfs serves these tiers"+where+": ")
			for _, command := range []string{"status", "plan"} {
				harness.Contains(t, harness.Must(t, harness.CLI, command, next.Dir), "another daemon has the locks of these tiers"+where)
			}
			_, stderr, code := harness.Run(t, harness.CLI, "check", "--repair", "--yes", next.Dir)
			harness.OneLine(t, stderr, "another daemon has the tiers too"+where)
			_, stderr, failed := harness.Run(t, harness.CLI, "adopt", m.Primary)
			harness.OneLine(t, stderr, "a tierfs serves it"+where)
			if code == 0 || failed == 0 {
				t.Errorf("repair: code %d, adopt: code %d", code, failed)
			}

			harness.Must(t, "umount", m.Dir)
			end()
			m.Gone(0)
			if !harness.Within(15*time.Second, func() bool { return next.carry("demote", "f").moved == 1 }) {
				t.Error("it does not move files")
			}
			next.Adopt()
		})
	}
}

// TestNobodyIsBlamedForTheNumberOfAMountThatHasEnded: who had mounted another filesystem,
// which was given the number, was to be ended.
func TestNobodyIsBlamedForTheNumberOfAMountThatHasEnded(t *testing.T) {
	t.Parallel()
	m := newMount(t, "demote=1d")
	m.Put(0, "f", "content")
	m.Up()
	m.Down()
	dir := harness.TempDir(t)
	harness.Must(t, "mount", "-t", "tmpfs", "another", dir)
	alone(t)
	separate(t)
	minor := unix.Minor(harness.Stat(t, dir).Dev)
	ok(t, "unmount", unix.Unmount(dir, 0))
	alive, dead := exec.Command("sleep", "1000"), exec.Command("true")
	ok(t, "start", alive.Start())
	defer func() { alive.Process.Kill(); alive.Wait() }()
	ok(t, "run", dead.Run())

	sign := func(pid int, conn string) string { return fmt.Sprintf("%d,%s %s", pid, conn, dir) }
	release := m.holdLock(sign(alive.Process.Pid, fmt.Sprint(minor, ".7")))
	_, stderr, _ := m.TryUp()
	harness.OneLine(t, stderr, fmt.Sprintf("(daemon %d, about to end): no files move until it has ended; wait for its end", alive.Process.Pid))
	status := func() string { return harness.Must(t, harness.CLI, "status", m.Dir) }
	harness.Contains(t, status(), fmt.Sprintf("(daemon %d, about to end); files move when it has ended", alive.Process.Pid))
	for _, conn := range []string{fmt.Sprint(minor), fmt.Sprint(minor, ".7")} {
		ok(t, "sign", os.WriteFile(m.Tier(0, ".tierfs/lock"), []byte(sign(dead.Process.Pid, conn)+"\n"), 0))
		want := fmt.Sprintf("(daemon %d, mounted on %s on another machine, unless it has just ended); ", dead.Process.Pid, dir)
		if !harness.Within(15*time.Second, func() bool { return strings.Contains(status(), want) }) {
			t.Errorf("no %q: %s", want, status())
		}
	}
	m.carryNothing("f")
	release()
	m.carry("demote", "f").wantMoved(t, 1) // at once
	m.Adopt()                              // it holds the locks now
}

var namespaces sync.Mutex

// alone waits until no other test has a mount namespace of its own, which would hold
// the mounts of all, and has the others wait until this test ends.
func alone(t *testing.T) {
	namespaces.Lock()
	t.Cleanup(namespaces.Unlock)
}

// separate is a process with a mount namespace of its own, as it is now.
func separate(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", "echo; exec cat")
	in, err := cmd.StdinPipe()
	ok(t, "pipe", err)
	out, err := cmd.StdoutPipe()
	ok(t, "pipe", err)
	ok(t, "start", cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	_, err = out.Read(make([]byte, 1))
	ok(t, "start", err)
	return cmd
}
