package faultfs

import (
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is a filesystem all of whose calls pass the gate. FORGET and the
// releases have no answer, and pass freely.
type disk struct {
	fuse.RawFileSystem
	gate *gate
	n    int
	born int64 // goes into the numbers that are made: another server makes others

	mu      sync.Mutex
	numbers map[uint64]uint64 // the first that a node had, by its ID; GUARDED_BY(mu)
}

type cancel = <-chan struct{}

func (d *disk) pass(op, name string, fn func() fuse.Status) fuse.Status {
	return d.gate.pass(Call{d.n, op, name}, func(bool) fuse.Status { return fn() })
}

// Init keeps the connection from the loopback, so that it passes no file
// through the kernel: every read and write comes here.
func (d *disk) Init(*fuse.Server) {}

// names is pass for what answers a name with a node.
func (d *disk) names(op string, dir uint64, name string, out *fuse.EntryOut, fn func() fuse.Status) fuse.Status {
	status := d.pass(op, name, fn)
	if status.Ok() && out.NodeId != 0 && d.gate.lacks(func(p *Plan) bool { return p.NoNumbers }) {
		d.number(dir, name, out)
	}
	return status
}

// numbered is for how long the kernel keeps a name and a number, as with rclone.
const numbered = time.Second

// number gives a node a number of its name.
func (d *disk) number(dir uint64, name string, out *fuse.EntryOut) {
	sum := fnv.New64a()
	fmt.Fprintln(sum, d.born, dir, name)
	out.Attr.Ino = sum.Sum64()
	out.SetEntryTimeout(numbered)
	out.SetAttrTimeout(numbered)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.numbers == nil {
		d.numbers = map[uint64]uint64{}
	}
	if d.numbers[out.NodeId] == 0 {
		d.numbers[out.NodeId] = out.Attr.Ino
	}
}

// attributes is pass for what answers with a node's attributes.
func (d *disk) attributes(op string, node uint64, out *fuse.AttrOut, fn func() fuse.Status) fuse.Status {
	status := d.pass(op, "", fn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if first := d.numbers[node]; first != 0 {
		out.Attr.Ino = first
	}
	return status
}

func (d *disk) Lookup(c cancel, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return d.names("LOOKUP", h.NodeId, name, out, func() fuse.Status { return d.RawFileSystem.Lookup(c, h, name, out) })
}

func (d *disk) GetAttr(c cancel, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return d.attributes("GETATTR", in.NodeId, out, func() fuse.Status { return d.RawFileSystem.GetAttr(c, in, out) })
}

func (d *disk) SetAttr(c cancel, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if d.gate.lacks(func(p *Plan) bool { return p.NoOwners }) {
		in.Valid &^= fuse.FATTR_UID | fuse.FATTR_GID | fuse.FATTR_MODE
	}
	return d.attributes("SETATTR", in.NodeId, out, func() fuse.Status { return d.RawFileSystem.SetAttr(c, in, out) })
}

func (d *disk) Mknod(c cancel, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.names("MKNOD", in.NodeId, name, out, func() fuse.Status { return d.RawFileSystem.Mknod(c, in, name, out) })
}

func (d *disk) Mkdir(c cancel, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.names("MKDIR", in.NodeId, name, out, func() fuse.Status { return d.RawFileSystem.Mkdir(c, in, name, out) })
}

func (d *disk) Unlink(c cancel, h *fuse.InHeader, name string) fuse.Status {
	return d.pass("UNLINK", name, func() fuse.Status { return d.RawFileSystem.Unlink(c, h, name) })
}

func (d *disk) Rmdir(c cancel, h *fuse.InHeader, name string) fuse.Status {
	return d.pass("RMDIR", name, func() fuse.Status { return d.RawFileSystem.Rmdir(c, h, name) })
}

func (d *disk) Rename(c cancel, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return d.pass("RENAME2", oldName+" "+newName, func() fuse.Status { return d.RawFileSystem.Rename(c, in, oldName, newName) })
}

func (d *disk) Link(c cancel, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return d.names("LINK", in.NodeId, name, out, func() fuse.Status { return d.RawFileSystem.Link(c, in, name, out) })
}

func (d *disk) Symlink(c cancel, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return d.names("SYMLINK", h.NodeId, name, out, func() fuse.Status { return d.RawFileSystem.Symlink(c, h, target, name, out) })
}

func (d *disk) Readlink(c cancel, h *fuse.InHeader) (target []byte, status fuse.Status) {
	status = d.pass("READLINK", "", func() (s fuse.Status) {
		target, s = d.RawFileSystem.Readlink(c, h)
		return s
	})
	return target, status
}

// xattr passes a call on an extended attribute of a node.
func (d *disk) xattr(op, name string, node uint64, fn func() fuse.Status) fuse.Status {
	if status := d.gate.xattrless(node); status != fuse.OK {
		return status
	}
	return d.pass(op, name, fn)
}

func (d *disk) GetXAttr(c cancel, h *fuse.InHeader, name string, dst []byte) (n uint32, status fuse.Status) {
	status = d.xattr("GETXATTR", name, h.NodeId, func() (s fuse.Status) {
		n, s = d.RawFileSystem.GetXAttr(c, h, name, dst)
		return s
	})
	return n, status
}

func (d *disk) ListXAttr(c cancel, h *fuse.InHeader, dst []byte) (n uint32, status fuse.Status) {
	status = d.xattr("LISTXATTR", "", h.NodeId, func() (s fuse.Status) {
		n, s = d.RawFileSystem.ListXAttr(c, h, dst)
		return s
	})
	return n, status
}

func (d *disk) SetXAttr(c cancel, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	return d.xattr("SETXATTR", name, in.NodeId, func() fuse.Status { return d.RawFileSystem.SetXAttr(c, in, name, value) })
}

func (d *disk) RemoveXAttr(c cancel, h *fuse.InHeader, name string) fuse.Status {
	return d.xattr("REMOVEXATTR", name, h.NodeId, func() fuse.Status { return d.RawFileSystem.RemoveXAttr(c, h, name) })
}

// Without FOPEN_DIRECT_IO the kernel's page cache would answer for the disk.
func (d *disk) Create(c cancel, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return d.names("CREATE", in.NodeId, name, &out.EntryOut, func() fuse.Status {
		s := d.RawFileSystem.Create(c, in, name, out)
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
		return s
	})
}

func (d *disk) Tmpfile(c cancel, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	return d.pass("TMPFILE", "", func() fuse.Status {
		s := d.RawFileSystem.Tmpfile(c, in, out)
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
		return s
	})
}

func (d *disk) Open(c cancel, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return d.pass("OPEN", "", func() fuse.Status {
		s := d.RawFileSystem.Open(c, in, out)
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
		return s
	})
}

func (d *disk) Read(c cancel, in *fuse.ReadIn, buf []byte) (res fuse.ReadResult, status fuse.Status) {
	status = d.gate.pass(Call{d.n, "READ", ""}, func(short bool) (s fuse.Status) {
		res, s = d.RawFileSystem.Read(c, in, half(buf, short))
		return s
	})
	return res, status
}

// Writev says that Write is to be used.
func (d *disk) Writev(cancel, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) { return 0, fuse.ENOSYS }

func (d *disk) Write(c cancel, in *fuse.WriteIn, data []byte) (n uint32, status fuse.Status) {
	status = d.gate.pass(Call{d.n, "WRITE", ""}, func(short bool) (s fuse.Status) {
		n, s = d.RawFileSystem.Write(c, in, half(data, short))
		return s
	})
	return n, status
}

func half(b []byte, short bool) []byte {
	if short && len(b) > 1 {
		return b[:len(b)/2]
	}
	return b
}

func (d *disk) Lseek(c cancel, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	return d.pass("LSEEK", "", func() fuse.Status { return d.RawFileSystem.Lseek(c, in, out) })
}

func (d *disk) CopyFileRange(c cancel, in *fuse.CopyFileRangeIn) (n uint32, status fuse.Status) {
	status = d.gate.pass(Call{d.n, "COPY_FILE_RANGE", ""}, func(short bool) (s fuse.Status) {
		if short && in.Len > 1 {
			in.Len /= 2
		}
		n, s = d.RawFileSystem.CopyFileRange(c, in)
		return s
	})
	return n, status
}

func (d *disk) Flush(c cancel, in *fuse.FlushIn) fuse.Status {
	return d.pass("FLUSH", "", func() fuse.Status { return d.RawFileSystem.Flush(c, in) })
}

func (d *disk) Fsync(c cancel, in *fuse.FsyncIn) fuse.Status {
	return d.pass("FSYNC", "", func() fuse.Status { return d.RawFileSystem.Fsync(c, in) })
}

func (d *disk) Fallocate(c cancel, in *fuse.FallocateIn) fuse.Status {
	return d.pass("FALLOCATE", "", func() fuse.Status { return d.RawFileSystem.Fallocate(c, in) })
}

func (d *disk) OpenDir(c cancel, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return d.pass("OPENDIR", "", func() fuse.Status { return d.RawFileSystem.OpenDir(c, in, out) })
}

func (d *disk) ReadDir(c cancel, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return d.pass("READDIR", "", func() fuse.Status { return d.RawFileSystem.ReadDir(c, in, out) })
}

func (d *disk) ReadDirPlus(c cancel, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return d.pass("READDIRPLUS", "", func() fuse.Status { return d.RawFileSystem.ReadDirPlus(c, in, out) })
}

func (d *disk) FsyncDir(c cancel, in *fuse.FsyncIn) fuse.Status {
	return d.pass("FSYNCDIR", "", func() fuse.Status { return d.RawFileSystem.FsyncDir(c, in) })
}

func (d *disk) StatFs(c cancel, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	status := d.pass("STATFS", "", func() fuse.Status { return d.RawFileSystem.StatFs(c, h, out) })
	if d.gate.lacks(func(p *Plan) bool { return p.NoInodes }) {
		out.Files, out.Ffree = 1e9, 0
	}
	return status
}

func (d *disk) Statx(c cancel, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	if d.gate.lacks(func(p *Plan) bool { return p.NoNumbers }) {
		return fuse.ENOSYS // GETATTR is asked
	}
	return d.pass("STATX", "", func() fuse.Status { return d.RawFileSystem.Statx(c, in, out) })
}
