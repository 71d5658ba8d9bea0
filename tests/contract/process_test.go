package contract

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestMountsWithAnEmptyEnvironment(t *testing.T) {
	m := harness.New(t, 1)
	for _, args := range [][]string{m.Args(), helper(m.Primary, m.Dir, "-o", m.Options())} {
		cmd := command(args)
		if cmd.Path, _ = exec.LookPath(args[0]); cmd.Path == "" {
			t.Fatal(args[0])
		}
		cmd.Env = []string{}
		upBy(m, cmd)
		m.Down()
	}
}

// A stray descriptor in the daemon keeps a lock, a pipe or a disk busy for as
// long as the mount is up.
func TestStrayDescriptorsAreClosed(t *testing.T) {
	m := harness.New(t, 0)
	strays := harness.TempDir(t)
	for _, args := range [][]string{m.Args(), helper(m.Primary, m.Dir)} {
		cmd := command(args)
		for i := range 40 {
			f, err := os.Create(fmt.Sprintf("%s/%d", strays, i))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
		upBy(m, cmd)
		w.Close()
		for _, target := range m.FDs() {
			if strings.HasPrefix(target, strays) || strings.HasPrefix(target, "pipe:") {
				t.Errorf("%q: the daemon holds %s", args, target)
			}
		}
		r.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := r.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("%q: the other end of a pipe is still open", args)
		}
		r.Close()
		m.Down()
	}
}

// A caller without standard descriptors: the device or the pipe becomes
// descriptor 0, 1 or 2, and a line for the administrator goes to the kernel.
func TestMountsWithoutStandardDescriptors(t *testing.T) {
	m := harness.New(t, 1)
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
		up(m, "sh", "-c", `exec "$@" `+closed, "sh", "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options())
		harness.Write(t, m.Path("f"), closed)
		harness.WantRead(t, m.Path("f"), closed)
		for fd := range 3 {
			if got := readlink(t, fmt.Sprintf("/proc/%d/fd/%d", m.Pid(), fd)); got != "/dev/null" {
				t.Errorf("%s: descriptor %d of the daemon is %s", closed, fd, got)
			}
		}
		m.Down()
	}
}

