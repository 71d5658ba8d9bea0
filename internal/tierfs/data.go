package tierfs

import (
	"sync"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// buffers hold the data of READs, up to the largest the kernel asks for.
var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

// read serves READ, for files that are not in passthrough.
func (fs *FS) read(r *fusedev.Request, op *fusedev.ReadOp) error {
	h, done, err := fs.use(r, op.Handle)
	if err != nil {
		return err
	}
	defer done()
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	n, err := h.data().Pread((*b)[:min(op.Size, len(*b))], op.Offset)
	if err != nil {
		return err
	}
	r.Data((*b)[:n])
	return nil
}

// write serves WRITE, for files that are not in passthrough. Pages of a shared
// mapping are written back through whatever handle the kernel finds; with
// O_APPEND on it they would land at the end.
func (fs *FS) write(r *fusedev.Request, op *fusedev.WriteOp) error {
	h, done, err := fs.use(r, op.Handle)
	if err != nil {
		return err
	}
	defer done()
	f := h.data()
	if op.Cached || h.own == nil {
		if f, err = h.writable(); err != nil {
			return err
		}
	}
	var n int
	err = fs.allocating(r, f, func() (err error) {
		n, err = f.Pwrite(op.Data, op.Offset)
		return err
	})
	if err != nil {
		return err
	}
	r.Written(n)
	return nil
}

// allocating runs fn, by which r's client writes to f or takes up space for it.
func (fs *FS) allocating(r *fusedev.Request, f *tier.File, fn func() error) error {
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return err
	}
	return fs.asWriter(r, f.Tier, &st, fn)
}

// sync serves FSYNC and FSYNCDIR. A directory is synced on every tier that has
// it.
func (fs *FS) sync(r *fusedev.Request, op *fusedev.SyncOp) error {
	if !op.Dir {
		h, done, err := fs.use(r, op.Handle)
		if err != nil {
			return err
		}
		defer done()
		return h.data().Sync(op.DataOnly)
	}
	in, err := fs.getDir(op.Node)
	if err != nil {
		return err
	}
	return fs.syncDir(in)
}

// flush serves FLUSH, which only files on network filesystems ask for.
func (fs *FS) flush(r *fusedev.Request, op *fuseops.FlushFileOp) error {
	h, done, err := fs.use(r, uint64(op.Handle))
	if err != nil {
		return err
	}
	defer done()
	return h.data().Flush()
}

func (fs *FS) fallocate(r *fusedev.Request, op *fuseops.FallocateOp) error {
	h, done, err := fs.use(r, uint64(op.Handle))
	if err != nil {
		return err
	}
	defer done()
	f, err := h.writable()
	if err != nil {
		return err
	}
	return fs.allocating(r, f, func() error { return f.Fallocate(op.Mode, int64(op.Offset), int64(op.Length)) })
}

// lseek serves SEEK_HOLE and SEEK_DATA.
func (fs *FS) lseek(r *fusedev.Request, op *fusedev.LseekOp) error {
	h, done, err := fs.use(r, op.Handle)
	if err != nil {
		return err
	}
	defer done()
	pos, err := h.data().Seek(op.Offset, op.Whence)
	if err != nil {
		return err
	}
	r.Uint64(uint64(pos))
	return nil
}

// copyRange serves copy_file_range(2) between files of one tier. For others
// EXDEV makes the kernel copy through its page cache.
func (fs *FS) copyRange(r *fusedev.Request, op *fusedev.CopyFileRangeOp) error {
	from, done, err := fs.use(r, op.Handle)
	if err != nil {
		return err
	}
	defer done()
	to, done, err := fs.use(r, op.HandleOut)
	if err != nil {
		return err
	}
	defer done()
	src := from.data()
	dst, err := to.writable()
	if err != nil {
		return err
	}
	if src.Tier != dst.Tier {
		return unix.EXDEV
	}
	var n int
	err = fs.allocating(r, dst, func() (err error) {
		n, err = src.CopyRange(op.Offset, dst, op.OffsetOut, int(min(op.Len, 1<<30)), op.Flags)
		return err
	})
	if err == nil {
		err = fs.settleFile(dst)
	}
	switch {
	case err != nil:
		return err
	case op.Wide:
		r.Uint64(uint64(n))
	default:
		r.Written(n)
	}
	return nil
}
