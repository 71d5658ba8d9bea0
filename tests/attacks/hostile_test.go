package attacks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jacobsa/fuse"
	"github.com/jacobsa/fuse/fuseops"
	"github.com/jacobsa/fuse/fuseutil"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// lies are the directories of the hostile filesystem: what each lists.
var lies = map[string][]fuseutil.Dirent{
	"empty name": {{Name: ""}},
	"slash":      {{Name: "a/b"}, {Name: "../outside"}},
	"absolute":   {{Name: "/etc"}},
	"nul":        {{Name: "a\x00b"}, {Name: "\x00"}},
	"long":       {{Name: strings.Repeat("n", 300)}},
	"longer":     {{Name: strings.Repeat("n", 1000)}},
	"parents":    {{Name: "."}, {Name: ".."}, {Name: "..", Type: fuseutil.DT_Directory}},
	"twice":      {{Name: "it"}, {Name: "it"}, {Name: "it", Type: fuseutil.DT_Directory}},
	"type":       {{Name: "it", Type: fuseutil.DT_Directory}, {Name: "dir", Type: fuseutil.DT_File}, {Name: "x", Type: 255}},
	"escapes":    {{Name: "\x1b[2J\nforged"}},
	"dots":       {{Name: "."}}, // again and again, without end
	"missing":    {{Name: "none"}},
	"changing":   {{Name: "it"}}, // another type and number at each look
	"sizes":      {{Name: "it"}}, // numbers at the edges
	"attributes": {{Name: "it"}}, // their list is always longer than was said
}

// liar serves lies.
type liar struct {
	fuseutil.NotImplementedFileSystem
	names []string
	looks atomic.Uint64
}

const firstFile = 1000 // inodes from here on are files in directory (id-firstFile)

func (l *liar) dirAttr() fuseops.InodeAttributes {
	return fuseops.InodeAttributes{Mode: os.ModeDir | 0o777, Nlink: 2, Mtime: time.Unix(1e9, 0)}
}

func (l *liar) fileAttr(dir string) fuseops.InodeAttributes {
	a := fuseops.InodeAttributes{Mode: 0o666, Nlink: 1, Size: 4}
	switch dir {
	case "changing":
		a.Mode = []os.FileMode{0o666, os.ModeDir | 0o777, os.ModeSymlink | 0o777, os.ModeNamedPipe | 0o666, os.ModeSocket | 0o666}[l.looks.Add(1)%5]
	case "sizes":
		huge := []uint64{math.MaxInt64, math.MaxUint64, 1 << 62, math.MaxInt64 - 4095}[l.looks.Add(1)%4]
		a.Size, a.Nlink = huge, uint32(huge)
		a.Mtime = time.Unix(int64(huge), 0)
		a.Atime = time.Unix(-1<<62, 0)
	}
	return a
}

func (l *liar) StatFS(context.Context, *fuseops.StatFSOp) error { return nil }

func (l *liar) LookUpInode(_ context.Context, op *fuseops.LookUpInodeOp) error {
	if op.Parent == fuseops.RootInodeID {
		for i, name := range l.names {
			if name == op.Name {
				op.Entry.Child = fuseops.InodeID(i + 2)
				op.Entry.Attributes = l.dirAttr()
				return nil
			}
		}
		return fuse.ENOENT
	}
	dir := l.names[op.Parent%firstFile-2]
	if dir == "missing" || op.Parent >= firstFile {
		return fuse.ENOENT
	}
	op.Entry.Child = op.Parent + firstFile
	if dir == "changing" {
		op.Entry.Child += fuseops.InodeID(firstFile * (l.looks.Add(1) % 7))
	}
	op.Entry.Attributes = l.fileAttr(dir)
	return nil
}

func (l *liar) GetInodeAttributes(_ context.Context, op *fuseops.GetInodeAttributesOp) error {
	op.Attributes = l.dirAttr()
	if op.Inode >= firstFile {
		op.Attributes = l.fileAttr(l.names[op.Inode%firstFile-2])
	}
	return nil
}

func (l *liar) OpenDir(context.Context, *fuseops.OpenDirOp) error   { return nil }
func (l *liar) OpenFile(context.Context, *fuseops.OpenFileOp) error { return nil }

func (l *liar) ReadDir(_ context.Context, op *fuseops.ReadDirOp) error {
	var rows []fuseutil.Dirent
	dots := false
	if op.Inode == fuseops.RootInodeID {
		for i, name := range l.names {
			rows = append(rows, fuseutil.Dirent{Name: name, Inode: fuseops.InodeID(i + 2), Type: fuseutil.DT_Directory})
		}
	} else if op.Inode < firstFile {
		dir := l.names[op.Inode-2]
		rows, dots = lies[dir], dir == "dots"
	}
	for i := int(op.Offset); dots || i < len(rows); i++ {
		row := rows[i%len(rows)]
		row.Offset = fuseops.DirOffset(i + 1)
		row.Inode = max(row.Inode, 7)
		n := fuseutil.WriteDirent(op.Dst[op.BytesRead:], row)
		if n == 0 {
			break
		}
		op.BytesRead += n
	}
	return nil
}

