package parity

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

var dirScenarios = []scenario{
	{"dir/make and remove", func(r *run) {
		r.err("mkdir", unix.Mkdir("d", 0o750))
		r.stat("d")
		r.err("again", unix.Mkdir("d", 0o755))
		r.file("d/f", "x")
		r.err("not empty", unix.Rmdir("d"))
		r.err("unlink a directory", unix.Unlink("d"))
		r.err("rmdir a file", unix.Rmdir("d/f"))
		r.must("unlink", unix.Unlink("d/f"))
		r.err("rmdir", unix.Rmdir("d"))
		r.err("again", unix.Rmdir("d"))
		r.must("symlink", unix.Symlink("x", "l"))
		r.err("rmdir a link", unix.Rmdir("l"))
	}},
	{"dir/set-group-ID is inherited", func(r *run) {
		r.dir("d")
		r.must("chown", unix.Chown("d", alice, staff))
		r.must("chmod", unix.Chmod("d", 0o2775))
		r.file("d/f", "x")
		r.dir("d/s")
		r.must("mkfifo", unix.Mkfifo("d/p", 0o644))
		r.must("symlink", unix.Symlink("x", "d/l"))
		r.dir("d/s/t")
		r.file("d/s/t/f", "x")
		fd := r.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		r.fstat(fd)
	}},
	{"dir/link counts", func(r *run) {
		r.dir("d", "e")
		r.stat("d")
		r.dir("d/a", "d/b", "d/b/c")
		r.stat("d")
		r.stat("d/b")
		r.must("rename", unix.Rename("d/b", "e/b"))
		r.stat("d")
		r.stat("e")
		r.must("rename", unix.Rename("d/a", "d/z"))
		r.stat("d")
		r.must("rmdir", unix.Rmdir("d/z"))
		r.stat("d")
		r.must("rename over", unix.Rename("e/b/c", "d/c"))
		r.stat("e/b")
		r.stat("d")
	}},
	{"dir/times follow entries", func(r *run) {
		r.dir("d", "e")
		r.file("d/f", "x")
		step := func(what string, fn func() error) {
			d, e := r.clock("d"), r.clock("e")
			r.err(what, fn())
			r.moved(what+" in d", "d", d)
			r.moved(what+" in e", "e", e)
		}
		step("create", func() error { r.file("d/g", "y"); return nil })
		step("write", func() error { r.file("d/g", "z"); return nil })
		step("chmod", func() error { return unix.Chmod("d/g", 0o600) })
		step("link", func() error { return unix.Link("d/g", "e/g") })
		step("rename", func() error { return unix.Rename("d/f", "e/f") })
		step("rename over", func() error { return unix.Rename("e/f", "e/g") })
		step("mkdir", func() error { return unix.Mkdir("d/s", 0o755) })
		step("rmdir", func() error { return unix.Rmdir("d/s") })
		step("unlink", func() error { return unix.Unlink("e/g") })
		step("symlink", func() error { return unix.Symlink("x", "d/l") })
		step("mkfifo", func() error { return unix.Mkfifo("d/p", 0o644) })
		step("failing mkdir", func() error { return unix.Mkdir("d/l", 0o755) })
	}},
	{"dir/list every type", func(r *run) {
		r.file("file", "x")
		r.dir("dir")
		r.must("symlink", unix.Symlink("dir", "link"))
		r.must("mkfifo", unix.Mkfifo("fifo", 0o644))
		r.must("mknod", unix.Mknod("char", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
		r.must("mknod", unix.Mknod("block", unix.S_IFBLK|0o644, int(unix.Mkdev(7, 200))))
		r.must("mknod", unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
		r.list(".")
		fd := r.open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		same := true
		for _, e := range r.rows(fd) {
			if e.Name != ".." {
				same = same && r.lstat(e.Name).Ino == e.Ino
			}
		}
		r.say("numbers equal those of stat %v", same)
	}},
	{"dir/list 3000", func(r *run) {
		r.dir("d")
		for i := range 3000 {
			r.must("mknod", unix.Mknod(fmt.Sprintf("d/%04d", i), unix.S_IFREG|0o644, 0))
		}
		fd := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		rows := r.rows(fd)
		r.say("%d rows, %d names", len(rows), len(rowNames(rows)))
		r.say("%s", brief([]byte(strings.Join(rowNames(rows), " "))))
		good := true
		for i := 0; i < len(rows)-1; i += 97 {
			_, err := unix.Seek(fd, rows[i].Off, unix.SEEK_SET)
			r.must("seek", err)
			tail := r.rows(fd)
			good = good && len(tail) == len(rows)-i-1 && tail[0].Name == rows[i+1].Name
		}
		r.say("every offset leads on %v", good)
		unix.Seek(fd, 0, unix.SEEK_SET)
		removed := 0
		for {
			some, err := harness.Rows(fd, 2048)
			r.must("getdents", err)
			if len(some) == 0 {
				break
			}
			for _, name := range harness.NamesOf(some) {
				r.must("unlink", unix.Unlink("d/"+name))
				removed++
			}
		}
		r.say("removed %d while listing", removed)
		r.err("rmdir", unix.Rmdir("d"))
	}},
	{"dir/rewind", func(r *run) {
		r.file("a", "x")
		fd := r.open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.flist("list", fd)
		r.file("b", "x")
		r.must("unlink", unix.Unlink("a"))
		_, err := unix.Seek(fd, 0, unix.SEEK_SET)
		r.err("rewind", err)
		r.flist("list", fd)
	}},
	{"dir/bad reads", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		fd := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		_, err := unix.Read(fd, make([]byte, 100))
		r.err("read", err)
		_, err = unix.Pwrite(fd, make([]byte, 100), 0)
		r.err("write", err)
		r.err("ftruncate", unix.Ftruncate(fd, 0))
		_, err = harness.Rows(r.open("f", unix.O_RDONLY, 0), 1000)
		r.err("getdents of a file", err)
		_, err = harness.Rows(fd, 10)
		r.err("getdents with a small buffer", err)
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		r.err("mmap", err)
	}},
	{"dir/by descriptor", func(r *run) {
		r.dir("d")
		fd := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.err("mkdirat", unix.Mkdirat(fd, "s", 0o755))
		f, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("openat", err)
		unix.Close(f)
		r.err("fchmod", unix.Fchmod(fd, 0o700))
		r.err("fchown", unix.Fchown(fd, alice, staff))
		r.err("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
		r.fstat(fd)
		r.err("unlinkat a directory", unix.Unlinkat(fd, "s", 0))
		r.err("unlinkat a file as directory", unix.Unlinkat(fd, "f", unix.AT_REMOVEDIR))
		r.err("unlinkat", unix.Unlinkat(fd, "s", unix.AT_REMOVEDIR))
		r.err("symlinkat", unix.Symlinkat("f", fd, "l"))
		r.err("linkat", unix.Linkat(fd, "f", fd, "g", 0))
		r.list("d")
	}},
	{"dir/removed while open", func(r *run) {
		r.dir("d")
		fd := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.must("rmdir", unix.Rmdir("d"))
		r.fstat(fd)
		r.flist("list", fd)
		r.err("mkdirat", unix.Mkdirat(fd, "s", 0o755))
		_, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("openat", err)
		r.err("fchmod", unix.Fchmod(fd, 0o700))
		r.err("fchown", unix.Fchown(fd, alice, staff))
		r.err("fsync", unix.Fsync(fd))
		r.fstat(fd)
	}},
	{"dir/removed and made anew", func(r *run) {
		r.dir("d")
		fd := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.must("rmdir", unix.Rmdir("d"))
		r.dir("d")
		r.file("d/f", "x")
		r.flist("old one lists", fd)
		r.err("mkdirat in the old one", unix.Mkdirat(fd, "s", 0o755))
		r.list("d")
	}},
}
