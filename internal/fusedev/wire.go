package fusedev

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// Opcodes of include/uapi/linux/fuse.h, protocol 7.45.
const (
	opLookup          = 1
	opForget          = 2
	opGetattr         = 3
	opSetattr         = 4
	opReadlink        = 5
	opSymlink         = 6
	opMknod           = 8
	opMkdir           = 9
	opUnlink          = 10
	opRmdir           = 11
	opRename          = 12
	opLink            = 13
	opOpen            = 14
	opRead            = 15
	opWrite           = 16
	opStatfs          = 17
	opRelease         = 18
	opFsync           = 20
	opSetxattr        = 21
	opGetxattr        = 22
	opListxattr       = 23
	opRemovexattr     = 24
	opFlush           = 25
	opInit            = 26
	opOpendir         = 27
	opReaddir         = 28
	opReleasedir      = 29
	opFsyncdir        = 30
	opGetlk           = 31
	opSetlk           = 32
	opSetlkw          = 33
	opAccess          = 34
	opCreate          = 35
	opInterrupt       = 36
	opBmap            = 37
	opDestroy         = 38
	opIoctl           = 39
	opPoll            = 40
	opNotifyReply     = 41
	opBatchForget     = 42
	opFallocate       = 43
	opReaddirplus     = 44
	opRename2         = 45
	opLseek           = 46
	opCopyFileRange   = 47
	opSetupMapping    = 48
	opRemoveMapping   = 49
	opSyncfs          = 50
	opTmpfile         = 51
	opStatx           = 52
	opCopyFileRange64 = 53
	opCount           = 64 // one past the highest that has a count of its own
)

// opNames are the names under which Stats counts, as fuse.h has them.
var opNames = [opCount]string{
	opLookup: "LOOKUP", opForget: "FORGET", opGetattr: "GETATTR", opSetattr: "SETATTR", opReadlink: "READLINK",
	opSymlink: "SYMLINK", opMknod: "MKNOD", opMkdir: "MKDIR", opUnlink: "UNLINK", opRmdir: "RMDIR", opRename: "RENAME",
	opLink: "LINK", opOpen: "OPEN", opRead: "READ", opWrite: "WRITE", opStatfs: "STATFS", opRelease: "RELEASE",
	opFsync: "FSYNC", opSetxattr: "SETXATTR", opGetxattr: "GETXATTR", opListxattr: "LISTXATTR",
	opRemovexattr: "REMOVEXATTR", opFlush: "FLUSH", opInit: "INIT", opOpendir: "OPENDIR", opReaddir: "READDIR",
	opReleasedir: "RELEASEDIR", opFsyncdir: "FSYNCDIR", opGetlk: "GETLK", opSetlk: "SETLK", opSetlkw: "SETLKW",
	opAccess: "ACCESS", opCreate: "CREATE", opInterrupt: "INTERRUPT", opBmap: "BMAP", opDestroy: "DESTROY",
	opIoctl: "IOCTL", opPoll: "POLL", opNotifyReply: "NOTIFY_REPLY", opBatchForget: "BATCH_FORGET",
	opFallocate: "FALLOCATE", opReaddirplus: "READDIRPLUS", opRename2: "RENAME2", opLseek: "LSEEK",
	opCopyFileRange: "COPY_FILE_RANGE", opSetupMapping: "SETUPMAPPING", opRemoveMapping: "REMOVEMAPPING",
	opSyncfs: "SYNCFS", opTmpfile: "TMPFILE", opStatx: "STATX", opCopyFileRange64: "COPY_FILE_RANGE_64",
}

// Flags of the OPEN and CREATE replies (FOPEN_*).
const (
	OpenNoFlush     = 1 << 5 // Linux 5.16
	OpenPassthrough = 1 << 7 // Linux 6.9
)

// Sizes of the wire's fixed parts.
const (
	inHeaderSize  = 40
	outHeaderSize = 16
	attrSize      = 88
	entrySize     = 40 + attrSize
	attrOutSize   = 16 + attrSize
	openOutSize   = 16
	statxOutSize  = 32 + 256
)

// direntPlusHeader is struct fuse_direntplus before the name.
const direntPlusHeader = entrySize + 24

// order is the wire's byte order: the kernel's own.
var order = binary.NativeEndian

// Uint32 and PutUint32 read and write an ioctl's argument.
func Uint32(b []byte) uint32       { return order.Uint32(b) }
func PutUint32(b []byte, v uint32) { order.PutUint32(b, v) }

// Header is struct fuse_in_header: who asks for what.
type Header struct {
	Unique, Node          uint64
	Opcode, UID, GID, PID uint32
}

