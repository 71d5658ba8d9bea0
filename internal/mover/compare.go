package mover

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// compareChunk is how much of two files is compared at a time.
const compareChunk = 1 << 20

// differs says what a hidden copy, b, differs in from the one that is shown; nothing if
// it is the same file.
func (c *Check) differs(ctx context.Context, name string, a, b seen) ([]string, error) {
	switch {
	case a.st.Mode&unix.S_IFMT != b.st.Mode&unix.S_IFMT:
		return []string{"type"}, nil
	case a.st.Size != b.st.Size:
		return []string{"content"}, nil
	}
	dir, base := path.Split(name)
	da, err := c.Tiers[a.rank].OpenPath(dir)
	if err != nil {
		return nil, err
	}
	defer da.Put()
	db, err := c.Tiers[b.rank].OpenPath(dir)
	if err != nil {
		return nil, err
	}
	defer db.Put()
	same := a.st.Rdev == b.st.Rdev
	switch a.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		same, err = sameContent(ctx, da, db, base, a.st.Size)
	case unix.S_IFLNK:
		same, err = sameTarget(da, db, base, &a.st, &b.st)
	}
	switch {
	case err != nil:
		return nil, err
	case !same:
		return []string{"content"}, nil
	}
	return Differences(da, db, base, c.Made)
}

// Made has a file made on a tier that is given the owner and the mode of st, and says
// what it has of them: as much as the tier holds. Then the file is removed.
type Made func(t *tier.Tier, st *unix.Stat_t) (unix.Stat_t, error)

// Differences says what the file name in low differs in from that in high, but for type,
// content and times: owner, group, mode, extended attributes, ACL.
//
// It is for low to go. So what low's tier cannot hold is no difference, as it is not lost;
// what high's cannot hold is one.
func Differences(high, low *tier.Dir, name string, made Made) ([]string, error) {
	h, err := high.OpenPath(name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := low.OpenPath(name)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	rights, err := rightsDiffer(h, l, made)
	if err != nil {
		return nil, err
	}
	attributes, err := attributesDiffer(h, l)
	return append(rights, attributes...), err
}

// rightsDiffer compares owner, group and mode. Filesystems such as vfat and rclone's have
// the same for all files, and take no other.
func rightsDiffer(high, low *tier.File, made Made) (in []string, err error) {
	var h, l unix.Stat_t
	if err := high.Stat(&h); err != nil {
		return nil, err
	}
	if err := low.Stat(&l); err != nil {
		return nil, err
	}
	if !sameRights(&h, &l) && l.Mode&unix.S_IFMT == unix.S_IFREG {
		if held, err := made(low.Tier, &h); err == nil {
			h = held
		}
	}
	for _, d := range []struct {
		what string
		is   bool
	}{{"owner", h.Uid != l.Uid}, {"group", h.Gid != l.Gid}, {"mode", (h.Mode^l.Mode)&07777 != 0}} {
		if d.is {
			in = append(in, d.what)
		}
	}
	return in, nil
}

func sameRights(a, b *unix.Stat_t) bool {
	return a.Uid == b.Uid && a.Gid == b.Gid && a.Mode == b.Mode
}

// attributesDiffer compares extended attributes and the ACL.
func attributesDiffer(high, low *tier.File) (in []string, err error) {
	hx, err := xattrs(high)
	if err != nil {
		return nil, err
	}
	lx, err := xattrs(low)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for name, value := range lx {
		if other, has := hx[name]; (!has || other != value) && (has || !ofItsFilesystem(name) || holds(high, name)) {
			found[attributeWord(name)] = true
		}
	}
	for name := range hx {
		if _, has := lx[name]; !has && holds(low, name) {
			found[attributeWord(name)] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func attributeWord(name string) string {
	if name == accessACL {
		return "ACL"
	}
	return "attributes"
}

// ofItsFilesystem reports whether a filesystem makes the attribute itself, of what it has
// of the file, as NFS does system.nfs4_acl.
func ofItsFilesystem(name string) bool {
	return strings.HasPrefix(name, "system.") && name != accessACL
}

// holds reports whether files beside f can have the attribute.
func holds(f *tier.File, name string) bool {
	_, err := f.Getxattr(name, nil)
	return err != unix.EOPNOTSUPP
}

func sameTarget(a, b *tier.Dir, name string, sta, stb *unix.Stat_t) (bool, error) {
	ta, err := a.Peek(name, sta)
	if err != nil {
		return false, err
	}
	tb, err := b.Peek(name, stb)
	return ta == tb, err
}

// sameContent compares two files of that size.
func sameContent(ctx context.Context, a, b *tier.Dir, name string, size int64) (bool, error) {
	fa, err := a.OpenQuietly(name, unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := b.OpenQuietly(name, unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	return SameBytes(ctx, fa, fb, size)
}

// SameBytes compares what two open files of that size have. One that ends before it
// has changed meanwhile, or cannot be read.
func SameBytes(ctx context.Context, a, b *tier.File, size int64) (bool, error) {
	bufA, bufB := make([]byte, compareChunk), make([]byte, compareChunk)
	for off := int64(0); off < size; off += compareChunk {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		want := int(min(size-off, compareChunk))
		for _, read := range []struct {
			f   *tier.File
			buf []byte
		}{{a, bufA[:want]}, {b, bufB[:want]}} {
			if n, err := read.f.Pread(read.buf, off); err != nil || n < want {
				return false, cmp.Or(err, error(unix.EIO))
			}
		}
		if !bytes.Equal(bufA[:want], bufB[:want]) {
			return false, nil
		}
	}
	return true, nil
}

// SameFile reports whether two open files have the same content and the same
// attributes but for times, so that either can go. Of what is longer than most
// nothing is said.
func SameFile(a, b *tier.File, most int64) (bool, error) {
	var sa, sb unix.Stat_t
	if err := a.Stat(&sa); err != nil {
		return false, err
	}
	if err := b.Stat(&sb); err != nil {
		return false, err
	}
	if sa.Mode != sb.Mode || sa.Uid != sb.Uid || sa.Gid != sb.Gid || sa.Size != sb.Size || sa.Size > most {
		return false, nil
	}
	xa, err := xattrs(a)
	if err != nil {
		return false, err
	}
	xb, err := xattrs(b)
	if err != nil || !maps.Equal(xa, xb) {
		return false, err
	}
	return SameBytes(context.Background(), a, b, sa.Size)
}

// xattrs are the extended attributes that a copy gets.
func xattrs(f *tier.File) (map[string]string, error) {
	names, err := f.Xattrs()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, name := range names {
		if name == selinux {
			continue
		}
		value, err := f.Xattr(name)
		if err != nil {
			return nil, err
		}
		all[name] = string(value)
	}
	return all, nil
}
