package fusedev

import (
	"github.com/jacobsa/fuse/fuseops"
	"golang.org/x/sys/unix"
)

// The ops that jacobsa/fuse has no type for, or whose type lacks something
// the filesystem needs, in the shape of its fuseops.

// LookupOp asks what a name is, and GetattrOp for the attributes of an inode. They
// are most of all ops, and the library's types have room for the answer as well.
type LookupOp struct {
	Parent uint64
	Name   string
}

// GetattrOp is stat(2), see LookupOp.
type GetattrOp struct{ Node uint64 }

// CreateOp makes and opens a regular file (FUSE_CREATE), or makes an unnamed
// one (FUSE_TMPFILE). fuseops.CreateFileOp lacks Umask, which arrives because
// the mount asks for FUSE_DONT_MASK: a default ACL overrides it.
type CreateOp struct {
	Parent  uint64
	Name    string
	Flags   uint32 // O_*
	Mode    uint32
	Umask   uint32
	Tmpfile bool
}

// MkdirOp makes a directory.
type MkdirOp struct {
	Parent uint64
	Name   string
	Mode   uint32
	Umask  uint32
}

// MknodOp makes a file, device, fifo or socket.
type MknodOp struct {
	Parent uint64
	Name   string
	Mode   uint32 // with the type, S_IFMT
	Rdev   uint32
	Umask  uint32
}

// RenameOp is rename(2) with the flags of renameat2(2).
type RenameOp struct {
	Parent, NewParent uint64
	Name, NewName     string
	Flags             uint32
}

// ReaddirOp reads a listing from Offset on, Size bytes at most; Plus wants with
// each row what a lookup would say. The rows are written into Request.Room and
// answered with Request.Data, without a copy.
type ReaddirOp struct {
	Node, Handle, Offset uint64
	Size                 int
	Plus                 bool
}

// GetxattrOp is getxattr(2), and ListxattrOp listxattr(2). Who asks with a Size of
// 0 wants to know how much there is, and is answered with Request.Size.
type GetxattrOp struct {
	Node uint64
	Name string
	Size int
}

// ListxattrOp is listxattr(2), see GetxattrOp.
type ListxattrOp struct {
	Node uint64
	Size int
}

// LseekOp is lseek(2) with SEEK_HOLE or SEEK_DATA; the kernel answers the rest.
type LseekOp struct {
	Node, Handle uint64
	Offset       int64
	Whence       int
}

// CopyFileRangeOp is copy_file_range(2). Wide says that the answer has room
// for 64 bits (Linux 6.17).
type CopyFileRangeOp struct {
	Node, Handle       uint64
	Offset             int64
	NodeOut, HandleOut uint64
	OffsetOut          int64
	Len                uint64
	Flags              uint32
	Wide               bool
}

// IoctlOp is ioctl(2) with a command whose argument's size is coded in it.
type IoctlOp struct {
	Node, Handle uint64
	Cmd          uint32
	Dir          bool
	In           []byte
	OutSize      uint32
}

// StatxOp is statx(2) with more than the basic stats in its mask (Linux 6.6).
type StatxOp struct {
	Node  uint64
	Flags uint32 // AT_STATX_*
	Mask  uint32 // STATX_*
}

// SyncOp is fsync(2), or fdatasync(2) with DataOnly, of a file or directory.
type SyncOp struct {
	Node, Handle uint64
	DataOnly     bool
	Dir          bool
}

// SetxattrOp is setxattr(2). KillSGID tells that the caller may not keep the
// set-group-ID bit when an ACL is set (FUSE_SETXATTR_ACL_KILL_SGID).
type SetxattrOp struct {
	Node     uint64
	Name     string
	Value    []byte
	Flags    uint32
	KillSGID bool
}

// ReadOp and WriteOp carry data through the daemon, for files that are not in
// passthrough. Their bodies never go through a socket pair.
type ReadOp struct {
	Node, Handle uint64
	Offset       int64
	Size         int
}

