package fusedev

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sampleStat has another value in each field, and some that do not fit in 32
// bits.
var sampleStat = unix.Stat_t{
	Dev: 0x801, Ino: 1<<62 | 11, Nlink: 7, Mode: unix.S_IFBLK | 04755, Uid: 1001, Gid: 1002, Rdev: 0x10305,
	Size: 1<<40 | 5, Blksize: 4096, Blocks: 1<<33 | 9,
	Atim: unix.Timespec{Sec: -5, Nsec: 999999999}, Mtim: unix.Timespec{Sec: 1 << 33, Nsec: 1}, Ctim: unix.Timespec{Sec: 33, Nsec: 333},
}

var sampleAttr = attrWire{
	Ino: 1<<62 | 11, Size: 1<<40 | 5, Blocks: 1<<33 | 9, Atime: 1<<64 - 5, Mtime: 1 << 33, Ctime: 33,
	Atimensec: 999999999, Mtimensec: 1, Ctimensec: 333,
	Mode: unix.S_IFBLK | 04755, Nlink: 7, UID: 1001, GID: 1002, Rdev: 0x10305, Blksize: 4096,
}

// dirty is a buffer that was used before.
func dirty(n int) []byte { return bytes.Repeat([]byte{0xee}, n) }

func TestSizesAreThoseOfTheProtocol(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want int
		wire      any
	}{
		{"fuse_in_header", inHeaderSize, 40, inHeader{}},
		{"fuse_out_header", outHeaderSize, 16, outHeader{}},
		{"fuse_attr", attrSize, 88, attrWire{}},
		{"fuse_entry_out", entrySize, 128, entryOut{}},
		{"fuse_attr_out", attrOutSize, 104, attrOut{}},
		{"fuse_open_out", openOutSize, 16, openOut{}},
		{"fuse_statx_out", statxOutSize, 288, statxOut{}},
		{"fuse_direntplus", direntPlusHeader, 152, struct {
			Entry  entryOut
			Dirent direntWire
		}{}},
		{"fuse_init_in", 64, 64, initIn{}},
		{"fuse_init_out", 64, 64, initOut{}},
	} {
		if size := binary.Size(c.wire); c.got != c.want || size != c.want {
			t.Errorf("%s has %d bytes, here %d, in these tests %d", c.what, c.want, c.got, size)
		}
	}
}

