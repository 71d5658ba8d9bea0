package command

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestDemoteAndPromote(t *testing.T) {
	m := harness.New(t, 1)
	old(t, m.Primary+"/d", 3)
	m.Up()
	quiet()
	out, _ := tierfs(t, 0, "demote", m.Path("d"), "--older-than", "1s", "--dry-run")
	harness.Contains(t, out, "would move from tier 0 to tier 1: 3 files, 2.9 KiB\n  "+m.Path("d/0000"), "\nwould move 3 files, 2.9 KiB\n")
	out, _ = tierfs(t, 0, "demote", m.Path("d"), "--older-than", "1s", "--dry-run", "--all")
	harness.Contains(t, out, m.Path("d/00000")+": would move from tier 0 to tier 1, 1000 B\n", "would move 3 files, 2.9 KiB\n")
	harness.WantList(t, m.Primary+"/d", "00000", "00001", "00002")

	out, _ = tierfs(t, 0, "demote", "--older-than", "1s", m.Path("d"))
	harness.Contains(t, out, m.Path("d/00002")+": moved from tier 0 to tier 1, 1002 B\n", "moved 3 files, 2.9 KiB\n")
	harness.WantList(t, m.Primary+"/d")
	harness.WantList(t, m.Fallbacks[0]+"/d", "00000", "00001", "00002")
	out, _ = tierfs(t, 0, "where", m.Path("d/00001"))
	harness.OneLine(t, out, m.Fallbacks[0]+"/d/00001")
	harness.WantRead(t, m.Path("d/00001"), strings.Repeat("x", 1001))

	// Once more: it is there already.
	tierfs(t, 0, "demote", "--older-than", "1s", m.Path("d"))

	quiet()
	out, _ = tierfs(t, 0, "promote", "--older-than", "1s", "--json", m.Path("d/00001"))
	lines := decoded(t, out)
	if len(lines) != 2 || lines[0]["path"] != m.Path("d/00001") || lines[0]["from"] != 1.0 || lines[0]["to"] != 0.0 || lines[0]["bytes"] != 1001.0 {
		t.Errorf("%s", out)
	}
	if end, _ := lines[len(lines)-1]["end"].(map[string]any); end["files"] != 1.0 || end["bytes"] != 1001.0 {
		t.Errorf("%s", out)
	}
	harness.WantList(t, m.Primary+"/d", "00001")

	out, _ = tierfs(t, 0, "promote", m.Path("d/00001"))
	harness.Contains(t, out, m.Path("d/00001")+": stays: on the primary already\n", "moved 0 files, 0 B; 1 stays: on the primary already\n")
	out, _ = tierfs(t, 0, "demote", m.Path("d/00002"))
	harness.Contains(t, out, m.Path("d/00002")+": stays: no lower tier to move it to\n")
}

