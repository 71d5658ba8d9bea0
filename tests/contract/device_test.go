package contract

import (
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// isolated runs the helper after a script in a mount namespace of its own.
func isolated(m *harness.Mount, script string) (stderr string, code int) {
	m.T.Helper()
	_, stderr, code = harness.Run(m.T, append([]string{"unshare", "-m", "--propagation", "private", "sh", "-c", script + ` && exec "$@"`, "sh"},
		helper(m.Primary, m.Dir)...)...)
	m.None()
	return stderr, code
}

func TestWithoutFuseDeviceIsASystemError(t *testing.T) {
	m := harness.New(t, 0)
	for what, script := range map[string]string{
		"no node":        `mount -t tmpfs t /dev`,
		"not a device":   `mount -t tmpfs t /dev && : >/dev/fuse`,
		"another device": `mount --bind /dev/zero /dev/fuse`,
		"a directory":    `mount -t tmpfs t /dev && mkdir /dev/fuse`,
	} {
		stderr, code := isolated(m, script)
		if code != system && code != failed || what == "no node" && code != system {
			t.Errorf("%s: exit code %d, want %d", what, code, system)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ")
		if what == "no node" {
			harness.Contains(t, stderr, "/dev/fuse")
		}
	}
}

// Containers: root, but not allowed to mount.
func TestRootWithoutThePrivilegeIsToldSo(t *testing.T) {
	harness.Require(t, "setpriv")
	m := harness.New(t, 0)
	for _, drop := range []string{"-sys_admin", "-setpcap", "-all"} {
		_, stderr, code := harness.Run(t, append([]string{"setpriv", "--bounding-set", drop, "--inh-caps", drop},
			helper(m.Primary, m.Dir)...)...)
		if code != failed && code != system {
			t.Errorf("%s: exit code %d, want %d or %d", drop, code, failed, system)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", "CAP_")
		m.None()
	}
}

func TestWithoutRuntimeDirectoryTheMountIsAsGood(t *testing.T) {
	m := harness.New(t, 1)
	harness.Must(t, "mount", "-t", "tmpfs", "-o", "ro", "none", "/run")
	t.Cleanup(func() { harness.Must(t, "umount", "/run") })
	up(m, helper(m.Primary, m.Dir)...)
	harness.Write(t, m.Path("f"), "x")
	harness.WantRead(t, m.Path("f"), "x")
	m.Down()
}

func TestWithoutSyslogTheMountIsAsGood(t *testing.T) {
	m := harness.New(t, 0)
	harness.Rename(t, "/dev/log", "/dev/log.away")
	t.Cleanup(func() { harness.Rename(t, "/dev/log.away", "/dev/log") })
	m.Up()
	harness.Write(t, m.Path("f"), "x")
	m.Down()
}

// One that is not read fills up; whoever waited for it would stop serving.
func TestDeafSyslogDoesNotStopTheMount(t *testing.T) {
	m := harness.New(t, 0)
	deaf := deafSocket(t)
	harness.Must(t, "mount", "--bind", deaf, "/dev/log")
	t.Cleanup(func() { harness.Must(t, "umount", "/dev/log") })
	m.Up("debug")
	for range 300 {
		harness.Write(t, m.Path("f"), "x")
	}
	m.Down()
}
