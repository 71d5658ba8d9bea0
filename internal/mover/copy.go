package mover

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// chunk is how many bytes are copied between two looks at whether the copy is
// still wanted.
const chunk = 1 << 20

// ErrGiveWay is an error of Content, beside errnos of the tiers.
var ErrGiveWay = errors.New("somebody wants the file")

// AttributesError is an error of Attributes: what does not fit there, such as "its
// owner".
type AttributesError struct{ What string }

func (e AttributesError) Error() string { return e.What }

// SourceError is an error of what is copied. All others are of the copy.
type SourceError struct{ Err error }

func (e SourceError) Error() string { return e.Err.Error() }

// Copier makes copies of files of one tier on another, for one goroutine. A copy
// is a new empty file, made with the permissions of Mode, that gets its Content
// and then its Attributes. Nothing of it is durable yet.
type Copier struct {
	ctx    context.Context
	pace   *Pace
	to     *tier.Tier
	same   bool   // both are on one filesystem
	byHand bool   // the kernel cannot copy between the two
	plain  bool   // the copies are made in a directory that gives them no ACL
	buf    []byte // for copies by hand
}

// NewCopier copies no faster than pace, until ctx ends.
func NewCopier(ctx context.Context, from, to *tier.Tier, pace *Pace) *Copier {
	return &Copier{ctx: ctx, pace: pace, to: to, same: from.Dev() == to.Dev(), byHand: !kernelCopies(from, to)}
}

// Mode is what a copy of the file st is made with. Most need no chmod(2) then.
func Mode(st *unix.Stat_t) uint32 { return st.Mode & 0777 }

// AsWriter runs fn, which takes up space with Content, as somebody who may not
// have what the filesystem reserves for root. It serves for many files.
func (c *Copier) AsWriter(fn func()) {
	if os.Geteuid() != 0 || c.to.Network {
		fn()
		return
	}
	_ = sys.AsNobody(func() error {
		fn()
		return nil
	})
}

// everywhere is the size that a file can have on any filesystem.
const everywhere = 1<<31 - 1

// Holds is EFBIG if the filesystem of dst holds no file of so many bytes. No seek
// goes beyond what it holds (vfs_setpos), and to try it changes nothing.
func Holds(dst *tier.File, size int64) error {
	if size <= everywhere {
		return nil
	}
	if _, err := dst.Seek(size, unix.SEEK_SET); err == unix.EINVAL {
		return unix.EFBIG
	}
	return nil
}

// Content copies the size bytes of src that are no holes. Between chunks it
// looks whether it is to giveWay, and waits for the pace.
func (c *Copier) Content(src, dst *tier.File, size int64, giveWay func() bool) error {
	o := copying{Copier: c, src: src, dst: dst, size: size, giveWay: giveWay}
	return o.content()
}

// copying is the copying of one file.
type copying struct {
	*Copier
	src, dst *tier.File
	size     int64
	giveWay  func() bool
	begun    int64 // up to where the disk has been told to write
}

// kernelCopies reports whether copy_file_range(2) may do something for the two
// tiers: it goes from one filesystem to another only where a server does it.
func kernelCopies(a, b *tier.Tier) bool { return a.Dev() == b.Dev() || a.Network && b.Network }

// content copies what is not a hole.
func (c *copying) content() error {
	if err := c.wait(0); err != nil || c.size == 0 {
		return err
	}
	if c.same && c.dst.CloneFrom(c.src) == nil {
		return nil
	}
	at := int64(0)
	for at < c.size {
		data, end, err := c.extent(at)
		if err != nil {
			return err
		}
		if data == c.size { // a hole at the end
			return c.dst.Ftruncate(c.size)
		}
		for at = data; at < end; {
			n, err := c.chunk(at, min(chunk, end-at))
			if err != nil {
				return err
			}
			at += n
			if at-c.begun >= writeBehind {
				c.dst.StartSync(c.begun, at-c.begun)
				c.begun = at
			}
		}
	}
	return nil
}

// writeBehind is how much is copied before the disk is told to write it. It
// works while the rest is read then, and the sync at the end has little to wait
// for. Small files are written together, by that sync.
const writeBehind = 8 << 20

// extent is the next stretch of data at or after at. Where the filesystem
// cannot tell, all is data.
//
// Most files have no holes, so it is the end of the data that is asked for
// first.
func (c *copying) extent(at int64) (data, end int64, err error) {
	end, err = c.src.Seek(at, unix.SEEK_HOLE)
	if data = at; err == nil && end == at {
		if data, err = c.src.Seek(at, unix.SEEK_DATA); err == nil {
			end, err = c.src.Seek(data, unix.SEEK_HOLE)
		}
	}
	switch err {
	case nil:
		return min(data, c.size), min(end, c.size), nil
	case unix.ENXIO:
		return c.size, c.size, nil
	case unix.EINVAL:
		return at, c.size, nil
	}
	return 0, 0, SourceError{err}
}

// chunk copies n bytes, or fewer.
func (c *copying) chunk(at, n int64) (int64, error) {
	if err := c.wait(n); err != nil {
		return 0, err
	}
	if !c.byHand {
		copied, err := c.src.CopyRange(at, c.dst, at, int(n), 0)
		if err == nil && copied > 0 || err == unix.ENOSPC || err == unix.EDQUOT {
			return int64(copied), err
		}
		c.byHand = true // not between these two; or EIO, and by hand it is seen whose
	}
	copied, err := c.piece(at, n)
	return int64(copied), err
}

// leastBuf is what is enough for the small files of a batch.
const leastBuf = 64 << 10

