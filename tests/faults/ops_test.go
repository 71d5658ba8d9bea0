package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// op is an operation on a directory sown like every other. row is its line in
// the table; do returns an errno, or another error if the answer is wrong.
type op struct {
	row, name string
	do        func(dir string) error
}

var ops = []op{
	{"stat", "stat of a file on the primary", stat("hot")},
	{"stat", "stat of a file on the fallback", stat("cold")},
	{"stat", "stat of a merged directory", stat("d/s")},
	{"open, read", "read on the primary", read("d/hot", "d hot")},
	{"open, read", "read on the fallback", read("low/deep", "low deep")},
	{"open, read", "read of one of two copies", read("dup", "dup of the primary")},
	{"readdir", "readdir of a merged directory", list("d", "cold", "hot", "s")},
	{"readdir", "readdir on the fallback", list("low", "deep")},
	{"readlink", "readlink on the primary", readlink("ln", "hot")},
	{"readlink", "readlink on the fallback", readlink("cln", "cold")},
	{"statfs", "statfs", func(dir string) error { return unix.Statfs(dir, new(unix.Statfs_t)) }},
	{"getxattr, listxattr", "getxattr", getxattr("cold")},
	{"getxattr, listxattr", "getxattr of a file on the primary", getxattr("hot")},
	{"getxattr, listxattr", "listxattr", listxattr("cold")},

	{"create", "create in a merged directory", create("d/new")},
	{"create", "create on the fallback", create("low/new")},
	{"create", "create on the primary", create("high/new")},
	{"O_TMPFILE", "O_TMPFILE in a merged directory", tmpfile("d")},
	{"O_TMPFILE", "O_TMPFILE on the fallback", tmpfile("low")},
	{"mkdir, mknod, symlink", "mkdir", func(dir string) error { return unix.Mkdir(dir+"/d/new", 0o750) }},
	{"mkdir, mknod, symlink", "mkdir on the fallback", func(dir string) error { return unix.Mkdir(dir+"/low/new", 0o750) }},
	{"mkdir, mknod, symlink", "mknod", func(dir string) error { return unix.Mknod(dir+"/low/fifo", unix.S_IFIFO|0o640, 0) }},
	{"mkdir, mknod, symlink", "symlink", func(dir string) error { return unix.Symlink("cold", dir+"/low/sym") }},
	{"mkdir, mknod, symlink", "symlink on the primary", func(dir string) error { return unix.Symlink("cold", dir+"/high/sym") }},
	{"link", "link", two(unix.Link, "cold", "cold2")},
	{"link", "link into a directory that the tier lacks", two(unix.Link, "cold", "high/cold")},
	{"link", "link on the primary into one that it lacks", two(unix.Link, "hot", "low/hot")},

	{"write", "write over", write("cold", unix.O_WRONLY, "COLD")},
	{"write", "write on the primary", write("hot", unix.O_RDWR, "HOT")},
	{"write", "append", write("d/cold", unix.O_WRONLY|unix.O_APPEND, " more")},
	{"open with O_TRUNC", "open with O_TRUNC", truncating("cold")},
	{"open with O_TRUNC", "open with O_TRUNC on the primary", truncating("hot")},
	{"truncate", "truncate", func(dir string) error { return unix.Truncate(dir+"/cold", 2) }},
	{"truncate", "ftruncate", opened("hot", unix.O_RDWR, func(fd int) error { return unix.Ftruncate(fd, 2) })},
	{"fallocate", "fallocate", opened("cold", unix.O_RDWR, func(fd int) error { return unix.Fallocate(fd, 0, 0, 8192) })},
	{"fsync", "fsync", opened("cold", unix.O_RDWR, unix.Fsync)},
	{"fsync", "fsync of a merged directory", opened("d", unix.O_RDONLY|unix.O_DIRECTORY, unix.Fsync)},
	{"copy_file_range", "copy_file_range on one tier", copyRange("cold", "old")},
	{"copy_file_range", "copy_file_range between tiers", copyRange("cold", "hot")},

	{"chmod, chown, utimens of a file", "chmod", func(dir string) error { return unix.Chmod(dir+"/cold", 0o600) }},
	{"chmod, chown, utimens of a file", "chown", func(dir string) error { return unix.Lchown(dir+"/hot", 7, 8) }},
	{"chmod, chown, utimens of a file", "utimens", utimens("cold")},
	{"setxattr, removexattr of a file", "setxattr", func(dir string) error { return unix.Setxattr(dir+"/cold", "user.test", []byte("v"), 0) }},
	{"setxattr, removexattr of a file", "removexattr", func(dir string) error { return unix.Removexattr(dir+"/cold", "user.seed") }},
	{"the same of a directory", "chmod of a directory", func(dir string) error { return unix.Chmod(dir+"/d", 0o700) }},
	{"the same of a directory", "chown of a directory", func(dir string) error { return unix.Lchown(dir+"/d", 7, 8) }},
	{"the same of a directory", "setxattr of a directory", func(dir string) error { return unix.Setxattr(dir+"/d", "user.test", []byte("v"), 0) }},

	{"unlink", "unlink on the primary", one(unix.Unlink, "hot")},
	{"unlink", "unlink on the fallback", one(unix.Unlink, "low/deep")},
	{"unlink", "unlink of two copies", one(unix.Unlink, "dup")},
	{"rmdir", "rmdir of a merged directory", one(unix.Rmdir, "e")},
	{"rmdir", "rmdir on the primary", one(unix.Rmdir, "pe")},
	{"rmdir", "rmdir on the fallback", one(unix.Rmdir, "fe")},

	{"rename of a file", "rename to a new name", two(unix.Rename, "cold", "new")},
	{"rename of a file", "rename into a directory that the tier lacks", two(unix.Rename, "cold", "high/new")},
	{"rename of a file", "rename on the primary into one that it lacks", two(unix.Rename, "hot", "low/new")},
	{"rename of a file", "rename over a file of the same tier", two(unix.Rename, "cold", "old")},
	{"rename of a file", "rename of one of two copies", two(unix.Rename, "dup", "new")},
	{"rename of a file", "rename with RENAME_NOREPLACE", rename2("cold", "new", unix.RENAME_NOREPLACE)},
	{"rename of a file over a lower one", "rename over a file below", two(unix.Rename, "hot", "cold")},
	{"rename of a file over a lower one", "rename over two copies", two(unix.Rename, "hot", "dup")},
	{"rename of a file over a lower one", "rename of two copies over two", two(unix.Rename, "dup", "pair")},
	{"rename of a file over a higher one", "rename over a file above", two(unix.Rename, "cold", "hot")},
	{"rename of a file over a higher one", "rename over a file above and its copy", two(unix.Rename, "cold", "dup")},
	{"rename of a directory", "rename of a directory on the primary", two(unix.Rename, "high", "new")},
	{"rename of a directory", "rename of a directory on the fallback", two(unix.Rename, "low", "new")},
	{"rename of a directory", "rename of a merged directory", two(unix.Rename, "d", "new")},
	{"rename of a directory", "rename of a merged directory over an empty one", two(unix.Rename, "d", "e")},
	{"rename of a directory", "rename of a merged directory over an empty one on the fallback", two(unix.Rename, "d", "fe")},
	{"rename of a directory", "rename of a merged directory over an empty one on the primary", two(unix.Rename, "d", "pe")},
	{"rename of a directory", "rename of a directory over a merged empty one", two(unix.Rename, "low", "e")},
	{"rename of a directory", "rename of a merged directory where a tier lacks the parent", two(unix.Rename, "d", "high/new")},
	{"exchange", "exchange of files", rename2("cold", "old", unix.RENAME_EXCHANGE)},
	{"exchange", "exchange of files on the primary", rename2("hot", "warm", unix.RENAME_EXCHANGE)},
}

