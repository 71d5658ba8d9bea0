package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is one tierfs mount of a test. The fields may be changed before Up.
type Mount struct {
	T         *testing.T
	Dir       string // the mount point
	Primary   string
	Fallbacks []string
	Tiers     []string // primary first

	opts    []string
	pid     int   // 0 while not mounted
	pids    []int // of all daemons so far
	fds     []string
	cleaned bool
}

// New makes empty directories for a mount: "p", "f1" … and "m" in a fresh
// directory with a short path, open to every user. Nothing is mounted yet, so
// that tiers can be filled first.
func New(t *testing.T, nFallbacks int, opts ...string) *Mount {
	t.Helper()
	Require(t, "root", "fuse")
	dir := TempDir(t)
	m := &Mount{T: t, Dir: dir + "/m", Primary: dir + "/p", opts: opts}
	for i := range nFallbacks {
		m.Fallbacks = append(m.Fallbacks, fmt.Sprintf("%s/f%d", dir, i+1))
	}
	m.Tiers = append([]string{m.Primary}, m.Fallbacks...)
	for _, d := range append([]string{m.Dir}, m.Tiers...) {
		Mkdir(t, d)
	}
	return m
}

// NewOn is New with tiers of the caller's choice, such as those of On.
func NewOn(t *testing.T, tiers []string, opts ...string) *Mount {
	t.Helper()
	Require(t, "root", "fuse")
	m := &Mount{T: t, Dir: TempDir(t) + "/m", Primary: tiers[0], Fallbacks: tiers[1:], Tiers: tiers, opts: opts}
	Mkdir(t, m.Dir)
	return m
}

// TempDir is like t.TempDir with a short name and mode 0755.
func TempDir(t testing.TB) string {
	t.Helper()
	dir := fmt.Sprintf("%s/%d", base, tempDirs.Add(1))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean-up: %v", err)
		}
	})
	return dir
}

var tempDirs atomic.Int64

// Options is the -o string of the mount with extra words at its end.
func (m *Mount) Options(extra ...string) string {
	var words []string
	if len(m.Fallbacks) > 0 {
		words = append(words, FallbackOption(m.Fallbacks...))
	}
	words = append(words, m.opts...)
	words = append(words, extra...)
	return strings.Join(words, ",")
}

// FallbackOption is "fallback=" with what is special in the paths protected.
func FallbackOption(paths ...string) string {
	var quoted []string
	for _, p := range paths {
		quoted = append(quoted, listEscapes.Replace(p))
	}
	value := strings.Join(quoted, ":")
	if strings.Contains(value, ",") {
		value = `"` + value + `"`
	}
	return "fallback=" + value
}

