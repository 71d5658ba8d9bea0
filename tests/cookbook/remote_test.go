package cookbook

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

// sshdConfig serves this machine under another name. The verb is a directory with
// the server's key.
const sshdConfig = `ListenAddress 127.0.0.1
HostKey %[1]s/key
PidFile %[1]s/pid
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
`

func sshfs(r *recipe) {
	harness.Require(r.t, "sshfs", "sshd")
	r.disks("/srv/fast", "/srv/archive")
	harness.Mkdir(r.t, "/srv/docs")
	harness.Append(r.t, "/etc/hosts", "127.0.0.1 storage\n")
	serveSSH(r.t)
	r.put("/srv/fast/2025/offer", "/srv/fast/2025/marked", "/srv/fast/2025/mine", "/srv/archive/2019/invoice")
	harness.Chown(r.t, "/srv/fast/2025/mine", harness.UserA, harness.UserA)
	harness.Chmod(r.t, "/srv/fast/2025/mine", 0o600)
	harness.Chmod(r.t, "/srv/archive/2019/invoice", 0o600)
	r.age(1, "/srv/fast/2025/offer", "/srv/fast/2025/mine")
	harness.Must(r.t, "setfacl", "-m", "u:"+harness.UserBName+":r", "/srv/fast/2025/marked")

	r.run("mkdir", "ssh-keyscan", "ssh-keygen")
	harness.Write(r.t, "/root/.ssh/authorized_keys", harness.Read(r.t, "/root/.ssh/storage.pub"))
	r.fstab()
	r.run("mount /srv/remote", "mount /srv/docs")
	harness.Contains(r.t, r.run("tierfs status"), "/srv/remote")
	harness.WantRead(r.t, "/srv/docs/2019/invoice", harness.Read(r.t, "/srv/archive/2019/invoice"))
	r.user(false, "cat /srv/docs/2019/invoice")
	r.user(false, "cat /srv/remote/2019/invoice")

	was := r.tree("/srv/docs")
	time.Sleep(1100 * time.Millisecond)
	r.try("tierfs demote --older-than 1s /srv/docs") // 1 for what stays
	r.on("/srv/archive", "2025/offer", "/srv/fast")
	r.on("/srv/archive", "2025/mine", "/srv/fast")
	r.on("/srv/fast", "2025/marked", "/srv/archive")
	r.owner("/srv/archive/2025/mine")
	r.same("the tree", r.tree("/srv/docs"), was)
	r.user(true, "cat /srv/docs/2025/mine && echo more >>/srv/docs/2025/mine")
	r.put("/srv/docs/2019/new")
	r.on("/srv/fast", "2019/new", "/srv/archive")

	// The server stops answering, and answers again.
	signalSSH(unix.SIGSTOP)
	defer signalSSH(unix.SIGCONT)
	if out, ok := r.try("cat /srv/docs/2025/offer"); ok || !strings.Contains(out, "Input/output error") {
		r.t.Errorf("what is on a server that does not answer: %s", out)
	}
	if out, ok := r.try("ls /srv/docs/2025"); ok {
		r.t.Errorf("a listing without the server: %s", out)
	}
	if out, ok := r.try("cat /srv/docs/2025/marked"); !ok {
		r.t.Errorf("what is on the primary, meanwhile: %s", out)
	}
	signalSSH(unix.SIGCONT)
	if !harness.Within(time.Minute, func() bool { _, ok := r.try("cat /srv/docs/2025/offer"); return ok }) {
		r.t.Error("the server does not come back within a minute")
	}
}

// serveSSH starts sshd(8) on 127.0.0.1, until the test ends.
func serveSSH(t *testing.T) {
	t.Helper()
	dir := harness.TempDir(t)
	harness.Must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/key")
	harness.Mkdir(t, "/run/sshd")
	harness.Write(t, dir+"/config", fmt.Sprintf(sshdConfig, dir))
	path, err := exec.LookPath("sshd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-D", "-f", dir+"/config", "-E", dir+"/log")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		signalSSH(unix.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of sshd:\n%s", harness.Read(t, dir+"/log"))
		}
	})
	harness.Eventually(t, "sshd serves", func() bool { _, _, code := harness.Run(t, "ssh-keyscan", "127.0.0.1"); return code == 0 })
}

// signalSSH signals sshd and all that it has started, in the test's own PID
// namespace.
func signalSSH(signal unix.Signal) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		var pid int
		if fmt.Sscanf(path, "/proc/%d/", &pid); strings.Contains(strings.SplitN(string(text), "\x00", 2)[0], "sshd") {
			unix.Kill(pid, signal)
		}
	}
}
