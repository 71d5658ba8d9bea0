package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

const secret = "what nobody may see"

// swap exchanges each of the given names with the same name plus ".l", as fast
// as it can, until it is killed.
var swap = harness.Func("swap", func(names []string) error {
	for {
		for _, name := range names {
			err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, name+".l", unix.RENAME_EXCHANGE)
			if err != nil && err != unix.ENOENT { // a client has removed or renamed it
				return fmt.Errorf("%s: %w", name, err)
			}
			heal(name)
		}
	}
})

// heal puts back what clients have removed, without ever following a link.
func heal(name string) {
	var st unix.Stat_t
	for _, at := range []string{name, name + ".l"} {
		if unix.Lstat(at, &st) == nil {
			continue
		}
		switch {
		case strings.HasSuffix(name, "/file"):
			if fd, err := unix.Open(at, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o666); err == nil {
				unix.Fchmod(fd, 0o666)
				unix.Close(fd)
			}
		default:
			unix.Mkdir(at, 0o777)
		}
	}
}

// sane are the errors that a client may see while names change under it.
var sane = []unix.Errno{0, unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.EEXIST, unix.ENOTEMPTY, unix.ELOOP,
	unix.ESTALE, unix.EBUSY, unix.EOPNOTSUPP, unix.EPERM, unix.EINVAL, unix.ENODATA}

// everyOp does every operation in the directories dir+"/x" and dir, again and
// again for a while. It is root, whom no mode holds back, and follows no link
// itself: what leads out of the tier is the daemon's doing.
var everyOp = harness.Func("everyOp", func(args []string) error {
	done := map[string]int{}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		for _, dir := range args {
			if err := everyOpIn(dir, done); err != nil {
				return err
			}
		}
	}
	// What only ever failed was not tried.
	for what, n := range done {
		if n == 0 {
			return fmt.Errorf("%s has never worked: the test looks at the wrong thing", what)
		}
	}
	return nil
})