func TestPutEntry(t *testing.T) {
	b := dirty(entrySize + 8)
	putEntry(b, &Entry{Node: 1 << 40, Stat: &sampleStat, EntryTTL: 1500 * time.Millisecond, AttrTTL: time.Hour + 1})
	var e entryOut
	rest := unpack(t, b, &e)
	want := entryOut{Node: 1 << 40, EntryValid: 1, AttrValid: 3600, EntryValidNsec: 5e8, AttrValidNsec: 1, Attr: sampleAttr}
	if e != want {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
	if !bytes.Equal(rest, dirty(8)) {
		t.Error("it wrote beyond its end")
	}
}

// Node 0 says that there is no such name, for as long as told.
func TestPutNegativeEntry(t *testing.T) {
	b := dirty(entrySize)
	putEntry(b, &Entry{EntryTTL: 3 * time.Second})
	var e entryOut
	unpack(t, b, &e)
	if want := (entryOut{EntryValid: 3}); e != want {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
}

func TestPutAttrOut(t *testing.T) {
	b := dirty(attrOutSize + 8)
	putAttrOut(b, &Entry{Stat: &sampleStat, AttrTTL: 2500 * time.Millisecond, EntryTTL: time.Hour})
	var a attrOut
	rest := unpack(t, b, &a)
	if want := (attrOut{AttrValid: 2, AttrValidNsec: 5e8, Attr: sampleAttr}); a != want {
		t.Errorf("got %+v\nwant %+v", a, want)
	}
	if !bytes.Equal(rest, dirty(8)) {
		t.Error("it wrote beyond its end")
	}
}

func TestPutOpen(t *testing.T) {
	b := dirty(openOutSize + 8)
	putOpen(b, Open{Handle: 1 << 50, Flags: OpenPassthrough | OpenNoFlush, BackingID: 9})
	var o openOut
	rest := unpack(t, b, &o)
	if want := (openOut{1 << 50, 1<<7 | 1<<5, 9}); o != want || !bytes.Equal(rest, dirty(8)) {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestPutStatx(t *testing.T) {
	sx := unix.Statx_t{
		Mask: 0xfff, Blksize: 4096, Attributes: 1 << 33, Nlink: 3, Uid: 4, Gid: 5, Mode: unix.S_IFREG | 0644, Ino: 1<<62 | 6,
		Size: 1 << 41, Blocks: 1 << 35, Attributes_mask: 1 << 34, Rdev_major: 15, Rdev_minor: 16, Dev_major: 17, Dev_minor: 18,
		Atime: unix.StatxTimestamp{Sec: -7, Nsec: 70}, Btime: unix.StatxTimestamp{Sec: 8, Nsec: 80},
		Ctime: unix.StatxTimestamp{Sec: 9, Nsec: 90}, Mtime: unix.StatxTimestamp{Sec: 10, Nsec: 100},
	}
	b := make([]byte, 256)
	putStatx(b, &sx)
	var got statxWire
	unpack(t, b, &got)
	want := statxWire{
		Mask: 0xfff, Blksize: 4096, Attributes: 1 << 33, Nlink: 3, UID: 4, GID: 5, Mode: unix.S_IFREG | 0644, Ino: 1<<62 | 6,
		Size: 1 << 41, Blocks: 1 << 35, AttributesMask: 1 << 34, RdevMajor: 15, RdevMinor: 16, // the kernel knows the device better
		Atime: sxTime{-7, 70, 0}, Btime: sxTime{8, 80, 0}, Ctime: sxTime{9, 90, 0}, Mtime: sxTime{10, 100, 0},
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestPutOutHeader(t *testing.T) {
	b := dirty(outHeaderSize)
	putOutHeader(b, 99, unix.ENOENT, 1<<40|2)
	var h outHeader
	unpack(t, b, &h)
	if want := (outHeader{99, -2, 1<<40 | 2}); h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
}

func TestParseHeader(t *testing.T) {
	got := parseHeader(message(opGetattr, 1<<40|2, 1<<41, 4321, "body"))
	if want := (Header{Unique: 1<<40 | 2, Node: 1 << 41, Opcode: 3, UID: 1000, GID: 100, PID: 4321}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Rows are aligned to 8 bytes, and what fills them up says nothing of what the
// buffer held before.
func TestPutDirentLayout(t *testing.T) {
	for _, name := range []string{"a", "1234567", "12345678", "123456789", strings.Repeat("ü", 127)} {
		b := dirty(400)
		n := PutDirent(b, 1<<62|3, 42, name, unix.DT_FIFO)
		if want := (24 + len(name) + 7) / 8 * 8; n != want {
			t.Errorf("%q: %d bytes, want %d", name, n, want)
		}
		var d direntWire
		rest := unpack(t, b, &d)
		if want := (direntWire{1<<62 | 3, 42, uint32(len(name)), unix.DT_FIFO}); d != want {
			t.Errorf("%q: got %+v, want %+v", name, d, want)
		}
		if string(rest[:len(name)]) != name || len(bytes.Trim(rest[len(name):n-24], "\x00")) > 0 || !bytes.Equal(b[n:], dirty(400-n)) {
			t.Errorf("%q: its row is %q", name, b[:n+8])
		}
	}
}

func TestPutDirentThatDoesNotFitWritesNothing(t *testing.T) {
	for room := range 32 {
		b := dirty(room)
		if n := PutDirent(b, 1, 2, "123456", 0); n != 0 || !bytes.Equal(b, dirty(room)) {
			t.Errorf("in %d bytes: wrote %d", room, n)
		}
	}
	if n := PutDirent(dirty(32), 1, 2, "123456", 0); n != 32 {
		t.Errorf("in 32 bytes: wrote %d", n)
	}
}

func TestPutDirentPlusLayout(t *testing.T) {
	for _, name := range []string{"a", "12345678", strings.Repeat("x", 255)} {
		b := dirty(500)
		n := PutDirentPlus(b, &Entry{Node: 5, Stat: &sampleStat, EntryTTL: time.Second}, 11, 42, name, unix.DT_REG)
		if n != DirentPlusSize(name) || n != (152+len(name)+7)/8*8 {
			t.Errorf("%q: %d bytes, DirentPlusSize says %d", name, n, DirentPlusSize(name))
		}
		var e entryOut
		var d direntWire
		rest := unpack(t, unpack(t, b, &e), &d)
		if want := (entryOut{Node: 5, EntryValid: 1, Attr: sampleAttr}); e != want {
			t.Errorf("%q: entry %+v\nwant %+v", name, e, want)
		}
		if want := (direntWire{11, 42, uint32(len(name)), unix.DT_REG}); d != want || string(rest[:len(name)]) != name {
			t.Errorf("%q: row %+v, %q", name, d, rest[:len(name)])
		}
		if !bytes.Equal(b[n:], dirty(500-n)) {
			t.Errorf("%q: it wrote beyond its end", name)
		}
	}
}

func TestDirentType(t *testing.T) {
	for mode, want := range map[uint32]uint8{
		unix.S_IFREG | 07777: unix.DT_REG, unix.S_IFDIR | 01777: unix.DT_DIR, unix.S_IFLNK: unix.DT_LNK, unix.S_IFIFO: unix.DT_FIFO,
		unix.S_IFSOCK: unix.DT_SOCK, unix.S_IFCHR: unix.DT_CHR, unix.S_IFBLK: unix.DT_BLK,
	} {
		if got := DirentType(mode); got != want {
			t.Errorf("mode %o: %d, want %d", mode, got, want)
		}
	}
}

// Every opcode has the name that Stats tells, and no name stands for two.
func TestOpNames(t *testing.T) {
	seen := map[string]uint32{}
	for opcode, name := range opNames {
		if name == "" {
			continue
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%s is %d and %d", name, other, opcode)
		}
		seen[name] = uint32(opcode)
		if opName(uint32(opcode)) != name {
			t.Errorf("opcode %d is %s", opcode, opName(uint32(opcode)))
		}
	}
	for opcode, want := range map[uint32]string{0: "op 0", 57: "op 57", opCount: "op 64", 1 << 31: "op 2147483648"} {
		if got := opName(opcode); got != want {
			t.Errorf("opcode %d is %s", opcode, got)
		}
	}
}

// What travels through the pair begins with the INIT of a kernel that the
// library knows.
func TestSyntheticInit(t *testing.T) {
	b := syntheticInit()
	var h inHeader
	var in initIn
	rest := unpack(t, unpack(t, b, &h), &in)
	if int(h.Len) != len(b) || h.Opcode != 26 || h.Unique == 0 || len(rest) != 0 {
		t.Errorf("header %+v, %d bytes beyond", h, len(rest))
	}
	if !reflect.DeepEqual(in, initIn{Major: 7, Minor: 34}) {
		t.Errorf("got %+v", in)
	}
}
