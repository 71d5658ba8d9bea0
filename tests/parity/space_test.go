package parity

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var spaceScenarios = []scenario{
	{"space/fallocate", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.err("allocate", unix.Fallocate(fd, 0, 0, 100<<10))
		r.fstat(fd)
		r.err("keep size", unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 100<<10, 100<<10))
		r.fstat(fd)
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
		r.err("nothing", unix.Fallocate(fd, 0, 0, 0))
		r.err("negative", unix.Fallocate(fd, 0, -1, 10))
		r.err("too large", unix.Fallocate(fd, 0, 1<<62, 1<<61))
		r.err("unknown mode", unix.Fallocate(fd, 0x4000, 0, 10))
		r.err("punch without keep size", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, 4096))
		var p [2]int
		r.must("pipe", unix.Pipe(p[:]))
		r.err("pipe", unix.Fallocate(p[1], 0, 0, 10))
		unix.Close(p[0])
		unix.Close(p[1])
	}},
	{"space/punch a hole", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.write(fd, strings.Repeat("abcdefgh", 8<<10))
		r.must("fsync", unix.Fsync(fd))
		before := r.lstat("f").Blocks
		was := r.clock("f")
		r.err("punch", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8192, 16384))
		r.moved("punch", "f", was)
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d to %d", before, r.lstat("f").Blocks)
		r.pread(fd, 20, 8182)
		r.err("punch inside a page", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 40000, 10))
		r.pread(fd, 20, 39995)
		off, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
		r.say("hole %d %s", off, err)
		r.err("zero", unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 60<<10, 10<<10))
		r.fstat(fd)
		r.read("f")
	}},
	{"space/sparse file", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.must("ftruncate", unix.Ftruncate(fd, 1<<40))
		r.fstat(fd)
		_, err := unix.Pwrite(fd, []byte("x"), 1<<39)
		r.must("pwrite", err)
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
		off, err := unix.Seek(fd, 0, unix.SEEK_DATA)
		r.say("data %d %s", off, err)
	}},
	{"space/copy_file_range", copyRange},
	{"space/copy_file_range of bad ranges", func(r *run) {
		r.file("f", strings.Repeat("z", 10000))
		in, out := r.open("f", unix.O_RDWR, 0), r.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.copy("behind the end", in, 20000, out, 0, 10)
		r.copy("to a reader", in, 0, r.open("f", unix.O_RDONLY, 0), 0, 10)
		r.copy("to an appender", in, 0, r.open("g", unix.O_WRONLY|unix.O_APPEND, 0), 0, 10)
		r.copy("overlapping", in, 0, in, 5, 10)
		r.copy("beside itself", in, 0, in, 5000, 100)
		r.dir("d")
		r.copy("to a directory", in, 0, r.open("d", unix.O_RDONLY, 0), 0, 10)
		n, err := unix.CopyFileRange(in, nil, out, nil, 10, 1)
		r.say("unknown flag %d %s", n, err)
	}},
	{"space/sendfile", func(r *run) {
		r.file("f", strings.Repeat("0123456789", 20000))
		in, out := r.open("f", unix.O_RDONLY, 0), r.open("g", unix.O_CREAT|unix.O_WRONLY, 0o644)
		total := 0
		for {
			n, err := unix.Sendfile(out, in, nil, 1<<20)
			if n <= 0 {
				r.say("sendfile ends with %d %s after %d", n, err, total)
				break
			}
			total += n
		}
		r.read("g")
		var p [2]int
		r.must("pipe", unix.Pipe(p[:]))
		off := int64(100)
		n, err := unix.Sendfile(p[1], in, &off, 5000)
		r.say("to a pipe %d %s, offset %d", n, err, off)
		b := make([]byte, 6000)
		n, err = unix.Read(p[0], b)
		r.say("from the pipe %s %s", brief(b[:max(n, 0)]), err)
		unix.Close(p[0])
		unix.Close(p[1])
	}},
	{"space/splice", func(r *run) {
		r.file("f", strings.Repeat("splice me ", 1000))
		in, out := r.open("f", unix.O_RDONLY, 0), r.open("g", unix.O_CREAT|unix.O_WRONLY, 0o644)
		var p [2]int
		r.must("pipe", unix.Pipe(p[:]))
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		for total := 0; total < 10000; {
			n, err := unix.Splice(in, nil, p[1], nil, 4096, 0)
			r.must("splice in", err)
			for left := int(n); left > 0; {
				m, err := unix.Splice(p[0], nil, out, nil, left, 0)
				r.must("splice out", err)
				left -= int(m)
			}
			total += int(n)
		}
		r.read("g")
	}},
	{"space/clone", func(r *run) {
		r.file("f", "some content")
		in, out := r.open("f", unix.O_RDONLY, 0), r.open("g", unix.O_CREAT|unix.O_WRONLY, 0o644)
		r.err("clone", unix.IoctlFileClone(out, in))
		r.err("clone a range", unix.IoctlFileCloneRange(out, &unix.FileCloneRange{Src_fd: int64(in), Src_length: 4096}))
	}},
	{"space/blocks are the file's own", func(r *run) {
		r.file("f", strings.Repeat("b", 50000))
		fd := r.open("f", unix.O_RDWR, 0)
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
		r.must("ftruncate", unix.Ftruncate(fd, 5000))
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
		r.must("ftruncate", unix.Ftruncate(fd, 500000))
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
	}},
	{"space/copied by a program", func(r *run) {
		r.file("f", strings.Repeat("content ", 10000))
		r.must("truncate", unix.Truncate("f", 1<<20))
		r.must("chmod", unix.Chmod("f", 0o640))
		r.must("chown", unix.Chown("f", alice, staff))
		r.must("setxattr", unix.Setxattr("f", "user.k", []byte("v"), 0))
		r.must("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, "f", []unix.Timespec{{Sec: 1000, Nsec: 5}, {Sec: 2000, Nsec: 123456789}}, 0))
		r.command("cp", "-a", "f", "g")
		r.command("cmp", "f", "g")
		st := r.lstat("g")
		r.say("mtime %v", st.Mtim)
		r.dir("d", "d/e")
		r.file("d/e/x", "inner")
		r.must("symlink", unix.Symlink("e/x", "d/l"))
		r.must("link", unix.Link("d/e/x", "d/h"))
		r.command("sh", "-c", "tar cf a.tar d && mkdir out && tar xpf a.tar -C out && rm a.tar")
		r.command("rm", "-rf", "d")
		r.command("mv", "out/d", "d")
		r.list("d")
	}},
}

