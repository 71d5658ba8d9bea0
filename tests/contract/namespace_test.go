package contract

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// otherNamespace starts a process with a mount namespace of its own, after it
// has run a script there.
func otherNamespace(t *testing.T, script string, args ...string) (pid int) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", script + "\necho ready; read wait", "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal("the namespace is not ready: ", err)
	}
	return cmd.Process.Pid
}

// inNamespace is the mount's line in the table of another process.
func inNamespace(pid int, dir string) string {
	table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, " "+dir+" ") && strings.Contains(line, "fuse.tierfs") {
			return line
		}
	}
	return ""
}

// mount(8) runs the helper in the original namespace: whoever does not enter
// the other one mounts in the wrong place and says all is well.
func TestNamespaceFlagMountsInThatNamespaceAlone(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/here", "")
	pid := otherNamespace(t, `mount -t tmpfs t "$1" && echo there >"$1/there"`, m.Fallbacks[0])
	ns := fmt.Sprintf("/proc/%d/ns/mnt", pid)
	enter := func(args ...string) string {
		return harness.Must(t, append([]string{"nsenter", "--mount=" + ns}, args...)...)
	}
	for _, args := range [][]string{
		{"mount", "-N", fmt.Sprint(pid), "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options()},
		{"mount", "-N", ns, "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options()},
		helper("-N", ns, m.Primary, m.Dir, "-o", m.Options()),
		helper(m.Primary, m.Dir, "-o", m.Options(), "-N", fmt.Sprint(pid)),
	} {
		harness.Must(t, args...)
		harness.NotMounted(t, m.Dir)
		if inNamespace(pid, m.Dir) == "" {
			t.Fatalf("%q: exit code 0, but not mounted there", args)
		}
		m.Adopt()
		if got, want := readlink(t, fmt.Sprintf("/proc/%d/ns/mnt", m.Pid())), readlink(t, ns); got != want {
			t.Errorf("%q: daemon in namespace %s, want %s", args, got, want)
		}
		if got := enter("ls", m.Dir); got != "there\n" {
			t.Errorf("%q: lists %q, want the tier as seen there", args, got)
		}
		_, stderr, code := harness.Run(t, "mount", "-N", ns, "-t", "fuse.tierfs", m.Primary, m.Dir)
		if code != failed || !strings.Contains(stderr, "already mounted") {
			t.Errorf("again: exit code %d, %q", code, stderr)
		}
		enter("umount", m.Dir)
		m.Gone(0)
	}
}

// TestDeadMountInANamespaceIsNamedAsSuch: it was looked for in the caller's.
func TestDeadMountInANamespaceIsNamedAsSuch(t *testing.T) {
	m := harness.New(t, 0)
	ns := fmt.Sprint(otherNamespace(t, ""))
	mount := []string{"mount", "-N", ns, "-t", "fuse.tierfs", m.Primary, m.Dir}
	harness.Must(t, mount...)
	m.Adopt()
	unix.Kill(m.Pid(), unix.SIGKILL)
	m.Gone(128 + int(unix.SIGKILL))
	_, stderr, code := harness.Run(t, mount...)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "umount -l")
}

func TestNamespaceThatIsNoneIsRefused(t *testing.T) {
	m := harness.New(t, 0)
	for _, ns := range []string{"/nonexistent", "/etc/passwd", "999999", "/proc/self/ns/net", m.Dir} {
		refused(m, helper("-N", ns, m.Primary, m.Dir), failed, "namespace")
	}
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}
