package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// base is the scratch directory on a real filesystem; inside holds what the
// namespace itself needs, on a tmpfs.
var base string

// Ordinary users that mount(8), which asks for names, can look up.
const (
	UserA, UserB   = 54321, 54322
	UserAName      = "tieruser"
	UserBName      = "tierother"
	passwdOfUsers  = UserAName + ":x:54321:54321::/nonexistent:/bin/sh\n" + UserBName + ":x:54322:54322::/nonexistent:/bin/sh\n"
	groupsOfUsers  = UserAName + ":x:54321:\n" + UserBName + ":x:54322:\n"
	namespaceShelf = "/dev/shm/ns"
)

// enter makes the namespace's own /proc, /dev, /run, /etc and /sbin. What is
// written there goes to a tmpfs; the host's files stay as they are.
func enter(scratch string) error {
	base = scratch
	if err := os.Chmod(base, 0o755); err != nil {
		return err
	}
	for _, step := range []func() error{mountProc, dropForeign, mountDev, mountRun, coverEtc, coverSbin, install, listenLog} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func mountProc() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	return nil
}

// loopback makes 127.0.0.1 of a new network answer.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}

// dropForeign takes the host's own tierfs mounts out of the namespace: a copy
// of one would keep its daemon alive after the host has unmounted it.
func dropForeign() error {
	for _, line := range slices.Backward(Mountinfo()) {
		if line.FSType != "fuse.tierfs" {
			continue
		}
		if err := unix.Unmount(line.Dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("%s: %w", line.Dir, err)
		}
	}
	return nil
}

// mountDev replaces /dev: the host's /dev/fuse may be 0600, udev makes it 0666
// on real systems, and fusermount3 opens it as the user.
func mountDev() error {
	if err := unix.Mount("dev", "/dev", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	nodes := []struct {
		name         string
		mode         uint32
		major, minor uint32
	}{
		{"null", unix.S_IFCHR | 0o666, 1, 3}, {"zero", unix.S_IFCHR | 0o666, 1, 5},
		{"full", unix.S_IFCHR | 0o666, 1, 7}, {"random", unix.S_IFCHR | 0o666, 1, 8},
		{"urandom", unix.S_IFCHR | 0o666, 1, 9}, {"tty", unix.S_IFCHR | 0o666, 5, 0},
		{"fuse", unix.S_IFCHR | 0o666, 10, 229}, {"loop-control", unix.S_IFCHR | 0o600, 10, 237},
	}
	for _, n := range nodes {
		if err := mknod("/dev/"+n.name, n.mode, n.major, n.minor); err != nil {
			return err
		}
	}
	for i := range uint32(64) { // the kernel adds loop devices on demand; nothing adds nodes here
		if err := mknod(fmt.Sprintf("/dev/loop%d", i), unix.S_IFBLK|0o600, 7, i); err != nil {
			return err
		}
	}
	if err := os.Symlink("/proc/self/fd", "/dev/fd"); err != nil {
		return err
	}
	return os.MkdirAll(namespaceShelf, 0o755)
}

func mknod(path string, mode, major, minor uint32) error {
	if err := unix.Mknod(path, mode, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Chmod(path, os.FileMode(mode&0o777)) // past the umask
}

// mountRun leaves /run/tierfs to the daemon, as after a boot. libmount keeps
// the names of mounting users in /run/mount.
func mountRun() error {
	if err := unix.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	for _, dir := range []string{"/run/mount", "/run/lock"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// coverEtc gives the tests an fstab, a fuse.conf and users of their own.
func coverEtc() error {
	if err := cover("/etc"); err != nil {
		return err
	}
	os.Remove("/etc/mtab")
	if err := os.Symlink("../proc/self/mounts", "/etc/mtab"); err != nil {
		return err
	}
	if err := appendFile("/etc/passwd", passwdOfUsers); err != nil {
		return err
	}
	if err := appendFile("/etc/group", groupsOfUsers); err != nil {
		return err
	}
	if err := os.WriteFile("/etc/fuse.conf", nil, 0o644); err != nil {
		return err
	}
	return os.WriteFile("/etc/fstab", nil, 0o644)
}

func coverSbin() error { return cover("/sbin") }

// cover lays a writable layer over a directory of the host.
func cover(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	shelf := namespaceShelf + "/" + strings.ReplaceAll(dir, "/", "_")
	upper, work := shelf+"/upper", shelf+"/work"
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	data := "lowerdir=" + dir + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", dir, "overlay", 0, data); err != nil {
		return fmt.Errorf("overlay on %s: %w", dir, err)
	}
	return nil
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