func TestCommandSubstitutionDoesNotHang(t *testing.T) {
	m := harness.New(t, 1)
	start := time.Now()
	stdout, stderr := up(m, "sh", "-c", `x=$("$@" 2>&1); echo "code $?"`, "sh", "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options())
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if stdout != "code 0\n" || stderr != "" {
		t.Errorf("says %q, %q", stdout, stderr)
	}
	for fd := range 3 {
		if got := readlink(t, fmt.Sprintf("/proc/%d/fd/%d", m.Pid(), fd)); got != "/dev/null" {
			t.Errorf("descriptor %d of the daemon is %s", fd, got)
		}
	}
}

func TestDaemonLeavesItsCaller(t *testing.T) {
	m := harness.New(t, 1)
	cmd := command(m.Args())
	cmd.Dir = m.Primary
	upBy(m, cmd)
	pid := m.Pid()
	ours, _ := unix.Getsid(0)
	if sid, _ := unix.Getsid(pid); sid == ours || sid != pid {
		t.Errorf("session %d, want one of its own (ours is %d)", sid, ours)
	}
	if pgid, _ := unix.Getpgid(pid); pgid != pid {
		t.Errorf("process group %d", pgid)
	}
	if got := readlink(t, fmt.Sprintf("/proc/%d/cwd", pid)); got != "/" {
		t.Errorf("working directory %s", got)
	}
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	for _, part := range []string{"tierfs", m.Primary, m.Dir, m.Fallbacks[0]} {
		if !bytes.Contains(args, []byte(part)) {
			t.Errorf("ps shows %q, which lacks %s", args, part)
		}
	}
	if comm := strings.TrimSpace(harness.Read(t, fmt.Sprintf("/proc/%d/comm", pid))); !strings.HasPrefix(comm, "mount.fuse.tier") {
		t.Errorf("command name %q", comm)
	}
}

// ^C on the script that mounted must not reach the daemon.
func TestSignalToTheCallersGroupDoesNotReachTheDaemon(t *testing.T) {
	m := harness.New(t, 0)
	up(m, "setsid", "sh", "-c", `"$@"; trap "" INT HUP TERM; kill -INT 0; kill -TERM 0; kill -HUP 0; exit 0`,
		"sh", "mount", "-t", "fuse.tierfs", m.Primary, m.Dir)
	time.Sleep(200 * time.Millisecond)
	harness.Write(t, m.Path("f"), "alive")
}

// statusOf reads fields of /proc/PID/status.
func statusOf(t *testing.T, pid int, name string) string {
	t.Helper()
	for line := range strings.Lines(harness.Read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s in status", name)
	return ""
}

// The daemon must not have CAP_FSETID: with it, another user's write to a
// set-user-ID program through the mount keeps the bit.
func TestDaemonHasTheWrittenCapabilitiesOnly(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", m.Pid()))
	for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		for _, task := range tasks {
			text := harness.Read(t, fmt.Sprintf("/proc/%d/task/%s/status", m.Pid(), task.Name()))
			_, after, _ := strings.Cut(text, field+":\t")
			mask, err := strconv.ParseUint(strings.Fields(after)[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]int{
				"fsetid": unix.CAP_FSETID, "sys_resource": unix.CAP_SYS_RESOURCE, "net_admin": unix.CAP_NET_ADMIN,
				"sys_module": unix.CAP_SYS_MODULE, "sys_rawio": unix.CAP_SYS_RAWIO, "sys_boot": unix.CAP_SYS_BOOT,
			} {
				if mask&(1<<c) != 0 {
					t.Errorf("thread %s: %s has cap_%s", task.Name(), field, name)
				}
			}
			if field == "CapEff" && mask&(1<<unix.CAP_SYS_ADMIN) == 0 {
				t.Errorf("thread %s lacks cap_sys_admin", task.Name())
			}
		}
	}
}

func TestDaemonsLimitsDoNotComeFromItsCaller(t *testing.T) {
	m := harness.New(t, 0)
	up(m, "sh", "-c", `umask 077; ulimit -S -n 256; exec "$@"`, "sh", "mount", "-t", "fuse.tierfs", m.Primary, m.Dir)
	if got := statusOf(t, m.Pid(), "Umask"); got != "0000" {
		t.Errorf("umask %s", got)
	}
	var lim unix.Rlimit
	if err := unix.Prlimit(m.Pid(), unix.RLIMIT_NOFILE, nil, &lim); err != nil || lim.Cur != lim.Max {
		t.Errorf("RLIMIT_NOFILE %+v, %v: want soft equal hard", lim, err)
	}
	harness.Write(t, m.Path("f"), "")
	if mode := harness.Stat(t, m.Path("f")).Mode & 0o777; mode != 0o644 {
		t.Errorf("a new file has mode %o", mode)
	}
}

func TestForegroundStaysUntilUnmounted(t *testing.T) {
	for _, end := range []string{"umount", "SIGINT", "SIGTERM"} {
		m := harness.New(t, 1)
		cmd := command(helper(m.Primary, m.Dir, "-o", m.Options("foreground")))
		said := harness.TempDir(t) + "/stderr"
		stderr, err := os.Create(said)
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Before this line a signal undoes the mount.
		harness.Eventually(t, "the mount is up", func() bool { return strings.Contains(harness.Read(t, said), "mounted on") })
		harness.Write(t, m.Path("f"), "x")
		ours, _ := unix.Getsid(0)
		if sid, _ := unix.Getsid(cmd.Process.Pid); sid != ours {
			t.Errorf("session %d, want the caller's, %d", sid, ours)
		}
		switch end {
		case "umount":
			harness.Must(t, "umount", m.Dir)
		case "SIGINT":
			cmd.Process.Signal(unix.SIGINT)
		case "SIGTERM":
			cmd.Process.Signal(unix.SIGTERM)
		}
		timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", end, err, harness.Read(t, said))
		}
		timer.Stop()
		harness.Contains(t, harness.Read(t, said), m.Dir) // the log stays on the terminal
		m.None()
	}
}

func TestForegroundReportsErrorsAsEver(t *testing.T) {
	m := harness.New(t, 0)
	missing := m.Primary + "-missing"
	refused(m, helper(missing, m.Dir, "-o", "foreground"), failed, missing)
	refused(m, helper(m.Primary, m.Dir, "-o", "foreground,nosuch"), usage, "nosuch")
	_, stderr, code := m.UpBy(command(helper(missing, m.Dir, "-o", "foreground,nofail")))
	if code != ok {
		t.Errorf("nofail: exit code %d", code)
	}
	harness.OneLine(t, stderr, missing)
}

func TestLogGoesToTheFile(t *testing.T) {
	m := harness.New(t, 0)
	log := harness.TempDir(t) + "/log"
	m.Up("log=" + log)
	if got := m.Log(); got != "" {
		t.Errorf("syslog got %q", got)
	}
	m.Down()
	text := harness.Read(t, log)
	harness.Contains(t, text, "mounted on "+m.Dir)
	if strings.Count(text, "\n") < 2 {
		t.Errorf("the end of the mount is not in the log: %q", text)
	}
	if st := harness.Stat(t, log); st.Mode&0o007 != 0 {
		t.Errorf("the log has mode %o", st.Mode&0o777)
	}
	m.Up("log=" + log)
	m.Down()
	if got := harness.Read(t, log); !strings.HasPrefix(got, text) || strings.Count(got, "mounted on ") != 2*strings.Count(text, "mounted on ") {
		t.Errorf("the second mount did not append: %q", got)
	}
}

// logrotate(8) renames the file and sends SIGHUP.
func TestHangupReopensTheLog(t *testing.T) {
	m := harness.New(t, 0)
	log := harness.TempDir(t) + "/log"
	m.Up("log=" + log)
	harness.Rename(t, log, log+".1")
	unix.Kill(m.Pid(), unix.SIGHUP)
	harness.Eventually(t, "the log is opened anew", func() bool { return harness.Exists(t, log) })
	m.Adopt() // the log's descriptor leads elsewhere now
	m.Down()
	harness.Contains(t, harness.Read(t, log), m.Dir) // what it says at the end
}

func TestLogGoesToSyslog(t *testing.T) {
	for _, opts := range []string{"rw", "log=syslog"} {
		m := harness.New(t, 0)
		m.Up(opts)
		harness.Eventually(t, opts+": a line in syslog", func() bool { return strings.Contains(m.Log(), "mounted on "+m.Dir) })
		m.Down()
	}
}

func TestLogThatCannotBeIsRefused(t *testing.T) {
	m := harness.New(t, 0)
	fifo := harness.TempDir(t) + "/fifo" // without a reader
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/nonexistent/log", m.Primary, m.Primary + "/log/", fifo} {
		_, stderr, code := m.UpBy(command(helper(m.Primary, m.Dir, "-o", "log="+path)))
		if code != usage {
			t.Errorf("log=%s: exit code %d, want %d", path, code, usage)
		}
		harness.OneLine(t, stderr, "mount.tierfs: log ")
		m.None()
	}
}

