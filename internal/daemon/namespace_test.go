package daemon

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamespacePath(t *testing.T) {
	for in, want := range map[string]string{
		"1": "/proc/1/ns/mnt", "4242": "/proc/4242/ns/mnt",
		"/run/ns/a": "/run/ns/a", "-1": "-1", "12x": "12x",
	} {
		if got := namespacePath(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// listNamespace enters the namespace NS and says where a forked program is.
func listNamespace() error {
	if err := EnterNamespace(os.Getenv("NS")); err != nil {
		return err
	}
	mounts, err := Mounts()
	if err != nil {
		return err
	}
	_, ok := Top(mounts, os.Getenv("AT"))
	out, err := exec.Command("readlink", "/proc/self/ns/mnt").Output()
	wd, _ := os.Getwd()
	fmt.Printf("%v %s %s", ok, strings.TrimSpace(string(out)), wd)
	return err
}

func TestEnterNamespaceTakesForkedProgramsAlong(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	other := exec.Command("sh", "-c", `mount --make-rprivate / && mount -t tmpfs none "$1" && echo up && cat`, "sh", dir)
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	in, _ := other.StdinPipe()
	out, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Skip("needs mount namespaces:", err)
	}
	defer func() { in.Close(); _ = other.Wait() }()
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Skip("needs mount namespaces:", err)
	}
	pid := strconv.Itoa(other.Process.Pid)
	want, _ := os.Readlink("/proc/" + pid + "/ns/mnt")
	cmd := child("namespace", "NS="+pid, "AT="+dir)
	cmd.Dir = "/usr"
	if got := runChild(t, cmd); got != "true "+want+" /usr" {
		t.Errorf("got %q, want %q", got, "true "+want+" /usr")
	}
}

func TestEnterNamespaceNamesWhatIsWrong(t *testing.T) {
	for _, ns := range []string{"/nonexistent", "/proc/self/ns/net", "/dev/null"} {
		out, err := child("namespace", "NS="+ns).CombinedOutput()
		if err == nil || !strings.Contains(string(out), fmt.Sprintf("namespace %q: ", ns)) {
			t.Errorf("%s: %v: %s", ns, err, out)
		}
	}
}
