package fusedev

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DeviceError says that FUSE itself is not to be had on this machine.
type DeviceError struct{ Text string }

func (e *DeviceError) Error() string { return e.Text }

// devFuse is where the kernel's FUSE device is. Tests replace it.
var devFuse = "/dev/fuse"

// Mount is a FUSE mount to be made.
type Mount struct {
	Source  string // fsname: what mountinfo shows, to the letter
	Dir     string // the mount point, absolute, without a trailing slash
	Subtype string // the type is fuse.Subtype

	Flags      uintptr // MS_*
	AllowOther bool
	MaxRead    int      // 0: the kernel's own
	Data       []string // key="value", for security modules
}

// Open opens /dev/fuse, mounts and returns the connection's descriptor, which
// is blocking and closed on exec. The kernel's INIT waits there for an answer.
//
// Root calls mount(2). An ordinary user may not, and goes through fusermount3.
func (m Mount) Open() (dev int, err error) {
	dev, err = openDevice()
	if err != nil {
		return -1, err
	}
	err = unix.Mount(m.Source, m.Dir, "fuse."+m.Subtype, m.Flags, m.data(dev))
	if err == nil {
		return dev, nil
	}
	unix.Close(dev)
	if err == unix.EPERM && os.Geteuid() != 0 {
		return m.openByHelper()
	}
	return -1, m.explain(err)
}

func openDevice() (int, error) {
	dev, err := unix.Open(devFuse, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return dev, nil
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return -1, &DeviceError{fmt.Sprintf("open %s: no such device; load the fuse module (modprobe fuse)", devFuse)}
	case unix.EACCES, unix.EPERM:
		return -1, &DeviceError{fmt.Sprintf("open %s: %v; allow it (chmod 666, or the container's device list)", devFuse, err)}
	}
	return -1, fmt.Errorf("open %s: %w; see the kernel log", devFuse, err)
}

// data is the last argument of mount(2). The kernel takes EINVAL for an answer
// to any word that is not its own. Root's mode is that of a directory: the
// attributes come with the first GETATTR.
func (m Mount) data(dev int) string {
	words := []string{
		"fd=" + strconv.Itoa(dev),
		"rootmode=40000",
		"user_id=" + strconv.Itoa(os.Geteuid()),
		"group_id=" + strconv.Itoa(os.Getegid()),
		"default_permissions",
	}
	return strings.Join(append(words, m.common()...), ",")
}

// common are the words that mount(2) and fusermount3 both take.
func (m Mount) common() []string {
	var words []string
	if m.AllowOther {
		words = append(words, "allow_other")
	}
	if m.MaxRead > 0 {
		words = append(words, "max_read="+strconv.Itoa(m.MaxRead))
	}
	return append(words, m.Data...)
}

// explain puts an error of mount(2) into words.
func (m Mount) explain(err error) error {
	hint := "; see the kernel log"
	switch err {
	case unix.EPERM:
		hint = "; it takes CAP_SYS_ADMIN, so mount as root"
	case unix.ENODEV:
		return &DeviceError{fmt.Sprintf("mount fuse.%s: unknown filesystem type; load the fuse module (modprobe fuse)", m.Subtype)}
	}
	return fmt.Errorf("mount on %q: %w%s", m.Dir, err, hint)
}

// fusermountFlags are the flags that every fusermount3 knows, with their
// words; libfuse 3.14 of Debian 12 refuses all others.
var fusermountFlags = []struct {
	flag uintptr
	word string
}{
	{unix.MS_RDONLY, "ro"},
	{unix.MS_NOSUID, "nosuid"},
	{unix.MS_NODEV, "nodev"},
	{unix.MS_NOEXEC, "noexec"},
	{unix.MS_SYNCHRONOUS, "sync"},
	{unix.MS_DIRSYNC, "dirsync"},
	{unix.MS_NOATIME, "noatime"},
}

