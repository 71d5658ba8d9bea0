package parity

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// peer is another process that tries one lock and says what came of it:
// flock, read or write (fcntl over a range), ofd, or test (F_GETLK).
var peer = harness.Func("peer", func(args []string) error {
	fd, err := unix.Open(args[1], unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	start, length := int64(0), int64(0)
	if len(args) > 3 {
		start, _ = strconv.ParseInt(args[2], 10, 64)
		length, _ = strconv.ParseInt(args[3], 10, 64)
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	switch args[0] {
	case "flock":
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	case "shared":
		err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
	case "read":
		lk.Type = unix.F_RDLCK
		err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk)
	case "write":
		err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk)
	case "ofd":
		err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lk)
	case "test":
		if err = unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lk); err == nil {
			fmt.Printf("type %d start %d length %d by the parent %v ", lk.Type, lk.Start, lk.Len, int(lk.Pid) == os.Getppid())
		}
	}
	fmt.Println(errName(err))
	return nil
})

var lockScenarios = []scenario{
	{"lock/flock", func(r *run) {
		r.file("f", "x")
		fd := r.open("f", unix.O_RDWR, 0)
		r.err("exclusive", unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
		r.err("second descriptor", unix.Flock(r.open("f", unix.O_RDONLY, 0), unix.LOCK_SH|unix.LOCK_NB))
		r.other("other exclusive", "flock", "f")
		r.other("other shared", "shared", "f")
		r.err("to shared", unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB))
		r.other("other shared", "shared", "f")
		r.other("other exclusive", "flock", "f")
		r.err("unlock", unix.Flock(fd, unix.LOCK_UN))
		r.other("other exclusive", "flock", "f")
		r.must("lock", unix.Flock(fd, unix.LOCK_EX))
		r.must("rename", unix.Rename("f", "g"))
		r.other("under its new name", "flock", "g")
		r.must("close", unix.Close(fd))
		r.other("after close", "flock", "g")
	}},
	{"lock/fcntl ranges", func(r *run) {
		r.file("f", "0123456789")
		fd := r.open("f", unix.O_RDWR, 0)
		set := func(what string, typ int16, start, n int64) {
			r.err(what, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: typ, Start: start, Len: n}))
		}
		set("write 0-9", unix.F_WRLCK, 0, 10)
		r.other("overlap", "write", "f", "5", "10")
		r.other("beside", "write", "f", "10", "10")
		r.other("test", "test", "f", "3", "1")
		set("part read", unix.F_RDLCK, 2, 3)
		r.other("read part", "read", "f", "2", "3")
		r.other("write part", "write", "f", "2", "3")
		set("unlock middle", unix.F_UNLCK, 4, 2)
		r.other("test", "test", "f", "0", "0")
		r.other("middle", "write", "f", "4", "2")
		set("negative", unix.F_WRLCK, -5, 1)
		second := r.open("f", unix.O_RDONLY, 0)
		r.must("close", unix.Close(second))
		r.fds = r.fds[:len(r.fds)-1]
		r.other("any close releases all", "write", "f", "0", "1")
		rd := r.open("f", unix.O_RDONLY, 0)
		r.err("write lock by a reader", unix.FcntlFlock(uintptr(rd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	}},
	{"lock/open file description", func(r *run) {
		r.file("f", "0123456789")
		fd := r.open("f", unix.O_RDWR, 0)
		r.err("lock", unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 5}))
		second := r.open("f", unix.O_RDWR, 0)
		r.err("second descriptor", unix.FcntlFlock(uintptr(second), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 5}))
		r.other("other", "ofd", "f")
		r.other("classic", "write", "f", "0", "1")
		r.other("beside", "ofd", "f", "5", "1")
		r.other("flock is apart", "flock", "f")
	}},
	{"lock/through two names", func(r *run) {
		r.file("f", "x")
		r.must("link", unix.Link("f", "g"))
		fd := r.open("f", unix.O_RDWR, 0)
		r.must("lock", unix.Flock(fd, unix.LOCK_EX))
		r.other("second name", "flock", "g")
		r.err("fcntl", unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
		r.other("second name", "write", "g")
	}},
	{"lock/directory", func(r *run) {
		r.dir("d")
		a, b := r.open("d", unix.O_RDONLY, 0), r.open("d", unix.O_RDONLY, 0)
		r.err("lock", unix.Flock(a, unix.LOCK_EX|unix.LOCK_NB))
		r.err("again", unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB))
	}},
}
