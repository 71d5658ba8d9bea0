package mover

import (
	"bytes"
	"cmp"
	"context"
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
	da, err := openPath(c.Tiers[a.rank], dir)
	if err != nil {
		return false, err
	}
	defer da.Put()
	db, err := openPath(c.Tiers[b.rank], dir)
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

// sameContent compares two files of that size. One that ends before it has
// changed meanwhile, or cannot be read.
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
	bufA, bufB := make([]byte, compareChunk), make([]byte, compareChunk)
	for off := int64(0); off < size; off += compareChunk {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		want := int(min(size-off, compareChunk))
		for _, read := range []struct {
			f   *tier.File
			buf []byte
		}{{fa, bufA[:want]}, {fb, bufB[:want]}} {
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
