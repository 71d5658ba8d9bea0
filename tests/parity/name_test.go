package parity

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	name255 = strings.Repeat("n", 255)
	name256 = strings.Repeat("n", 256)
)

var nameScenarios = []scenario{
	{"name/255 bytes", func(r *run) { useName(r, name255) }},
	{"name/255 bytes of UTF-8", func(r *run) { useName(r, strings.Repeat("é", 127)+"x") }},
	{"name/256 bytes", func(r *run) { r.file("a", "x"); everyCall(r, name256) }},
	{"name/not UTF-8", func(r *run) { useName(r, "\xff\xfe\x80name") }},
	{"name/control characters", func(r *run) { useName(r, "a\nb\tc\x01\x7f") }},
	{"name/spaces and dots", func(r *run) { useName(r, " x. "); useName(r, "..."); useName(r, "-rf") }},
	{"name/words that mount options use", func(r *run) { useName(r, `a:b,c\d"e'f`) }},
	{"name/empty", func(r *run) { r.file("a", "x"); everyCall(r, "") }},
	{"name/missing parent", func(r *run) { r.file("a", "x"); everyCall(r, "no/b") }},
	{"name/parent is a file", func(r *run) { r.file("a", "x"); r.file("f", "y"); everyCall(r, "f/b") }},
	{"name/parent is a dangling link", func(r *run) {
		r.file("a", "x")
		r.must("symlink", unix.Symlink("nowhere", "l"))
		everyCall(r, "l/b")
	}},
	{"name/symlink loop", func(r *run) {
		r.file("a", "x")
		r.must("symlink", unix.Symlink("l2", "l1"))
		r.must("symlink", unix.Symlink("l1", "l2"))
		everyCall(r, "l1/b")
		r.tryOpen("open", "l1", unix.O_RDONLY, 0)
		r.err("chmod", unix.Chmod("l1", 0o600))
	}},
	{"name/existing", func(r *run) { r.file("a", "x"); r.file("b", "y"); everyCall(r, "b") }},
	{"name/existing directory", func(r *run) { r.file("a", "x"); r.dir("b"); everyCall(r, "b") }},
	{"name/existing symlink", func(r *run) {
		r.file("a", "x")
		r.must("symlink", unix.Symlink("a", "b"))
		everyCall(r, "b")
	}},
	{"name/trailing slash", trailingSlash},
	{"name/dot and dot-dot", dots},
	{"name/path of 4095 bytes", func(r *run) { longPath(r, 4095) }},
	{"name/path of 4096 bytes", func(r *run) { longPath(r, 4096) }},
	{"name/deeper than PATH_MAX", deepTree},
}

// useName makes, shows, renames and removes every kind of thing of that name.
func useName(r *run, name string) {
	r.file(name, "content")
	r.stat(name)
	r.read(name)
	r.list(".")
	r.err("rename away", unix.Rename(name, "other"))
	r.err("rename back", unix.Rename("other", name))
	r.err("link", unix.Link(name, "second"))
	r.err("unlink", unix.Unlink(name))
	r.err("mkdir", unix.Mkdir(name, 0o755))
	r.file(name+"/in", "inner")
	r.list(name)
	r.err("unlink inner", unix.Unlink(name+"/in"))
	r.err("rmdir", unix.Rmdir(name))
	r.err("symlink", unix.Symlink(name, name))
	r.stat(name)
	r.err("unlink", unix.Unlink(name))
	r.err("unlink second", unix.Unlink("second"))
}

