package parity

import (
	"strings"

	"golang.org/x/sys/unix"
)

// clamp is a length larger than one FUSE request and not a multiple of it.
const clamp = 3<<20 + 17

var ioScenarios = []scenario{
	{"io/read and write", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.write(fd, "hello, world")
		r.pread(fd, 5, 0)
		r.pread(fd, 100, 7)
		r.pread(fd, 10, 12)
		r.pread(fd, 10, 1000)
		n, err := unix.Pwrite(fd, []byte("J"), 0)
		r.say("pwrite %d %s", n, err)
		n, err = unix.Pwrite(fd, []byte("far"), 10000)
		r.say("pwrite far %d %s", n, err)
		n, err = unix.Pwrite(fd, nil, 0)
		r.say("pwrite nothing %d %s", n, err)
		n, err = unix.Pread(fd, nil, 0)
		r.say("pread nothing %d %s", n, err)
		_, err = unix.Pwrite(fd, []byte("x"), -1)
		r.err("pwrite before the start", err)
		_, err = unix.Pread(fd, make([]byte, 1), -1)
		r.err("pread before the start", err)
		r.fstat(fd)
		r.read("f")
	}},
	{"io/large transfers", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		data := []byte(strings.Repeat("0123456789abcdef", clamp/16+1))[:clamp]
		n, err := unix.Write(fd, data)
		r.say("write %d %s", n, err)
		r.pread(fd, clamp+100, 0)
		r.pread(fd, 5000, 4090)
		n, err = unix.Pwrite(fd, []byte("across a page"), 4090)
		r.say("pwrite %d %s", n, err)
		r.read("f")
		r.fstat(fd)
	}},
	{"io/vectors", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		n, err := unix.Writev(fd, [][]byte{[]byte("one "), nil, []byte("two "), []byte("three")})
		r.say("writev %d %s", n, err)
		n, err = unix.Pwritev(fd, [][]byte{[]byte("TW"), []byte("O")}, 4)
		r.say("pwritev %d %s", n, err)
		a, b := make([]byte, 3), make([]byte, 20)
		n, err = unix.Preadv(fd, [][]byte{a, b}, 1)
		r.say("preadv %d %q %q %s", n, a, b, err)
		n, err = unix.Pwritev2(fd, [][]byte{[]byte("!")}, 0, unix.RWF_APPEND)
		r.say("pwritev2 append %d %s", n, err)
		n, err = unix.Pwritev2(fd, [][]byte{[]byte("O")}, 0, unix.RWF_DSYNC)
		r.say("pwritev2 sync %d %s", n, err)
		r.read("f")
	}},
	{"io/offsets", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.write(fd, "0123456789")
		for _, s := range []struct {
			off    int64
			whence int
		}{{3, unix.SEEK_SET}, {2, unix.SEEK_CUR}, {-4, unix.SEEK_END}, {-100, unix.SEEK_CUR}, {-1, unix.SEEK_SET}, {100, unix.SEEK_END}, {0, 9}} {
			off, err := unix.Seek(fd, s.off, s.whence)
			r.say("seek %d %d: %d %s", s.off, s.whence, off, err)
		}
		unix.Seek(fd, 20, unix.SEEK_SET)
		n, err := unix.Read(fd, make([]byte, 5))
		r.say("read behind the end %d %s", n, err)
		r.write(fd, "x")
		r.read("f")
	}},
	{"io/holes and data", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		for _, at := range []int64{64 << 10, 256 << 10} {
			_, err := unix.Pwrite(fd, make([]byte, 8192), at)
			r.must("pwrite", err)
		}
		r.must("ftruncate", unix.Ftruncate(fd, 512<<10))
		r.must("fsync", unix.Fsync(fd))
		for _, off := range []int64{0, 1, 64 << 10, 70 << 10, 72 << 10, 100 << 10, 260 << 10, 300 << 10, 512<<10 - 1, 512 << 10, 1 << 30, -1} {
			data, err := unix.Seek(fd, off, unix.SEEK_DATA)
			r.say("data from %d: %d %s", off, data, err)
			hole, err := unix.Seek(fd, off, unix.SEEK_HOLE)
			r.say("hole from %d: %d %s", off, hole, err)
		}
		pos, _ := unix.Seek(fd, 0, unix.SEEK_CUR)
		r.say("position %d", pos)
	}},
	{"io/holes of an empty file", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		_, err := unix.Seek(fd, 0, unix.SEEK_DATA)
		r.err("data", err)
		_, err = unix.Seek(fd, 0, unix.SEEK_HOLE)
		r.err("hole", err)
		r.write(fd, "small")
		hole, err := unix.Seek(fd, 0, unix.SEEK_HOLE)
		r.say("hole %d %s", hole, err)
	}},
	{"io/past four gigabytes", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		n, err := unix.Pwrite(fd, []byte("far out"), 5<<30)
		r.say("pwrite %d %s", n, err)
		n, err = unix.Pwrite(fd, []byte("edge"), 4<<30-2)
		r.say("pwrite %d %s", n, err)
		r.pread(fd, 10, 5<<30)
		r.pread(fd, 10, 4<<30-3)
		r.fstat(fd)
		off, err := unix.Seek(fd, 1<<32, unix.SEEK_DATA)
		r.say("data %d %s", off, err)
		off, err = unix.Seek(fd, -3, unix.SEEK_END)
		r.say("end %d %s", off, err)
		r.err("ftruncate", unix.Ftruncate(fd, 6<<30))
		r.fstat(fd)
		r.must("fsync", unix.Fsync(fd))
		r.say("blocks %d", r.lstat("f").Blocks)
	}},
	{"io/past the largest size", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		_, err := unix.Pwrite(fd, []byte("x"), 1<<62)
		r.err("pwrite", err)
		r.err("ftruncate", unix.Ftruncate(fd, 1<<62))
		r.err("ftruncate", unix.Ftruncate(fd, 17<<40))
		r.fstat(fd)
	}},
	{"io/file size limit", func(r *run) {
		var old unix.Rlimit
		r.must("getrlimit", unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.must("setrlimit", unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: old.Max}))
		defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
		n, err := unix.Pwrite(fd, make([]byte, 600), 600)
		r.say("across %d %s", n, err)
		n, err = unix.Pwrite(fd, make([]byte, 10), 1000)
		r.say("behind %d %s", n, err)
		r.err("ftruncate", unix.Ftruncate(fd, 2000))
		r.fstat(fd)
	}},
	{"io/truncate", func(r *run) {
		r.file("f", "0123456789")
		r.dir("d")
		r.must("symlink", unix.Symlink("f", "l"))
		was := r.clock("f")
		r.err("shorten", unix.Truncate("f", 4))
		r.moved("shorten", "f", was)
		r.read("f")
		r.err("lengthen through a link", unix.Truncate("l", 8))
		r.read("f")
		was = r.clock("f")
		r.err("same size", unix.Truncate("f", 8))
		r.moved("same size", "f", was)
		r.err("negative", unix.Truncate("f", -1))
		r.err("directory", unix.Truncate("d", 0))
		r.err("missing", unix.Truncate("no", 0))
		r.err("huge", unix.Truncate("f", 3<<30))
		r.stat("f")
		r.err("back", unix.Truncate("f", 0))
		r.stat("f")
	}},
	{"io/ftruncate under a reader", func(r *run) {
		r.file("f", strings.Repeat("x", 10000))
		rd, wr := r.open("f", unix.O_RDONLY, 0), r.open("f", unix.O_RDWR, 0)
		r.pread(rd, 20000, 0)
		r.err("ftruncate", unix.Ftruncate(wr, 5000))
		r.pread(rd, 20000, 0)
		r.err("ftruncate", unix.Ftruncate(wr, 9000))
		r.pread(rd, 20000, 4990)
		r.fstat(rd)
	}},
	{"io/direct", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
		page := aligned(8192)
		for i := range page {
			page[i] = byte('a' + i%26)
		}
		n, err := unix.Pwrite(fd, page, 4096)
		r.say("pwrite %d %s", n, err)
		in := aligned(16384)
		n, err = unix.Pread(fd, in, 0)
		r.say("pread %d %s %s", n, brief(in[:max(n, 0)]), err)
		n, err = unix.Pread(fd, in, 12288)
		r.say("pread at the end %d %s", n, err)
		buffered := r.open("f", unix.O_RDWR, 0)
		_, err = unix.Pwrite(buffered, []byte("buffered"), 5000)
		r.err("buffered", err)
		n, err = unix.Pread(fd, in, 4096)
		r.say("pread %d %s %s", n, brief(in[:max(n, 0)]), err)
		r.read("f")
	}},
	{"io/times follow writes", func(r *run) {
		r.file("f", "x")
		fd := r.open("f", unix.O_RDWR, 0)
		was := r.clock("f")
		r.write(fd, "y")
		r.moved("write", "f", was)
		was = r.clock("f")
		r.must("ftruncate", unix.Ftruncate(fd, 100))
		r.moved("ftruncate", "f", was)
		was = r.clock("f")
		r.must("fallocate", unix.Fallocate(fd, 0, 0, 20000))
		r.moved("fallocate", "f", was)
	}},
	{"io/fsync", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		r.write(fd, "x")
		r.err("fsync", unix.Fsync(fd))
		r.err("fdatasync", unix.Fdatasync(fd))
		r.err("sync_file_range", unix.SyncFileRange(fd, 0, 0, 7))
		r.err("syncfs", unix.Syncfs(fd))
		r.err("fsync a reader", unix.Fsync(r.open("f", unix.O_RDONLY, 0)))
		dir := r.open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		r.err("fsync a directory", unix.Fsync(dir))
		r.err("fdatasync a directory", unix.Fdatasync(dir))
		r.err("syncfs a directory", unix.Syncfs(dir))
	}},
	{"io/advice", func(r *run) {
		r.file("f", strings.Repeat("x", 100000))
		fd := r.open("f", unix.O_RDONLY, 0)
		for advice := range 6 {
			r.err("fadvise", unix.Fadvise(fd, 0, 0, advice))
		}
		r.err("bad advice", unix.Fadvise(fd, 0, 0, 99))
		r.err("readahead", rawCall(unix.SYS_READAHEAD, fd, 0, 65536))
		r.pread(fd, 10, 99995)
	}},
	{"io/descriptors", func(r *run) {
		fd := r.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
		dup, err := unix.Dup(fd)
		r.must("dup", err)
		r.write(fd, "abc")
		off, err := unix.Seek(dup, 0, unix.SEEK_CUR)
		r.say("shared offset %d %s", off, err)
		r.err("close", unix.Close(dup))
		r.write(fd, "def")
		r.read("f")
		r.err("close twice", unix.Close(dup))
	}},
}
