package daemon

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// GuardName is what ps(1) shows of a guard.
const GuardName = "tierfs-guard"

// Descriptors that a guard is started with.
const (
	guardedFD = 3 // a thread of the daemon
	abortFD   = 4 // ends the connection
	deviceFD  = 5 // is of it
)

// Guard is a process that ends a FUSE connection when the daemon dies, and makes the
// kernel forget what it was told: it would go on to list directories for an hour, and a backup
// would find nothing wrong.
//
// The kernel ends it by itself when the last descriptor of the connection is
// closed. But a thread that tells it to forget a name waits for the directory's
// lock, and not even SIGKILL ends that wait (fuse_reverse_inval_entry). The lock
// may be held by a client whose op the daemon has not answered: with the daemon
// killed in between, the thread keeps the descriptors open, the client waits for an
// answer for ever, and the thread for the client.
type Guard struct {
	argv   []string
	env    []string
	self   *os.File // a thread of ours
	abort  *os.File
	device *os.File
}

// NewGuard prepares to guard the connection of the mount with the minor device
// number, which device is of. args are what the process is told, and env are its
// variables. It needs root, and Linux 6.9 (PIDFD_THREAD: the other
// threads may be stuck).
func NewGuard(minor uint32, device *os.File, args []string, env ...string) (*Guard, error) {
	abort, err := openAbort(minor)
	if err != nil {
		return nil, err
	}
	self, err := unix.PidfdOpen(idleThread(), unix.PIDFD_THREAD)
	if err != nil {
		abort.Close()
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	return &Guard{argv: append([]string{GuardName}, args...), env: env, self: os.NewFile(uintptr(self), "self"), abort: abort, device: device}, nil
}

// idleThread is the number of a thread that does nothing until the process dies.
// It is not the first one: while others are stuck, the end of that is not told
// (pidfd_poll, delay_group_leader).
func idleThread() int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			tid <- idleThread()
			runtime.UnlockOSThread()
			return
		}
		tid <- unix.Gettid()
		select {}
	}()
	return <-tid
}

// openAbort opens the file that ends a connection (fuse.rst, "Control filesystem").
// What is open means this connection and no later one with its number. The control
// filesystem is mounted nowhere, for systems that have not done so.
func openAbort(minor uint32) (*os.File, error) {
	fs, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen fusectl: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig fusectl: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fsmount fusectl: %w", err)
	}
	defer unix.Close(mount)
	name := strconv.FormatUint(uint64(minor), 10) + "/abort"
	fd, err := unix.Openat(mount, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s of fusectl: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Connection names the connection of the mount with the minor device number, and no
// other that had the number before or will have it, by a file of the control
// filesystem. The name holds for as long as that is open: nothing else may keep the
// filesystem, whose files are made anew when it is mounted again. The name is the
// number alone, and no file is open, if the connection cannot be seen.
func Connection(minor uint32) (name string, f *os.File) {
	name = strconv.FormatUint(uint64(minor), 10)
	f, err := openAbort(minor)
	if err != nil {
		return name, nil
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		f.Close()
		return name, nil
	}
	return fmt.Sprintf("%s.%d", name, st.Ino), f
}

// Start starts the process. Whoever waits for it learns that it has ended before
// its time.
func (g *Guard) Start() (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.StartProcess("/proc/self/exe", g.argv, &os.ProcAttr{
		Dir:   "/",
		Env:   g.env,
		Files: []*os.File{null, null, null, guardedFD: g.self, abortFD: g.abort, deviceFD: g.device},
		Sys:   &unix.SysProcAttr{Setsid: true},
	})
}

// RunGuard is what the process does; ended is called with the connection when that has been
// ended. Signals for a whole service are not for it: it ends with the daemon, by itself.
func RunGuard(ended func(device *os.File)) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	NameProcess(GuardName)
	fds := []unix.PollFd{{Fd: guardedFD, Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	_, err := unix.Write(abortFD, []byte("1"))
	ended(os.NewFile(deviceFD, "/dev/fuse"))
	return err
}
