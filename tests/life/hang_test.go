package life

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// hung is a mount whose fallback is a network disk whose server is gone: here
// another tierfs, whose daemon is stopped until the test ends.
func hung(t *testing.T, opts ...string) (m *harness.Mount, stop, cont func()) {
	t.Helper()
	server := harness.New(t, 0, "entry_timeout=0", "attr_timeout=0")
	server.Up()
	pid := server.Pid()
	cont = func() { unix.Kill(pid, unix.SIGCONT) }
	stop = func() { server.Stop() }
	t.Cleanup(cont) // before that of server, so that it can end
	harness.Write(t, server.Primary+"/slow", "s")
	m = harness.NewOn(t, []string{harness.TempDir(t), server.Dir}, opts...)
	harness.Write(t, m.Primary+"/fast", "f")
	return m, stop, cont
}

func TestMountWithAHungTierEndsAndSaysWhich(t *testing.T) {
	m, stop, cont := hung(t, "tier_timeout=1")
	m.Up()
	m.Down()
	stop()
	start := time.Now()
	_, stderr, code := m.UpBy(exec.Command("timeout", append([]string{"-s", "INT", "10"}, m.Args()...)...))
	took := time.Since(start)
	cont()
	if took > 8*time.Second {
		t.Errorf("took %v with tier_timeout=1", took)
	}
	if m.Mounted() {
		m.Down() // serving with the tier away is as good
		return
	}
	if code != 32 {
		t.Errorf("exit code %d, want 32", code)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", m.Fallbacks[0])
	m.None()
}

// ^C at a mount that waits for a dead server.
func TestInterruptedMountIsCode8AndLeavesNothing(t *testing.T) {
	m, stop, cont := hung(t, "tier_timeout=20")
	m.Up()
	m.Down()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		stop()
		cmd := exec.Command(harness.FuseHelper, m.Primary, m.Dir, "-o", m.Options())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the helper has started the daemon", func() bool { return m.Processes() > 1 })
		cmd.Process.Signal(sig)
		ended := time.AfterFunc(15*time.Second, func() { cont(); cmd.Process.Kill() })
		cmd.Wait()
		if !ended.Stop() {
			t.Errorf("%v: not ended after 15 seconds", sig)
		}
		if code := cmd.ProcessState.ExitCode(); code != 8 {
			t.Errorf("%v: exit code %d, want 8", sig, code)
		}
		harness.Contains(t, stderr.String(), "interrupted")
		cont()
		m.None()
	}
}

func TestHungFallbackDoesNotKeepTheMountFromEnding(t *testing.T) {
	m, stop, _ := hung(t, "tier_timeout=1")
	m.Up()
	harness.WantRead(t, m.Path("slow"), "s")
	stop()
	harness.WantRead(t, m.Path("fast"), "f") // the primary is served at once
	start := time.Now()
	_, err := os.ReadFile(m.Path("missing-on-primary"))
	harness.WantErrno(t, "a name that only the hung tier can answer for", err, unix.EIO)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v with tier_timeout=1", took)
	}
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "unmounted", func() bool { return len(harness.MountsAt(m.Dir)) == 0 })
	m.Gone(0)
	if text := m.Log(); !strings.Contains(text, m.Fallbacks[0]) {
		t.Errorf("the log does not name the tier: %q", text)
	}
}

// TestHungRemountDoesNotKeepTheDaemonFromEnding: what can be seen to hang is refused, and
// the rest left behind.
func TestHungRemountDoesNotKeepTheDaemonFromEnding(t *testing.T) {
	slow, stop, cont := hung(t, "tier_timeout=0.5")
	slow.Up()
	m := harness.New(t, 1)
	m.Up()
	dir := harness.TempDir(t)
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	for _, c := range []struct {
		m    *harness.Mount
		opts string
		code int
		text string
	}{
		{slow, harness.FallbackOption(slow.Fallbacks[0], dir), 32, "it does not answer; check"},
		{m, "log=" + dir + "/fifo", 32, "no such device"},
		{m, "log=" + slow.Fallbacks[0] + "/log", 124, ""},
	} {
		_, stderr, code := harness.Run(t, "timeout", "2", harness.FuseHelper, c.m.Primary, c.m.Dir, "-o", "remount,"+c.opts)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.opts, code, c.code)
		}
		harness.Contains(t, stderr, c.text)
	}
	unix.Kill(m.Pid(), unix.SIGTERM)
	m.Gone(0)
	harness.Contains(t, m.Log(), "a remount still waits for")
	cont()
}

// TestHungTierIsNotTakenForADeadDaemon, while the daemon rightly has who looks wait: the
// commands said to kill it.
func TestHungTierIsNotTakenForADeadDaemon(t *testing.T) {
	m, stop, _ := hung(t, "tier_timeout=20", "entry_timeout=0")
	m.Up()
	stop()
	for _, command := range []string{"where", "promote"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			_, stderr, code := harness.Run(t, harness.CLI, command, m.Path("slow"))
			if code != 2 {
				t.Errorf("exit code %d", code)
			}
			harness.OneLine(t, stderr, fmt.Sprintf("mount %q: tier %q does not answer; try again", m.Dir, m.Fallbacks[0]))
		})
	}
}

func TestHungFallbackReturns(t *testing.T) {
	m, stop, cont := hung(t, "tier_timeout=0.5", "attr_timeout=0", "entry_timeout=0")
	m.Up()
	stop()
	_, err := os.ReadFile(m.Path("slow"))
	harness.WantErrno(t, "read", err, unix.EIO)
	cont()
	harness.Eventually(t, "the tier is back", func() bool {
		text, err := os.ReadFile(m.Path("slow"))
		return err == nil && string(text) == "s"
	})
	harness.Eventually(t, "it settles", func() bool { return harness.Exists(t, m.Path("slow")) })
}
