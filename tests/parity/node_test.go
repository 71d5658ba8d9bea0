package parity

import (
	"net"

	"golang.org/x/sys/unix"
)

var nodeScenarios = []scenario{
	{"node/every type", func(r *run) {
		for _, n := range []struct {
			name string
			mode uint32
			dev  uint64
		}{
			{"file", unix.S_IFREG | 0o640, 0}, {"plain", 0o600, 0}, {"fifo", unix.S_IFIFO | 0o644, 0}, {"sock", unix.S_IFSOCK | 0o644, 0},
			{"char", unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)}, {"block", unix.S_IFBLK | 0o600, unix.Mkdev(259, 70000)},
			{"whiteout", unix.S_IFCHR, 0}, {"dir", unix.S_IFDIR | 0o755, 0}, {"link", unix.S_IFLNK | 0o777, 0},
		} {
			r.err("mknod "+n.name, unix.Mknod(n.name, n.mode, int(n.dev)))
			r.stat(n.name)
		}
		r.err("existing", unix.Mknod("fifo", unix.S_IFIFO|0o644, 0))
	}},
	{"node/null device", func(r *run) {
		r.must("mknod", unix.Mknod("null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		fd := r.open("null", unix.O_RDWR, 0)
		r.write(fd, "swallowed")
		r.pread(fd, 10, 0)
		r.fstat(fd)
	}},
	{"node/fifo", func(r *run) {
		r.must("mkfifo", unix.Mkfifo("p", 0o644))
		r.tryOpen("no reader", "p", unix.O_WRONLY|unix.O_NONBLOCK, 0)
		rd := r.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
		wr := r.open("p", unix.O_WRONLY, 0)
		r.write(wr, "through the pipe")
		b := make([]byte, 100)
		n, err := unix.Read(rd, b)
		r.say("read %q %s", b[:max(n, 0)], err)
		r.must("unlink", unix.Unlink("p"))
		r.write(wr, "still")
		n, err = unix.Read(rd, b)
		r.say("read %q %s", b[:max(n, 0)], err)
		_, err = unix.Seek(rd, 0, unix.SEEK_SET)
		r.err("seek", err)
	}},
	{"node/socket", func(r *run) {
		l, err := net.Listen("unix", "s")
		r.must("listen", err)
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		r.stat("s")
		c, err := net.Dial("unix", "s")
		r.must("dial", err)
		s, err := l.Accept()
		r.must("accept", err)
		c.Write([]byte("hello"))
		b := make([]byte, 5)
		s.Read(b)
		r.say("got %q", b)
		c.Close()
		s.Close()
		l.Close()
		_, err = net.Dial("unix", "s")
		r.err("nobody listens", err)
		r.tryOpen("open", "s", unix.O_RDONLY, 0)
		_, err = net.Listen("unix", "s")
		r.err("name is taken", err)
	}},
}
