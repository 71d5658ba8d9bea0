package fusedev

import (
	"os"

	"github.com/jacobsa/fuse/fuseops"
	"golang.org/x/sys/unix"
)

// Codes of notifications (FUSE_NOTIFY_*).
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
	notifyIncEpoch   = 8 // Linux 6.16
)

// expireOnly is FUSE_EXPIRE_ONLY: the name is looked up when it is needed next,
// and stays if it leads to the same inode (Linux 6.2).
const expireOnly = 1 << 0

// minorSteady is the protocol of Linux 6.12, from which on an attribute that was
// answered before its inode was evicted and comes in after counts for nothing
// (fuse_change_attributes: evict_ctr).
const minorSteady = 41

// Revocable reports whether what the kernel was told can be taken back at any
// time.
func (s *Server) Revocable() bool { return s.minor >= minorSteady }

// InvalAttr makes the kernel ask for the node's attributes when they are
// needed next, even if those it has have not expired. With a negative offset
// nothing else is dropped and no lock of the inode is taken
// (fuse_reverse_inval_inode), so an op on that very inode may call it before
// its answer. ENOENT says that the kernel does not hold the inode, or not yet.
func (s *Server) InvalAttr(node uint64) error { return s.invalInode(node, -1) }

// InvalList makes the kernel drop what it has of a directory's listing as well. It
// waits for who reads that at the moment.
func (s *Server) InvalList(node uint64) error { return s.invalInode(node, 0) }

// invalInode drops the attributes and, unless it is negative, all pages from the
// offset on.
func (s *Server) invalInode(node uint64, offset int64) error {
	var b [outHeaderSize + 24]byte
	order.PutUint64(b[outHeaderSize:], node)
	order.PutUint64(b[outHeaderSize+8:], uint64(offset))
	return s.notify(notifyInvalInode, b[:])
}

// notify writes a notification, whose header is made in b.
func (s *Server) notify(code uint32, b []byte) error {
	order.PutUint32(b, uint32(len(b)))
	order.PutUint32(b[4:], code)
	_, err := unix.Write(s.dev, b)
	return err
}

// InvalEntry makes the kernel forget name in parent, or that there is none. It
// waits for all ops on that directory that the kernel has under way, whose
// answers come before it, then; an op must not call it.
func (s *Server) InvalEntry(parent uint64, name string) error { return s.inval(parent, name, 0) }

// ExpireEntry makes the kernel look name up when it is needed next. It waits as
// InvalEntry does.
func (s *Server) ExpireEntry(parent uint64, name string) error {
	return s.inval(parent, name, expireOnly)
}

func (s *Server) inval(parent uint64, name string, flags uint32) error {
	b := make([]byte, outHeaderSize+16+len(name)+1)
	order.PutUint64(b[outHeaderSize:], parent)
	order.PutUint32(b[outHeaderSize+8:], uint32(len(name)))
	order.PutUint32(b[outHeaderSize+12:], flags)
	copy(b[outHeaderSize+16:], name)
	return s.notify(notifyInvalEntry, b)
}

// Duplicate is another descriptor of the connection, which lasts until the last is
// closed.
func (s *Server) Duplicate() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(s.dev), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), "/dev/fuse"), nil
}

// DropAll makes the kernel ask for everything that it was told on a connection that has
// been ended, so that whoever comes by a path is told ENOTCONN: it answers from what it
// has otherwise, and a listing in its cache looks whole. Before Linux 6.16 it takes
// the names that may be in the root, from which all paths begin.
func DropAll(dev *os.File, names func() []string) {
	s := &Server{dev: int(dev.Fd())}
	s.InvalAttr(fuseops.RootInodeID)
	if s.notify(notifyIncEpoch, make([]byte, outHeaderSize)) == nil {
		return
	}
	for _, name := range names() {
		s.ExpireEntry(fuseops.RootInodeID, name)
	}
}
