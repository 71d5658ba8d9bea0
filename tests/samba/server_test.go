package samba

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// config is the part of an smb.conf(5) for all shares: the server listens on
// 127.0.0.1 alone and touches nothing of the machine's own Samba. The verb is the
// scratch directory.
const config = `[global]
	server role = standalone server
	security = user
	map to guest = never
	smb ports = 445
	interfaces = 127.0.0.1/8
	bind interfaces only = yes
	disable netbios = yes
	load printers = no
	printing = bsd
	printcap name = /dev/null
	disable spoolss = yes
	usershare path =
	passdb backend = tdbsam:%[1]s/private/passdb.tdb
	private dir = %[1]s/private
	state directory = %[1]s/state
	cache directory = %[1]s/state
	lock directory = %[1]s/lock
	pid directory = %[1]s/run
	ncalrpc dir = %[1]s/run/ncalrpc
	log file = %[1]s/log
	log level = 1
	server min protocol = SMB2
`

// section is the share as docs/cookbook.md has it, of another directory.
func section(t *testing.T, dir string) string {
	t.Helper()
	text := harness.Read(t, "../../docs/cookbook.md")
	_, lines, found := strings.Cut(text, "    [docs]\n")
	lines, _, _ = strings.Cut(lines, "\n\n")
	if !found || !strings.Contains(lines, "path = /srv/docs\n") {
		t.Fatalf("no share in the cookbook: %q", lines)
	}
	return "[docs]\n" + strings.Replace(lines, "/srv/docs", dir, 1) + "\n"
}

const password = "secret"

// share is a mount that a server of the test's own exports as "docs".
type share struct {
	*harness.Mount
	t      *testing.T
	dir    string // scratch, with the configuration
	server *exec.Cmd
}

// serve starts smbd on the mount and waits until it answers.
func serve(t *testing.T, m *harness.Mount) *share {
	t.Helper()
	s := &share{Mount: m, t: t, dir: harness.TempDir(t)}
	for _, sub := range []string{"private", "state", "lock", "run"} {
		harness.Mkdir(t, filepath.Join(s.dir, sub))
	}
	harness.Write(t, s.conf(), fmt.Sprintf(config, s.dir)+section(t, m.Dir))
	for _, name := range []string{harness.UserAName, harness.UserBName} {
		s.enrol(name)
	}
	s.server = exec.Command("smbd", "-F", "--no-process-group", "-s", s.conf())
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, ok := s.as(harness.UserAName, "ls")
		if ok {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("smbd does not serve after a minute: %s\n%s", out, s.log())
		}
	}
}

func (s *share) conf() string { return s.dir + "/smb.conf" }

func (s *share) log() string {
	text, _ := os.ReadFile(s.dir + "/log")
	return string(text)
}

// enrol gives a user of the system a password.
func (s *share) enrol(name string) {
	s.t.Helper()
	cmd := exec.Command("smbpasswd", "-c", s.conf(), "-s", "-a", name)
	cmd.Stdin = strings.NewReader(password + "\n" + password + "\n")
	if stdout, stderr, code := harness.RunCmd(s.t, cmd); code != 0 {
		s.t.Fatalf("smbpasswd -a %s: %s%s", name, stdout, stderr)
	}
}

// stop ends the server and all that it started. They must be gone before the
// mount goes: those that serve a client work in it.
func (s *share) stop() {
	s.server.Process.Signal(unix.SIGTERM)
	late := time.AfterFunc(30*time.Second, func() { s.server.Process.Kill() })
	s.server.Wait()
	late.Stop()
	harness.Eventually(s.t, "smbd's children end", func() bool {
		left := false
		for _, pid := range s.processes() {
			left = true
			unix.Kill(pid, unix.SIGKILL)
		}
		return !left
	})
	if s.t.Failed() {
		s.t.Logf("log of smbd:\n%s", s.log())
	}
}

// processes are those that were started with this configuration, in the test's
// own PID namespace.
func (s *share) processes() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), s.conf()) {
			continue
		}
		var pid int
		fmt.Sscanf(path, "/proc/%d/", &pid)
		pids = append(pids, pid)
	}
	return pids
}

// as runs commands of smbclient(1) as a user; ok says that none was refused.
func (s *share) as(user, commands string) (out string, ok bool) {
	s.t.Helper()
	return s.client(user, "smbclient", "//127.0.0.1/docs", "-c", commands)
}

// acl runs smbcacls(1) on a file as a user.
func (s *share) acl(user, path string, args ...string) (out string, ok bool) {
	s.t.Helper()
	return s.client(user, append([]string{"smbcacls", "//127.0.0.1/docs", path}, args...)...)
}

func (s *share) client(user string, args ...string) (out string, ok bool) {
	s.t.Helper()
	args = append(args, "-U", user+"%"+password, "-s", s.conf())
	stdout, stderr, code := harness.RunCmd(s.t, exec.Command(args[0], args[1:]...))
	out = stdout + stderr
	// allinfo asks for shadow copies too, which the share has none of; Samba 4.22 says so.
	refused := strings.ReplaceAll(out, "NT_STATUS_INVALID_DEVICE_REQUEST getting shadow copy data", "")
	return out, code == 0 && !strings.Contains(refused, "NT_STATUS_")
}

// must is as for commands that have to work.
func (s *share) must(user, commands string) string {
	s.t.Helper()
	out, ok := s.as(user, commands)
	if !ok {
		s.t.Fatalf("%s %q: %s", user, commands, out)
	}
	return out
}

// refuse is as for commands that must not work.
func (s *share) refuse(user, commands, status string) {
	s.t.Helper()
	if out, _ := s.as(user, commands); !strings.Contains(out, status) {
		s.t.Errorf("%s %q: %s\nwant %s", user, commands, out, status)
	}
}