// everyCall sends one name to every call that takes one; a file "a" exists.
// Calls that change are last, so that what they change is still looked at.
func everyCall(r *run, name string) {
	r.stat(name)
	r.tryOpen("open", name, unix.O_RDONLY, 0)
	r.tryOpen("open directory", name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	r.tryOpen("create exclusively", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	r.err("access", unix.Access(name, unix.R_OK))
	_, err := unix.Readlink(name, make([]byte, 100))
	r.err("readlink", err)
	_, err = unix.Getxattr(name, "user.none", nil)
	r.err("getxattr", err)
	_, err = unix.Llistxattr(name, nil)
	r.err("listxattr", err)
	r.err("mkdir", unix.Mkdir(name, 0o755))
	r.err("symlink", unix.Symlink("x", name))
	r.err("link to", unix.Link("a", name))
	r.err("link from", unix.Link(name, "fresh"))
	r.err("mkfifo", unix.Mkfifo(name, 0o644))
	r.err("rename noreplace", unix.Renameat2(unix.AT_FDCWD, "a", unix.AT_FDCWD, name, unix.RENAME_NOREPLACE))
	r.err("truncate", unix.Truncate(name, 1))
	r.err("chmod", unix.Chmod(name, 0o600))
	r.err("lchown", unix.Lchown(name, alice, staff))
	r.err("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	r.err("setxattr", unix.Setxattr(name, "user.k", []byte("v"), 0))
	r.err("rmdir", unix.Rmdir(name))
	r.err("rename from", unix.Rename(name, "moved"))
	r.err("rename to", unix.Rename("a", name))
	r.err("unlink", unix.Unlink(name))
}

func trailingSlash(r *run) {
	r.file("f", "x")
	r.dir("d")
	r.must("symlink", unix.Symlink("d", "ld"))
	r.must("symlink", unix.Symlink("f", "lf"))
	for _, name := range []string{"f/", "d/", "ld/", "lf/", "no/"} {
		var st unix.Stat_t
		r.say("lstat %s: %s %o", name, unix.Lstat(name, &st), st.Mode)
		r.tryOpen("open "+name, name, unix.O_RDONLY, 0)
		r.tryOpen("create "+name, name, unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("unlink "+name, unix.Unlink(name))
		r.err("link "+name, unix.Link(name, "new"))
		r.err("rename to "+name, unix.Rename("f", name))
	}
	r.err("mkdir", unix.Mkdir("new/", 0o755))
	r.err("rename directory", unix.Rename("new/", "newer/"))
	r.err("rmdir link", unix.Rmdir("ld/"))
	r.err("rmdir", unix.Rmdir("newer/"))
	r.err("symlink", unix.Symlink("x", "sl/"))
}

func dots(r *run) {
	r.dir("d", "d/e")
	for _, name := range []string{".", "..", "d/.", "d/..", "d/e/."} {
		r.err("rmdir "+name, unix.Rmdir(name))
		r.err("unlink "+name, unix.Unlink(name))
		r.err("mkdir "+name, unix.Mkdir(name, 0o755))
		r.err("rename "+name, unix.Rename(name, "x"))
		r.err("rename to "+name, unix.Rename("d", name))
		r.err("symlink "+name, unix.Symlink("x", name))
		r.err("mkfifo "+name, unix.Mkfifo(name, 0o644))
	}
	var up, down unix.Stat_t
	r.must("stat", unix.Lstat("d/e/..", &up))
	r.must("stat", unix.Lstat("d", &down))
	r.sameInode("the parent of e and d", up, down)
	r.must("stat", unix.Lstat("..", &up))
	r.say("dot-dot is a directory: %v", up.Mode&unix.S_IFMT == unix.S_IFDIR)
}

// longPath builds a path of exactly n bytes below the working directory and
// uses it whole: behind the mount the tier's own path comes on top of it.
func longPath(r *run, n int) {
	part := strings.Repeat("p", 199)
	path := ""
	for len(path)+len(part)+1 < n-1 {
		path += part + "/"
		err := unix.Mkdir(path, 0o755)
		r.must("mkdir", err)
	}
	path += strings.Repeat("q", n-len(path))
	r.say("a path of %d bytes", len(path))
	r.tryOpen("create", path, unix.O_CREAT|unix.O_WRONLY, 0o644)
	r.stat(path)
	r.err("chmod", unix.Chmod(path, 0o600))
	r.err("setxattr", unix.Setxattr(path, "user.k", []byte("v"), 0))
	r.xattr(path, "user.k")
	r.err("truncate", unix.Truncate(path, 5))
	r.err("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	r.read(path)
	r.err("rename", unix.Rename(path, path[:len(path)-1]+"r"))
	r.err("rename", unix.Rename(path[:len(path)-1]+"r", path))
	r.err("link", unix.Link(path, "short"))
	r.stat("short")
	r.err("unlink", unix.Unlink(path))
	r.err("mkdir", unix.Mkdir(path, 0o755))
	r.err("rmdir", unix.Rmdir(path))
	r.err("symlink", unix.Symlink("t", path))
	r.err("unlink", unix.Unlink(path))
}

// deepTree goes down by descriptors until no path reaches that far, works
// there, and comes up again.
func deepTree(r *run) {
	const levels = 30
	part := strings.Repeat("d", 200)
	fds := []int{r.open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)}
	for i := range levels {
		r.must(fmt.Sprint("mkdir ", i), unix.Mkdirat(fds[i], part, 0o755))
		fd, err := unix.Openat(fds[i], part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		r.must(fmt.Sprint("open ", i), err)
		fds = append(fds, fd)
	}
	bottom := fds[levels]
	fd, err := unix.Openat(bottom, "file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	r.err("create at the bottom", err)
	if err == nil {
		r.write(fd, "deep")
		r.fstat(fd)
		r.pread(fd, 10, 0)
		unix.Close(fd)
	}
	r.err("mkdir", unix.Mkdirat(bottom, "sub", 0o755))
	r.err("rename", unix.Renameat(bottom, "file", bottom, "sub/file"))
	r.err("link", unix.Linkat(bottom, "sub/file", bottom, "link", 0))
	r.err("chmod", unix.Fchmodat(bottom, "link", 0o600, 0))
	r.say("at the bottom: %s", strings.Join(rowNames(r.rows(bottom)), " "))
	r.err("rename upwards", unix.Renameat(bottom, "sub", fds[0], "sub"))
	r.list("sub")
	r.err("unlink", unix.Unlinkat(bottom, "link", 0))
	for i := levels; i > 0; i-- {
		unix.Close(fds[i])
		r.must(fmt.Sprint("rmdir ", i), unix.Unlinkat(fds[i-1], part, unix.AT_REMOVEDIR))
	}
}