func (l *liar) ReadFile(_ context.Context, op *fuseops.ReadFileOp) error {
	op.BytesRead = copy(op.Dst, "text")
	return nil
}

func (l *liar) ReadSymlink(_ context.Context, op *fuseops.ReadSymlinkOp) error {
	op.Target = strings.Repeat("../", 1300) + "etc"
	return nil
}

func (l *liar) ListXattr(_ context.Context, op *fuseops.ListXattrOp) error {
	if len(op.Dst) == 0 {
		op.BytesRead = 8
		return nil
	}
	return unix.ERANGE
}

func (l *liar) GetXattr(_ context.Context, op *fuseops.GetXattrOp) error {
	if len(op.Dst) == 0 {
		op.BytesRead = 8
		return nil
	}
	return unix.ERANGE
}

// serveLies mounts the hostile filesystem and serves it to its end.
var serveLies = harness.Func("serveLies", func(args []string) error {
	l := &liar{}
	for name := range lies {
		l.names = append(l.names, name)
	}
	mfs, err := fuse.Mount(args[0], fuseutil.NewFileSystemServer(l), &fuse.MountConfig{
		FSName: "lies", ReadOnly: true, DisableDefaultPermissions: true, Options: map[string]string{"allow_other": ""},
	})
	if err != nil {
		return err
	}
	return mfs.Join(context.Background())
})

// hostileTier is a directory that lies.
func hostileTier(t *testing.T) string {
	t.Helper()
	dir := harness.TempDir(t) + "/lies"
	harness.Mkdir(t, dir)
	cmd := start(t, serveLies, 0, dir)
	harness.Eventually(t, "the hostile filesystem is there", func() bool { return len(harness.MountsAt(dir)) == 1 })
	t.Cleanup(func() {
		harness.Run(t, "umount", "-l", dir)
		stop(cmd)
	})
	return dir
}

// prod does with a lying directory what clients do. What it gets for an answer
// does not matter, but it gets one, and nothing but ENOENT or an error is said
// of names that cannot be.
var prod = harness.Func("prod", func(args []string) error {
	dir := args[0]
	rows, _ := os.ReadDir(dir)
	for _, row := range rows {
		if name := row.Name(); name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("listed %q", name)
		}
		path := dir + "/" + row.Name()
		os.Lstat(path)
		os.ReadFile(path)
		os.Readlink(path)
		os.ReadDir(path)
		os.Chmod(path, 0o600)
		os.Rename(path, path+"2")
		os.Remove(path)
	}
	for _, name := range []string{"it", "none", "new", "dir"} {
		path := dir + "/" + name
		if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err == nil {
			f.Write([]byte("x"))
			f.Seek(math.MaxInt64, 0)
			f.Write([]byte("x"))
			f.Close()
		}
		os.Link(path, path+"3")
		os.Mkdir(path, 0o755)
		os.Remove(path)
	}
	os.Chmod(dir, 0o700)
	os.Rename(dir, dir+"2")
	os.Remove(dir)
	return nil
})

// TestTierThatLies: a tier is a filesystem whose server says what it likes. It
// gets errors for that, and neither ends the daemon, nor keeps it busy for
// ever, nor makes it reach what is outside.
func TestTierThatLies(t *testing.T) {
	harness.Require(t, "root", "fuse")
	for _, opts := range []string{"create=primary", "create=parent", "alone"} {
		t.Run(opts, func(t *testing.T) {
			m := harness.New(t, 1)
			lying := hostileTier(t)
			if opts == "alone" {
				m = harness.NewOn(t, []string{lying})
			} else {
				m = harness.NewOn(t, []string{m.Primary, lying}, opts, "tier_timeout=60", "attr_timeout=0,entry_timeout=0")
				harness.Mkdir(t, m.Primary+"/twice")
				harness.Write(t, m.Primary+"/twice/it", "mine")
			}
			m.Up()
			var failed error
			for name := range lies {
				if _, stderr, code := harness.RunCmd(t, prod.Cmd(m.Path(name))); code != 0 {
					failed = errors.Join(failed, fmt.Errorf("%s: %s", name, stderr))
				}
			}
			if failed != nil {
				t.Error(failed)
			}
			harness.Run(t, "find", m.Dir, "-ls")
			if opts != "alone" {
				serves(t, m)
			}
			if log := m.Log(); strings.Contains(log, "panic") {
				t.Errorf("%s", log)
			}
		})
	}
}
