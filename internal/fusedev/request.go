package fusedev

import (
	"log/slog"
	"strconv"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Request is one request of the kernel while it is served. It is the worker's
// own and is used again: nobody keeps it beyond Handler.Serve.
//
// A request is answered once, by whoever claims it first: the handler, or the
// watchdog when the handler is stuck. Answers report whether the kernel took
// them; one that did not (the client was killed, or the watchdog was first)
// must be undone: a lookup count given, a handle opened.
type Request struct {
	Header
	w   *worker
	out [outHeaderSize + statxOutSize]byte
}

// Entry answers LOOKUP, MKDIR, MKNOD, SYMLINK and LINK.
func (r *Request) Entry(e *Entry) bool {
	putEntry(r.out[outHeaderSize:], e)
	return r.send(r.out[:outHeaderSize+entrySize])
}

// Attr answers GETATTR and SETATTR.
func (r *Request) Attr(a *Entry) bool {
	putAttrOut(r.out[outHeaderSize:], a)
	return r.send(r.out[:outHeaderSize+attrOutSize])
}

func putAttrOut(b []byte, a *Entry) {
	order.PutUint64(b, uint64(a.AttrTTL.Seconds()))
	order.PutUint32(b[8:], uint32(a.AttrTTL%1e9))
	order.PutUint32(b[12:], 0)
	putAttr(b[16:], a.Stat)
}

// Opened answers OPEN and OPENDIR.
func (r *Request) Opened(o Open) bool {
	putOpen(r.out[outHeaderSize:], o)
	return r.send(r.out[:outHeaderSize+openOutSize])
}

// Created answers CREATE and TMPFILE.
func (r *Request) Created(e *Entry, o Open) bool {
	putEntry(r.out[outHeaderSize:], e)
	putOpen(r.out[outHeaderSize+entrySize:], o)
	return r.send(r.out[:outHeaderSize+entrySize+openOutSize])
}

// Uint64 answers LSEEK and COPY_FILE_RANGE_64.
func (r *Request) Uint64(v uint64) bool {
	order.PutUint64(r.out[outHeaderSize:], v)
	return r.send(r.out[:outHeaderSize+8])
}

// Written answers WRITE and COPY_FILE_RANGE with the bytes done.
func (r *Request) Written(n int) bool { return r.Uint64(uint64(uint32(n))) }

// Size answers GETXATTR and LISTXATTR of size 0 with the bytes that there are.
func (r *Request) Size(n int) bool { return r.Written(n) }

// Ioctl answers IOCTL with the result 0 and body.
func (r *Request) Ioctl(body []byte) bool {
	clear(r.out[outHeaderSize : outHeaderSize+16])
	n := outHeaderSize + 16
	n += copy(r.out[n:], body)
	return r.send(r.out[:n])
}

// Statx answers STATX. st.Ino is the number shown.
func (r *Request) Statx(a *Entry, sx *unix.Statx_t) bool {
	b := r.out[outHeaderSize : outHeaderSize+statxOutSize]
	clear(b)
	order.PutUint64(b, uint64(a.AttrTTL.Seconds()))
	order.PutUint32(b[8:], uint32(a.AttrTTL%1e9))
	putStatx(b[32:], sx)
	return r.send(r.out[:outHeaderSize+statxOutSize])
}

// putStatx writes struct fuse_statx.
func putStatx(b []byte, sx *unix.Statx_t) {
	order.PutUint32(b, sx.Mask)
	order.PutUint32(b[4:], sx.Blksize)
	order.PutUint64(b[8:], sx.Attributes)
	order.PutUint32(b[16:], sx.Nlink)
	order.PutUint32(b[20:], sx.Uid)
	order.PutUint32(b[24:], sx.Gid)
	order.PutUint16(b[28:], sx.Mode)
	order.PutUint64(b[32:], sx.Ino)
	order.PutUint64(b[40:], sx.Size)
	order.PutUint64(b[48:], sx.Blocks)
	order.PutUint64(b[56:], sx.Attributes_mask)
	for i, t := range []unix.StatxTimestamp{sx.Atime, sx.Btime, sx.Ctime, sx.Mtime} {
		order.PutUint64(b[64+16*i:], uint64(t.Sec))
		order.PutUint32(b[72+16*i:], t.Nsec)
	}
	order.PutUint32(b[128:], sx.Rdev_major)
	order.PutUint32(b[132:], sx.Rdev_minor)
}

// Room is where an answer's body of n bytes, at most MaxBody, can be built. It is
// the worker's own, so its content is whatever the last answer left there.
func (r *Request) Room(n int) []byte { return r.w.drain[:min(n, MaxBody)] }

// Data answers READ, READDIR, GETXATTR and their like with body.
func (r *Request) Data(body []byte) bool {
	if !r.w.claim(r.Unique) {
		return false
	}
	putOutHeader(r.out[:], outHeaderSize+len(body), 0, r.Unique)
	_, err := sys.Writev(r.w.s.dev, r.out[:outHeaderSize], body)
	return r.taken(err)
}

// Fail answers with the error err.
func (r *Request) Fail(err error) bool { return r.errno(r.w.s.fault(err)) }

// Late reports whether the watchdog has answered already: the kernel takes the op for
// failed.
func (r *Request) Late() bool { return !r.w.self && r.w.answered(r.Unique) }

// On tells that the op works on the tier with that rank alone from here on:
// another tier's absence is no reason to give it up.
func (r *Request) On(rank int) { r.w.rank.Store(int32(rank)) }

// errno answers with an error, or with plain success for 0.
func (r *Request) errno(e unix.Errno) bool {
	if !r.w.claim(r.Unique) {
		return false
	}
	var b [outHeaderSize]byte
	putOutHeader(b[:], len(b), e, r.Unique)
	_, err := unix.Write(r.w.s.dev, b[:])
	return r.taken(err)
}

// send completes the header of the answer in b and writes it.
func (r *Request) send(b []byte) bool {
	if !r.w.claim(r.Unique) {
		return false
	}
	putOutHeader(b, len(b), 0, r.Unique)
	_, err := unix.Write(r.w.s.dev, b)
	return r.taken(err)
}

// taken judges the result of writing an answer. ENOENT is a request that was
// withdrawn: its client was killed. Any other refusal would leave the client
// waiting for ever, so it gets EIO; never a zeroed body, which as an entry
// would say "no such file" and make applications create the file anew.
func (r *Request) taken(err error) bool {
	if err == nil {
		return true
	}
	if err != unix.ENOENT {
		r.w.s.cfg.Log.Error("kernel refused an answer; please report it", "op", opName(r.Opcode), "err", err)
		var b [outHeaderSize]byte
		putOutHeader(b[:], len(b), unix.EIO, r.Unique)
		unix.Write(r.w.s.dev, b[:])
	}
	return false
}

// SpareEntry and SpareAttr leave an answer with the watchdog, which sends it
// if the handler has not answered within SpareAfter: what is known already of
// a directory whose lower tier does not answer. The handler's own
// answer is then refused, and SpareSent tells.
func (r *Request) SpareEntry(e *Entry) {
	b := r.spareRoom(&r.w.spareEntry)
	putEntry((*b)[outHeaderSize:], e)
	r.spare(b)
}

// SpareAttr is SpareEntry for GETATTR.
func (r *Request) SpareAttr(a *Entry) {
	b := r.spareRoom(&r.w.spareAttr)
	putAttrOut((*b)[outHeaderSize:], a)
	r.spare(b)
}

// spareRoom is where a spare answer is built: in the worker's own, for the first of a
// request. The watchdog reads that when it has claimed the request, and the worker begins
// no other before it is done; but it may leave a second for the same request meanwhile.
func (r *Request) spareRoom(own *[]byte) *[]byte {
	if r.w.spare.Load() == nil {
		return own
	}
	b := make([]byte, len(*own))
	return &b
}

func (r *Request) spare(b *[]byte) {
	putOutHeader(*b, len(*b), 0, r.Unique)
	r.w.spare.Store(b)
}

// MaySlow tells that what comes next may take long: another worker reads on.
func (r *Request) MaySlow() { r.w.s.pass(r.w) }

// SpareSent reports whether the spare answer was sent and taken.
func (r *Request) SpareSent() bool {
	return !r.w.self && r.w.answered(r.Unique) && r.w.spared(r.Unique)
}

// Log is the mount's log.
func (r *Request) Log() *slog.Logger { return r.w.s.cfg.Log }

// opName is the op's name in fuse.h, or the number of one that is not there.
func opName(opcode uint32) string {
	if opcode < opCount && opNames[opcode] != "" {
		return opNames[opcode]
	}
	return "op " + strconv.FormatUint(uint64(opcode), 10)
}
