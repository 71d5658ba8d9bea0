package sys

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dirent is one row of getdents64(2).
type Dirent struct {
	Ino  uint64
	Type uint8 // DT_*
	Name string
}

// direntHeader is the part of struct linux_dirent64 before its name.
const direntHeader = int(unsafe.Offsetof(unix.Dirent{}.Name))

// ReadDir calls fn for every entry of the open directory fd but "." and "..",
// from its current position on. It stops at fn's first error. buf is scratch
// of at least 4 KiB. A directory of nothing but dots, without end, is EIO.
func ReadDir(fd int, buf []byte, fn func(Dirent) error) error {
	for idle := 0; idle < maxIdle; idle++ {
		more, err := ReadRows(fd, buf, func(d Dirent) error {
			idle = 0
			return fn(d)
		})
		if err != nil || !more {
			return err
		}
	}
	return unix.EIO
}

// ReadRows is one step of ReadDir, of as many rows as buf holds. At the end of
// the directory there are no more.
func ReadRows(fd int, buf []byte, fn func(Dirent) error) (more bool, err error) {
	n, err := unix.Getdents(fd, buf)
	for err == unix.EINTR {
		n, err = unix.Getdents(fd, buf)
	}
	if err != nil || n == 0 {
		return false, err
	}
	return true, parseDirents(buf[:n], fn)
}

// maxIdle bounds the reads in a row that bring no entry: "." and ".." come once.
const maxIdle = 1000

// parseDirents walks the packed rows that the kernel wrote. A name with a
// slash, which a broken or hostile filesystem can invent, is EIO: as a path
// it would lead out of its directory.
func parseDirents(b []byte, fn func(Dirent) error) error {
	for len(b) > 0 {
		if len(b) < direntHeader {
			return unix.EIO
		}
		reclen := int(binary.NativeEndian.Uint16(b[unsafe.Offsetof(unix.Dirent{}.Reclen):]))
		if reclen < direntHeader || reclen > len(b) {
			return unix.EIO
		}
		name := b[direntHeader:reclen]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		d := Dirent{Ino: binary.NativeEndian.Uint64(b), Type: b[unsafe.Offsetof(unix.Dirent{}.Type)], Name: string(name)}
		b = b[reclen:]
		switch {
		case d.Name == "." || d.Name == "..":
		case d.Name == "" || bytes.IndexByte(name, '/') >= 0:
			return unix.EIO
		default:
			if err := fn(d); err != nil {
				return err
			}
		}
	}
	return nil
}
