// Package trips holds the daemon to the requests and system calls that a user's
// call may cost at most, as tabled in docs/design.md. Time is not looked at: it
// is other on each machine, and these are what it is made of.
package trips

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// attempts is how often each call is made, always on names that the mount has not
// seen. The fewest trips count: a watchdog may look, or a probe come in between.
const attempts = 4

// cost is how often something was done, by its name.
type cost map[string]int

// String is the cost as the table has it.
func (c cost) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] == 1 {
			all = append(all, name)
		} else {
			all = append(all, fmt.Sprint(c[name], " ", name))
		}
	}
	return strings.Join(all, ", ")
}

func (c cost) sum() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// within reports whether there is no more of anything than in most.
func (c cost) within(most cost) bool {
	for name, n := range c {
		if n > most[name] {
			return false
		}
	}
	return true
}

// calls are the user's calls, by their name in the table. dirfd is the mount's
// directory d, and i the attempt.
var calls = []struct {
	name string
	call func(dirfd, i int) error
}{
	{"stat in the primary", func(dirfd, i int) error { return stat(dirfd, fmt.Sprint("stat", i)) }},
	{"stat in the fallback", func(dirfd, i int) error { return stat(dirfd, fmt.Sprint("low", i)) }},
	{"stat of what is absent", func(dirfd, i int) error {
		if err := stat(dirfd, fmt.Sprint("absent", i)); err != unix.ENOENT {
			return fmt.Errorf("it is there (%v)", err)
		}
		return nil
	}},
	{"open, read, close", func(dirfd, i int) error { return read(dirfd, fmt.Sprint("read", i)) }},
	{"the same of an open file", func(dirfd, i int) error { return read(dirfd, "open") }},
	{"create, write, close", create},
	{"mkdir", func(dirfd, i int) error { return unix.Mkdirat(dirfd, fmt.Sprint("new.d", i), 0o755) }},
	{"rename", func(dirfd, i int) error {
		return unix.Renameat(dirfd, fmt.Sprint("from", i), dirfd, fmt.Sprint("to", i))
	}},
	{"unlink", func(dirfd, i int) error { return unix.Unlinkat(dirfd, fmt.Sprint("gone", i), 0) }},
	{"names of a directory of ten", func(dirfd, i int) error { return list(dirfd, fmt.Sprint("ten", i)) }},
	{"and again", func(dirfd, i int) error { return list(dirfd, fmt.Sprint("ten", i)) }},
	{"names of it and four directories in it", func(dirfd, i int) error {
		err := list(dirfd, fmt.Sprint("tree", i))
		for k := range 4 {
			err = errors.Join(err, list(dirfd, fmt.Sprintf("tree%d/%d", i, k)))
		}
		return err
	}},
}

func stat(dirfd int, name string) error {
	var st unix.Stat_t
	return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
}

func read(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Read(fd, make([]byte, 16))
	return err
}

func create(dirfd, i int) error {
	fd, err := unix.Openat(dirfd, fmt.Sprint("new", i), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("text"))
	return err
}

func list(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for buf := make([]byte, 32<<10); ; {
		if n, err := unix.Getdents(fd, buf); n <= 0 {
			return err
		}
	}
}

