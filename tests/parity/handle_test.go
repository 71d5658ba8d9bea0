package parity

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func osCommand(args []string) *exec.Cmd { return exec.Command(args[0], args[1:]...) }

var handleScenarios = []scenario{
	{"handle/unlinked file", unlinkedFile},
	{"handle/unlinked file with another name", func(r *run) {
		r.file("f", "x")
		r.must("link", unix.Link("f", "g"))
		fd := r.open("f", unix.O_RDWR, 0)
		r.must("unlink", unix.Unlink("f"))
		r.fstat(fd)
		r.write(fd, "written")
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.stat("g")
		r.read("g")
	}},
	{"handle/unlinked and made anew", func(r *run) {
		r.file("f", "old")
		fd := r.open("f", unix.O_RDWR, 0)
		old := r.lstat("f")
		r.must("unlink", unix.Unlink("f"))
		r.file("f", "new one")
		r.say("another number %v", old.Ino != r.lstat("f").Ino)
		r.pread(fd, 10, 0)
		r.write(fd, "OLD!")
		r.err("ftruncate", unix.Ftruncate(fd, 2))
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.fstat(fd)
		r.stat("f")
		r.read("f")
	}},
	{"handle/overwritten by rename", func(r *run) {
		r.file("f", "old")
		r.file("g", "new")
		fd := r.open("f", unix.O_RDWR, 0)
		r.must("rename", unix.Rename("g", "f"))
		r.fstat(fd)
		r.pread(fd, 10, 0)
		r.write(fd, "gone")
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.read("f")
		r.stat("f")
	}},
	{"handle/renamed", func(r *run) {
		r.dir("d", "d/e")
		r.file("d/e/f", "content")
		fd := r.open("d/e/f", unix.O_RDWR, 0)
		before := r.lstat("d/e/f")
		r.must("rename", unix.Rename("d", "x"))
		r.must("rename", unix.Rename("x/e/f", "g"))
		r.write(fd, "changed")
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.err("ftruncate", unix.Ftruncate(fd, 20))
		r.sameInode("after two renames", before, r.lstat("g"))
		r.read("g")
		r.stat("g")
	}},
	{"handle/shared map", sharedMap},
	{"handle/private map", func(r *run) {
		r.file("f", strings.Repeat("m", 10000))
		fd := r.open("f", unix.O_RDONLY, 0)
		m, err := unix.Mmap(fd, 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		r.must("mmap", err)
		copy(m[5000:], "private")
		r.say("%q", m[4998:5010])
		r.err("munmap", unix.Munmap(m))
		r.read("f")
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		r.err("shared writable map of a reader", err)
		_, err = unix.Mmap(fd, 100, 4096, unix.PROT_READ, unix.MAP_SHARED)
		r.err("odd offset", err)
		_, err = unix.Mmap(r.open("f", unix.O_WRONLY, 0), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		r.err("map of a writer", err)
	}},
	{"handle/map of an unlinked file", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.must("ftruncate", unix.Ftruncate(fd, 8192))
		m, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		r.must("mmap", err)
		r.must("unlink", unix.Unlink("f"))
		copy(m[4000:], "still there")
		r.err("msync", unix.Msync(m, unix.MS_SYNC))
		r.pread(fd, 20, 3995)
		r.err("munmap", unix.Munmap(m))
	}},
	{"handle/execution", func(r *run) {
		r.program("/bin/echo", "echo", 0o755)
		r.command("./echo", "runs", "here")
		r.must("chmod", unix.Chmod("echo", 0o644))
		r.err("without the bit", unix.Access("echo", unix.X_OK))
		r.say("exec: %v", strings.Contains(fmt.Sprint(osCommand([]string{"./echo"}).Run()), "permission denied"))
		r.file("script", "#!/bin/sh\necho script $1\n")
		r.must("chmod", unix.Chmod("script", 0o755))
		r.command("./script", "too")
	}},
	{"handle/running program is not writable", func(r *run) {
		r.program("/bin/sleep", "sleep", 0o755)
		cmd := osCommand([]string{"./sleep", "30"})
		r.must("start", cmd.Start())
		r.tryOpen("write", "sleep", unix.O_WRONLY, 0)
		r.tryOpen("truncate", "sleep", unix.O_WRONLY|unix.O_TRUNC, 0)
		r.err("truncate", unix.Truncate("sleep", 10))
		r.err("unlink", unix.Unlink("sleep"))
		cmd.Process.Kill()
		r.say("%s", exitName(cmd.Wait()))
	}},
	{"handle/set-id program", func(r *run) {
		r.program("/usr/bin/id", "id", 0o755)
		r.must("chown", unix.Chown("id", alice, staff))
		r.must("chmod", unix.Chmod("id", 0o6755))
		r.command("./id", "-un")
		r.command("./id", "-g")
	}},
	{"handle/working directory", func(r *run) {
		here, err := os.Getwd()
		r.must("getwd", err)
		defer os.Chdir(here)
		r.dir("d", "d/e")
		r.must("chdir", unix.Chdir("d/e"))
		r.file("f", "inside")
		r.must("rename", unix.Rename("../../d", "../../x"))
		r.read("f")
		r.file("g", "after the rename")
		r.list(".")
		r.stat("../..")
		r.must("unlink", unix.Unlink("f"))
		r.must("unlink", unix.Unlink("g"))
		r.err("rmdir from inside", unix.Rmdir("../e"))
		r.list(".")
		r.tryOpen("create in a removed directory", "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("mkdir in a removed directory", unix.Mkdir("d", 0o755))
		var st unix.Stat_t
		r.say("stat . %s nlink %d", unix.Stat(".", &st), st.Nlink)
		_, err = unix.Getcwd(make([]byte, 4096))
		r.err("getcwd", err)
	}},
	{"handle/events", events},
}

// program copies a program of the system.
func (r *run) program(from, to string, mode uint32) {
	b, err := os.ReadFile(from)
	r.must("read "+from, err)
	r.file(to, string(b))
	r.must("chmod", unix.Chmod(to, mode))
}

// unlinkedFile is the editor's and the database's habit: work goes on in a
// file that has no name any more.
func unlinkedFile(r *run) {
	r.file("f", "content")
	fd := r.open("f", unix.O_RDWR, 0)
	r.must("unlink", unix.Unlink("f"))
	r.fstat(fd)
	r.write(fd, "new")
	r.pread(fd, 10, 0)
	r.err("fchmod", unix.Fchmod(fd, 0o600))
	r.err("fchown", unix.Fchown(fd, alice, staff))
	r.err("ftruncate", unix.Ftruncate(fd, 5))
	r.err("fallocate", unix.Fallocate(fd, 0, 0, 8192))
	r.err("futimens", unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{{Sec: 11}, {Sec: 22}}, 0))
	r.err("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
	b := make([]byte, 10)
	n, err := unix.Fgetxattr(fd, "user.k", b)
	r.say("fgetxattr %q %s", b[:max(n, 0)], err)
	r.err("fremovexattr", unix.Fremovexattr(fd, "user.k"))
	r.err("fsync", unix.Fsync(fd))
	var st unix.Stat_t
	r.must("fstat", unix.Fstat(fd, &st))
	r.say("atime %d mtime %d", st.Atim.Sec, st.Mtim.Sec)
	r.fstat(fd)
	r.tryOpen("by /proc", fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR, 0)
	r.err("link", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "g", unix.AT_SYMLINK_FOLLOW))
	off, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
	r.say("hole %d %s", off, err)
	r.list(".")
}

func sharedMap(r *run) {
	r.file("f", strings.Repeat(".", 10000))
	fd := r.open("f", unix.O_RDWR, 0)
	m, err := unix.Mmap(fd, 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	r.must("mmap", err)
	was := r.clock("f")
	copy(m[4090:], "across the page")
	r.pread(fd, 20, 4088)
	r.err("msync", unix.Msync(m, unix.MS_SYNC))
	r.moved("map write", "f", was)
	_, err = unix.Pwrite(fd, []byte("by call"), 100)
	r.must("pwrite", err)
	r.say("map shows %q", m[98:110])
	second := r.open("f", unix.O_RDONLY, 0)
	m2, err := unix.Mmap(second, 4096, 4096, unix.PROT_READ, unix.MAP_SHARED)
	r.must("mmap", err)
	copy(m[5000:], "seen by both")
	r.say("second map shows %q", m2[5000-4096:5012-4096])
	r.err("munmap", unix.Munmap(m2))
	r.err("munmap", unix.Munmap(m))
	r.read("f")
}

// events watches a directory: inotify(7) must see what goes through the mount.
func events(r *run) {
	r.dir("d")
	r.file("d/f", "x")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	r.must("inotify", err)
	r.fds = append(r.fds, fd)
	_, err = unix.InotifyAddWatch(fd, "d", unix.IN_ALL_EVENTS)
	r.must("watch", err)
	r.file("d/g", "y")
	r.must("chmod", unix.Chmod("d/f", 0o600))
	r.must("rename", unix.Rename("d/f", "d/h"))
	r.must("unlink", unix.Unlink("d/g"))
	r.must("mkdir", unix.Mkdir("d/s", 0o755))
	r.must("rmdir", unix.Rmdir("d/s"))
	b := make([]byte, 65536)
	n, err := unix.Read(fd, b)
	r.must("read", err)
	for b = b[:n]; len(b) > 0; {
		size := 16 + int(b[12])
		name, _, _ := strings.Cut(string(b[16:size]), "\x00")
		r.say("event %x %s", uint32(b[4])|uint32(b[5])<<8|uint32(b[6])<<16|uint32(b[7])<<24, name)
		b = b[size:]
	}
}
