// Package attacks tests what a hostile user, a hostile tier and hostile records
// can do to a mount: nothing to others. Each test is one attack.
package attacks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The attacker, and somebody he has no rights over.
const mallory, victim = harness.UserA, harness.UserB

// start starts a function of this test binary as a user, and kills it at the
// end of the test if it still runs.
func start(t *testing.T, c harness.Call, uid int, args ...string) *exec.Cmd {
	t.Helper()
	cmd := c.As(uid, uid, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("%s said: %s", c, said.String())
		}
	})
	return cmd
}

// stop ends what start has started.
func stop(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// startPiped starts a process that tells on its standard output what it has, and
// keeps it until its standard input ends.
func startPiped(t *testing.T, cmd *exec.Cmd) (in io.WriteCloser, out io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err = cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return in, out
}

// as runs a function as a user and fails the test if it returned an error.
func as(t *testing.T, c harness.Call, uid int, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.AsUser(t, uid, uid, nil, args...)
	if code != 0 {
		t.Errorf("%s as %d: %s", c, uid, stderr)
	}
	return stdout
}

// limited mounts from a shell that has set limits.
func limited(t *testing.T, m *harness.Mount, ulimits string) {
	t.Helper()
	args := append([]string{"-c", ulimits + `; exec "$@"`, "sh"}, m.Args()...)
	if stdout, stderr, code := m.UpBy(exec.Command("sh", args...)); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// serves fails the test unless the mount answers to another user, in all that
// he may do.
func serves(t *testing.T, m *harness.Mount) {
	t.Helper()
	name := fmt.Sprintf("serves-%d", time.Now().UnixNano())
	harness.Mkdir(t, filepath.Join(m.Primary, name))
	harness.Chown(t, filepath.Join(m.Primary, name), victim, victim)
	as(t, useful, victim, m.Path(name))
}

// useful is an honest user's work in a directory of his own.
var useful = harness.Func("useful", func(args []string) error {
	dir := args[0]
	a, b := dir+"/a", dir+"/b"
	err := errors.Join(os.WriteFile(a, []byte("text"), 0o644), os.Rename(a, b), os.Mkdir(a, 0o755))
	text, readErr := os.ReadFile(b)
	if string(text) != "text" {
		err = errors.Join(err, fmt.Errorf("reads %q", text))
	}
	rows, listErr := os.ReadDir(dir)
	if len(rows) != 2 {
		err = errors.Join(err, fmt.Errorf("lists %v", rows))
	}
	return errors.Join(err, readErr, listErr, os.Chmod(b, 0o600), os.Remove(a), os.Remove(b))
})

// errno is the bare error of a call, 0 for none.
func errno(err error) unix.Errno {
	var e unix.Errno
	errors.As(err, &e)
	return e
}
