// Package parity runs the same system calls in a native directory and in the
// mount and compares what they answer: results, errnos, attributes, and the
// tree that is left.
//
// Not compared, because the design says that they differ: a directory's size,
// inode numbers as such, whether root's own writes keep set-id bits (they
// never do in the mount), a chown(2) that changes neither owner nor group and
// one of a set-group-ID file that no group may execute (the kernel does not
// tell the daemon who asks), requests of ioctl(2) beyond the file flags, the
// fallocate(2) modes and rename flags that FUSE does not carry.
package parity
