package parity

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// scenario is one sequence of system calls. It works in its own empty
// directory, by relative names, and writes down what every call answered.
type scenario struct {
	name string
	do   func(*run)
}

// run is the transcript of one scenario. Only what must be the same on every
// filesystem of the same kind goes into it: results, errno names, attributes
// without inode numbers and clock times.
type run struct {
	lines []string
	fds   []int
}

// setupFailed ends a scenario whose preparation did not work; the transcript
// then shows why.
type setupFailed struct{ what string }

// say adds one line. Errors are written as errno names.
func (r *run) say(format string, args ...any) {
	for i, a := range args {
		if err, ok := a.(error); ok || a == nil {
			args[i] = errName(err)
		}
	}
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// err writes down the outcome of a call that has no other result.
func (r *run) err(what string, err error) { r.say("%s: %s", what, errName(err)) }

// must ends the scenario if a preparing call failed.
func (r *run) must(what string, err error) {
	if err != nil {
		panic(setupFailed{what + ": " + errName(err)})
	}
}

func errName(err error) string {
	if err == nil {
		return "ok"
	}
	var no unix.Errno
	if errors.As(err, &no) {
		if s := unix.ErrnoName(no); s != "" {
			return s
		}
	}
	return err.Error()
}

// open is a preparing open; the descriptor is closed when the scenario ends.
func (r *run) open(name string, flags int, mode uint32) int {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, mode)
	r.must("open "+name, err)
	r.fds = append(r.fds, fd)
	return fd
}

// tryOpen writes down what open(2) answers.
func (r *run) tryOpen(what, name string, flags int, mode uint32) {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, mode)
	r.err(what, err)
	if err == nil {
		unix.Close(fd)
	}
}

// file makes a file with the given content, mode 0644.
func (r *run) file(name, content string) {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	r.must("create "+name, err)
	defer unix.Close(fd)
	r.write(fd, content)
}

// write writes all of content.
func (r *run) write(fd int, content string) {
	for b := []byte(content); len(b) > 0; {
		n, err := unix.Write(fd, b)
		r.must("write", err)
		b = b[n:]
	}
}

// dir makes directories of mode 0755.
func (r *run) dir(names ...string) {
	for _, name := range names {
		r.must("mkdir "+name, unix.Mkdir(name, 0o755))
	}
}

// read writes down a file's content, or the error of reading it.
func (r *run) read(name string) {
	b, err := os.ReadFile(name)
	r.say("content of %s: %s %s", shortName(name), brief(b), errName(err))
}

// pread writes down what is read at one place.
func (r *run) pread(fd int, n int, off int64) {
	b := make([]byte, n)
	got, err := unix.Pread(fd, b, off)
	r.say("pread %d at %d: %d %s %s", n, off, got, brief(b[:max(got, 0)]), errName(err))
}

// stat writes down what lstat(2) says of name.
func (r *run) stat(name string) {
	var st unix.Stat_t
	err := unix.Lstat(name, &st)
	r.say("stat %s: %s", shortName(name), attrs(&st, err))
}

// fstat writes down what fstat(2) says of an open file.
func (r *run) fstat(fd int) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	r.say("fstat: %s", attrs(&st, err))
}

// lstat is a preparing lstat.
func (r *run) lstat(name string) unix.Stat_t {
	var st unix.Stat_t
	r.must("lstat "+name, unix.Lstat(name, &st))
	return st
}

// attrs are the attributes that do not depend on when and where. A
// directory's size is its filesystem's own affair.
func attrs(st *unix.Stat_t, err error) string {
	if err != nil {
		return errName(err)
	}
	size := fmt.Sprint(st.Size)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = "-"
	}
	return fmt.Sprintf("mode %o nlink %d owner %d:%d size %s rdev %x blksize %d", st.Mode, st.Nlink, st.Uid, st.Gid, size, st.Rdev, st.Blksize)
}