func TestNoCallCostsMoreTripsThanTabled(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "passthrough", "strace")
	table := readTable(t)
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	for i := range attempts {
		for _, name := range []string{"stat", "read", "from", "gone"} {
			m.Put(0, fmt.Sprint("d/", name, i), "text")
		}
		m.Put(1, fmt.Sprint("d/low", i), "text")
		for k := range 10 {
			m.Put(0, fmt.Sprintf("d/ten%d/%d", i, k), "text")
		}
		for k := range 4 {
			m.Put(0, fmt.Sprintf("d/tree%d/%d/file", i, k), "text")
		}
	}
	m.Put(0, "d/open", "text")
	m.Up()
	dirfd, err := unix.Open(m.Path("d"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dirfd)
	open, err := os.Open(m.Path("d/open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	w := watch(t, m)
	for _, c := range calls {
		want, ok := table[c.name]
		if !ok {
			t.Errorf("%s: no line in docs/design.md", c.name)
			continue
		}
		delete(table, c.name)
		requests, system := w.fewest(t, c.name, func(i int) error { return c.call(dirfd, i) })
		line := fmt.Sprintf("| %s | %s | %s |", c.name, requests, system)
		switch {
		case !requests.within(want.requests) || !system.within(want.system):
			t.Errorf("more than tabled:\n%s\nwant at most\n| %s | %s | %s |", line, c.name, want.requests, want.system)
		case requests.sum() < want.requests.sum() || system.sum() < want.system.sum():
			t.Logf("less than tabled:\n%s", line)
		}
	}
	for name := range table {
		t.Errorf("%s: tabled in docs/design.md, and not tried", name)
	}
}

// TestPathsInAFreshMountSeldomAskForTheRoot: what is answered of the root in the
// first second expires soon, but not at once.
func TestPathsInAFreshMountSeldomAskForTheRoot(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	m.Up()
	const paths = 100
	for i := range paths {
		if _, err := os.Lstat(m.Path(fmt.Sprint("absent", i))); !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if n := m.Status().Ops["GETATTR"]; n > paths/2 {
		t.Errorf("%d GETATTR for %d paths", n, paths)
	}
}

// watcher traces the system calls of a daemon.
type watcher struct {
	m   *harness.Mount
	log string
}

// traced are the calls by which a tier is reached, and those that make and undo
// what they need. What a worker waits with and answers by is no part of it: there
// is one read(2) and one write(2) a request.
const traced = "newfstatat,fstat,statx,openat,close,getdents64,lseek,ioctl,fcntl,fstatfs,mkdirat,mknodat,unlinkat," +
	"renameat,renameat2,linkat,symlinkat,readlinkat,getxattr,fgetxattr,setxattr,removexattr,flistxattr,fchmod,fchownat," +
	"utimensat,truncate,ftruncate,fsync,syncfs,fanotify_mark,open_by_handle_at,setfsuid,setfsgid"

// watch lets strace follow the daemon until the end of the test.
func watch(t *testing.T, m *harness.Mount) *watcher {
	w := &watcher{m, filepath.Join(t.TempDir(), "strace")}
	cmd := exec.Command("strace", "-f", "-qq", "-e", "signal=none", "-e", "trace="+traced, "-o", w.log, "-p", strconv.Itoa(m.Pid()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGINT) // it lets go of the daemon then
		_ = cmd.Wait()
	})
	harness.Eventually(t, "strace follows every thread of the daemon", func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", m.Pid()))
		return err == nil && !slices.ContainsFunc(tasks, func(file string) bool {
			text, _ := os.ReadFile(file)
			return strings.Contains(string(text), "\nTracerPid:\t0\n")
		})
	})
	return w
}

// settle is how long what goes on after an answer is waited for: a RELEASE, and
// the workers that are told of it.
const settle = 30 * time.Millisecond

// fewest is what a call costs, in requests and system calls of the daemon.
func (w *watcher) fewest(t *testing.T, name string, call func(i int) error) (requests, system cost) {
	t.Helper()
	for i := range attempts {
		before := w.m.Status().Ops
		time.Sleep(settle)
		from := w.size(t)
		if err := call(i); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		time.Sleep(settle)
		did := w.since(t, from)
		asked := cost{}
		for op, n := range w.m.Status().Ops {
			switch op {
			case "FORGET", "BATCH_FORGET": // come when the kernel likes
			case "INTERRUPT": // tells of a signal to the caller
			default:
				if n > before[op] {
					asked[op] = int(n - before[op])
				}
			}
		}
		if requests == nil || asked.sum() < requests.sum() {
			requests = asked
		}
		if system == nil || did.sum() < system.sum() {
			system = did
		}
	}
	return requests, system
}

func (w *watcher) size(t *testing.T) int64 {
	t.Helper()
	st, err := os.Stat(w.log)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// begun is a line in which a call begins; one that another thread's line cuts in
// two has a second line without it.
var begun = regexp.MustCompile(`^\d+ +(\w+)\(`)

// since counts the calls that strace has told of from that place of its log on.
func (w *watcher) since(t *testing.T, from int64) cost {
	t.Helper()
	text, err := os.ReadFile(w.log)
	if err != nil {
		t.Fatal(err)
	}
	c := cost{}
	for line := range strings.Lines(string(text[from:])) {
		// F_GETFL is Go's own look at a descriptor that it was given; tierfs asks for none.
		if m := begun.FindStringSubmatch(line); m != nil && !strings.Contains(line, "F_GETFL") {
			c[m[1]]++
		}
	}
	return c
}

// bound is one line of the table.
type bound struct{ requests, system cost }

// readTable is the table of docs/design.md.
func readTable(t *testing.T) map[string]bound {
	t.Helper()
	f, err := os.Open("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]bound{}
	within := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "| a user's "):
			within = true
		case !strings.HasPrefix(line, "|"):
			within = false
		case within && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
			if len(cells) != 3 {
				t.Fatalf("docs/design.md: %q has %d cells, want 3", line, len(cells))
			}
			all[cells[0]] = bound{parse(t, cells[1]), parse(t, cells[2])}
		}
	}
	return all
}

// parse reads "fstat, 2 ioctl".
func parse(t *testing.T, cell string) cost {
	t.Helper()
	c := cost{}
	for item := range strings.SplitSeq(cell, ", ") {
		number, name, several := strings.Cut(item, " ")
		switch n, err := strconv.Atoi(number); {
		case item == "-":
		case !several:
			c[item] = 1
		case err != nil:
			t.Fatalf("docs/design.md: %q: want a number and a name", item)
		default:
			c[name] = n
		}
	}
	return c
}