func parseHeader(b []byte) Header {
	return Header{
		Opcode: order.Uint32(b[4:]), Unique: order.Uint64(b[8:]), Node: order.Uint64(b[16:]),
		UID: order.Uint32(b[24:]), GID: order.Uint32(b[28:]), PID: order.Uint32(b[32:]),
	}
}

func putOutHeader(b []byte, size int, errno unix.Errno, unique uint64) {
	order.PutUint32(b, uint32(size))
	order.PutUint32(b[4:], uint32(-int32(errno)))
	order.PutUint64(b[8:], unique)
}

// putAttr writes struct fuse_attr: what stat(2) is to say, to the nanosecond
// and the block.
func putAttr(b []byte, st *unix.Stat_t) {
	order.PutUint64(b, st.Ino)
	order.PutUint64(b[8:], uint64(st.Size))
	order.PutUint64(b[16:], uint64(st.Blocks))
	order.PutUint64(b[24:], uint64(st.Atim.Sec))
	order.PutUint64(b[32:], uint64(st.Mtim.Sec))
	order.PutUint64(b[40:], uint64(st.Ctim.Sec))
	order.PutUint32(b[48:], uint32(st.Atim.Nsec))
	order.PutUint32(b[52:], uint32(st.Mtim.Nsec))
	order.PutUint32(b[56:], uint32(st.Ctim.Nsec))
	order.PutUint32(b[60:], st.Mode)
	order.PutUint32(b[64:], uint32(st.Nlink))
	order.PutUint32(b[68:], st.Uid)
	order.PutUint32(b[72:], st.Gid)
	order.PutUint32(b[76:], uint32(st.Rdev))
	order.PutUint32(b[80:], uint32(st.Blksize))
	order.PutUint32(b[84:], 0)
}

// Entry is what the kernel is told about a name: the inode behind it, and for
// how long it may believe the name and the attributes.
type Entry struct {
	Node              uint64
	Generation        uint32 // with Node unique over all mounts; the kernel keeps 32 bits
	Stat              *unix.Stat_t
	EntryTTL, AttrTTL time.Duration
}

// putEntry writes struct fuse_entry_out. Node 0 is a negative entry.
func putEntry(b []byte, e *Entry) {
	order.PutUint64(b, e.Node)
	order.PutUint64(b[8:], uint64(e.Generation))
	order.PutUint64(b[16:], uint64(e.EntryTTL/time.Second))
	order.PutUint64(b[24:], uint64(e.AttrTTL/time.Second))
	order.PutUint32(b[32:], uint32(e.EntryTTL%time.Second))
	order.PutUint32(b[36:], uint32(e.AttrTTL%time.Second))
	if e.Stat == nil {
		clear(b[40:entrySize])
		return
	}
	putAttr(b[40:], e.Stat)
}

// Open is what the kernel is told about a new handle.
type Open struct {
	Handle    uint64
	Flags     uint32 // FOPEN_*
	BackingID int32  // with OpenPassthrough
}

func putOpen(b []byte, o Open) {
	order.PutUint64(b, o.Handle)
	order.PutUint32(b[8:], o.Flags)
	order.PutUint32(b[12:], uint32(o.BackingID))
}

// DirentType turns a mode into the type of a listed row (DT_*).
func DirentType(mode uint32) uint8 { return uint8(mode >> 12 & 15) }

// DirentSize is the room that PutDirent needs for a name of n bytes (FUSE_DIRENT_SIZE).
func DirentSize(n int) int { return (24 + n + 7) &^ 7 }

// PutDirent writes one row of a READDIR answer, off being where the listing
// goes on after it. It returns the bytes written, 0 if dst is too small.
func PutDirent(dst []byte, ino, off uint64, name string, typ uint8) int {
	size := DirentSize(len(name))
	if len(dst) < size {
		return 0
	}
	order.PutUint64(dst, ino)
	order.PutUint64(dst[8:], off)
	order.PutUint32(dst[16:], uint32(len(name)))
	order.PutUint32(dst[20:], uint32(typ))
	n := copy(dst[24:], name)
	clear(dst[24+n : size])
	return size
}

// DirentPlusSize is the room that PutDirentPlus needs for name.
func DirentPlusSize(name string) int { return (direntPlusHeader + len(name) + 7) &^ 7 }

// PutDirentPlus writes one row of a READDIRPLUS answer, which must fit. An
// entry with Node 0 is listed and not looked up.
func PutDirentPlus(dst []byte, e *Entry, ino, off uint64, name string, typ uint8) int {
	putEntry(dst, e)
	return entrySize + PutDirent(dst[entrySize:], ino, off, name, typ)
}