// TestFakeTriesTheLog: mount -f found nothing wrong with a log that the mount
// then refused.
func TestFakeTriesTheLog(t *testing.T) {
	m := harness.New(t, 0)
	m.Dir = m.Primary // mounting over the primary
	for _, path := range []string{"/nonexistent/log", m.Primary + "/log", m.Primary} {
		_, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-f", "-o", "log="+path)...)
		if code != usage {
			t.Errorf("log=%s: exit code %d, want %d", path, code, usage)
		}
		harness.OneLine(t, stderr, "mount.tierfs: log ", path)
	}
	dir := harness.TempDir(t)
	harness.Write(t, dir+"/old", "text")
	for _, name := range []string{"old", "new"} {
		_, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-f", "-o", "log="+dir+"/"+name)...)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
	}
	m.Up()
	for path, want := range map[string]int{dir + "/new": 0, m.Path("log"): usage, "/nonexistent/log": usage} {
		if _, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-f", "-o", "remount,log="+path)...); code != want {
			t.Errorf("remount,log=%s: exit code %d, want %d: %s", path, code, want, stderr)
		}
	}
	harness.WantList(t, dir, "old")
	harness.WantRead(t, dir+"/old", "text")
}

// TestMountSaysThatNobodyHearsTheLog: without a system logger all that the
// daemon had to say was lost without a word.
func TestMountSaysThatNobodyHearsTheLog(t *testing.T) {
	harness.Rename(t, "/dev/log", "/dev/log.away")
	defer harness.Rename(t, "/dev/log.away", "/dev/log")
	for opts, says := range map[string]bool{"rw": true, "log=syslog": true, "log=" + harness.TempDir(t) + "/log": false} {
		m := harness.New(t, 0)
		_, stderr, code := m.TryUp(opts)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", opts, code, stderr)
		}
		if says {
			harness.OneLine(t, stderr, "mount.tierfs: log: nobody listens on /dev/log", "log=FILE")
		} else if stderr != "" {
			t.Errorf("%s: %s", opts, stderr)
		}
		m.Down()
	}
}

// The daemon would wait for itself.
func TestLogInsideTheOwnMountDoesNotHang(t *testing.T) {
	m := harness.New(t, 0)
	m.Dir = m.Primary // mounting over the primary
	_, stderr, code := m.UpBy(command(helper(m.Primary, m.Dir, "-o", "log="+m.Primary+"/log,debug")))
	if m.Mounted() {
		harness.Write(t, m.Path("f"), "x")
		unix.Kill(m.Pid(), unix.SIGHUP)
		harness.WantRead(t, m.Path("f"), "x")
		m.Adopt()
		m.Down()
		return
	}
	if code != usage {
		t.Errorf("exit code %d, want 0 or %d", code, usage)
	}
	harness.OneLine(t, stderr, "mount.tierfs: log ")
	m.None()
}

func TestDebugLogsOperations(t *testing.T) {
	m := harness.New(t, 0)
	log := harness.TempDir(t) + "/log"
	m.Up("debug", "log="+log)
	harness.Write(t, m.Path("needle"), "x")
	harness.Must(t, "mount", "-o", "remount,nodebug", m.Dir)
	harness.Write(t, m.Path("haystack"), "x")
	m.Down()
	text := harness.Read(t, log)
	harness.Contains(t, text, "needle")
	if strings.Contains(text, "haystack") {
		t.Error("nodebug logs operations")
	}
}
