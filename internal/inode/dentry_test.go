package inode

import (
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

func wantPath(t *testing.T, table *Table, in *Inode, want string, named bool) {
	t.Helper()
	if path, ok := table.Path(in); path != want || ok != named {
		t.Errorf("the path of inode %d is %q, %v, want %q, %v", in.ID, path, ok, want, named)
	}
}

func TestPath(t *testing.T) {
	table := newTable(1, false)
	wantPath(t, table, table.Root(), "", true)
	d := dir(table, table.root, "d", table.testKey(0, 10))
	e := dir(table, d, "e", table.testKey(0, 11))
	f, _ := table.Lookup(e, "f\xff\n", unix.S_IFREG, copiesOf(table, table.testKey(0, 12)), true)
	wantPath(t, table, d, "d", true)
	wantPath(t, table, e, "d/e", true)
	wantPath(t, table, f, "d/e/f\xff\n", true)

	table.Moved(table.root, "d", table.root, "moved", d.key)
	wantPath(t, table, f, "moved/e/f\xff\n", true)

	table.Removed(d, "e", e.key, true)
	wantPath(t, table, e, "", false)
	wantPath(t, table, f, "", false)
	wantInvariants(t, table)
}

// Paths may be longer than PATH_MAX, and a deep one must not be cut.
func TestPathHasNoLimit(t *testing.T) {
	table := newTable(1, false)
	in, part := table.Root(), strings.Repeat("x", 200)
	for i := range 3000 {
		in = dir(table, in, part, table.testKey(0, uint64(10+i)))
	}
	path, ok := table.Path(in)
	if want := 3000*201 - 1; len(path) != want || !ok || strings.Contains(path, "//") {
		t.Errorf("a path of %d bytes, %v, want %d", len(path), ok, want)
	}
}

func TestHardLinkHasEveryNameUntilItGoes(t *testing.T) {
	table := newTable(1, false)
	d := dir(table, table.root, "d", table.testKey(0, 10))
	k := table.testKey(0, 20)
	in := file(table, "a", k)
	for _, at := range []struct {
		parent *Inode
		name   string
	}{{table.root, "b"}, {d, "a"}, {table.root, "a"}, {d, "a"}} {
		if again, _ := table.Lookup(at.parent, at.name, unix.S_IFREG, copiesOf(table, k), true); again != in {
			t.Fatalf("%q is another inode", at.name)
		}
		wantInvariants(t, table)
	}
	names := map[string]bool{}
	for {
		path, ok := table.Path(in)
		if !ok {
			break
		}
		names[path] = true
		parent, name, _ := table.Dentry(in)
		table.Removed(parent, name, k, len(names) == 3)
		wantInvariants(t, table)
	}
	if len(names) != 3 || !names["a"] || !names["b"] || !names["d/a"] {
		t.Errorf("its names were %v", names)
	}
}

func TestExchangeOfDirectoriesKeepsBothNames(t *testing.T) {
	table := newTable(1, false)
	d := dir(table, table.root, "d", table.testKey(0, 10))
	a := dir(table, table.root, "a", table.testKey(0, 11))
	b := dir(table, d, "b", table.testKey(0, 12))
	table.Moved(table.root, "a", d, "b", a.key) // the order of FS.exchange
	table.Moved(d, "b", table.root, "a", b.key)
	wantPath(t, table, a, "d/b", true)
	wantPath(t, table, b, "a", true)
	wantInvariants(t, table)
}

func TestMoveOfWhatNobodyHoldsIsNothing(t *testing.T) {
	table := newTable(1, false)
	table.Moved(table.root, "a", table.root, "b", table.testKey(0, 99))
	if in := table.Removed(table.root, "a", table.testKey(0, 99), true); in != nil {
		t.Errorf("removed inode %d", in.ID)
	}
	wantInvariants(t, table)
}

// A file that O_TMPFILE made has no name until it is linked.
func TestUnnamedFile(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	in, _ := table.Lookup(nil, "", unix.S_IFREG, copiesOf(table, k), true)
	wantPath(t, table, in, "", false)
	wantInvariants(t, table)
	if again := file(table, "named", k); again != in {
		t.Error("naming it made another inode")
	}
	wantPath(t, table, in, "named", true)
	wantInvariants(t, table)
}

// pathFile is an O_PATH descriptor of a new file.
func pathFile(t *testing.T) *tier.File {
	t.Helper()
	fd, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &tier.File{FD: fd}
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// A client may hold a file that it has not opened; it goes on reaching it when
// its last name is gone, and the descriptor for that goes with the inode.
func TestDescriptorOfARemovedFileLivesWithItsInode(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	in := file(table, "a", k)
	file(table, "a", k)
	f, second, late := pathFile(t), pathFile(t), pathFile(t)
	table.Hold(in, f)
	table.Hold(in, second)
	if !isOpen(f.FD) || table.Gone(in) != f || isOpen(second.FD) {
		t.Error("not the first descriptor alone is kept")
	}
	table.Removed(table.root, "a", k, true)
	table.Forget(in, 1)
	if !isOpen(f.FD) || table.Gone(in) != f {
		t.Error("it was closed while the kernel holds the inode")
	}
	table.Forget(in, 1)
	if isOpen(f.FD) {
		t.Error("it outlives its inode")
	}
	table.Hold(in, late)
	if isOpen(late.FD) {
		t.Error("an inode that is gone keeps a descriptor")
	}
	wantInvariants(t, table)
}
