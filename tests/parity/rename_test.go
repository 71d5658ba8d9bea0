package parity

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var renameScenarios = []scenario{
	{"rename/file", func(r *run) {
		r.dir("d")
		r.file("f", "content")
		before := r.lstat("f")
		r.err("same directory", unix.Rename("f", "g"))
		r.err("to a directory", unix.Rename("g", "d/h"))
		r.sameInode("moved", before, r.lstat("d/h"))
		r.read("d/h")
		r.stat("f")
		r.err("onto itself", unix.Rename("d/h", "d/h"))
		r.err("missing", unix.Rename("f", "g"))
		r.err("missing parent", unix.Rename("d/h", "no/h"))
		r.list("d")
	}},
	{"rename/over a file", func(r *run) {
		r.file("f", "new")
		r.file("g", "old")
		r.must("link", unix.Link("g", "kept"))
		before := r.lstat("f")
		r.err("rename", unix.Rename("f", "g"))
		r.read("g")
		r.sameInode("moved", before, r.lstat("g"))
		r.stat("kept")
		r.read("kept")
	}},
	{"rename/names of one file", func(r *run) {
		r.file("f", "x")
		r.must("link", unix.Link("f", "g"))
		r.err("rename", unix.Rename("f", "g"))
		r.list(".")
		r.stat("f")
	}},
	{"rename/every type over every type", func(r *run) {
		kinds := []func(name string){
			func(name string) { r.file(name, name) },
			func(name string) { r.dir(name) },
			func(name string) { r.dir(name); r.file(name+"/full", "x") },
			func(name string) { r.must("symlink", unix.Symlink("t", name)) },
			func(name string) { r.must("mkfifo", unix.Mkfifo(name, 0o644)) },
		}
		for i, from := range kinds {
			for j, to := range kinds {
				a, b := fmt.Sprintf("a%d%d", i, j), fmt.Sprintf("b%d%d", i, j)
				from(a)
				to(b)
				r.err("rename "+a+" to "+b, unix.Rename(a, b))
				r.stat(a)
				r.stat(b)
			}
		}
	}},
	{"rename/directory", func(r *run) {
		r.dir("d", "d/e", "x")
		r.file("d/e/f", "deep")
		before := r.lstat("d")
		r.err("rename", unix.Rename("d", "g"))
		r.sameInode("moved", before, r.lstat("g"))
		r.read("g/e/f")
		r.err("over an empty one", unix.Rename("g", "x"))
		r.read("x/e/f")
		r.list(".")
		r.err("into itself", unix.Rename("x", "x/y"))
		r.err("into its child", unix.Rename("x", "x/e/y"))
		r.err("over its parent", unix.Rename("x/e", "x"))
		r.err("child up", unix.Rename("x/e", "e"))
		r.list("x")
		r.read("e/f")
	}},
	{"rename/directory with children open", func(r *run) {
		r.dir("d", "d/e")
		r.file("d/f", "first")
		r.file("d/e/g", "second")
		f, g := r.open("d/f", unix.O_RDWR, 0), r.open("d/e/g", unix.O_RDWR, 0)
		dir := r.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		sub := r.open("d/e", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.must("rename", unix.Rename("d", "x"))
		r.write(f, "FIRST")
		r.write(g, "SECOND")
		r.err("fchmod", unix.Fchmod(g, 0o600))
		r.flist("list", dir)
		_, err := unix.Openat(sub, "made", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("create below", err)
		r.list("x/e")
		r.read("x/f")
		r.read("x/e/g")
		r.stat("x/e/g")
	}},
	{"rename/noreplace", func(r *run) {
		r.file("f", "x")
		r.file("g", "y")
		r.dir("d", "e")
		flag := func(what, a, b string) {
			r.err(what, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE))
		}
		flag("existing", "f", "g")
		flag("directory", "d", "e")
		flag("itself", "f", "f")
		flag("missing", "no", "new")
		flag("free", "f", "h")
		flag("free directory", "d", "k")
		r.must("symlink", unix.Symlink("nowhere", "l"))
		flag("dangling link", "h", "l")
		r.list(".")
	}},
	{"rename/exchange", func(r *run) {
		r.dir("d", "e")
		r.file("f", "in f")
		r.file("d/g", "in g")
		flag := func(what, a, b string) {
			r.err(what, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
		}
		f := r.lstat("f")
		flag("files", "f", "d/g")
		r.read("f")
		r.read("d/g")
		r.sameInode("exchanged", f, r.lstat("d/g"))
		flag("directories", "d", "e")
		r.list("e")
		flag("file and directory", "f", "e")
		r.read("e")
		r.list("f")
		flag("missing", "f", "no")
		flag("missing source", "no", "f")
		flag("child", "f", "f/g")
		flag("itself", "d", "d")
	}},
	{"rename/whiteout", func(r *run) {
		r.dir("d", "e")
		r.file("f", "in f")
		r.file("g", "in g")
		r.file("d/h", "in h")
		r.must("symlink", unix.Symlink("nowhere", "l"))
		flag := func(what, a, b string) {
			was := r.clock(".")
			r.err(what, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_WHITEOUT))
			r.stat(a)
			r.moved(what, ".", was)
		}
		flag("free", "f", "new")
		flag("over", "new", "g")
		flag("other directory", "g", "d/g")
		flag("directory", "d", "e")
		flag("link", "l", "m")
		flag("over a whiteout", "m", "f")
		flag("missing", "no", "x")
		flag("child", "e", "e/d")
		r.err("exchange too", unix.Renameat2(unix.AT_FDCWD, "e", unix.AT_FDCWD, "d", unix.RENAME_WHITEOUT|unix.RENAME_EXCHANGE))
		r.err("noreplace too", unix.Renameat2(unix.AT_FDCWD, "e", unix.AT_FDCWD, "f", unix.RENAME_WHITEOUT|unix.RENAME_NOREPLACE))
		r.err("noreplace too", unix.Renameat2(unix.AT_FDCWD, "e", unix.AT_FDCWD, "z", unix.RENAME_WHITEOUT|unix.RENAME_NOREPLACE))
		r.must("chown", unix.Chown(".", alice, staff))
		r.as(alice, staff, nil, func() { flag("without the right", "f", "y") })
		r.must("chown", unix.Chown(".", 0, 0))
	}},
	{"rename/unknown flags", func(r *run) {
		r.file("f", "x")
		r.file("g", "y")
		r.err("both", unix.Renameat2(unix.AT_FDCWD, "f", unix.AT_FDCWD, "g", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE))
		r.err("unknown", unix.Renameat2(unix.AT_FDCWD, "f", unix.AT_FDCWD, "g", 1<<10))
	}},
	{"rename/change times", func(r *run) {
		r.file("f", "x")
		r.dir("d")
		f, d := r.clock("f"), r.clock("d")
		r.must("rename", unix.Rename("f", "g"))
		r.must("rename", unix.Rename("d", "e"))
		r.moved("file", "g", f)
		r.moved("directory", "e", d)
	}},
	{"rename/as editors save", func(r *run) {
		r.file("doc", "version 0")
		for i := range 5 {
			tmp := fmt.Sprintf(".doc.tmp%d", i)
			fd := r.open(tmp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
			r.write(fd, fmt.Sprintf("version %d", i+1))
			r.must("fchmod", unix.Fchmod(fd, 0o644))
			r.must("fsync", unix.Fsync(fd))
			r.must("link", unix.Link("doc", fmt.Sprintf("doc~%d", i)))
			r.must("rename", unix.Rename(tmp, "doc"))
			r.read("doc")
		}
		r.list(".")
	}},
	{"rename/back and forth", func(r *run) {
		r.dir("a", "b")
		r.file("a/f", "x")
		for range 20 {
			r.must("rename", unix.Rename("a/f", "b/f"))
			r.must("rename", unix.Rename("a", "c"))
			r.must("rename", unix.Rename("b", "a"))
			r.must("rename", unix.Rename("c", "b"))
			r.must("stat", unix.Access("a/f", unix.F_OK))
		}
		r.list("a")
		r.list("b")
	}},
}