// helperOptions is the -o string for fusermount3. What only concerns times and
// is not in its list is left out, being a hint; what guards is an error.
func (m Mount) helperOptions() (string, error) {
	if m.Flags&unix.MS_NOSYMFOLLOW != 0 {
		return "", errors.New("option nosymfollow: fusermount3 does not know it; remove it, or mount as root")
	}
	words := []string{
		"fsname=" + escapeOption(m.Source),
		"subtype=" + escapeOption(m.Subtype),
		"default_permissions",
	}
	for _, f := range fusermountFlags {
		if m.Flags&f.flag != 0 {
			words = append(words, f.word)
		}
	}
	return strings.Join(append(words, m.common()...), ","), nil
}

// escapeOption protects what fusermount3 would cut at or take off.
func escapeOption(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s)
}

// openByHelper lets fusermount3, which is set-user-ID root, mount, and receives
// the descriptor from it over the socket that _FUSE_COMMFD names.
func (m Mount) openByHelper() (int, error) {
	opts, err := m.helperOptions()
	if err != nil {
		return -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socketpair: %w; raise the limit of open files", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "fusermount3")
	err = fusermount(theirs, "-o", opts, "--", m.Dir)
	theirs.Close()
	if err != nil {
		return -1, fmt.Errorf("mount on %q: %w", m.Dir, err)
	}
	return receive(pair[0])
}

// fusermount runs fusermount3 with comm as its _FUSE_COMMFD, if not nil. What
// it says is the error.
func fusermount(comm *os.File, args ...string) error {
	path, err := findFusermount()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stderr = &said
	if comm != nil {
		cmd.ExtraFiles = []*os.File{comm}
		cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	}
	if err := cmd.Run(); err != nil {
		return explainFusermount(said.String(), err)
	}
	return nil
}

// findFusermount looks in PATH and then where distributions put it: autofs
// gives no PATH, services give odd ones.
func findFusermount() (string, error) {
	for _, name := range []string{"fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("fusermount3: not found; install fuse3, or mount as root")
}

// explainFusermount makes one line of what fusermount3 said.
func explainFusermount(said string, err error) error {
	if strings.Contains(said, "user_allow_other") {
		return errors.New("option allow_other: not allowed for ordinary users; add user_allow_other to /etc/fuse.conf, or leave it out")
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	line = strings.TrimPrefix(line, "fusermount3: ")
	if line == "" {
		line = err.Error()
	}
	return fmt.Errorf("fusermount3: %s", line)
}

// receive takes the one descriptor that fusermount3 has sent before it ended.
func receive(sock int) (int, error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, b[:], oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return -1, fmt.Errorf("fusermount3: sent no descriptor: %w; update fuse3, or mount as root", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, errors.New("fusermount3: sent no descriptor; update fuse3, or mount as root")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.New("fusermount3: sent no descriptor; update fuse3, or mount as root")
	}
	return fds[0], unix.SetNonblock(fds[0], false)
}

// Unmount unmounts dir; lazy detaches it at once and lets what is open go on.
// Busy is EBUSY.
func Unmount(dir string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(dir, flags)
	if err != unix.EPERM || os.Geteuid() == 0 {
		return err
	}
	args := []string{"-u", "--", dir}
	if lazy {
		args = []string{"-u", "-z", "--", dir}
	}
	err = fusermount(nil, args...)
	if err != nil && strings.Contains(err.Error(), "busy") {
		return unix.EBUSY
	}
	return err
}

// Remount gives the mount on dir other flags. FUSE takes no data in a remount.
func Remount(dir string, flags uintptr) error {
	if err := unix.Mount("none", dir, "", flags|unix.MS_REMOUNT, ""); err != nil {
		hint := "; see the kernel log"
		if err == unix.EBUSY {
			hint = "; files are open for writing, close them first (fuser -vm)"
		}
		return fmt.Errorf("remount %q: %w%s", dir, err, hint)
	}
	return nil
}
