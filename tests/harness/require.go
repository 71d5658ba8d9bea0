package harness

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Require skips the test when the machine lacks something: root, fuse,
// passthrough, loop, a filesystem's name, fusermount3, or a kernel such as
// "linux-6.9". TIERFS_REQUIRE=root,fuse,passthrough turns such a skip into a
// failure; TIERFS_SKIPLOG names a file that gets a line for each skip, from
// which make test says what was not shown.
func Require(t testing.TB, caps ...string) {
	t.Helper()
	for _, c := range caps {
		why := missing(c)
		if why == "" {
			continue
		}
		logSkip(t.Name(), "missing "+c+": "+why)
		if required(c) {
			t.Fatalf("missing %s: %s", c, why)
		}
		t.Skipf("missing %s: %s", c, why)
	}
}

// Skip is Require for what the machine turned out to lack.
func Skip(t testing.TB, why string) {
	t.Helper()
	logSkip(t.Name(), why)
	t.Skip(why)
}

// missing says why a capability is not there, or "".
func missing(c string) string {
	switch c {
	case "root":
		if os.Geteuid() != 0 {
			return "not root"
		}
	case "fuse":
		return cannotOpen("/dev/fuse")
	case "loop":
		return cannotOpen("/dev/loop-control")
	case "passthrough":
		return olderThan("6.9")
	case "autofs", "overlay":
		return notInKernel(c)
	case "fusermount3", "setpriv", "strace", "smbd", "smbclient", "ganesha.nfsd", "nfs-ls",
		"gocryptfs", "sshfs", "rclone", "sshd", "mergerfs", "rsync":
		return notInPath(c)
	default:
		if version, ok := strings.CutPrefix(c, "linux-"); ok {
			return olderThan(version)
		}
		return noFilesystem(c)
	}
	return ""
}

func cannotOpen(path string) string {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return path + ": " + err.Error()
	}
	unix.Close(fd)
	return ""
}

func olderThan(version string) string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err.Error()
	}
	release := unix.ByteSliceToString(uts.Release[:])
	if number(release) < number(version) {
		return "kernel " + release
	}
	return ""
}

// number makes 6.9 of any patch level comparable with 6.18.
func number(release string) int {
	var major, minor int
	fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major*1000 + minor
}

// noFilesystem asks for mkfs and the kernel's support, which a module may give.
func noFilesystem(name string) string {
	if why := notInPath("mkfs." + name); why != "" {
		return why
	}
	return notInKernel(name)
}

func notInKernel(name string) string {
	known, _ := os.ReadFile("/proc/filesystems")
	if slices.Contains(strings.Fields(string(known)), name) || exec.Command("modprobe", name).Run() == nil {
		return ""
	}
	return "the kernel does not know it"
}

func notInPath(program string) string {
	if _, err := exec.LookPath(program); err != nil {
		return err.Error()
	}
	return ""
}

func required(c string) bool {
	return slices.Contains(strings.Split(os.Getenv("TIERFS_REQUIRE"), ","), c)
}

func logSkip(test, why string) {
	if path := os.Getenv("TIERFS_SKIPLOG"); path != "" {
		if err := appendFile(path, test+": "+why+"\n"); err != nil {
			fmt.Fprintln(os.Stderr, "harness:", err)
		}
	}
}
