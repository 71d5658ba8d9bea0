package tierfs

import (
	"sync/atomic"
	"time"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// fileHandle is one open(2) of a file.
type fileHandle struct {
	in     *inode.Inode
	opened *inode.Opened
	own    *tier.File   // with the client's flags; nil in passthrough
	maps   bool         // counted in opened.Mappable
	writes bool         // counted in opened.Writers
	debt   debt         // the descriptors that it stands for
	users  atomic.Int32 // ops under way, and one until the release
}

// use finds a handle for an op, which calls done when it needs it no more. Its
// descriptors stay open until then, released or not: a number that is closed
// under a call that hangs becomes another file's.
func (fs *FS) use(r *fusedev.Request, id uint64) (h *fileHandle, done func(), err error) {
	h, err = fs.files.get(id, func(h *fileHandle) { h.users.Add(1) })
	if err != nil {
		return nil, nil, err
	}
	r.On(h.opened.File.Tier.Rank)
	return h, func() { fs.disuse(h) }, nil
}

// disuse ends one use of a handle; the last closes it.
func (fs *FS) disuse(h *fileHandle) {
	if h.users.Add(-1) == 0 {
		h.in.Mu.Lock()
		defer h.in.Mu.Unlock()
		fs.closeHandle(h)
	}
}

// data is the descriptor for reading, and for writing with the client's flags.
func (h *fileHandle) data() *tier.File {
	if h.own != nil {
		return h.own
	}
	return h.opened.File
}

// writable is a descriptor for ops that change the file by offset.
func (h *fileHandle) writable() (*tier.File, error) { return h.opened.Writable() }

// open serves OPEN. The first open of an inode decides between passthrough and
// data through the daemon for all handles until the last is gone; in
// passthrough a further open costs no open(2).
func (fs *FS) open(r *fusedev.Request, op *fuseops.OpenFileOp) error {
	in, err := fs.get(uint64(op.Inode))
	if err != nil {
		return err
	}
	flags := int(op.OpenFlags)
	debt, err := fs.charge(r.UID, flags)
	if err != nil {
		return err
	}
	err = fs.openNow(r, in, flags, debt)
	for end := time.Now().Add(leaseTime); err == unix.EAGAIN && flags&unix.O_NONBLOCK == 0 && time.Now().Before(end); {
		r.MaySlow()
		time.Sleep(leasePoll)
		err = fs.openNow(r, in, flags, debt)
	}
	if err != nil {
		fs.refund(debt)
	}
	return err
}

// Somebody may hold a lease on the backing file out of band (fcntl(2),
// F_SETLEASE; Samba does). An open(2) that must not wait, as ours, asks him to
// give it up and is EAGAIN until he does, or until the kernel takes it from him
// (/proc/sys/fs/lease-break-time, 45 s). The client's may wait, without keeping
// the file locked for others.
const (
	leaseTime = time.Minute
	leasePoll = 10 * time.Millisecond
)

// openNow opens the file and answers, unless it returns an error.
func (fs *FS) openNow(r *fusedev.Request, in *inode.Inode, flags int, debt debt) error {
	in.Mu.Lock()
	defer in.Mu.Unlock()
	h, err := fs.openHandle(r, in, flags)
	if err != nil {
		return err
	}
	fs.owe(h, debt)
	if h.maps && fs.Options().AttrTTL > 0 || fs.coherence.on.Load() && writing(flags) {
		fs.srv.InvalAttr(in.ID) // see attrs
	}
	o := fs.opened(h)
	if !r.Opened(o) {
		fs.files.remove(o.Handle)
		fs.closeHandle(h)
	}
	return nil
}

// openHandle opens the file once more.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) openHandle(r *fusedev.Request, in *inode.Inode, flags int) (*fileHandle, error) {
	var st unix.Stat_t
	first, err := fs.ensureOpen(r, in, &st, flags)
	if err != nil {
		return nil, err
	}
	h, err := fs.newHandle(in, flags, first)
	if err != nil {
		fs.closeIfIdle(in)
		return nil, err
	}
	// Last: an open that fails must leave the content.
	if flags&unix.O_TRUNC != 0 {
		if err := fs.truncateOpen(r, in.Opened().File); err != nil {
			fs.closeHandle(h)
			return nil, err
		}
	}
	fs.tellUsed(r, in, &st)
	return h, nil
}

// ensureOpen opens the backing file unless a handle has it open. own is a
// descriptor for this handle alone, if the daemon may not read the file.
//
// In passthrough the kernel opens the backing file for the client by itself,
// and makes EIO of what that says (fuse_file_io_open). So what open(2) has to
// say against writing, a read-only filesystem, an immutable file, a program
// that runs, is found out here.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) ensureOpen(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t, flags int) (own *tier.File, err error) {
	if in.Opened() == nil {
		return fs.openFirst(r, in, st, flags)
	}
	return nil, fs.mayOpenAgain(in, st, flags)
}

// mayOpenAgain judges one more open of an open file.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) mayOpenAgain(in *inode.Inode, st *unix.Stat_t, flags int) error {
	if err := in.Opened().File.Stat(st); err != nil {
		return err
	}
	if err := fs.asTold(in, st); err != nil {
		return err
	}
	return mayWrite(in.Opened(), flags)
}