func one(call func(string) error, rel string) func(string) error {
	return func(dir string) error { return call(dir + "/" + rel) }
}

func two(call func(string, string) error, a, b string) func(string) error {
	return func(dir string) error { return call(dir+"/"+a, dir+"/"+b) }
}

func rename2(a, b string, flags uint) func(string) error {
	return func(dir string) error {
		return unix.Renameat2(unix.AT_FDCWD, dir+"/"+a, unix.AT_FDCWD, dir+"/"+b, flags)
	}
}

func stat(rel string) func(string) error {
	return func(dir string) error { return unix.Lstat(dir+"/"+rel, new(unix.Stat_t)) }
}

// atClose is an error that close(2) gave.
type atClose struct{ error }

func (e atClose) Unwrap() error { return e.error }

// opened runs fn on an open file.
func opened(rel string, flags int, fn func(fd int) error) func(string) error {
	return func(dir string) error {
		fd, err := unix.Open(dir+"/"+rel, flags|unix.O_CLOEXEC, 0o640)
		if err != nil {
			return err
		}
		err = fn(fd)
		if e := unix.Close(fd); err == nil && e != nil {
			err = atClose{e}
		}
		return err
	}
}

func read(rel, want string) func(string) error {
	return opened(rel, unix.O_RDONLY, func(fd int) error {
		got := make([]byte, 100)
		n, err := unix.Read(fd, got)
		if err != nil {
			return err
		}
		if string(got[:n]) != want {
			return fmt.Errorf("read %q", got[:n])
		}
		return nil
	})
}

