package fusedev

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/jacobsa/fuse/fuseops"
	"golang.org/x/sys/unix"
)

// decoded is an op, the request that means it, and how many bytes of that are
// looked at: what follows is padding, or what tierfs has no use for.
type decoded struct {
	name   string
	opcode uint32
	body   []byte
	need   int
	want   any
}

// everyFeature is what a connection to a new kernel has.
const everyFeature = 1<<64 - 1

// The layouts are those of fuse.h, field by field.
func decodedOps() []decoded {
	type u32s = []uint32
	type u64s = []uint64
	const node = 77
	create := pack(u32s{unix.O_RDWR | unix.O_CREAT, unix.S_IFREG | 0640, 022, 0xffffffff}, "näme")
	return []decoded{
		{"CREATE", 35, create, len(create),
			&CreateOp{Parent: node, Name: "näme", Flags: unix.O_RDWR | unix.O_CREAT, Mode: unix.S_IFREG | 0640, Umask: 022}},
		{"TMPFILE", 51, create, len(create),
			&CreateOp{Parent: node, Name: "näme", Flags: unix.O_RDWR | unix.O_CREAT, Mode: unix.S_IFREG | 0640, Umask: 022, Tmpfile: true}},
		{"MKDIR", 9, pack(u32s{0755, 027}, "d"), 10, &MkdirOp{node, "d", 0755, 027}},
		{"MKNOD", 8, pack(u32s{unix.S_IFCHR | 0600, 0x103, 077, 0xffffffff}, "null"), 21, &MknodOp{node, "null", unix.S_IFCHR | 0600, 0x103, 077}},
		{"RENAME2", 45, pack(u64s{88}, u32s{unix.RENAME_EXCHANGE, 0xffffffff}, "from", "to"), 24,
			&RenameOp{node, 88, "from", "to", unix.RENAME_EXCHANGE}},
		{"RENAME", 12, pack(u64s{88}, "from", "to"), 16, &RenameOp{node, 88, "from", "to", 0}},
		{"RMDIR", 11, pack("d"), 2, &fuseops.RmDirOp{Parent: node, Name: "d"}},
		{"OPENDIR", 27, nil, 0, &fuseops.OpenDirOp{Inode: node}},
		{"READDIR", 28, pack(u64s{5, 1 << 40}, u32s{4096, 0}, u64s{0}, u32s{0, 0}), 20, &ReaddirOp{node, 5, 1 << 40, 4096, false}},
		{"READDIRPLUS", 44, pack(u64s{5, 1 << 40}, u32s{4096, 0}, u64s{0}, u32s{0, 0}), 20, &ReaddirOp{node, 5, 1 << 40, 4096, true}},
		{"RELEASEDIR", 29, pack(u64s{5}, u32s{0, 0}, u64s{0}), 8, &fuseops.ReleaseDirHandleOp{Handle: 5}},
		{"GETXATTR", 22, pack(u32s{64, 0xffffffff}, "user.a"), 15, &GetxattrOp{node, "user.a", 64}},
		{"LISTXATTR", 23, pack(u32s{64, 0xffffffff}), 4, &ListxattrOp{node, 64}},
		{"LSEEK", 46, pack(u64s{5, 1 << 40}, u32s{unix.SEEK_HOLE, 0xffffffff}), 20, &LseekOp{node, 5, 1 << 40, unix.SEEK_HOLE}},
		{"COPY_FILE_RANGE", 47, pack(u64s{5, 1 << 33, 99, 6, 1 << 34, 1 << 35, 3}), 56,
			&CopyFileRangeOp{node, 5, 1 << 33, 99, 6, 1 << 34, 1 << 35, 3, false}},
		{"COPY_FILE_RANGE_64", 53, pack(u64s{5, 1 << 33, 99, 6, 1 << 34, 1 << 35, 3}), 56,
			&CopyFileRangeOp{node, 5, 1 << 33, 99, 6, 1 << 34, 1 << 35, 3, true}},
		{"STATX", 52, pack(u32s{1, 0xffffffff}, u64s{5}, u32s{unix.AT_STATX_DONT_SYNC, 0xfff}), 24, &StatxOp{node, unix.AT_STATX_DONT_SYNC, 0xfff}},
		{"IOCTL", 39, pack(u64s{5}, u32s{1 << 4, 0x80086601}, u64s{0xdeadbeef}, u32s{3, 8}, []byte("abc")), 35,
			&IoctlOp{node, 5, 0x80086601, true, []byte("abc"), 8}},
		{"IOCTL without data", 39, pack(u64s{5}, u32s{1<<0 | 1<<1, 0x5401}, u64s{1}, u32s{0, 0}), 32, &IoctlOp{node, 5, 0x5401, false, []byte{}, 0}},
		{"FSYNC", 20, pack(u64s{5}, u32s{0, 0xffffffff}), 12, &SyncOp{Node: node, Handle: 5}},
		{"FSYNC of the data", 20, pack(u64s{5}, u32s{1, 0}), 12, &SyncOp{Node: node, Handle: 5, DataOnly: true}},
		{"FSYNCDIR", 30, pack(u64s{5}, u32s{1, 0}), 12, &SyncOp{node, 5, true, true}},
		{"SETXATTR", 21, pack(u32s{5, unix.XATTR_CREATE, 1, 0xffffffff}, "user.a", []byte("va\x00lu")), 28,
			&SetxattrOp{node, "user.a", []byte("va\x00lu"), unix.XATTR_CREATE, true}},
		{"SETXATTR of nothing", 21, pack(u32s{0, 0, 0, 0}, "user.a"), 23, &SetxattrOp{node, "user.a", []byte{}, 0, false}},
		{"READ", 15, pack(u64s{5, 1 << 40}, u32s{131072, 2}, u64s{0xbeef}, u32s{unix.O_DIRECT, 0}), 20, &ReadOp{node, 5, 1 << 40, 131072}},
		{"WRITE", 16, pack(u64s{5, 1 << 40}, u32s{4, 0}, u64s{0xbeef}, u32s{unix.O_APPEND, 0}, []byte("data")), 44,
			&WriteOp{node, 5, 1 << 40, []byte("data"), false}},
		{"FORGET", 2, pack(u64s{3}), 8, &ForgetOp{[]Forget{{node, 3}}}},
		{"BATCH_FORGET", 42, pack(u32s{2, 0xffffffff}, u64s{88, 1, 1 << 40, 1 << 41}), 40, &ForgetOp{[]Forget{{88, 1}, {1 << 40, 1 << 41}}}},
		{"BATCH_FORGET of none", 42, pack(u32s{0, 0}), 8, &ForgetOp{}},
		{"WRITE of a mapping", 16, pack(u64s{5, 0}, u32s{1, 1}, u64s{0}, u32s{0, 0}, []byte("d")), 41, &WriteOp{node, 5, 0, []byte("d"), true}},
	}
}

