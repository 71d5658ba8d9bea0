package mover

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"path"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// compareChunk is how much of two files is compared at a time.
const compareChunk = 1 << 20

// same reports whether two copies of a name have the same type and content.
func (c *Check) same(ctx context.Context, name string, a, b seen) (bool, error) {
	if a.st.Mode&unix.S_IFMT != b.st.Mode&unix.S_IFMT || a.st.Size != b.st.Size {
		return false, nil
	}
	dir, base := path.Split(name)
	da, err := c.Tiers[a.rank].OpenPath(dir)
	if err != nil {
		return false, err
	}
	defer da.Put()
	db, err := c.Tiers[b.rank].OpenPath(dir)
	if err != nil {
		return false, err
	}
	defer db.Put()
	switch a.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return sameContent(ctx, da, db, base, a.st.Size)
	case unix.S_IFLNK:
		return sameTarget(da, db, base, &a.st, &b.st)
	}
	return a.st.Rdev == b.st.Rdev, nil
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