func everyOpIn(dir string, done map[string]int) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	d, err := unix.Openat2(unix.AT_FDCWD, dir, &how)
	if err != nil {
		return onlySane("open "+dir, err)
	}
	defer unix.Close(d)
	var failed error
	try := func(what string, err error) {
		if _, known := done[what]; !known || err == nil {
			done[what] += map[bool]int{err == nil: 1}[true]
		}
		failed = errors.Join(failed, onlySane(what+" in "+dir, err))
	}
	fd, err := unix.Openat(d, "file", unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	try("open", err)
	if err == nil {
		buf := make([]byte, 4096)
		n, err := unix.Pread(fd, buf, 0)
		try("read", err)
		if bytes.Contains(buf[:max(n, 0)], []byte(secret)) {
			return errors.New("read what is outside of the tier")
		}
		_, err = unix.Pwrite(fd, []byte("mine"), 0)
		try("write", err)
		try("fsync", unix.Fsync(fd))
		try("truncate", unix.Ftruncate(fd, 4))
		unix.Close(fd)
	}
	fd, err = unix.Openat(d, "new", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
	try("create", err)
	if err == nil {
		unix.Close(fd)
	}
	fd, err = unix.Openat(d, "file", unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	try("open with O_TRUNC", err)
	if err == nil {
		unix.Close(fd)
	}
	try("rename", unix.Renameat(d, "new", d, "newer"))
	try("rename over", unix.Renameat(d, "newer", d, "file"))
	try("mkdir", unix.Mkdirat(d, "sub", 0o777))
	try("mkdir below", unix.Mkdirat(d, "sub/deep", 0o777))
	try("symlink", unix.Symlinkat("somewhere", d, "link"))
	_, err = unix.Readlinkat(d, "link", make([]byte, 100))
	try("readlink", err)
	try("link", unix.Linkat(d, "file", d, "hard", 0))
	try("mknod", unix.Mknodat(d, "fifo", unix.S_IFIFO|0o666, 0))
	try("exchange", unix.Renameat2(d, "sub", d, "hard", unix.RENAME_EXCHANGE))
	try("exchange back", unix.Renameat2(d, "sub", d, "hard", unix.RENAME_EXCHANGE))
	try("rename a directory", unix.Renameat(d, "sub", d, "sub2"))
	for _, name := range []string{"file", "x"} {
		if fd, err := unix.Openat(d, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
			self := fmt.Sprintf("/proc/self/fd/%d", fd)
			try("chmod", unix.Chmod(self, 0o777))
			try("chown", unix.Fchownat(fd, "", mallory, mallory, unix.AT_EMPTY_PATH))
			try("utimens", unix.UtimesNanoAt(fd, "", []unix.Timespec{{Sec: 1}, {Sec: 2}}, unix.AT_EMPTY_PATH))
			try("setxattr", unix.Setxattr(self, "user.mine", []byte("x"), 0))
			_, err := unix.Getxattr(self, "user.mine", make([]byte, 10))
			try("getxattr", err)
			try("removexattr", unix.Removexattr(self, "user.mine"))
			unix.Close(fd)
		}
	}
	if fd, err := unix.Openat(d, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		f := os.NewFile(uintptr(fd), dir)
		names, err := f.Readdirnames(-1)
		f.Close()
		try("readdir", err)
		if strings.Contains(strings.Join(names, "\n"), "secret") {
			return errors.New("listed what is outside of the tier")
		}
	}
	for _, name := range []string{"sub2/deep", "sub2", "sub/deep", "sub"} {
		try("rmdir", unix.Unlinkat(d, name, unix.AT_REMOVEDIR))
	}
	for _, name := range []string{"hard", "link", "fifo", "file"} {
		try("unlink", unix.Unlinkat(d, name, 0))
	}
	return failed
}

func onlySane(what string, err error) error {
	for _, e := range sane {
		if errno(err) == e && (err == nil) == (e == 0) {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// TestSymlinksSwappedInLeadNowhere: somebody who can write in the tiers swaps
// files and directories for symbolic links to what is root's, during every
// operation of root's own clients. Nothing outside of the tiers is read,
// created, changed or removed.
func TestSymlinksSwappedInLeadNowhere(t *testing.T) {
	for _, opts := range []string{"attr_timeout=0,entry_timeout=0,create=primary", "passthrough=off"} {
		t.Run(opts, func(t *testing.T) {
			t.Parallel()
			harness.Require(t, "root", "fuse")
			disk := harness.On(t, "ext4", "64M")
			canary := makeCanary(t, disk+"/outside")
			tiers := []string{disk + "/p", disk + "/f"}
			var swapped, dirs []string
			for rank, tier := range tiers {
				for _, dir := range []string{"d", "d/x", "d/x/x", fmt.Sprintf("only%d", rank), fmt.Sprintf("only%d/x", rank)} {
					makeTrap(t, filepath.Join(tier, dir), disk+"/outside")
					swapped = append(swapped, filepath.Join(tier, dir, "x"), filepath.Join(tier, dir, "file"))
				}
			}
			m := harness.NewOn(t, tiers, strings.Split(opts, ",")...)
			for _, dir := range []string{"d", "d/x", "d/x/x", "only0", "only0/x", "only1", "only1/x"} {
				dirs = append(dirs, m.Path(dir))
			}
			m.Up()
			half := len(swapped) / 2
			attackers := []func(){}
			for _, names := range [][]string{swapped[:half], swapped[half:]} {
				cmd := start(t, swap, mallory, names...)
				attackers = append(attackers, func() { stop(cmd) })
			}
			_, stderr, code := harness.RunCmd(t, everyOp.Cmd(dirs...))
			for _, end := range attackers {
				end()
			}
			if code != 0 {
				t.Errorf("the client: %s", stderr)
			}
			canary.unharmed()
			serves(t, m)
			// The kernel keeps what it knows under names that are others' by now, and
			// with it the daemon's descriptors of what was removed.
			m.DropCaches()
		})
	}
}

// makeTrap makes a directory of mallory's with a file and a directory, and
// symbolic links beside them for swapping.
func makeTrap(t *testing.T, dir, outside string) {
	t.Helper()
	harness.Mkdir(t, dir+"/x")
	harness.Write(t, dir+"/file", "mine")
	for name, target := range map[string]string{"x.l": outside, "file.l": outside + "/file"} {
		harness.Symlink(t, target, filepath.Join(dir, name))
		harness.Chown(t, filepath.Join(dir, name), mallory, mallory)
	}
	for _, path := range []string{dir, dir + "/x", dir + "/file"} {
		harness.Chown(t, path, mallory, mallory)
		harness.Chmod(t, path, 0o777)
	}
}

// canary is a tree that nobody may touch.
type canary struct {
	t     *testing.T
	root  string
	state map[string]string
}

// makeCanary makes a tree with the names that the operations use.
func makeCanary(t *testing.T, root string) *canary {
	t.Helper()
	for _, dir := range []string{"x/x/x", "sub/deep", "secret"} {
		harness.Mkdir(t, filepath.Join(root, dir))
	}
	for _, file := range []string{"file", "x/file", "x/x/file", "hard", "link", "sub/deep/file", "secret/file"} {
		harness.Write(t, filepath.Join(root, file), secret)
	}
	c := &canary{t: t, root: root}
	// Older than the last change, so that each read shows (relatime, mount(8)).
	long := []unix.Timespec{{Sec: 1e9}, {Sec: 1.5e9}}
	c.walk(func(path string) { unix.UtimesNanoAt(unix.AT_FDCWD, path, long, unix.AT_SYMLINK_NOFOLLOW) })
	c.state = c.look()
	return c
}

func (c *canary) walk(fn func(path string)) {
	c.t.Helper()
	err := filepath.WalkDir(c.root, func(path string, _ os.DirEntry, err error) error { fn(path); return err })
	if err != nil {
		c.t.Fatal(err)
	}
}

// look is all that stat(2) says of every name; its own reading of directories
// comes after.
func (c *canary) look() map[string]string {
	state := map[string]string{}
	c.walk(func(path string) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			c.t.Fatal(err)
		}
		attrs, _ := unix.Llistxattr(path, nil)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			st.Atim = unix.Timespec{} // walking here changes it
		}
		state[path] = fmt.Sprintf("%+v %d", st, attrs)
	})
	return state
}

// unharmed fails the test if anything at all has happened to the tree.
func (c *canary) unharmed() {
	c.t.Helper()
	now := c.look()
	for path, was := range c.state {
		if now[path] != was {
			c.t.Errorf("%s, outside of the tiers, was\n%s, is\n%s", path, was, now[path])
		}
	}
	for path := range now {
		if c.state[path] == "" {
			c.t.Errorf("%s was made outside of the tiers", path)
		}
	}
	c.walk(func(path string) {
		if st := harness.Stat(c.t, path); st.Mode&unix.S_IFMT == unix.S_IFREG {
			harness.WantRead(c.t, path, secret)
		}
	})
}