// piece is chunk by read and write.
func (c *copying) piece(at, n int64) (int, error) {
	if int64(len(c.buf)) < n {
		c.buf = make([]byte, max(n, leastBuf))
	}
	got, err := c.src.Pread(c.buf[:n], at)
	if err != nil {
		return 0, SourceError{err}
	}
	if got == 0 {
		return 0, ErrGiveWay // it has been cut
	}
	put, err := c.dst.Pwrite(c.buf[:got], at)
	if err == nil && put == 0 {
		err = unix.EIO
	}
	return put, err
}

// wait takes n bytes of the pace.
func (c *copying) wait(n int64) error {
	if err := c.pace.Wait(c.ctx, n); err != nil {
		return err
	}
	if c.giveWay() {
		return ErrGiveWay
	}
	return nil
}

// Attributes gives dst what src and st, its attributes, have: owner, extended
// attributes with ACLs, mode, access and modification time. The owner goes
// first, because chown(2) clears set-id bits and file capabilities; the times
// last. Each of these calls is a transaction of the filesystem, so what dst has
// already is left.
func (c *Copier) Attributes(src, dst *tier.File, st *unix.Stat_t) error {
	var made unix.Stat_t
	if err := dst.Stat(&made); err != nil {
		return err
	}
	given := false
	if made.Uid != st.Uid || made.Gid != st.Gid {
		given = true
		if err := fitting("its owner", dst.Chown(int(st.Uid), int(st.Gid))); err != nil {
			return err
		}
	}
	acl, err := c.copyXattrs(src, dst)
	if err != nil {
		return err
	}
	if acl || made.Mode&07777 != st.Mode&07777 {
		given = true
		if err := fitting("its mode", chmod(dst, st)); err != nil {
			return err
		}
	}
	if given {
		if err := taken(dst, st); err != nil {
			return err
		}
	}
	return fitting("its times", dst.Utimens(&[2]unix.Timespec{st.Atim, st.Mtim}))
}

// fitting is an AttributesError for what a tier does not permit: it is a user's daemon
// and another user's file, or a filesystem that keeps its own.
func fitting(what string, err error) error {
	if err == unix.EPERM {
		return AttributesError{what}
	}
	return err
}

// taken reports whether dst has the owner and the mode that it was given. Some
// filesystems say yes and go on with their own, such as rclone's.
func taken(dst *tier.File, st *unix.Stat_t) error {
	var is unix.Stat_t
	if err := dst.Stat(&is); err != nil {
		return err
	}
	switch {
	case is.Uid != st.Uid || is.Gid != st.Gid:
		return AttributesError{"its owner"}
	case is.Mode&07777 != st.Mode&07777:
		return AttributesError{"its mode"}
	}
	return nil
}

// chmod sets the mode. The daemon lacks CAP_FSETID, so a set-group-ID bit wants
// the file's group.
func chmod(dst *tier.File, st *unix.Stat_t) error {
	set := func() error { return dst.Chmod(st.Mode & 07777) }
	if os.Geteuid() != 0 || st.Mode&unix.S_ISGID == 0 {
		return set()
	}
	return sys.AsUser(0, int(st.Gid), set)
}

// Given gives a new file the owner and the mode of st, and says what it has then. That a
// filesystem permits neither to root is for want of them; another user may only not.
func Given(f *tier.File, st *unix.Stat_t) (is unix.Stat_t, err error) {
	if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil && (err != unix.EPERM || os.Geteuid() != 0) {
		return is, err
	}
	if err := chmod(f, st); err != nil && err != unix.EPERM {
		return is, err
	}
	err = f.Stat(&is)
	return is, err
}

// accessACL is the ACL that is a part of the mode: each changes the other.
const accessACL = "system.posix_acl_access"

// copyXattrs copies the extended attributes, and reports whether an ACL was
// there before or is now. One that the target cannot hold keeps the file where
// it is. What dst has inherited from its directory's default ACL goes first: all
// copies are made in one, so if one has none, none has.
func (c *Copier) copyXattrs(src, dst *tier.File) (acl bool, err error) {
	if !c.plain {
		n, err := dst.Getxattr(accessACL, nil)
		acl = n > 0
		c.plain = err == unix.ENODATA || err == unix.EOPNOTSUPP // any other error says nothing of the next
	}
	if acl {
		if err := dst.Removexattr(accessACL); err != nil && err != unix.ENODATA {
			return acl, err
		}
	}
	names, err := src.Xattrs()
	if err != nil {
		return acl, SourceError{err}
	}
	for _, name := range names {
		acl = acl || name == accessACL
		if err := copyXattr(src, dst, name); err != nil {
			return acl, err
		}
	}
	return acl, nil
}

// selinux is the label that the policy or the mount gives files where they are.
const selinux = "security.selinux"

// ofFilesystem reports whether an attribute belongs to where a file is: the label, and
// the properties of btrfs, which are another form of inode flags (chattr +c sets
// btrfs.compression). Who takes them gets them.
func ofFilesystem(name string) bool {
	return name == selinux || strings.HasPrefix(name, "btrfs.")
}

func copyXattr(src, dst *tier.File, name string) error {
	value, err := src.Xattr(name)
	if err == unix.ENODATA {
		return nil // removed meanwhile, which the change time tells
	}
	if err != nil {
		return AttributesError{"the attribute " + name}
	}
	return copyXattrError(name, dst.Setxattr(name, value, 0))
}

// copyXattrError is what the error of setting an attribute means for the copy.
func copyXattrError(name string, err error) error {
	switch {
	case err == nil:
	case ofFilesystem(name):
	case err == unix.EDQUOT, err == unix.EIO:
		return err
	default: // ENOSPC too: ext4 has that for an attribute too long for its block
		return AttributesError{"the attribute " + name}
	}
	return nil
}
