package contract

import (
	"os/exec"

	"github.com/tierfs/tierfs/tests/harness"
)

// Exit codes of mount(8).
const (
	ok     = 0
	usage  = 1
	system = 2
	failed = 32
)

// up runs a command that has to mount m.
func up(m *harness.Mount, args ...string) (stdout, stderr string) {
	m.T.Helper()
	return upBy(m, exec.Command(args[0], args[1:]...))
}

func upBy(m *harness.Mount, cmd *exec.Cmd) (stdout, stderr string) {
	m.T.Helper()
	stdout, stderr, code := m.UpBy(cmd)
	if code != ok || !m.Mounted() {
		m.T.Fatalf("%q: exit code %d, mounted %v\n%s%s", cmd.Args, code, m.Mounted(), stdout, stderr)
	}
	return stdout, stderr
}

// refused runs a command that has to fail with code, with one line that has
// every part, and must leave nothing of a mount.
func refused(m *harness.Mount, args []string, code int, parts ...string) {
	m.T.Helper()
	stdout, stderr, got := m.UpBy(exec.Command(args[0], args[1:]...))
	if got != code {
		m.T.Errorf("%q: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	harness.OneLine(m.T, stderr, append(parts, "mount.tierfs: ")...)
	m.None()
}

// helper is a call of the mount helper itself, as mount(8) makes it.
func helper(args ...string) []string { return append([]string{harness.FuseHelper}, args...) }

// flags are the words that mountinfo shows of the mount and of its superblock.
func flags(m *harness.Mount) []string {
	m.T.Helper()
	at := harness.MountsAt(m.Dir)
	if len(at) != 1 {
		m.T.Fatalf("want one mount at %s, got %+v", m.Dir, at)
	}
	return append(at[0].Flags, at[0].SuperOptions...)
}

func command(args []string) *exec.Cmd { return exec.Command(args[0], args[1:]...) }