// WriteOp is a write of Data at Offset. For a handle with O_APPEND the kernel
// has put Offset at its idea of the end. Cached says that pages of a mapping
// are written back, through any handle of the inode.
type WriteOp struct {
	Node, Handle uint64
	Offset       int64
	Data         []byte
	Cached       bool
}

// ForgetOp takes lookups back (FORGET and BATCH_FORGET). The kernel fills the
// whole buffer with a batch, more than a message through the pair can hold.
type ForgetOp struct{ Entries []Forget }

// Forget takes N lookups of a node back.
type Forget struct{ Node, N uint64 }

// fuseSetxattrACLKillSGID is FUSE_SETXATTR_ACL_KILL_SGID (Linux 5.14).
const fuseSetxattrACLKillSGID = 1 << 0

// fuseIoctlDir is FUSE_IOCTL_DIR: the ioctl is on a directory.
const fuseIoctlDir = 1 << 4

// fuseWriteCache is FUSE_WRITE_CACHE: a delayed write from the page cache.
const fuseWriteCache = 1 << 0

// fuseFsyncDatasync is FUSE_FSYNC_FDATASYNC.
const fuseFsyncDatasync = 1 << 0

// decode turns a request into an op that does not go through jacobsa/fuse: one
// that it cannot express, or one of those that are most of what a mount serves:
// the way through the pair costs four system calls, a quarter of their time. It
// returns nil for all others.
func decode(h *Header, b []byte, use uint64) (any, error) {
	c := &cursor{b: b, use: use}
	op := decodeOp(h, c)
	if c.short {
		return nil, unix.EIO
	}
	return op, nil
}

func decodeOp(h *Header, c *cursor) any {
	switch h.Opcode {
	case opLookup:
		return &LookupOp{Parent: h.Node, Name: c.str()}
	case opGetattr:
		return &GetattrOp{Node: h.Node}
	case opSetattr:
		return decodeSetattr(h, c)
	case opOpen:
		op := &fuseops.OpenFileOp{Inode: fuseops.InodeID(h.Node)}
		setFlags(&op.OpenFlags, c.u32())
		return op
	case opUnlink:
		return &fuseops.UnlinkOp{Parent: fuseops.InodeID(h.Node), Name: c.str()}
	case opRmdir:
		return &fuseops.RmDirOp{Parent: fuseops.InodeID(h.Node), Name: c.str()}
	case opRelease:
		return &fuseops.ReleaseFileHandleOp{Handle: fuseops.HandleID(c.u64())}
	case opOpendir:
		return &fuseops.OpenDirOp{Inode: fuseops.InodeID(h.Node)}
	case opReaddir, opReaddirplus:
		return &ReaddirOp{Node: h.Node, Handle: c.u64(), Offset: c.u64(), Size: int(c.u32()), Plus: h.Opcode == opReaddirplus}
	case opReleasedir:
		return &fuseops.ReleaseDirHandleOp{Handle: fuseops.HandleID(c.u64())}
	}
	return decodeName(h, c)
}

