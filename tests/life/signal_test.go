package life

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestTerminateAndInterruptUnmount(t *testing.T) {
	m := harness.New(t, 1)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		m.Up()
		harness.Write(t, m.Path("f"), "x")
		unix.Kill(m.Pid(), sig)
		m.Gone(0)
		harness.WantRead(t, m.Primary+"/f", "x")
	}
}

// A service manager may stop what it has just started.
func TestTerminateRightAfterMountingUnmounts(t *testing.T) {
	m := harness.New(t, 0)
	for range harness.Times(20, 400) {
		m.Up()
		unix.Kill(m.Pid(), unix.SIGTERM)
		m.Gone(0)
		harness.NotMounted(t, m.Dir)
	}
}

func TestTerminateUnmountsWhatLiesOverThePrimary(t *testing.T) {
	m := harness.New(t, 1)
	m.Dir = m.Primary
	m.Up("log=" + harness.TempDir(t) + "/log")
	harness.Write(t, m.Path("f"), "x")
	unix.Kill(m.Pid(), unix.SIGTERM)
	m.Gone(0)
	harness.WantRead(t, m.Primary+"/f", "x")
}

func TestTerminateUnmountsBindMountsToo(t *testing.T) {
	m := harness.New(t, 0)
	harness.Mkdir(t, m.Primary+"/sub")
	bind := harness.TempDir(t)
	m.Up()
	harness.Must(t, "mount", "--bind", m.Path("sub"), bind)
	unix.Kill(m.Pid(), unix.SIGTERM)
	m.Gone(0)
	harness.NotMounted(t, bind)
}

func TestTerminateWhileBusyStaysAndNamesTheHolder(t *testing.T) {
	for _, how := range []string{"file", "directory", "program", "map"} {
		t.Run(how, func(t *testing.T) {
			m := harness.New(t, 1)
			log := harness.TempDir(t) + "/log"
			m.Up("log="+log, "exec")
			h := hold(t, m, how)
			unix.Kill(m.Pid(), unix.SIGTERM)
			harness.Eventually(t, "the log names the holder", func() bool {
				text := harness.Read(t, log)
				return strings.Contains(text, "busy") && strings.Contains(text, fmt.Sprintf("%s (%d)", h.comm(), h.pid()))
			})
			if len(harness.MountsAt(m.Dir)) != 1 {
				t.Fatal("the mount is gone")
			}
			harness.Write(t, m.Path("still"), "served")
			harness.WantRead(t, m.Path("still"), "served")
			h.release()
			m.Adopt() // the log is open since
			m.Down()
		})
	}
}

func TestSecondTerminateDetachesAndServesTheHolder(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	h := hold(t, m, "file")
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "the log says busy", func() bool { return strings.Contains(m.Log(), "busy") })
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "the mount is detached", func() bool { return len(harness.MountsAt(m.Dir)) == 0 })
	if got := h.ask("read"); got != "held" {
		t.Errorf("the holder reads %q after the detachment", got)
	}
	held := fmt.Sprintf("still held by %s (%d)", h.comm(), h.pid())
	harness.Eventually(t, "the log names the holder", func() bool { return strings.Contains(m.Log(), held) })
	time.Sleep(50 * time.Millisecond)
	if unix.Kill(m.Pid(), 0) != nil {
		t.Error("the daemon has left its holder alone")
	}
	h.release()
	m.Gone(0)
}

func TestTerminateOfTheBusyWithinAnotherNamespaceEndsOnRelease(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	h := hold(t, m, "namespace") // a service with a mount table of its own
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "the mount is gone here", func() bool { return len(harness.MountsAt(m.Dir)) == 0 })
	harness.Eventually(t, "the log tells of it", func() bool { return strings.Contains(m.Log(), "namespace") })
	h.release()
	m.Gone(0)
}

func TestTerminateUnmountsWhereTheMountWasMovedTo(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	to := harness.TempDir(t)
	harness.Must(t, "mount", "--move", m.Dir, to)
	harness.Write(t, to+"/f", "x")
	unix.Kill(m.Pid(), unix.SIGTERM)
	m.Gone(0)
	harness.NotMounted(t, to)
}

// umount(2) by name would take away the other mount.
func TestTerminateUnderAnotherMountLeavesThatOne(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	harness.Must(t, "mount", "-t", "tmpfs", "upon", m.Dir)
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "the log says what is in the way", func() bool { return strings.Contains(m.Log(), "upon") })
	if n := len(harness.MountsAt(m.Dir)); n != 2 {
		t.Fatalf("%d mounts, want both", n)
	}
	harness.Must(t, "umount", m.Dir)
	harness.Write(t, m.Path("f"), "x")
}

func TestTerminateWithAMountInsideNamesIt(t *testing.T) {
	m := harness.New(t, 0)
	harness.Mkdir(t, m.Primary+"/sub")
	m.Up()
	harness.Must(t, "mount", "-t", "tmpfs", "inner", m.Path("sub"))
	unix.Kill(m.Pid(), unix.SIGTERM)
	harness.Eventually(t, "the log names the mount inside", func() bool {
		return strings.Contains(m.Log(), "busy") && strings.Contains(m.Log(), m.Path("sub"))
	})
	harness.Must(t, "umount", m.Path("sub"))
	m.Down()
}

func TestHangupAndOthersDoNotEndTheDaemon(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGPIPE, unix.SIGWINCH, unix.SIGCHLD, unix.SIGCONT} {
		unix.Kill(m.Pid(), sig)
	}
	time.Sleep(100 * time.Millisecond)
	harness.Write(t, m.Path("f"), "x")
	harness.WantRead(t, m.Path("f"), "x")
}