var listEscapes = strings.NewReplacer(`\`, `\\`, `:`, `\:`, `"`, `\"`)

// Args is the mount(8) command line of the mount.
func (m *Mount) Args(extra ...string) []string {
	args := []string{"mount", "-t", "fuse.tierfs", m.Primary, m.Dir}
	if opts := m.Options(extra...); opts != "" {
		args = append(args, "-o", opts)
	}
	return args
}

// Up mounts with mount(8) and fails the test if that does not work. Unless the
// test calls Down itself, its clean-up does.
func (m *Mount) Up(extra ...string) {
	m.T.Helper()
	stdout, stderr, code := m.TryUp(extra...)
	if code != 0 {
		m.T.Fatalf("%q: exit code %d\n%s%s", m.Args(extra...), code, stdout, stderr)
	}
}

// TryUp mounts with mount(8) and returns what came of it.
func (m *Mount) TryUp(extra ...string) (stdout, stderr string, code int) {
	m.T.Helper()
	args := m.Args(extra...)
	return m.UpBy(exec.Command(args[0], args[1:]...))
}

// UpBy mounts with a command of the test's own, such as one with fstab, and
// takes the mount into the harness's care if it worked.
func (m *Mount) UpBy(cmd *exec.Cmd) (stdout, stderr string, code int) {
	m.T.Helper()
	before := len(MountsAt(m.Dir))
	m.cleanLater()
	if cmd.Env == nil {
		cmd.Env = append(os.Environ(), envDir+m.Dir)
	}
	stdout, stderr, code = RunCmd(m.T, cmd)
	at := MountsAt(m.Dir)
	mounted := len(at) > before && at[len(at)-1].FSType == "fuse.tierfs"
	if code != 0 && mounted {
		m.T.Errorf("%q: exit code %d, yet mounted\n%s", cmd.Args, code, stderr)
	}
	if code == 0 && mounted {
		m.Adopt()
	}
	return stdout, stderr, code
}

// Mounted reports whether a mount of the test's own is up.
func (m *Mount) Mounted() bool { return m.pid != 0 }

// None fails the test unless nothing at all of a mount is there: no line in
// mountinfo, no process. A half mount is worse than none.
func (m *Mount) None() {
	m.T.Helper()
	if at := MountsAt(m.Dir); len(at) != 0 {
		m.T.Fatalf("mounted at %s: %+v", m.Dir, at)
	}
	if !Within(5*time.Second, func() bool { return len(processesOf(m.Dir)) == 0 }) {
		m.T.Fatalf("nothing is mounted, yet a process is left: %+v", processesOf(m.Dir))
	}
}

// Adopt takes note of a running daemon and of its descriptors.
func (m *Mount) Adopt() {
	m.T.Helper()
	m.cleanLater()
	m.pid = daemonOf(m.Dir)
	if m.pid == 0 {
		m.T.Fatalf("mounted at %s, but no process holds /dev/fuse for it", m.Dir)
	}
	if !slices.Contains(m.pids, m.pid) {
		m.pids = append(m.pids, m.pid)
	}
	m.fds = m.FDs()
}

// Down unmounts with umount(8) and checks that everything is gone: the line in
// mountinfo, the daemon with exit code 0, its children. Before that it checks
// that the daemon holds no more descriptors than it did after mounting.
func (m *Mount) Down() {
	m.T.Helper()
	m.CheckFDs()
	if _, stderr, code := Run(m.T, "umount", m.Dir); code != 0 {
		m.T.Fatalf("umount %s: exit code %d: %s%s", m.Dir, code, stderr, m.holders())
	}
	m.Gone(0)
}

// Gone waits for the end of the daemon, whoever asked for it, and checks that
// nothing of the mount is left and that the exit code is the wanted one; a
// daemon that died of signal n has 128+n. Where several ways to end
// race, it may be one of the others.
func (m *Mount) Gone(want int, others ...int) {
	m.T.Helper()
	pid := m.pid
	m.pid = 0
	code, ended := reap(pid, 10*time.Second)
	if !ended {
		stacks := stacksOf(pid)
		unix.Kill(pid, unix.SIGKILL)
		reap(pid, 10*time.Second)
		m.T.Fatalf("daemon %d still runs ten seconds after its mount ended\n%s", pid, stacks)
	}
	if code != want && !slices.Contains(others, code) {
		m.T.Errorf("daemon %d: exit code %d, want %d\n%s", pid, code, want, m.Log())
	}
	if want == 0 {
		m.noLineLeft()
	}
	Eventually(m.T, "the end of the guard", func() bool { return len(m.Guards()) == 0 })
	for _, p := range processesOf(m.Dir) {
		m.T.Errorf("left behind by daemon %d: process %d %q", pid, p.pid, p.args)
	}
}

func (m *Mount) noLineLeft() {
	m.T.Helper()
	for _, line := range MountsAt(m.Dir) {
		if line.FSType == "fuse.tierfs" {
			m.T.Errorf("still in mountinfo: %+v", line)
		}
	}
}

// cleanLater registers the clean-up once: Down, or, after a failure, whatever
// it takes to be rid of the mount.
func (m *Mount) cleanLater() {
	if m.cleaned {
		return
	}
	m.cleaned = true
	m.T.Cleanup(func() {
		if m.pid != 0 && !m.T.Failed() {
			m.Down()
			return
		}
		if m.T.Failed() {
			m.T.Logf("log of the daemon:\n%s", lastLines(m.Log(), 30))
		}
		m.force()
	})
}

func (m *Mount) force() {
	for range len(MountsAt(m.Dir)) {
		if at := MountsAt(m.Dir); len(at) > 0 && at[len(at)-1].FSType == "fuse.tierfs" {
			unix.Unmount(m.Dir, unix.MNT_DETACH)
		}
	}
	for _, p := range processesOf(m.Dir) {
		unix.Kill(p.pid, unix.SIGKILL)
		reap(p.pid, 5*time.Second)
	}
	m.pid = 0
}

// Tier is a path in one tier.
func (m *Mount) Tier(rank int, rel string) string { return filepath.Join(m.Tiers[rank], rel) }

// Put writes a file into one tier, with its parents.
func (m *Mount) Put(rank int, rel, text string) {
	m.T.Helper()
	Mkdir(m.T, filepath.Dir(m.Tier(rank, rel)))
	Write(m.T, m.Tier(rank, rel), text)
}

// Path is a path in the mount.
func (m *Mount) Path(rel string) string { return filepath.Join(m.Dir, rel) }
