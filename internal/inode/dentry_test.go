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
	f, _, _ := table.Lookup(e, "f\xff\n", unix.S_IFREG, copiesOf(table, table.testKey(0, 12)), true)
	wantPath(t, table, d, "d", true)
	wantPath(t, table, e, "d/e", true)
	wantPath(t, table, f, "d/e/f\xff\n", true)

	table.Moved(table.root, "d", table.root, "moved", d.key(), unix.S_IFDIR)
	wantPath(t, table, f, "moved/e/f\xff\n", true)

	remove(table, d, "e", e.key(), true)
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
		if again, _, _ := table.Lookup(at.parent, at.name, unix.S_IFREG, copiesOf(table, k), true); again != in {
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
		remove(table, parent, name, k, len(names) == 3)
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
	table.Moved(table.root, "a", d, "b", a.key(), unix.S_IFDIR) // the order of FS.exchange
	table.Moved(d, "b", table.root, "a", b.key(), unix.S_IFDIR)
	wantPath(t, table, a, "d/b", true)
	wantPath(t, table, b, "a", true)
	wantInvariants(t, table)
}

// A directory made out of band has the number of a file that was removed there: it is
// not that file.
func TestDirectoryIsNotTheFileThatHadItsNumber(t *testing.T) {
	for what, meet := range map[string]func(*Table, Key) *Inode{
		"found": func(t *Table, k Key) *Inode { return t.Find(k, unix.S_IFDIR|0755) },
		"found by its name": func(t *Table, k Key) *Inode {
			in, _ := t.FindDir(t.root, "d", k)
			return in
		},
		"moved": func(t *Table, k Key) *Inode {
			t.Moved(t.root, "d", t.root, "e", k, unix.S_IFDIR|0755)
			return t.Sub(t.root, "e")
		},
	} {
		table := newTable(1, false)
		k := table.testKey(0, 10)
		f := file(table, "f", k)
		if in := meet(table, k); in != nil {
			t.Errorf("%s: it is inode %d", what, in.ID)
		}
		if _, name, _ := table.Dentry(f); f.dead || name != "f" {
			t.Errorf("%s: the file, which may have the number since, is dead or %q", what, name)
		}
		wantInvariants(t, table)
	}
}

func TestMoveOfWhatNobodyHoldsIsNothing(t *testing.T) {
	table := newTable(1, false)
	table.Moved(table.root, "a", table.root, "b", table.testKey(0, 99), unix.S_IFREG)
	if in := remove(table, table.root, "a", table.testKey(0, 99), true); in != nil {
		t.Errorf("removed inode %d", in.ID)
	}
	wantInvariants(t, table)
}

// A file that O_TMPFILE made has no name until it is linked.
func TestUnnamedFile(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	in, _, _ := table.Lookup(nil, "", unix.S_IFREG, copiesOf(table, k), true)
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

// remove tells the table that a name is gone, as a removal does.
func remove(t *Table, parent *Inode, name string, k Key, last bool) *Inode {
	in := t.byKey.get(k)
	if in == nil {
		return nil
	}
	if last {
		t.Leave(in, nil)
	}
	t.Removed(in, parent, name)
	return in
}

// forget takes lookups back and reports whether the inode is gone.
func forget(t *Table, in *Inode, n uint64) bool {
	gone, _, _ := t.Forget(in, n)
	return gone
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
	f, second := pathFile(t), pathFile(t)
	table.Leave(in, f)
	table.Leave(in, second)
	if !isOpen(f.FD) || table.Gone(in) != f || isOpen(second.FD) {
		t.Error("not the first descriptor alone is kept")
	}
	if table.Find(k, unix.S_IFREG) != nil {
		t.Error("the backing number still leads to it")
	}
	table.Removed(in, table.root, "a")
	if gone, _, held := table.Forget(in, 1); gone || held != nil || table.Gone(in) != f {
		t.Error("it was given up while the kernel holds the inode")
	}
	gone, _, held := table.Forget(in, 1)
	if !gone || held != f {
		t.Error("it outlives its inode")
	}
	held.Close()
	wantInvariants(t, table)
}

// A removal that the tier refuses leaves the inode as it was.
func TestFileThatStaysIsFoundAgain(t *testing.T) {
	table := newTable(1, false)
	k := table.testKey(0, 10)
	in, f := file(table, "a", k), pathFile(t)
	number := in.Ino
	table.Leave(in, f)
	if held := table.Stay(in); held != f {
		t.Errorf("got %v to close, want the descriptor", held)
	}
	f.Close()
	if table.Find(k, unix.S_IFREG) != in || table.Gone(in) != nil || file(table, "a", k) != in || in.Ino != number {
		t.Error("it is another inode")
	}
	wantInvariants(t, table)
}
