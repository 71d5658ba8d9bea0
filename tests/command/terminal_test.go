package command

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// onTerminal runs the command on a terminal of its own, where typed waits to be
// read, and returns all that appears there.
func onTerminal(t *testing.T, want int, env, typed string, args ...string) string {
	t.Helper()
	master, slave := terminal(t)
	defer master.Close()
	cmd := exec.Command(harness.CLI, args...)
	cmd.Env = append(os.Environ(), strings.Fields(env)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	err := cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(master, typed); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(master)
	if err != nil && !errors.Is(err, unix.EIO) { // the other end is closed
		t.Error(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Errorf("%q: exit code %d, want %d\n%s", args, code, want, out)
	}
	return string(out)
}

// terminal is a new pseudo-terminal (pts(4)), of an instance of devpts that the
// test has to itself.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	dir := harness.TempDir(t) + "/pts"
	harness.Mkdir(t, dir)
	if err := unix.Mount("devpts", dir, "devpts", 0, "ptmxmode=0666"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	master, err := os.OpenFile(dir+"/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(dir+"/0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestProgressIsShownOnATerminal(t *testing.T) {
	m := harness.New(t, 1)
	old(t, m.Primary+"/bar", 300)
	old(t, m.Primary+"/all", 2)
	old(t, m.Primary+"/dumb", 2)
	old(t, m.Primary+"/plain", 2)
	m.Up()
	quiet()
	out := onTerminal(t, 0, "TERM=xterm NO_COLOR=", "", "demote", "--older-than", "1s", m.Path("bar"))
	harness.Contains(t, out, "/300 files", "%", "moved 300 files, ")
	if strings.Contains(out, "moved from tier") {
		t.Errorf("lines beside the bar:\n%s", out)
	}
	out = onTerminal(t, 0, "TERM=xterm NO_COLOR=", "", "demote", "--older-than", "1s", "--all", m.Path("all"))
	harness.Contains(t, out, m.Path("all/00001")+": moved from tier 0 to tier 1")
	for env, dir := range map[string]string{"TERM=dumb NO_COLOR=": "dumb", "TERM=xterm NO_COLOR=1": "plain"} {
		out := onTerminal(t, 0, env, "", "demote", "--older-than", "1s", m.Path(dir))
		harness.Contains(t, out, m.Path(dir+"/00001")+": moved from tier 0 to tier 1", "moved 2 files, ")
		if strings.Contains(out, "\x1b") || strings.Contains(out, "%") {
			t.Errorf("%s: %q", env, out)
		}
	}
}

// A file that takes two seconds by mover_rate is seen to be half done.
func TestProgressMovesWithinAFile(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/big", strings.Repeat("x", 8<<20))
	m.Up("mover_rate=4M")
	quiet()
	out := onTerminal(t, 0, "TERM=xterm NO_COLOR=", "", "demote", "--older-than", "1s", m.Path("big"))
	if !regexp.MustCompile(`0/1 files +[1-9][0-9]?%`).MatchString(out) {
		t.Errorf("nothing between the beginning and the end:\n%q", out)
	}
}

// On a terminal a repair asks, and does nothing without a yes.
func TestRepairAsksOnATerminal(t *testing.T) {
	m := hiding(t)
	out := onTerminal(t, 1, "", "n\n", "check", "--repair", m.Dir)
	harness.Contains(t, out, "Mend 2 findings as said above? [y/N]", "nothing was mended")
	harness.WantRead(t, m.Fallbacks[0]+"/same", "1")
	out = onTerminal(t, 1, "", "y\n", "check", "--repair", m.Dir)
	harness.Contains(t, out, "4 findings, 2 mended")
	if harness.Exists(t, m.Fallbacks[0]+"/same") {
		t.Error("not mended")
	}
}
