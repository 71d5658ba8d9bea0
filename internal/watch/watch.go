// Package watch tells of the changes that others make on a filesystem.
//
// It has two fanotify groups for each filesystem. One tells of names that come
// and go, by the directory's handle and the name; the other of what happens to
// a file itself, by the file's handle alone, which costs a writer half as much.
package watch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// What a Named event may say.
const (
	nameMask = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO | unix.FAN_ONDIR
	attrMask = unix.FAN_MODIFY | unix.FAN_ATTRIB | unix.FAN_MOVE_SELF | unix.FAN_CLOSE_WRITE | unix.FAN_ONDIR
)

// Name is a change of one name.
type Name struct {
	Dir      Object
	Name     string
	Mask     uint64
	Orphaned bool // names in directories that are gone by now were not told
}

// IsDir reports whether the name is, or was, that of a directory; Moved whether
// it came or went with what is below it.
func (n *Name) IsDir() bool { return n.Mask&unix.FAN_ONDIR != 0 }
func (n *Name) Moved() bool { return n.Mask&(unix.FAN_MOVED_FROM|unix.FAN_MOVED_TO) != 0 }
func (n *Name) Came() bool  { return n.Mask&(unix.FAN_CREATE|unix.FAN_MOVED_TO) != 0 }

// Listener is told of what others than this process have done. Named and Changed
// come from one goroutine each.
type Listener interface {
	Named(Name)
	Changed(Object)
	Lost()       // events were lost: anything may have changed
	Ended(error) // there will be no more
}

// Counts are the events read so far; Own were our own and not told.
type Counts struct{ Read, Own, Told uint64 }

// Watch is the watch on one filesystem.
type Watch struct {
	Dev uint64

	mount int  // any directory there, for handles
	plain bool // they have the inode number in them
	own   int32
	names int
	attrs int
	end   int // an eventfd that ends the wait for events
	done  sync.WaitGroup
	ended atomic.Bool
	fds   sync.RWMutex // held to use the descriptors by who is not waited for, and to close them

	read, dropped, told atomic.Uint64
}

// pause is the time between two reads while there are events. Meanwhile the
// kernel merges those of one process about one file; without it a writer of
// small blocks would wake us at each.
const pause = time.Millisecond

// bufferSize holds about a thousand events.
const bufferSize = 64 << 10

// Open marks the filesystem of the directory fd. The error says why it cannot be
// watched.
func Open(fd int) (*Watch, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, err
	}
	if !sys.Watchable(&fs) {
		return nil, errors.New("its filesystem can change in ways that this kernel does not tell of")
	}
	w := &Watch{Dev: st.Dev, plain: numbered(fd, st.Ino), mount: -1, names: -1, attrs: -1, own: int32(os.Getpid())}
	var err error
	if w.end, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, err
	}
	if w.names, err = group(fd, unix.FAN_REPORT_DFID_NAME, nameMask); err == nil {
		w.attrs, err = group(fd, unix.FAN_REPORT_FID, attrMask)
	}
	if err == nil {
		w.mount, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// group makes a fanotify group with a mark on the filesystem of fd.
func group(fd int, report uint, mask uint64) (int, error) {
	g, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|report, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fanotify_init: %w", err)
	}
	if err := unix.FanotifyMark(g, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, mask, fd, "."); err != nil {
		unix.Close(g)
		return -1, fmt.Errorf("fanotify_mark: %w", err)
	}
	return g, nil
}

// Run tells l of events from now on, until Close.
func (w *Watch) Run(l Listener) {
	w.done.Go(func() { w.run(w.names, l, w.name(l)) })
	w.done.Go(func() { w.run(w.attrs, l, w.attr(l)) })
}