// setattr is struct fuse_setattr_in.
func setattr(valid uint32) []byte {
	return pack([]uint32{valid, 0xffffffff}, []uint64{5, 1 << 40, 0xbeef, 1 << 33, 1 << 34, 7}, []uint32{8, 9, 10, 0100644, 0xffffffff, 1001, 1002, 0xffffffff})
}

// What is not valid must not be taken for a zero, and "now" not for a time.
func TestDecodeSetattr(t *testing.T) {
	mode, uid, gid, size := uint32(0100644), uint32(1001), uint32(1002), uint64(1<<40)
	omit, now := unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW}
	for valid, want := range map[uint32]SetattrOp{
		0:                         {Atime: omit, Mtime: omit},
		1 << 0:                    {Mode: &mode, Atime: omit, Mtime: omit},
		1<<1 | 1<<2:               {UID: &uid, GID: &gid, Atime: omit, Mtime: omit},
		1<<3 | 1<<6 | 1<<9:        {Size: &size, ByHandle: true, Atime: omit, Mtime: omit},
		1<<4 | 1<<5:               {Atime: unix.Timespec{Sec: 1 << 33, Nsec: 8}, Mtime: unix.Timespec{Sec: 1 << 34, Nsec: 9}},
		1<<4 | 1<<5 | 1<<7:        {Atime: now, Mtime: unix.Timespec{Sec: 1 << 34, Nsec: 9}},
		1<<5 | 1<<8 | 1<<10:       {Atime: omit, Mtime: now},
		1<<4 | 1<<5 | 1<<7 | 1<<8: {Atime: now, Mtime: now},
	} {
		want.Node = 77
		got, err := decode(&Header{Opcode: 4, Node: 77}, setattr(valid), everyFeature)
		if err != nil || !reflect.DeepEqual(got, &want) {
			t.Errorf("valid %#x:\n got %+v, %v\nwant %+v", valid, got, err, want)
		}
	}
	if _, err := decode(&Header{Opcode: 4}, setattr(0)[:80], everyFeature); err == nil {
		t.Error("a short one is taken")
	}
}

func TestDecode(t *testing.T) {
	for _, d := range decodedOps() {
		got, err := decode(&Header{Opcode: d.opcode, Node: 77}, d.body, everyFeature)
		if err != nil || !reflect.DeepEqual(got, d.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", d.name, got, err, d.want)
		}
	}
}