// decodeName decodes what makes and moves names, and what few clients ask.
func decodeName(h *Header, c *cursor) any {
	switch h.Opcode {
	case opCreate, opTmpfile:
		op := &CreateOp{Parent: h.Node, Flags: c.u32(), Mode: c.u32(), Umask: c.u32(), Tmpfile: h.Opcode == opTmpfile}
		c.skip(4)
		op.Name = c.str()
		return op
	case opMkdir:
		return &MkdirOp{Parent: h.Node, Mode: c.u32(), Umask: c.u32(), Name: c.str()}
	case opMknod:
		op := &MknodOp{Parent: h.Node, Mode: c.u32(), Rdev: c.u32(), Umask: c.u32()}
		c.skip(4)
		op.Name = c.str()
		return op
	case opRename:
		return &RenameOp{Parent: h.Node, NewParent: c.u64(), Name: c.str(), NewName: c.str()}
	case opRename2:
		op := &RenameOp{Parent: h.Node, NewParent: c.u64(), Flags: c.u32()}
		c.skip(4)
		op.Name, op.NewName = c.str(), c.str()
		return op
	case opLseek:
		return &LseekOp{Node: h.Node, Handle: c.u64(), Offset: int64(c.u64()), Whence: int(c.u32())}
	case opCopyFileRange, opCopyFileRange64:
		return &CopyFileRangeOp{Node: h.Node, Handle: c.u64(), Offset: int64(c.u64()), NodeOut: c.u64(), HandleOut: c.u64(),
			OffsetOut: int64(c.u64()), Len: c.u64(), Flags: uint32(c.u64()), Wide: h.Opcode == opCopyFileRange64}
	case opForget:
		return &ForgetOp{[]Forget{{h.Node, c.u64()}}}
	case opBatchForget:
		return decodeBatch(c)
	case opStatx:
		c.skip(16) // getattr_flags, reserved, fh
		return &StatxOp{Node: h.Node, Flags: c.u32(), Mask: c.u32()}
	}
	return decodeData(h, c)
}

// setFlags sets a field whose type jacobsa/fuse keeps to itself.
func setFlags[T ~uint32](field *T, v uint32) { *field = T(v) }

func decodeBatch(c *cursor) *ForgetOp {
	n := c.u32()
	c.skip(4)
	op := &ForgetOp{}
	if most := uint32(len(c.b) / 16); n > 0 {
		op.Entries = make([]Forget, 0, min(n, most))
	}
	for ; n > 0 && !c.short; n-- {
		op.Entries = append(op.Entries, Forget{c.u64(), c.u64()})
	}
	return op
}

// decodeData decodes what carries bodies, and the syncs.
func decodeData(h *Header, c *cursor) any {
	switch h.Opcode {
	case opIoctl:
		op := &IoctlOp{Node: h.Node, Handle: c.u64(), Dir: c.u32()&fuseIoctlDir != 0, Cmd: c.u32()}
		c.skip(8) // arg: the caller's address
		in := c.u32()
		op.OutSize = c.u32()
		op.In = c.bytes(int(in))
		return op
	case opFsync, opFsyncdir:
		return &SyncOp{Node: h.Node, Handle: c.u64(), DataOnly: c.u32()&fuseFsyncDatasync != 0, Dir: h.Opcode == opFsyncdir}
	case opSetxattr:
		size, flags, more := c.u32(), c.u32(), uint32(0)
		if c.use&initSetxattrExt != 0 {
			more = c.u32()
			c.skip(4)
		}
		return &SetxattrOp{Node: h.Node, Flags: flags, KillSGID: more&fuseSetxattrACLKillSGID != 0, Name: c.str(), Value: c.bytes(int(size))}
	case opGetxattr:
		op := &GetxattrOp{Node: h.Node, Size: int(c.u32())}
		c.skip(4)
		op.Name = c.str()
		return op
	case opListxattr:
		return &ListxattrOp{Node: h.Node, Size: int(c.u32())}
	case opRead:
		return &ReadOp{Node: h.Node, Handle: c.u64(), Offset: int64(c.u64()), Size: int(c.u32())}
	case opWrite:
		op := &WriteOp{Node: h.Node, Handle: c.u64(), Offset: int64(c.u64())}
		size := c.u32()
		op.Cached = c.u32()&fuseWriteCache != 0
		c.skip(16) // lock_owner, flags, padding
		op.Data = c.bytes(int(size))
		return op
	}
	return nil
}

// cursor takes fixed parts off a request; short says that it ran out.
type cursor struct {
	b     []byte
	use   uint64 // the connection's features (init*)
	short bool
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short = true
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) skip(n int) { c.bytes(n) }

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return order.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return order.Uint64(b)
	}
	return 0
}

// str takes a string and the NUL that ends it.
func (c *cursor) str() string {
	for i, ch := range c.b {
		if ch == 0 {
			return string(c.bytes(i + 1)[:i])
		}
	}
	c.short = true
	return ""
}
