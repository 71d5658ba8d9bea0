package fusedev

import "golang.org/x/sys/unix"

// notifyInvalInode is FUSE_NOTIFY_INVAL_INODE.
const notifyInvalInode = 2

// InvalAttr makes the kernel ask for the node's attributes when they are
// needed next, even if those it has have not expired. With a negative offset
// nothing else is dropped and no lock of the inode is taken
// (fuse_reverse_inval_inode), so an op on that very inode may call it before
// its answer. An error says that the kernel does not hold the inode.
func (s *Server) InvalAttr(node uint64) {
	var b [outHeaderSize + 24]byte
	order.PutUint32(b[:], uint32(len(b)))
	order.PutUint32(b[4:], notifyInvalInode)
	order.PutUint64(b[outHeaderSize:], node)
	order.PutUint64(b[outHeaderSize+8:], ^uint64(0))
	unix.Write(s.dev, b[:])
}