// Kernels before 5.14 send the short struct fuse_setxattr_in; they do not have
// FUSE_SETXATTR_EXT.
func TestDecodeSetxattrOfAnOldKernel(t *testing.T) {
	body := pack([]uint32{5, unix.XATTR_CREATE}, "user.a", []byte("value"))
	got, err := decode(&Header{Opcode: 21, Node: 77}, body, everyFeature&^(1<<29))
	if want := (&SetxattrOp{77, "user.a", []byte("value"), unix.XATTR_CREATE, false}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// What is cut short was not sent by a kernel that speaks the protocol: nothing
// of it may be done.
func TestDecodeOfShortInputIsEIO(t *testing.T) {
	for _, d := range decodedOps() {
		for n := range d.need {
			if op, err := decode(&Header{Opcode: d.opcode}, d.body[:n], everyFeature); err != unix.EIO || op != nil {
				t.Errorf("%s cut to %d of %d: %+v, %v", d.name, n, d.need, op, err)
			}
		}
		if _, err := decode(&Header{Opcode: d.opcode}, d.body[:d.need], everyFeature); err != nil {
			t.Errorf("%s does not do with %d: %v", d.name, d.need, err)
		}
	}
}

// A length in the request is a claim.
func TestDecodeBelievesNoLength(t *testing.T) {
	type u32s = []uint32
	for name, m := range map[string]struct {
		opcode uint32
		body   []byte
	}{
		"WRITE":    {16, pack(make([]byte, 16), u32s{5, 0}, make([]byte, 16), []byte("four"))},
		"IOCTL":    {39, pack(make([]byte, 24), u32s{0xffffffff, 0}, []byte("four"))},
		"SETXATTR": {21, pack(u32s{0x80000000, 0, 0, 0}, "a", []byte("four"))},
		"BATCH":    {42, pack(u32s{0xffffffff, 0}, make([]byte, 160))},
		"no NUL":   {9, pack(u32s{0, 0}, []byte("name"))},
		"one NUL":  {45, pack(make([]byte, 16), "from", []byte("to"))},
	} {
		m.body = append(m.body, make([]byte, 100)...)[:len(m.body)] // a worker's buffer goes on behind it
		if op, err := decode(&Header{Opcode: m.opcode}, m.body, everyFeature); err != unix.EIO {
			t.Errorf("%s: %+v, %v", name, op, err)
		}
	}
}

func TestDecodeLeavesTheRestToTheLibrary(t *testing.T) {
	own := map[uint32]bool{opLookup: true, opGetattr: true, opOpen: true, opUnlink: true, opRelease: true} // in the library's types, for speed
	own[opSetattr] = true                                                                                  // TestDecodeSetattr
	for _, d := range decodedOps() {
		own[d.opcode] = true
	}
	for opcode := range uint32(70) {
		if own[opcode] {
			continue
		}
		if op, err := decode(&Header{Opcode: opcode}, make([]byte, 128), everyFeature); op != nil || err != nil {
			t.Errorf("opcode %d: %+v, %v", opcode, op, err)
		}
	}
}

// FuzzDecode holds every op to what came in: no name with a NUL, no data that
// was not there, and the same from the bytes that were needed.
func FuzzDecode(f *testing.F) {
	for _, d := range decodedOps() {
		f.Add(d.opcode, d.body, true)
	}
	f.Fuzz(func(t *testing.T, opcode uint32, body []byte, ext bool) {
		was, use := bytes.Clone(body), uint64(everyFeature)
		if !ext {
			use &^= 1 << 29
		}
		op, err := decode(&Header{Opcode: opcode, Node: 77}, body, use)
		if !bytes.Equal(body, was) {
			t.Fatal("the request was changed")
		}
		if err != nil {
			if err != unix.EIO || op != nil {
				t.Fatalf("%+v, %v", op, err)
			}
			return
		}
		checkOp(t, op, body)
	})
}

func checkOp(t *testing.T, op any, body []byte) {
	t.Helper()
	names, data := []string{}, []byte{}
	switch op := op.(type) {
	case *CreateOp:
		names = []string{op.Name}
	case *MkdirOp:
		names = []string{op.Name}
	case *MknodOp:
		names = []string{op.Name}
	case *RenameOp:
		names = []string{op.Name, op.NewName}
	case *GetxattrOp:
		names = []string{op.Name}
	case *SetxattrOp:
		names, data = []string{op.Name}, op.Value
	case *WriteOp:
		data = op.Data
	case *IoctlOp:
		data = op.In
	case *ForgetOp:
		if len(op.Entries)*8 > len(body) {
			t.Errorf("%d entries in %d bytes", len(op.Entries), len(body))
		}
	}
	total := len(data)
	for _, name := range names {
		total += len(name) + 1
		if strings.Contains(name, "\x00") || !bytes.Contains(body, append([]byte(name), 0)) {
			t.Errorf("the name %q is not in the request", name)
		}
	}
	if total > len(body) || !bytes.Contains(body, data) {
		t.Errorf("%d bytes from a request of %d", total, len(body))
	}
}