// Close ends the watch and waits for what is being told.
func (w *Watch) Close() {
	w.ended.Store(true)
	w.Stop()
	w.done.Wait()
	w.fds.Lock()
	defer w.fds.Unlock()
	for _, fd := range []int{w.names, w.attrs, w.mount, w.end} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// writes are the events of somebody who writes.
const writes = unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE

// leaveOut are the flags of a mark that ends with its inode, and takes events away.
const leaveOut = unix.FAN_MARK_ADD | unix.FAN_MARK_IGNORE | unix.FAN_MARK_IGNORED_SURV_MODIFY | unix.FAN_MARK_EVICTABLE

// Ignore leaves out what is written to the file fd until Heed or the end of the
// file: an event costs a write of a page half its time. It needs Linux 6.0.
func (w *Watch) Ignore(fd int) error {
	return w.using(func() error { return unix.FanotifyMark(w.attrs, leaveOut, writes, fd, "") })
}

// Heed ends Ignore.
func (w *Watch) Heed(fd int) error {
	return w.using(func() error {
		return unix.FanotifyMark(w.attrs, unix.FAN_MARK_REMOVE|unix.FAN_MARK_IGNORE, writes, fd, "")
	})
}

// IgnoreIn leaves out the names of the directory fd, and what is done to a file by
// its name there, until the kernel forgets the directory. It needs Linux 6.0.
func (w *Watch) IgnoreIn(fd int) error {
	return w.using(func() error {
		if err := unix.FanotifyMark(w.names, leaveOut, nameMask, fd, ""); err != nil {
			return err
		}
		return unix.FanotifyMark(w.attrs, leaveOut, attrMask|unix.FAN_EVENT_ON_CHILD, fd, "")
	})
}

// using runs fn while the groups are open.
func (w *Watch) using(fn func() error) error {
	w.fds.RLock()
	defer w.fds.RUnlock()
	if w.ended.Load() {
		return os.ErrClosed
	}
	return fn()
}

// Counts are the events so far.
func (w *Watch) Counts() Counts { return Counts{w.read.Load(), w.dropped.Load(), w.told.Load()} }

// Stop ends the watch as a failure would.
func (w *Watch) Stop() { _, _ = unix.Write(w.end, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// await waits until the group g has events. Nobody waits during pause, so events
// wake nobody then; Go's poller would be woken by each.
func (w *Watch) await(g int) error {
	for {
		fds := []unix.PollFd{{Fd: int32(g), Events: unix.POLLIN}, {Fd: int32(w.end), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case fds[1].Revents != 0:
			return os.ErrClosed
		default:
			return nil
		}
	}
}

func (w *Watch) run(g int, l Listener, tell func(event) error) {
	buf := make([]byte, bufferSize)
	for {
		n, err := 0, w.await(g)
		if err == nil {
			n, err = unix.Read(g, buf)
		}
		switch {
		case err == nil:
			err = w.batch(buf[:n], l, tell)
		case err == unix.EINTR || err == unix.EAGAIN:
			err = nil
		}
		if w.ended.Load() {
			return
		}
		if err != nil {
			l.Ended(err)
			return
		}
		time.Sleep(pause)
	}
}

// batch tells of the events of one read.
func (w *Watch) batch(b []byte, l Listener, tell func(event) error) error {
	return parse(b, func(e event) {
		w.read.Add(1)
		switch {
		case e.mask&unix.FAN_Q_OVERFLOW != 0:
			l.Lost()
		case e.pid == w.own:
			w.dropped.Add(1)
		case len(e.handle) < 4 || tell(e) != nil:
			l.Lost()
		default:
			w.told.Add(1)
		}
	})
}

// gone reports that a handle's object does not exist any more.
func gone(err error) bool { return err == unix.ESTALE || err == unix.ENOENT }

// orphaned is for how long what was not told is told about: the removal of the
// directory comes within the same burst.
const orphaned = time.Minute

func (w *Watch) name(l Listener) func(event) error {
	var k known
	var orphan time.Time
	return func(e event) error {
		dir, err := k.resolve(w.mount, e.handle)
		if gone(err) {
			orphan = time.Now()
			return nil
		}
		if err == nil {
			l.Named(Name{dir, string(e.name), e.mask, !orphan.IsZero() && time.Since(orphan) < orphaned})
		}
		return err
	}
}

// attr tells of files by the number in the handle, if there is one: most are told of once,
// and to open each costs more than all the rest. It may be gone by then, and the number
// another's, for whom that is one word too many: it is asked for once more than it has to,
// and may be left out of the watch sooner.
func (w *Watch) attr(l Listener) func(event) error {
	var k known
	return func(e event) error {
		if ino, ok := number(e.handle); ok && w.plain {
			l.Changed(Object{w.Dev, ino})
			return nil
		}
		o, err := k.resolve(w.mount, e.handle)
		if gone(err) {
			return nil
		}
		if err == nil {
			l.Changed(o)
		}
		return err
	}
}