// command writes down what a program of the system says.
func (r *run) command(args ...string) {
	out, err := osCommand(args).CombinedOutput()
	r.say("%s: %q %s", strings.Join(args, " "), out, exitName(err))
}

// copy is one copy_file_range(2) with offsets of its own.
func (r *run) copy(what string, in int, inOff int64, out int, outOff int64, n int) {
	got, err := unix.CopyFileRange(in, &inOff, out, &outOff, n, 0)
	r.say("%s: %d %s, then %d %d", what, got, err, inOff, outOff)
}

func copyRange(r *run) {
	r.file("f", strings.Repeat("0123456789abcdef", 20000))
	in, out := r.open("f", unix.O_RDONLY, 0), r.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
	r.copy("head", in, 0, out, 0, 1000)
	r.copy("to a hole", in, 5, out, 100000, 70000)
	r.copy("up to the end", in, 319990, out, 200000, 1000)
	r.fstat(out)
	r.read("g")
	n, err := unix.CopyFileRange(in, nil, out, nil, 12345, 0)
	pos, _ := unix.Seek(in, 0, unix.SEEK_CUR)
	r.say("by position %d %s, then %d", n, err, pos)
	outside, err := os.CreateTemp("", "parity")
	r.must("temporary file", err)
	defer os.Remove(outside.Name())
	defer outside.Close()
	n, err = unix.CopyFileRange(in, new(int64), int(outside.Fd()), nil, 100, 0)
	r.say("to another filesystem %v", n == 100 || err == unix.EXDEV)
}