// brief is short content as it is, and long content as its length and sum.
func brief(b []byte) string {
	if len(b) <= 40 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b))
}

// shortName keeps transcripts of PATH_MAX scenarios readable.
func shortName(name string) string {
	if len(name) <= 40 {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q…(%d)", name[:20], len(name))
}

// list writes down a directory's names and types, sorted.
func (r *run) list(name string) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		r.err("list "+name, err)
		return
	}
	defer unix.Close(fd)
	r.flist("list "+shortName(name), fd)
}

// flist writes down what is left to list of an open directory.
func (r *run) flist(what string, fd int) {
	rows, err := harness.RestOfRows(fd, 8192)
	r.say("%s: %s %s", what, strings.Join(rowNames(rows), " "), errName(err))
}

// times is the part of a stat that later comparisons need.
type times struct{ atime, mtime, ctime unix.Timespec }

// clock remembers a file's times and lets enough time pass that the next
// change must show: ext4 stamps with the clock of the last tick.
func (r *run) clock(name string) times {
	st := r.lstat(name)
	time.Sleep(12 * time.Millisecond)
	return times{st.Atim, st.Mtim, st.Ctim}
}

// moved writes down which of a file's times went forward since was.
func (r *run) moved(what, name string, was times) {
	st := r.lstat(name)
	r.say("%s: atime %s mtime %s ctime %s", what, order(was.atime, st.Atim), order(was.mtime, st.Mtim), order(was.ctime, st.Ctim))
}

func order(was, is unix.Timespec) string {
	a, b := was.Nano(), is.Nano()
	switch {
	case a < b:
		return "later"
	case a > b:
		return "earlier"
	}
	return "same"
}

// sameInode writes down whether two names or moments show the same number.
func (r *run) sameInode(what string, a, b unix.Stat_t) {
	r.say("%s: same inode %v", what, a.Ino == b.Ino && a.Dev == b.Dev)
}

// umask sets the umask for the rest of the scenario.
func (r *run) umask(mask int) { unix.Umask(mask) }

// as runs fn with the credentials of an ordinary user. Credentials belong to
// a thread on Linux; the saved user ID stays 0, so that the thread can go
// back, and access(2) sees the real one.
func (r *run) as(uid, gid int, groups []int, fn func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r.must("setgroups", setgroups(groups))
	r.must("setresgid", rawCall(unix.SYS_SETRESGID, gid, gid, 0))
	r.must("setresuid", rawCall(unix.SYS_SETRESUID, uid, uid, 0))
	defer func() {
		errU := rawCall(unix.SYS_SETRESUID, 0, 0, 0)
		errG := rawCall(unix.SYS_SETRESGID, 0, 0, 0)
		if err := errors.Join(errU, errG, setgroups(nil)); err != nil {
			panic(fmt.Sprintf("a thread does not get its credentials back: %v", err))
		}
	}()
	fn()
}

// other runs another process of this test binary: see peer_test.go.
func (r *run) other(what string, args ...string) {
	out, err := peer.Cmd(args...).CombinedOutput()
	r.say("%s: %s %s", what, strings.TrimSpace(string(out)), exitName(err))
}

func exitName(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ProcessState.String()
	}
	return errName(err)
}

// xattr writes down one attribute's value.
func (r *run) xattr(name, attr string) {
	b := make([]byte, 65536)
	n, err := unix.Lgetxattr(name, attr, b)
	r.say("xattr %s %s: %s %s", shortName(name), shortName(attr), brief(b[:max(n, 0)]), errName(err))
}

// xattrs writes down the names of all attributes.
func (r *run) xattrs(name string) {
	names, err := listxattr(name)
	r.say("xattrs %s: %q %s", shortName(name), names, errName(err))
}

func listxattr(name string) ([]string, error) {
	b := make([]byte, 65536)
	n, err := unix.Llistxattr(name, b)
	if n <= 0 {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00")
	sort.Strings(names)
	return names, nil
}