func TestWhatStaysIsSaidAndIsTrouble(t *testing.T) {
	m := withOld(t, 3)
	f, err := os.Open(m.Path("00000"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, _ := tierfs(t, 1, "demote", "--older-than", "1s", m.Path("00000"), m.Path("00001"))
	harness.Contains(t, out, m.Path("00000")+": stays: open through the mount\n", "moved 1 file, 1001 B; 1 stays: open through the mount\n")
	// Too young is what was asked for.
	out, _ = tierfs(t, 0, "demote", "--older-than", "200d", m.Path("00002"))
	harness.Contains(t, out, m.Path("00002")+": stays: ", "moved 0 files")
	harness.WantList(t, m.Fallbacks[0], ".tierfs", "00001")
}

func TestJobsThatCannotBeDone(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	for _, args := range [][]string{
		{"demote"}, {"demote", "/none"}, {"demote", m.Primary}, {"demote", "--older-than", "3x", m.Dir}, {"demote", "--what", m.Dir},
		{"plan", m.Primary}, {"plan", m.Dir, m.Dir}, {"why"}, {"why", m.Path("none")}, {"check", "--rename"}, {"check", "--what"},
		{"check", "--repair", "--json"}, {"completion"}, {"completion", "csh"}, {"nosuch"}, {"status", "--what"}, {"where", "--repair", m.Dir},
	} {
		out, stderr := tierfs(t, 2, args...)
		harness.OneLine(t, stderr, "tierfs: ")
		if out != "" {
			t.Errorf("%q prints %q", args, out)
		}
	}
	harness.Mkdir(t, m.Path("dir"))
	for _, c := range []struct{ command, of, says string }{
		{"plan", m.Dir + "-none", `tierfs: mount "%s": no such directory; see findmnt -t fuse.tierfs`},
		{"check", m.Dir + "-none", `tierfs: mount "%s": no such directory; see findmnt -t fuse.tierfs`},
		{"why", m.Path("dir"), `tierfs: "%s": a directory; name a file in it`},
		{"why", m.Dir, `tierfs: "%s": a directory; name a file in it`},
	} {
		_, stderr := tierfs(t, 2, c.command, c.of)
		if want := fmt.Sprintf(c.says, c.of) + "\n"; stderr != want {
			t.Errorf("%s %s: %q, want %q", c.command, c.of, stderr, want)
		}
	}
	_, stderr, code := harness.AsUser(t, 1000, 1000, nil, harness.CLI, "demote", m.Dir)
	if code != 2 {
		t.Errorf("another user: exit code %d", code)
	}
	harness.OneLine(t, stderr, "tierfs: ", m.Dir)
}

// stopped demotes all of m, calls stop once a file has moved, and returns how
// many have moved, the last line, what was on standard error and the exit code.
func stopped(t *testing.T, m *harness.Mount, stop func(job *os.Process)) (moved int, last, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(harness.CLI, "demote", "--older-than", "1s", m.Dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(pipe); in.Scan(); last = in.Text() {
		if strings.Contains(in.Text(), ": moved from tier 0 to tier 1") {
			if moved++; moved == 1 {
				stop(cmd.Process)
			}
		}
	}
	_ = cmd.Wait()
	return moved, last, errs.String(), cmd.ProcessState.ExitCode()
}

// ^C in the middle: what is under way is finished or taken back, and the totals
// are what has happened. Of the rest they say no more than that: nobody has
// looked at it.
func TestInterruptedJobEndsInOrder(t *testing.T) {
	const files = 3000
	m := withOld(t, files)
	moved, last, stderr, code := stopped(t, m, func(job *os.Process) {
		if err := job.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	})
	if code != 1 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	harness.OneLine(t, stderr, "interrupted")
	checkStopped(t, m, files, moved, last)
	var out string
	harness.Eventually(t, "no job runs", func() bool {
		out, _ = tierfs(t, 0, "status", m.Dir)
		return !strings.Contains(out, "  running ")
	})
	harness.Contains(t, out, "; ended early: the command that asked for it was interrupted\n")
	if n := len(harness.List(t, m.Dir)); n != files {
		t.Errorf("%d files are seen, want %d", n, files)
	}
}

// A clean umount is no crash: the command says that it was one, and what has
// moved by then.
func TestUmountEndsAJobInOrder(t *testing.T) {
	const files = 10_000 // umount(8) takes as long as 3000 now and then
	m := withOld(t, files)
	moved, last, stderr, code := stopped(t, m, func(*os.Process) { harness.Must(t, "umount", m.Dir) })
	m.Gone(0)
	if code != 1 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	harness.OneLine(t, stderr, m.Dir, "the job ended early: the mount was unmounted; nothing is lost")
	checkStopped(t, m, files, moved, last)
}

// A remount that adds a fallback takes the locks anew, and cannot wait for a job.
func TestRemountEndsAJobInOrder(t *testing.T) {
	const files = 3000
	all := harness.New(t, 2)
	m := harness.NewOn(t, all.Tiers[:2])
	old(t, m.Primary, files)
	m.Up()
	quiet()
	moved, last, stderr, code := stopped(t, m, func(*os.Process) {
		harness.Must(t, "mount", "-o", "remount,"+harness.FallbackOption(all.Fallbacks...), m.Dir)
	})
	if code != 1 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	harness.OneLine(t, stderr, m.Dir, "the job ended early: a tier was added")
	checkStopped(t, m, files, moved, last)
	out, _ := tierfs(t, 0, "demote", "--older-than", "1s", "--dry-run", m.Dir)
	harness.Contains(t, out, fmt.Sprintf("would move from tier 0 to tier 1: %d files, ", files-moved))
	m.Adopt()
}

// A daemon that is killed in a job cannot say so. No file is lost with it.
func TestDaemonThatDiesInAJobIsSaidToHave(t *testing.T) {
	const files = 3000
	m := withOld(t, files)
	moved, _, stderr, code := stopped(t, m, func(*os.Process) {
		if err := unix.Kill(m.Pid(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	if code != 2 || moved == files {
		t.Errorf("exit code %d, %d files moved\n%s", code, moved, stderr)
	}
	harness.OneLine(t, stderr, m.Dir, "the daemon has died in the middle of the job, and no file is lost")
	m.Gone(128 + int(unix.SIGKILL))
	harness.Must(t, "umount", "-l", m.Dir)
	m.Up()
	if n := len(harness.List(t, m.Dir)); n != files {
		t.Errorf("%d files are seen, want %d", n, files)
	}
}

// checkStopped holds the last line of a job that was stopped to what it has done. The
// rest was not looked at, or, of what was by then, did not have its turn.
func checkStopped(t *testing.T, m *harness.Mount, files, moved int, last string) {
	t.Helper()
	if moved == 0 || moved == files {
		t.Errorf("%d of %d files were moved", moved, files)
	}
	if want := fmt.Sprintf("moved %d file", moved); !strings.HasPrefix(last, want) {
		t.Errorf("the last line is %q, want %q", last, want)
	}
	sum := moved
	for _, n := range regexp.MustCompile(`; (\d+) (?:stays?:|files? not looked at$)`).FindAllStringSubmatch(last, -1) {
		k, _ := strconv.Atoi(n[1])
		sum += k
	}
	if sum != files || !strings.HasSuffix(last, " not looked at") && !strings.HasSuffix(last, " the job was ended before its turn") {
		t.Errorf("the last line is %q: the sum is %d, want %d", last, sum, files)
	}
	if n := len(harness.List(t, m.Fallbacks[0])) - 1; n != moved {
		t.Errorf("%d files are on the fallback, %d were said to be", n, moved)
	}
}

// A client that is killed takes its job with it.
func TestJobOfAKilledClientEnds(t *testing.T) {
	m := withOld(t, 3000)
	cmd := exec.Command(harness.CLI, "demote", "--older-than", "1s", m.Dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = pipe.Read(make([]byte, 1))
	_ = cmd.Process.Signal(unix.SIGKILL)
	_ = cmd.Wait()
	harness.Eventually(t, "no job runs", func() bool {
		out, _ := tierfs(t, 0, "status", m.Dir)
		return !strings.Contains(out, "  running ")
	})
	if n := len(harness.List(t, m.Dir)); n != 3000 {
		t.Errorf("%d files are seen", n)
	}
}

func TestPlanAndWhyGiveReasons(t *testing.T) {
	m := harness.New(t, 1)
	old(t, m.Primary, 2)
	harness.Symlink(t, "x", m.Primary+"/link")
	m.Up()
	out, _ := tierfs(t, 0, "plan", m.Dir)
	harness.Contains(t, out, "\nnothing moves by itself: the mount has no demote=, high= or promote=\n", ": 2 files, 2.0 KiB\n  "+m.Path("0000"), "stay, not a regular file: 1 file, ", "\n  "+m.Path("link")+", ", "would move 0 files, 0 B; 3 stay: ")
	out, _ = tierfs(t, 0, "plan", "--all", m.Dir)
	harness.Contains(t, out, m.Path("00001")+": stays: ", m.Path("link")+": stays: not a regular file\n", "would move 0 files, 0 B; 3 stay: ")
	out, _ = tierfs(t, 0, "plan", "--json", m.Dir)
	if lines := decoded(t, out); len(lines) != 4 || lines[3]["end"] == nil || lines[3]["end"].(map[string]any)["note"] == nil || lines[0]["skip"] == "" {
		t.Errorf("%s", out)
	}
	harness.WantList(t, m.Fallbacks[0], ".tierfs")
	out, _ = tierfs(t, 0, "why", m.Path("00000"))
	harness.OneLine(t, out, m.Path("00000")+": on tier 0, 1000 B, stays: ")
	out, _ = tierfs(t, 0, "why", "--json", m.Path("00000"), m.Path("00001"))
	if all := decoded(t, out); len(all) != 2 || all[1]["path"] != m.Path("00001") || all[0]["detail"] == "" || all[0]["skip"] == "" || all[0]["to"] != nil {
		t.Errorf("%s", out)
	}
}

// What the fallback cannot hold is seen before it is tried to move there, and the same
// is said as then.
func TestPlanAndWhyForeseeWhatTheFallbackCannotHold(t *testing.T) {
	disk := faultfs.New(t, 1)
	disk.Arm(faultfs.Plan{NoOwners: true, Nth: 1 << 30})
	m := harness.NewOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "demote=1s", "window=00:00-00:01")
	old(t, m.Primary, 4)
	for _, name := range []string{"00001", "00002"} {
		harness.Chown(t, m.Primary+"/"+name, harness.UserA, harness.UserA)
	}
	m.Up()
	quiet()
	const why = "the other tier cannot hold its owner, mode, extended attributes or ACL"
	for n, command := range [][]string{{"plan", "--all"}, {"demote", "--older-than", "1s", "--dry-run", "--all"}, {"demote", "--older-than", "1s"}} {
		out, _ := tierfs(t, min(n, 1), append(command, m.Dir)...)
		harness.Contains(t, out, m.Path("00001")+": stays: "+why+" (its owner)\n", m.Path("00002")+": stays: "+why+" (its owner)\n", "move", " 2 files, 2.0 KiB; 2 stay: "+why+"\n")
		out, _ = tierfs(t, 0, "why", m.Path("00001"))
		harness.OneLine(t, out, m.Path("00001")+": on tier 0, 1001 B, stays: ", "; it stays: "+why+": its owner")
	}
	harness.WantList(t, m.Fallbacks[0]+"/.tierfs/staging")
}

// Whatever has a file open, or only mapped, is seen before it is in the way of a move,
// and the same is said as then.
func TestPlanAndWhyForeseeWhatIsOpen(t *testing.T) {
	m := harness.New(t, 1, "demote=1s", "age=mtime", "window=00:00-00:01")
	old(t, m.Primary, 7)
	m.Up()
	quiet()
	open := func(path string, flags int) *os.File {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	mapped := func(path string) {
		f := open(path, os.O_RDONLY)
		b, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(b) })
		f.Close()
	}
	open(m.Path("00000"), os.O_RDONLY)
	open(m.Primary+"/00001", os.O_RDONLY)
	open(m.Primary+"/00002", unix.O_PATH)
	mapped(m.Path("00003"))
	mapped(m.Primary + "/00004")
	bound := harness.TempDir(t)
	if err := unix.Mount(m.Primary, bound, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	open(bound+"/00005", os.O_RDWR)
	t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })

	const mount, tier = "open through the mount", "open in the tier, behind the mount"
	sure := map[string]string{"00000": mount, "00001": tier, "00004": tier, "00005": tier}
	said := map[string]string{}
	for n, command := range [][]string{{"plan", "--all"}, {"demote", "--older-than", "1s", "--dry-run", "--all"}, {"demote", "--older-than", "1s"}} {
		out, _ := tierfs(t, min(n, 1), append(command, m.Dir)...)
		for name, why := range sure {
			harness.Contains(t, out, m.Path(name)+": stays: "+why+"\n")
		}
		harness.Contains(t, out, "move", " 2 files, 2.0 KiB; 5 stay: ")
		for line := range strings.Lines(out) {
			name, why, ok := strings.Cut(strings.TrimSpace(line), ": stays: ")
			if before := said[name]; ok && n > 0 && before != why {
				t.Errorf("%s stays: %s; before: %s", name, why, before)
			}
			said[name] = why
		}
		if n < 2 {
			out, _ = tierfs(t, 0, "why", m.Path("00004"))
			harness.OneLine(t, out, m.Path("00004")+": on tier 0, 1004 B, stays: ", "; it stays: "+tier)
		}
	}
	harness.WantList(t, m.Fallbacks[0], ".tierfs", "00002", "00006")
}

// Who has a lease on a file, as a Samba server has, hears nothing of a plan.
func TestPlanAndWhyBreakNoLease(t *testing.T) {
	m := harness.New(t, 1, "demote=1s", "window=00:00-00:01")
	old(t, m.Primary, 1)
	m.Up()
	quiet()
	signal.Ignore(unix.SIGIO)
	f, err := os.OpenFile(m.Primary+"/00000", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no leases: %v", err)
	}
	const why = "stays: open in the tier, behind the mount"
	out, _ := tierfs(t, 0, "plan", m.Dir)
	harness.Contains(t, out, "would move 0 files, 0 B; 1 "+why)
	out, _ = tierfs(t, 0, "why", m.Path("00000"))
	harness.OneLine(t, out, "; it "+why)
	if lease, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0); err != nil || lease != unix.F_WRLCK {
		t.Errorf("the lease is %d by now (%v)", lease, err)
	}
}

// What is said of a file must be so.
func TestReasonsAreTrue(t *testing.T) {
	m := harness.New(t, 1)
	old(t, m.Primary, 1)
	harness.Write(t, m.Primary+"/future", "future")
	ahead := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(m.Primary+"/future", ahead, ahead); err != nil {
		t.Fatal(err)
	}
	m.Up()
	quiet()
	out, _ := tierfs(t, 1, "demote", "--older-than", "300d", m.Path("future"))
	harness.Contains(t, out, m.Path("future")+": stays: its time is in the future\n")
	out, _ = tierfs(t, 0, "why", m.Path("future"))
	harness.OneLine(t, out, "stays: its time is in the future: "+ahead.Format(time.DateTime))
	tierfs(t, 0, "demote", "--older-than", "1s", m.Path("00000"))
	out, _ = tierfs(t, 1, "promote", m.Path("00000"))
	harness.Contains(t, out, m.Path("00000")+": stays: moved to its tier a moment ago")
	out, _ = tierfs(t, 0, "why", m.Path("00000"))
	harness.OneLine(t, out, "stays: moved to its tier, or copied there with its times, ", " ago; it has to be left alone for 1 minute")
}

func TestStatusTellsOfTheMover(t *testing.T) {
	m := withOld(t, 2)
	tierfs(t, 0, "demote", "--older-than", "1s", m.Dir)
	out, _ := tierfs(t, 0, "status", m.Dir)
	harness.Contains(t, out, "  policy  ", "  last    demote at ", "  moved   2 files, 2.0 KiB down, 0 files, 0 B up since the mount\n")
	out, _ = tierfs(t, 0, "status", "--json", m.Dir)
	mover, _ := decoded(t, out)[0]["mover"].(map[string]any)
	sum, _ := mover["sum"].(map[string]any)
	if sum["files_down"] != 2.0 || sum["bytes_down"] != 2001.0 {
		t.Errorf("%v", sum)
	}
}
