package attacks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestPlantedFilesGiveNothing: set-id programs, devices and hard links to what
// is others', which somebody has put into the tiers.
func TestPlantedFilesGiveNothing(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.New(t, 1)
	id, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	for rank, tier := range m.Tiers {
		dir := fmt.Sprintf("%s/%d", tier, rank)
		harness.Mkdir(t, dir)
		harness.Chown(t, dir, mallory, mallory)
		harness.Must(t, "cp", id, dir+"/setuid")
		harness.Chown(t, dir+"/setuid", 0, 0)
		harness.Chmod(t, dir+"/setuid", 0o6755)
		harness.Write(t, dir+"/victims", secret)
		harness.Chown(t, dir+"/victims", victim, victim)
		harness.Chmod(t, dir+"/victims", 0o600)
		for name, mode := range map[string]uint32{"null": unix.S_IFCHR, "loop": unix.S_IFBLK} {
			if err := unix.Mknod(dir+"/"+name, mode|0o666, int(unix.Mkdev(map[string]uint32{"null": 1, "loop": 7}[name], 3))); err != nil {
				t.Fatal(err)
			}
			harness.Chmod(t, dir+"/"+name, 0o666)
		}
	}
	m.Up()
	for rank := range m.Tiers {
		as(t, usePlanted, mallory, m.Path(fmt.Sprint(rank)))
		harness.WantRead(t, fmt.Sprintf("%s/%d/victims", m.Tiers[rank], rank), secret)
		if st := harness.Stat(t, fmt.Sprintf("%s/%d/setuid", m.Tiers[rank], rank)); st.Nlink != 1 || st.Mode&0o7777 != 0o6755 {
			t.Errorf("the set-id program has mode %o and %d links", st.Mode&0o7777, st.Nlink)
		}
	}
}

var usePlanted = harness.Func("usePlanted", func(args []string) error {
	var bad error
	dir := args[0]
	out, err := exec.Command(dir+"/setuid", "-u").Output()
	if strings.TrimSpace(string(out)) != fmt.Sprint(os.Getuid()) {
		bad = errors.Join(bad, fmt.Errorf("a set-id program runs as %q, %v", out, err))
	}
	for _, name := range []string{"null", "loop"} {
		if _, err := os.ReadFile(dir + "/" + name); errno(err) != unix.EACCES {
			bad = errors.Join(bad, fmt.Errorf("a device opens: %v", err))
		}
	}
	// protected_hardlinks (proc_sys_fs(5)): only to what one may read and write.
	sysctl, _ := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	for _, name := range []string{"setuid", "victims", "null"} {
		if strings.TrimSpace(string(sysctl)) != "1" {
			break
		}
		if err := unix.Link(dir+"/"+name, dir+"/mine"); err != unix.EPERM {
			bad = errors.Join(bad, fmt.Errorf("a link to %s: %v, want EPERM", name, err))
		}
	}
	if err := unix.Mknod(dir+"/device", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))); err != unix.EPERM {
		bad = errors.Join(bad, fmt.Errorf("mknod of a device: %v", err))
	}
	return bad
})

// TestMountWithoutAllowOtherIsItsUsersAlone: not even root's set-id programs
// that another user runs get in, nor does root (fuse_allow_current_process).
func TestMountWithoutAllowOtherIsItsUsersAlone(t *testing.T) {
	runtime := harness.TempDir(t)
	harness.Chown(t, runtime, mallory, mallory)
	m, stderr, code := usersMount(t, runtime)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	as(t, useful, mallory, m.Dir)
	setuid := harness.TempDir(t) + "/cat"
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "cp", cat, setuid)
	harness.Chmod(t, setuid, 0o4755)
	harness.Write(t, m.Fallbacks[0]+"/f", secret)
	for name, run := range map[string]func() (string, string, int){
		"another user":    func() (string, string, int) { return harness.AsUser(t, victim, victim, nil, cat, m.Path("f")) },
		"a set-id helper": func() (string, string, int) { return harness.AsUser(t, victim, victim, nil, setuid, m.Path("f")) },
		"root":            func() (string, string, int) { return harness.Run(t, cat, m.Path("f")) },
	} {
		if stdout, stderr, code := run(); code == 0 || stdout != "" || !strings.Contains(stderr, "Permission denied") {
			t.Errorf("%s: %q %q", name, stdout, stderr)
		}
	}
	harness.Must(t, "umount", m.Dir)
	m.Gone(0)
}

// TestDaemonShowsNothingOfItself: others must not get at the tiers by way of the
// daemon's descriptors, its memory or its working directory.
func TestDaemonShowsNothingOfItself(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/f", secret)
	m.Up()
	held, err := os.Open(m.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	serves(t, m) // it takes other identities for that
	as(t, pry, mallory, fmt.Sprint(m.Pid()))
	// What the daemon executes, such as fusermount3, gets none of them either.
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", m.Pid()))
	if err != nil || len(infos) == 0 {
		t.Fatal(err)
	}
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err != nil || slices.Contains([]string{"0", "1", "2"}, filepath.Base(info)) {
			continue
		}
		var flags int
		_, after, _ := strings.Cut(string(text), "flags:\t")
		fmt.Sscanf(after, "%o", &flags)
		if flags&unix.O_CLOEXEC == 0 {
			target, _ := os.Readlink(strings.Replace(info, "fdinfo", "fd", 1))
			t.Errorf("descriptor %s (%s) is not close-on-exec", filepath.Base(info), target)
		}
	}
}

// pry fails if anything of a process can be had.
var pry = harness.Func("pry", func(args []string) error {
	var bad error
	proc := "/proc/" + args[0]
	for _, name := range []string{"fd", "fdinfo", "map_files", "task/" + args[0] + "/fd"} {
		if rows, err := os.ReadDir(proc + "/" + name); err == nil {
			bad = errors.Join(bad, fmt.Errorf("%s lists %d rows", name, len(rows)))
		}
	}
	for _, name := range []string{"mem", "environ", "maps", "root/etc/passwd", "cwd/etc/passwd", "auxv", "fd/3", "fd/4", "fd/5"} {
		if f, err := os.Open(proc + "/" + name); err == nil {
			if n, _ := f.Read(make([]byte, 10)); n > 0 {
				bad = errors.Join(bad, fmt.Errorf("%s can be read", name))
			}
			f.Close()
		}
	}
	var pid int
	fmt.Sscan(args[0], &pid)
	if err := unix.PtraceSeize(pid); err == nil {
		bad = errors.Join(bad, errors.New("it can be traced"))
	}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if _, err := unix.PidfdGetfd(fd, 3, 0); err == nil {
			bad = errors.Join(bad, errors.New("its descriptors can be taken"))
		}
	}
	return bad
})
