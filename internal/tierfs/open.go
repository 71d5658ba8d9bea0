package tierfs

import (
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
	own    *tier.File // with the client's flags; nil in passthrough
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
	in.Mu.Lock()
	defer in.Mu.Unlock()
	var st unix.Stat_t
	first, err := fs.ensureOpen(in, &st, flags)
	if err != nil {
		return err
	}
	h, err := fs.newHandle(in, flags, first)
	if err != nil {
		fs.closeIfIdle(in)
		return err
	}
	o := fs.opened(h)
	if !r.Opened(o) {
		fs.files.remove(o.Handle)
		fs.closeHandle(h)
	}
	return nil
}

// ensureOpen opens the backing file unless a handle has it open, and truncates
// it for O_TRUNC. first is a descriptor opened with the client's flags, if the
// daemon may not read the file or must not register it.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) ensureOpen(in *inode.Inode, st *unix.Stat_t, flags int) (first *tier.File, err error) {
	if in.Open != nil {
		if flags&unix.O_TRUNC != 0 {
			return nil, fs.truncateOpen(in.Open.File)
		}
		return nil, nil
	}
	f, err := fs.openFound(in, st, unix.O_RDONLY|unix.O_NONBLOCK)
	if err == unix.EACCES || err == unix.EPERM {
		// An ordinary user's daemon may write what it cannot read.
		if first, err = fs.openFound(in, st, clientFlags(flags)&^unix.O_TRUNC); err == nil {
			f, err = first.Reopen(unix.O_PATH)
		}
	}
	if err != nil {
		return nil, err
	}
	in.Open = &inode.Opened{File: f, Backing: fs.register(f, st)}
	if flags&unix.O_TRUNC != 0 {
		if err := fs.truncateOpen(f); err != nil {
			fs.closeIfIdle(in)
			return first, err
		}
	}
	return first, nil
}

// truncateOpen is open(2)'s O_TRUNC, which unlike truncate(2) renews the times
// of an empty file too.
func (fs *FS) truncateOpen(f *tier.File) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	return fs.asWriter(f.Tier, &st, func() error {
		w, err := f.Reopen(unix.O_WRONLY | unix.O_TRUNC)
		if err == nil {
			w.Close()
		}
		return err
	})
}

// register asks for passthrough of a file just opened; 0 is none. The kernel
// writes with the credentials given here.
func (fs *FS) register(f *tier.File, st *unix.Stat_t) int32 {
	if !fs.wantPass || !fs.pass.Enabled() {
		return 0
	}
	var id int32
	fs.asWriter(f.Tier, st, func() error {
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
	h := &fileHandle{in: in, opened: in.Open}
	if in.Open.Backing == 0 {
		if own == nil {
			f, err := in.Open.File.Reopen(clientFlags(flags))
			if err != nil {
				return nil, err
			}
			own = f
		}
		h.own = own
	} else if own != nil {
		own.Close()
	}
	in.Open.Handles++
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
	h, ok := fs.files.remove(id)
	if !ok {
		return
	}
	h.in.Mu.Lock()
	defer h.in.Mu.Unlock()
	fs.closeHandle(h)
}

// closeHandle gives up a handle, and with the last one the open file.
//
// LOCKS_REQUIRED(h.in.Mu)
func (fs *FS) closeHandle(h *fileHandle) {
	if h.own != nil {
		h.own.Close()
	}
	h.opened.Handles--
	fs.closeIfIdle(h.in)
}

// LOCKS_REQUIRED(in.Mu)
func (fs *FS) closeIfIdle(in *inode.Inode) {
	if in.Open == nil || in.Open.Handles > 0 {
		return
	}
	if in.Open.Backing > 0 {
		fs.pass.Drop(in.Open.Backing)
	}
	in.Open.Close()
	in.Open = nil
}
