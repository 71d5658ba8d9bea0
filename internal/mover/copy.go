package mover

import (
	"context"
	"errors"
	"os"

	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// chunk is how many bytes are copied between two looks at whether the copy is
// still wanted.
const chunk = 1 << 20

// Errors of Copy, beside errnos of the tiers.
var (
	ErrGiveWay    = errors.New("somebody wants the file")
	ErrAttributes = errors.New("an extended attribute or an ACL does not fit there")
)

// Copy makes dst, a new empty file, a copy of src, whose attributes are in st:
// content with holes, owner, extended attributes with ACLs, mode, access and
// modification time. Between chunks it looks whether it is to giveWay, and waits
// for pace. Nothing of dst is durable yet.
func Copy(ctx context.Context, src, dst *tier.File, st *unix.Stat_t, pace *Pace, giveWay func() bool) error {
	c := copier{ctx: ctx, src: src, dst: dst, size: st.Size, pace: pace, giveWay: giveWay, byHand: !kernelCopies(src.Tier, dst.Tier)}
	if err := c.wait(0); err != nil {
		return err
	}
	if err := c.asWriter(c.content); err != nil {
		return err
	}
	dst.StartSync()
	return c.attributes(st)
}

type copier struct {
	ctx      context.Context
	src, dst *tier.File
	size     int64
	pace     *Pace
	giveWay  func() bool
	byHand   bool   // the kernel cannot copy between the two
	buf      []byte // for copies by hand
}

// kernelCopies reports whether copy_file_range(2) may do something for the two
// tiers: it goes from one filesystem to another only where a server does it.
func kernelCopies(a, b *tier.Tier) bool { return a.Dev() == b.Dev() || a.Network && b.Network }

// content copies what is not a hole.
func (c *copier) content() error {
	if c.size == 0 || c.src.Tier.Dev() == c.dst.Tier.Dev() && c.dst.CloneFrom(c.src) == nil {
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
		}
	}
	return nil
}

// extent is the next stretch of data at or after at. Where the filesystem
// cannot tell, all is data.
func (c *copier) extent(at int64) (data, end int64, err error) {
	data, err = c.src.Seek(at, unix.SEEK_DATA)
	switch err {
	case nil:
	case unix.ENXIO:
		return c.size, c.size, nil
	case unix.EINVAL:
		return at, c.size, nil
	default:
		return 0, 0, err
	}
	if end, err = c.src.Seek(data, unix.SEEK_HOLE); err != nil {
		return 0, 0, err
	}
	return min(data, c.size), min(end, c.size), nil
}

// chunk copies n bytes, or fewer.
func (c *copier) chunk(at, n int64) (int64, error) {
	if err := c.wait(n); err != nil {
		return 0, err
	}
	if !c.byHand {
		copied, err := c.src.CopyRange(at, c.dst, at, int(n), 0)
		if err == nil && copied > 0 || err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EIO {
			return int64(copied), err
		}
		c.byHand = true // not between these two
	}
	copied, err := c.piece(at, n)
	return int64(copied), err
}

// piece is chunk by read and write.
func (c *copier) piece(at, n int64) (int, error) {
	if c.buf == nil {
		c.buf = make([]byte, min(chunk, c.size))
	}
	got, err := c.src.Pread(c.buf[:n], at)
	if err != nil {
		return 0, err
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
func (c *copier) wait(n int64) error {
	if err := c.pace.Wait(c.ctx, n); err != nil {
		return err
	}
	if c.giveWay() {
		return ErrGiveWay
	}
	return nil
}

// asWriter runs fn, which takes up space, as somebody who may not have what the
// filesystem reserves for root.
func (c *copier) asWriter(fn func() error) error {
	if os.Geteuid() != 0 || c.dst.Tier.Network {
		return fn()
	}
	return sys.AsUser(sys.Nobody, sys.Nobody, fn)
}

// attributes gives dst what st and src have. The owner goes first, because
// chown(2) clears set-id bits and file capabilities; the times last.
func (c *copier) attributes(st *unix.Stat_t) error {
	if err := c.dst.Chown(int(st.Uid), int(st.Gid)); err == unix.EPERM {
		return ErrAttributes // a user's daemon, another user's file
	} else if err != nil {
		return err
	}
	if err := c.xattrs(); err != nil {
		return err
	}
	if err := c.chmod(st); err != nil {
		return err
	}
	return c.dst.Utimens(&[2]unix.Timespec{st.Atim, st.Mtim})
}

// chmod sets the mode. The daemon lacks CAP_FSETID, so a set-group-ID bit wants
// the file's group.
func (c *copier) chmod(st *unix.Stat_t) error {
	set := func() error { return c.dst.Chmod(st.Mode & 07777) }
	if os.Geteuid() != 0 || st.Mode&unix.S_ISGID == 0 {
		return set()
	}
	return sys.AsUser(0, int(st.Gid), set)
}

// xattrs copies the extended attributes. One that the target cannot hold keeps
// the file where it is. What dst has inherited from its directory's default ACL
// goes first.
func (c *copier) xattrs() error {
	if err := c.dst.Removexattr("system.posix_acl_access"); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
		return err
	}
	names, err := c.src.Xattrs()
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := c.src.Xattr(name)
		if err == unix.ENODATA {
			continue // removed meanwhile, which the change time tells
		}
		if err != nil {
			return ErrAttributes
		}
		switch err := c.dst.Setxattr(name, value, 0); {
		case err == nil:
		case name == "security.selinux": // the policy or the mount gives files there their label
		case err == unix.EDQUOT, err == unix.EIO:
			return err
		default: // ENOSPC too: ext4 has that for an attribute too long for its block
			return ErrAttributes
		}
	}
	return nil
}
