package parity

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var openScenarios = []scenario{
	{"open/mode under umask", func(r *run) {
		for i, mask := range []int{0, 0o022, 0o077, 0o777, 0o027} {
			r.umask(mask)
			r.tryOpen("create", fmt.Sprintf("f%d", i), unix.O_CREAT|unix.O_WRONLY, 0o666)
			r.tryOpen("create", fmt.Sprintf("x%d", i), unix.O_CREAT|unix.O_WRONLY, 0o7777)
			r.err("mkdir", unix.Mkdir(fmt.Sprintf("d%d", i), 0o7777))
			r.err("mkfifo", unix.Mkfifo(fmt.Sprintf("p%d", i), 0o666))
			r.err("mknod", unix.Mknod(fmt.Sprintf("r%d", i), unix.S_IFREG|0o666, 0))
			r.err("symlink", unix.Symlink("t", fmt.Sprintf("l%d", i)))
		}
	}},
	{"open/create mode 0 and write", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0)
		r.write(fd, "readable by whoever opened it")
		r.pread(fd, 40, 0)
		r.fstat(fd)
	}},
	{"open/exclusive on a dangling link", func(r *run) {
		r.must("symlink", unix.Symlink("target", "l"))
		r.tryOpen("exclusive", "l", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		r.tryOpen("nofollow", "l", unix.O_CREAT|unix.O_NOFOLLOW|unix.O_WRONLY, 0o644)
		r.tryOpen("through", "l", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.stat("target")
	}},
	{"open/nofollow", func(r *run) {
		r.file("f", "x")
		r.must("symlink", unix.Symlink("f", "l"))
		r.tryOpen("nofollow", "l", unix.O_RDONLY|unix.O_NOFOLLOW, 0)
		r.tryOpen("path nofollow", "l", unix.O_PATH|unix.O_NOFOLLOW, 0)
		r.tryOpen("nofollow file", "f", unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	}},
	{"open/directories", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		r.tryOpen("file as directory", "f", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.tryOpen("directory", "d", unix.O_RDONLY, 0)
		r.tryOpen("write", "d", unix.O_WRONLY, 0)
		r.tryOpen("read and write", "d", unix.O_RDWR, 0)
		r.tryOpen("truncate", "d", unix.O_RDONLY|unix.O_TRUNC, 0)
		r.tryOpen("create", "d", unix.O_CREAT|unix.O_RDONLY, 0o644)
		r.tryOpen("create directory", "n", unix.O_CREAT|unix.O_DIRECTORY|unix.O_RDONLY, 0o644)
	}},
	{"open/truncate", func(r *run) {
		r.file("f", "some content")
		was := r.clock("f")
		r.tryOpen("write truncate", "f", unix.O_WRONLY|unix.O_TRUNC, 0)
		r.stat("f")
		r.moved("truncate", "f", was)
		r.file("g", "some content")
		r.tryOpen("read truncate", "g", unix.O_RDONLY|unix.O_TRUNC, 0)
		r.stat("g")
		was = r.clock("f")
		r.tryOpen("truncate empty", "f", unix.O_WRONLY|unix.O_TRUNC, 0)
		r.moved("truncate empty", "f", was)
	}},
	{"open/append", func(r *run) {
		r.file("f", "base")
		fd := r.open("f", unix.O_RDWR|unix.O_APPEND, 0)
		r.write(fd, "+one")
		_, err := unix.Pwrite(fd, []byte("+two"), 0)
		r.err("pwrite", err)
		off, err := unix.Seek(fd, 0, unix.SEEK_CUR)
		r.say("offset %d %s", off, err)
		r.read("f")
		second := r.open("f", unix.O_WRONLY|unix.O_APPEND, 0)
		r.write(second, "+three")
		r.write(fd, "+four")
		r.read("f")
	}},
	{"open/append switched by fcntl", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.write(fd, "12345")
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		r.say("flags %o %s", flags, err)
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_APPEND)
		r.err("set", err)
		unix.Seek(fd, 0, unix.SEEK_SET)
		r.write(fd, "end")
		r.read("f")
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_NONBLOCK|unix.O_NOATIME)
		r.err("set", err)
		flags, _ = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		r.say("flags %o", flags)
	}},
	{"open/wrong direction", func(r *run) {
		r.file("f", "x")
		rd, wr := r.open("f", unix.O_RDONLY, 0), r.open("f", unix.O_WRONLY, 0)
		_, err := unix.Write(rd, []byte("y"))
		r.err("write to a reader", err)
		_, err = unix.Read(wr, make([]byte, 1))
		r.err("read from a writer", err)
		r.err("ftruncate a reader", unix.Ftruncate(rd, 0))
		r.err("fallocate a reader", unix.Fallocate(rd, 0, 0, 10))
	}},
	{"open/path only", func(r *run) {
		r.dir("d")
		r.file("d/f", "x")
		fd := r.open("d/f", unix.O_PATH, 0)
		_, err := unix.Read(fd, make([]byte, 1))
		r.err("read", err)
		r.fstat(fd)
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.err("chmod by /proc", unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o640))
		r.tryOpen("open by /proc", fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR, 0)
		dir := r.open("d", unix.O_PATH|unix.O_DIRECTORY, 0)
		at, err := unix.Openat(dir, "f", unix.O_RDONLY, 0)
		r.err("openat", err)
		unix.Close(at)
		r.fstat(fd)
		r.err("unlink", unix.Unlink("d/f"))
		r.fstat(fd)
	}},
	{"open/temporary file linked in", func(r *run) {
		r.dir("d")
		fd := r.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o640)
		r.write(fd, "nameless")
		r.fstat(fd)
		r.list("d")
		r.err("linkat", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "d/named", unix.AT_SYMLINK_FOLLOW))
		r.fstat(fd)
		r.stat("d/named")
		r.write(fd, "+more")
		r.read("d/named")
		r.err("linkat existing", unix.Linkat(fd, "", unix.AT_FDCWD, "d/named", unix.AT_EMPTY_PATH))
		r.err("linkat by descriptor", unix.Linkat(fd, "", unix.AT_FDCWD, "second", unix.AT_EMPTY_PATH))
		r.fstat(fd)
	}},
	{"open/temporary file", func(r *run) {
		r.file("f", "x")
		r.umask(0o027)
		fd := r.open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o666)
		r.err("linkat of an exclusive one", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "n", unix.AT_SYMLINK_FOLLOW))
		r.err("ftruncate", unix.Ftruncate(fd, 100000))
		r.err("fchmod", unix.Fchmod(fd, 0o600))
		r.err("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
		r.fstat(fd)
		r.tryOpen("read only", ".", unix.O_TMPFILE|unix.O_RDONLY, 0o644)
		r.tryOpen("in a file", "f", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		r.tryOpen("in nothing", "no", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	}},
	{"open/synchronous", func(r *run) {
		fd := r.open("s", unix.O_CREAT|unix.O_RDWR|unix.O_SYNC, 0o644)
		r.write(fd, "one")
		fd = r.open("d", unix.O_CREAT|unix.O_RDWR|unix.O_DSYNC, 0o644)
		r.write(fd, "two")
		r.read("s")
		r.read("d")
	}},
	{"open/without access time", func(r *run) {
		r.file("f", "x")
		r.must("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 1000}, {Sec: 2000}}, 0))
		fd := r.open("f", unix.O_RDONLY|unix.O_NOATIME, 0)
		r.pread(fd, 1, 0)
		r.say("access time %d", r.lstat("f").Atim.Sec)
	}},
	{"open/many times", func(r *run) {
		r.file("f", "shared")
		for i := range 50 {
			fd := r.open("f", []int{unix.O_RDONLY, unix.O_RDWR, unix.O_WRONLY}[i%3], 0)
			if i%3 == 1 {
				_, err := unix.Pwrite(fd, []byte{byte('a' + i%26)}, int64(i))
				r.must("pwrite", err)
			}
		}
		r.read("f")
	}},
	{"open/name behind a descriptor", func(r *run) {
		r.dir("d")
		r.file("d/f", "x")
		fd := r.open("d/f", unix.O_RDONLY, 0)
		link := func() string {
			s, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			return filepath.Base(filepath.Dir(s)) + "/" + filepath.Base(s)
		}
		r.say("%s", link())
		r.must("rename", unix.Rename("d/f", "d/g"))
		r.say("%s", link())
		r.must("rename", unix.Rename("d", "e"))
		r.say("%s", link())
		r.must("unlink", unix.Unlink("e/g"))
		r.say("%s", link())
	}},
	{"open/beneath", func(r *run) {
		r.dir("d")
		r.file("d/f", "x")
		r.must("symlink", unix.Symlink("../d/f", "d/l"))
		dir := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		for _, name := range []string{"f", "l", "../d/f"} {
			fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: unix.RESOLVE_BENEATH})
			r.err("beneath "+name, err)
			unix.Close(fd)
			fd, err = unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: unix.RESOLVE_NO_SYMLINKS})
			r.err("no symlinks "+name, err)
			unix.Close(fd)
		}
	}},
	{"open/through symlinks", func(r *run) {
		r.dir("d", "d/e")
		r.file("d/e/f", "deep")
		r.must("symlink", unix.Symlink("d/e", "le"))
		r.must("symlink", unix.Symlink("le/f", "lf"))
		r.read("lf")
		r.read("le/f")
		r.read("le/../e/f")
		r.file("le/g", "made through a link")
		r.list("d/e")
		r.err("mkdir", unix.Mkdir("le/sub", 0o755))
		r.err("unlink", unix.Unlink("le/g"))
		chain := "x0"
		r.must("symlink", unix.Symlink("d/e/f", chain))
		for i := 1; i <= 41; i++ {
			next := fmt.Sprintf("x%d", i)
			r.must("symlink", unix.Symlink(chain, next))
			chain = next
		}
		r.tryOpen("39 links", "x38", unix.O_RDONLY, 0)
		r.tryOpen("42 links", "x41", unix.O_RDONLY, 0)
	}},
}