// openFirst opens the backing file for the first handle.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) openFirst(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t, flags int) (own *tier.File, err error) {
	fs.movings.giveWay(in)
	writes := writing(flags) && flags&unix.O_APPEND == 0
	mode := unix.O_RDONLY
	if writes {
		mode = unix.O_RDWR
	}
	f, err := fs.openFound(in, st, mode|unix.O_NONBLOCK)
	if err == unix.EACCES {
		// The daemon may write what it cannot read, as an ordinary user's.
		if own, err = fs.openFound(in, st, clientFlags(flags)|unix.O_NONBLOCK); err == nil {
			if f, err = own.Reopen(unix.O_PATH); err != nil {
				own.Close()
			}
			writes = false
		}
	}
	if err != nil {
		return nil, err
	}
	if err := fs.asTold(in, st); err != nil {
		f.Close()
		if own != nil {
			own.Close()
		}
		return nil, err
	}
	o := &inode.Opened{File: f, Writes: writes}
	if own == nil && !writes {
		if err := mayWrite(o, flags); err != nil {
			f.Close()
			return nil, err
		}
	}
	o.Backing = fs.register(r, f, st)
	in.SetOpened(o)
	return own, nil
}

// writing reports whether flags ask for more than reading.
func writing(flags int) bool {
	return flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
}

// mayWrite is what open(2) says against opening an open file once more with
// flags. One that the daemon has open for writing can only have become
// immutable or append-only since (ioctl_iflags(2)).
func mayWrite(o *inode.Opened, flags int) error {
	if !writing(flags) {
		return nil
	}
	if flags&unix.O_APPEND != 0 {
		f, err := o.File.Reopen(clientFlags(flags))
		if err == nil {
			f.Close()
		}
		return err
	}
	f, err := o.Writable()
	if err != nil {
		return err
	}
	var sx unix.Statx_t
	if err := f.Statx(0, unix.STATX_TYPE, &sx); err != nil {
		return err
	}
	if sx.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return unix.EPERM
	}
	return nil
}

// truncateOpen is open(2)'s O_TRUNC, which unlike truncate(2) renews the times
// of an empty file too.
func (fs *FS) truncateOpen(r *fusedev.Request, f *tier.File) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	return fs.asWriter(r, f.Tier, &st, func() error {
		w, err := f.Reopen(unix.O_WRONLY | unix.O_TRUNC)
		if err == nil {
			w.Close()
		}
		return err
	})
}

// register asks for passthrough of a file just opened; 0 is none. The kernel
// writes with the credentials given here.
func (fs *FS) register(r *fusedev.Request, f *tier.File, st *unix.Stat_t) int32 {
	if !fs.wantPass || !fs.pass.Enabled() || fs.options.Load().Sync {
		return 0 // the kernel would write past the sync of the mount
	}
	var id int32
	fs.asWriter(r, f.Tier, st, func() error {
		id = fs.pass.Register(f.FD, f.Tier.Root)
		return nil
	})
	return id
}

// clientFlags are those of the client's open(2) that its own descriptor needs
// when data goes through the daemon. The kernel has resolved O_DIRECT by then.
func clientFlags(flags int) int {
	return flags & (unix.O_ACCMODE | unix.O_APPEND | unix.O_DSYNC | unix.O_SYNC | unix.O_NONBLOCK | unix.O_NOATIME)
}

// newHandle makes the handle of an open file. own, if not nil, becomes its
// descriptor.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) newHandle(in *inode.Inode, flags int, own *tier.File) (*fileHandle, error) {
	h := &fileHandle{in: in, opened: in.Opened()}
	h.users.Store(1)
	if h.opened.Backing == 0 {
		if own == nil {
			f, err := h.opened.File.Reopen(clientFlags(flags))
			if err != nil {
				return nil, err
			}
			own = f
		}
		h.own = own
	} else {
		if own != nil {
			own.Close()
		}
		if h.maps = flags&unix.O_ACCMODE == unix.O_RDWR; h.maps {
			h.opened.Mappable.Add(1)
			in.Mapped.Store(true)
		}
		if h.writes = writing(flags); h.writes {
			fs.coherence.written(h.opened)
		}
	}
	h.opened.Handles++
	return h, nil
}

// opened enters a handle and says what the kernel is told of it. Without
// FOPEN_NOFLUSH, close(2) would wait for a FLUSH that a local filesystem has
// no use for.
func (fs *FS) opened(h *fileHandle) fusedev.Open {
	o := fusedev.Open{Handle: fs.files.add(h)}
	if !h.opened.File.Tier.Network {
		o.Flags |= fusedev.OpenNoFlush
	}
	if h.opened.Backing > 0 {
		o.Flags |= fusedev.OpenPassthrough
		o.BackingID = h.opened.Backing
	}
	return o
}

func (fs *FS) release(id uint64) {
	if h, ok := fs.files.remove(id); ok {
		fs.disuse(h)
	}
}

// closeHandle gives up a handle, and with the last one the open file.
//
// LOCKS_REQUIRED(h.in.Mu)
func (fs *FS) closeHandle(h *fileHandle) {
	if h.own != nil {
		h.own.Close()
	}
	if h.maps {
		h.opened.Mappable.Add(-1)
	}
	if h.writes {
		fs.coherence.closed(h.in, h.opened)
	}
	fs.refund(h.debt)
	h.opened.Handles--
	fs.closeIfIdle(h.in)
}

// LOCKS_REQUIRED(in.Mu)
func (fs *FS) closeIfIdle(in *inode.Inode) {
	o := in.Opened()
	if o == nil || o.Handles > 0 {
		return
	}
	if o.Backing > 0 {
		fs.pass.Drop(o.Backing)
	}
	in.SetOpened(nil)
	o.Close()
}
