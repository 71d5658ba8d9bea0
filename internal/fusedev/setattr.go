package fusedev

import "golang.org/x/sys/unix"

// SetattrOp changes attributes; nil and UTIME_OMIT leave one as it is.
// fuseops.SetInodeAttributesOp gives the client's clock for UTIME_NOW, but
// "now" and a given time differ in who may set them, and on what (utimensat(2),
// append-only files).
type SetattrOp struct {
	Node           uint64
	ByHandle       bool // ftruncate(2), by a descriptor that may write
	Mode, UID, GID *uint32
	Size           *uint64
	Atime, Mtime   unix.Timespec
}

// Which fields of a SETATTR count (FATTR_*).
const (
	fattrMode     = 1 << 0
	fattrUID      = 1 << 1
	fattrGID      = 1 << 2
	fattrSize     = 1 << 3
	fattrAtime    = 1 << 4
	fattrMtime    = 1 << 5
	fattrHandle   = 1 << 6
	fattrAtimeNow = 1 << 7
	fattrMtimeNow = 1 << 8
)

func decodeSetattr(h *Header, c *cursor) *SetattrOp {
	valid := c.u32()
	op := &SetattrOp{Node: h.Node, ByHandle: valid&fattrHandle != 0}
	c.skip(12) // padding, fh
	size := c.u64()
	c.skip(8) // lock_owner
	op.Atime.Sec, op.Mtime.Sec = int64(c.u64()), int64(c.u64())
	c.skip(8) // ctime
	op.Atime.Nsec, op.Mtime.Nsec = int64(c.u32()), int64(c.u32())
	c.skip(4) // ctimensec
	mode := c.u32()
	c.skip(4)
	uid, gid := c.u32(), c.u32()
	if valid&fattrMode != 0 {
		op.Mode = &mode
	}
	if valid&fattrUID != 0 {
		op.UID = &uid
	}
	if valid&fattrGID != 0 {
		op.GID = &gid
	}
	if valid&fattrSize != 0 {
		op.Size = &size
	}
	omitOrNow(&op.Atime, valid&fattrAtime != 0, valid&fattrAtimeNow != 0)
	omitOrNow(&op.Mtime, valid&fattrMtime != 0, valid&fattrMtimeNow != 0)
	return op
}

// Empty reports that the op names no attribute.
func (op *SetattrOp) Empty() bool {
	return op.Mode == nil && op.UID == nil && op.GID == nil && op.Size == nil && !op.Times()
}

// Times reports that the op gives a time.
func (op *SetattrOp) Times() bool {
	return op.Atime.Nsec != unix.UTIME_OMIT || op.Mtime.Nsec != unix.UTIME_OMIT
}

func omitOrNow(t *unix.Timespec, set, now bool) {
	switch {
	case !set:
		*t = unix.Timespec{Nsec: unix.UTIME_OMIT}
	case now:
		*t = unix.Timespec{Nsec: unix.UTIME_NOW}
	}
}