// list reads with getdents(2) to the end, so that an error is not taken for it.
func list(rel string, want ...string) func(string) error {
	return opened(rel, unix.O_RDONLY|unix.O_DIRECTORY, func(fd int) error {
		buf := make([]byte, 4096)
		var names []string
		for {
			n, err := unix.Getdents(fd, buf)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			_, _, names = unix.ParseDirent(buf[:n], -1, names)
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			return fmt.Errorf("listed %q", names)
		}
		return nil
	})
}

func readlink(rel, want string) func(string) error {
	return func(dir string) error {
		buf := make([]byte, 100)
		n, err := unix.Readlink(dir+"/"+rel, buf)
		if err == nil && string(buf[:n]) != want {
			err = fmt.Errorf("target %q", buf[:n])
		}
		return err
	}
}

func getxattr(rel string) func(string) error {
	return func(dir string) error {
		buf := make([]byte, 100)
		n, err := unix.Lgetxattr(dir+"/"+rel, "user.seed", buf)
		if err == nil && string(buf[:n]) != rel {
			err = fmt.Errorf("value %q", buf[:n])
		}
		return err
	}
}

func listxattr(rel string) func(string) error {
	return func(dir string) error {
		buf := make([]byte, 1000)
		n, err := unix.Llistxattr(dir+"/"+rel, buf)
		if err == nil && !strings.Contains(string(buf[:n]), "user.seed\x00") {
			err = fmt.Errorf("names %q", buf[:n])
		}
		return err
	}
}

func create(rel string) func(string) error {
	return opened(rel, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, func(int) error { return nil })
}

func tmpfile(rel string) func(string) error {
	return opened(rel, unix.O_TMPFILE|unix.O_RDWR, func(fd int) error {
		_, err := unix.Write(fd, []byte("unnamed"))
		return err
	})
}

func write(rel string, flags int, text string) func(string) error {
	return opened(rel, flags, func(fd int) error {
		n, err := unix.Write(fd, []byte(text))
		if err == nil && n != len(text) {
			err = fmt.Errorf("wrote %d bytes", n)
		}
		return err
	})
}

func truncating(rel string) func(string) error {
	return opened(rel, unix.O_WRONLY|unix.O_TRUNC, func(int) error { return nil })
}

func utimens(rel string) func(string) error {
	return func(dir string) error {
		ts := []unix.Timespec{{Sec: 1e8}, {Sec: 2e8}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+rel, ts, unix.AT_SYMLINK_NOFOLLOW)
	}
}

func copyRange(from, to string) func(string) error {
	return func(dir string) error {
		src, err := os.Open(dir + "/" + from)
		if err != nil {
			return err
		}
		defer src.Close()
		return opened(to, unix.O_WRONLY, func(fd int) error {
			n, err := unix.CopyFileRange(int(src.Fd()), nil, fd, nil, 4, 0)
			if err == nil && n != 4 {
				err = fmt.Errorf("copied %d bytes", n)
			}
			return err
		})(dir)
	}
}
