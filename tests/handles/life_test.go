package handles

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestUnlinkedFileWorksOn is the temporary file of every database.
func TestUnlinkedFileWorksOn(t *testing.T) {
	everywhere(t, func(p place) {
		harness.Write(p, filepath.Join(p.home, "f"), "content")
		fd := p.open("f", unix.O_RDWR)
		mem := p.mmap(fd, 4096)
		p.ok("unlink", unix.Unlink(filepath.Join(p.dir, "f")))
		p.pwrite(fd, "CON", 0)
		p.wantAt(fd, 0, "CONtent")
		if string(mem[:7]) != "CONtent" {
			p.Errorf("the map shows %q", mem[:7])
		}
		p.ok("fchmod", unix.Fchmod(fd, 0o600))
		p.ok("fchown", unix.Fchown(fd, 1, 2))
		p.ok("ftruncate", unix.Ftruncate(fd, 10000))
		p.ok("fallocate", unix.Fallocate(fd, 0, 0, 20000))
		p.ok("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
		p.ok("fsync", unix.Fsync(fd))
		var st unix.Stat_t
		p.ok("fstat", unix.Fstat(fd, &st))
		if st.Nlink != 0 || st.Mode&0o777 != 0o600 || st.Uid != 1 || st.Size != 20000 {
			p.Errorf("fstat: nlink %d mode %o owner %d size %d", st.Nlink, st.Mode, st.Uid, st.Size)
		}
		time.Sleep(1200 * time.Millisecond) // past the attributes' time-out
		p.ok("fstat", unix.Fstat(fd, &st))
		p.wantAt(fd, 0, "CONtent")
	})
}

// TestFileRemovedBehindTheMountStaysReadable for those who have it open.
func TestFileRemovedBehindTheMountStaysReadable(t *testing.T) {
	everywhere(t, func(p place) {
		harness.Write(p, filepath.Join(p.home, "f"), "content")
		fd := p.open("f", unix.O_RDWR)
		harness.Remove(p, filepath.Join(p.home, "f"))
		p.wantAt(fd, 0, "content")
		p.pwrite(fd, "x", 0)
		var st unix.Stat_t
		p.ok("fstat", unix.Fstat(fd, &st))
	})
}

// TestManyHandlesOfOneFile: the kernel takes one backing ID an inode, and
// gives EIO to an open with another.
func TestManyHandlesOfOneFile(t *testing.T) {
	everywhere(t, func(p place) {
		harness.Write(p, filepath.Join(p.home, "f"), "content")
		p.ok("link", unix.Link(filepath.Join(p.home, "f"), filepath.Join(p.home, "g")))
		modes := []int{unix.O_RDONLY, unix.O_RDWR, unix.O_WRONLY, unix.O_WRONLY | unix.O_APPEND, unix.O_RDWR | unix.O_SYNC, unix.O_RDONLY | unix.O_DIRECT}
		var fds []int
		for i := range 120 {
			name := []string{"f", "g"}[i%2]
			fd, err := unix.Open(filepath.Join(p.dir, name), modes[i%len(modes)], 0)
			if err != nil {
				p.Fatalf("open %d: %v", i, err)
			}
			fds = append(fds, fd)
			if i%3 == 2 { // the first ones go before the last ones come
				unix.Close(fds[0])
				fds = fds[1:]
			}
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		rd := p.open("f", unix.O_RDONLY)
		p.wantAt(rd, 0, "content")
	})
}

// TestOpenAndCloseLeavesNoDescriptor: Down compares the daemon's descriptors.
func TestOpenAndCloseLeavesNoDescriptor(t *testing.T) {
	everywhere(t, func(p place) {
		for i := range 300 {
			name := filepath.Join(p.dir, fmt.Sprint(i))
			harness.Write(p, name, "x")
			harness.Read(p, name)
			os.ReadDir(p.dir)
			if i%2 == 0 {
				harness.Remove(p, name)
			}
		}
		p.m.CheckFDs()
	})
}

// lock tries one lock in a process of its own.
var lock = harness.Func("lock", func(args []string) error {
	fd, err := unix.Open(args[1], unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	switch args[0] {
	case "flock":
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	case "fcntl":
		err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10})
	case "ofd":
		err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10})
	case "wait":
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err == unix.EAGAIN {
		fmt.Print("busy")
		return nil
	}
	fmt.Print("got it")
	return err
})

func TestLocksHoldBetweenProcesses(t *testing.T) {
	everywhere(t, func(p place) {
		path := filepath.Join(p.dir, "f")
		harness.Write(p, path, "x")
		try := func(kind, want string) {
			p.Helper()
			out, err := lock.Cmd(kind, path).Output()
			if err != nil || string(out) != want {
				p.Errorf("%s: %s, %v, want %s", kind, out, err, want)
			}
		}
		fd := p.open("f", unix.O_RDWR)
		p.ok("flock", unix.Flock(fd, unix.LOCK_EX))
		try("flock", "busy")
		try("fcntl", "got it")
		p.ok("fcntl", unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 15, Len: 10}))
		try("fcntl", "busy")
		try("ofd", "busy")
		p.ok("unlock", unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
		try("fcntl", "got it")
		waiter := lock.Cmd("wait", path)
		p.ok("start", waiter.Start())
		time.Sleep(50 * time.Millisecond)
		p.ok("unlock", unix.Flock(fd, unix.LOCK_UN))
		p.ok("a waiter gets the lock", waiter.Wait())
		try("flock", "got it")
	})
}

// mapper maps a file shared, waits for a byte and writes another.
var mapper = harness.Func("mapper", func(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); mem[0] != 'a'; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("the other process's byte does not arrive")
		}
	}
	mem[1] = 'b'
	return nil
})

func TestSharedMapsOfTwoProcessesAreOneMemory(t *testing.T) {
	everywhere(t, func(p place) {
		fd := p.open("f", unix.O_CREAT|unix.O_RDWR)
		p.ok("ftruncate", unix.Ftruncate(fd, 4096))
		mem := p.mmap(fd, 4096)
		other := mapper.Cmd(filepath.Join(p.dir, "f"))
		p.ok("start", other.Start())
		mem[0] = 'a'
		p.ok("the other process", other.Wait())
		if mem[1] != 'b' {
			p.Errorf("the other process's byte is %q", mem[1])
		}
		p.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		if got := harness.Read(p, filepath.Join(p.home, "f"))[:2]; got != "ab" {
			p.Errorf("the backing file begins with %q", got)
		}
	})
}

// TestMapSurvivesRenames of its directory and of the file itself.
func TestMapSurvivesRenames(t *testing.T) {
	everywhere(t, func(p place) {
		harness.Mkdir(p, filepath.Join(p.home, "sub"))
		harness.Write(p, filepath.Join(p.home, "sub/f"), "content of the file")
		fd := p.open("sub/f", unix.O_RDWR)
		mem := p.mmap(fd, 19)
		harness.Rename(p, filepath.Join(p.dir, "sub"), filepath.Join(p.dir, "sub2"))
		harness.Rename(p, filepath.Join(p.dir, "sub2/f"), filepath.Join(p.dir, "g"))
		copy(mem, "CONTENT")
		p.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		harness.WantRead(p, filepath.Join(p.home, "g"), "CONTENT of the file")
	})
}
