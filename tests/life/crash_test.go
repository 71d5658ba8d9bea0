package life

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// kill ends the daemon as the kernel does when memory runs out.
func kill(m *harness.Mount) {
	m.T.Helper()
	unix.Kill(m.Pid(), unix.SIGKILL)
	m.Gone(128 + int(unix.SIGKILL))
}

// An empty directory in place of the data would make a backup forget it.
func TestKillLeavesENOTCONNAndNotAnEmptyDirectory(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	harness.Write(t, m.Path("f"), "x")
	kill(m)
	if n := len(harness.MountsAt(m.Dir)); n != 1 {
		t.Errorf("%d mounts", n)
	}
	var st unix.Stat_t
	harness.WantErrno(t, "stat", unix.Stat(m.Path("f"), &st), unix.ENOTCONN)
	_, err := os.ReadDir(m.Dir)
	harness.WantErrno(t, "list", err, unix.ENOTCONN)
	harness.WantErrno(t, "create", os.WriteFile(m.Path("new"), nil, 0o644), unix.ENOTCONN)
	harness.Must(t, "umount", m.Dir)
	m.Up()
	harness.WantRead(t, m.Path("f"), "x")
}

func TestKillWhileBusyIsRepairedByLazyUmountAndMount(t *testing.T) {
	m := harness.New(t, 1)
	harness.Fstab(t, m.FstabLine("nofail"))
	m.Up()
	h := hold(t, m, "directory")
	f, err := os.Create(m.Path("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("written"); err != nil {
		t.Fatal(err)
	}
	kill(m)
	if _, err := os.Stat(m.Path("open")); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("stat: %v", err)
	}
	harness.Must(t, "umount", "-l", m.Dir)
	harness.Must(t, "mount", m.Dir)
	m.Adopt()
	harness.WantRead(t, m.Path("open"), "written")
	h.release()
}

func TestKillLeavesNothingThatHindersTheNextDaemon(t *testing.T) {
	m := harness.New(t, 1)
	log := harness.TempDir(t) + "/log"
	for range 5 {
		m.Up("log=" + log)
		kill(m)
		harness.Must(t, "umount", m.Dir)
	}
	m.Up("log=" + log)
	harness.Must(t, "mount", "-o", "remount,ro", m.Dir) // by a socket of the same name
	m.Down()
	if text := harness.Read(t, log); strings.Contains(text, "panic") {
		t.Errorf("a kill is logged as a panic: %s", text)
	}
}

// What a killed daemon leaves in /run/tierfs belongs to nobody, and its PID may
// soon be somebody else's.
func TestStatusTidiesAfterAKilledDaemon(t *testing.T) {
	killed, other := harness.New(t, 1), harness.New(t, 1)
	killed.Up()
	other.Up()
	names := harness.List(t, "/run/tierfs")
	harness.Contains(t, strings.Join(names, " "), fmt.Sprintf("%d.crash", killed.Pid()), fmt.Sprintf("%d.crash", other.Pid()))
	kill(killed)
	harness.Run(t, harness.CLI, "status")
	want := []string{strings.Replace(harness.MountsAt(other.Dir)[0].Dev, ":", "-", 1) + ".sock", fmt.Sprintf("%d.crash", other.Pid())}
	slices.Sort(want)
	harness.WantList(t, "/run/tierfs", want...)
	harness.Must(t, "umount", killed.Dir)
	harness.Must(t, harness.CLI, "status", other.Dir)
}

// The socket is named after the mount's device number, which the next mount
// may or may not get again: here others take it.
func TestNextDaemonRemovesWhatKilledOnesLeft(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	kill(m)
	harness.Must(t, "umount", m.Dir)
	left := harness.List(t, "/run/tierfs")
	for range 5 {
		harness.On(t, "tmpfs", "1M")
	}
	m.Up()
	m.Down()
	for _, name := range harness.List(t, "/run/tierfs") {
		t.Errorf("/run/tierfs/%s is left (a killed daemon left %q)", name, left)
	}
}

// umount -f ends the connection under a daemon that is well.
func TestForcedUmountEndsTheDaemon(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	harness.Write(t, m.Path("f"), "x")
	harness.Must(t, "umount", "-f", m.Dir)
	m.Gone(0)
}
