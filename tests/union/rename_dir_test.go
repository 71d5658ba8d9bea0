package union

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestRenameDirectoryInEveryCombination renames a directory that is on any set
// of three tiers, onto no name and onto an empty directory on any set, while
// files and directories below it are open.
func TestRenameDirectoryInEveryCombination(t *testing.T) {
	u := newUnion(t, 2)
	for source := 1; source < 8; source++ {
		for target := range 8 {
			from := fmt.Sprintf("old%d%d", source, target)
			for _, rank := range ranksOf(source) {
				u.Put(rank, fmt.Sprintf("%s/f%d", from, rank), fmt.Sprint("of tier ", rank))
				u.Put(rank, from+"/sub/all", fmt.Sprint("all on tier ", rank))
			}
			u.dir(fmt.Sprintf("new%d%d", source, target), ranksOf(target)...)
		}
	}
	u.Up()
	for source := 1; source < 8; source++ {
		for target := range 8 {
			u.renameDirectory(fmt.Sprintf("old%d%d", source, target), fmt.Sprintf("new%d%d", source, target), ranksOf(source))
		}
	}
}

func (u union) renameDirectory(from, to string, ranks []int) {
	u.t.Helper()
	names := []string{"sub"}
	var files []int
	for _, rank := range ranks {
		name := fmt.Sprintf("f%d", rank)
		names = append(names, name)
		files = append(files, u.open(from+"/"+name, unix.O_RDWR))
	}
	dir := u.open(from+"/sub", unix.O_RDONLY|unix.O_DIRECTORY)
	ino := harness.Stat(u.t, u.Path(from)).Ino
	if err := u.rename(from, to); err != nil {
		u.t.Errorf("rename %s %s: %v", from, to, err)
		return
	}
	u.wantNone(from)
	u.wantOn(from)
	u.wantOn(to, ranks...)
	u.wantList(to, names...)
	if got := harness.Stat(u.t, u.Path(to)).Ino; got != ino {
		u.t.Errorf("%s: inode %d became %d", to, ino, got)
	}
	for i, rank := range ranks {
		_, err := unix.Pwrite(files[i], []byte("OF"), 0)
		u.ok("write to an open child", err)
		u.want(fmt.Sprintf("%s/f%d", to, rank), fmt.Sprint("OF tier ", rank))
	}
	u.want(to+"/sub/all", fmt.Sprint("all on tier ", ranks[0]))
	fd, err := unix.Openat(dir, "made", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	u.ok("create below an open directory", err)
	unix.Close(fd)
	u.wantOn(to+"/sub/made", ranks[0])
}

func TestRenameDirectoryToWhereTheParentIsMissing(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/p", "P")
	u.Put(1, "d/f", "F")
	u.Put(1, "e/f", "F")
	u.dir("onprimary/x", 0)
	u.dir("onfallback/x", 1)
	harness.Chmod(t, u.Tier(0, "onprimary"), 0o711)
	u.Up()
	u.ok("rename", u.rename("d", "onprimary/x/d"))
	u.wantList("onprimary/x/d", "p", "f")
	u.want("onprimary/x/d/f", "F")
	u.wantOn("onprimary/x/d", 0, 1)
	if st := harness.Stat(t, u.Tier(1, "onprimary")); st.Mode&0o777 != 0o711 {
		t.Errorf("the made parent has mode %o", st.Mode)
	}
	u.ok("rename", u.rename("e", "onprimary/e"))
	u.want("onprimary/e/f", "F")
	u.ok("rename", u.rename("onprimary/x/d", "onfallback/x/d"))
	u.wantList("onfallback/x/d", "p", "f")
	u.want("onfallback/x/d/p", "P")
}

func TestRenameOverADirectoryThatIsNotEmptyBelow(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/f", "x")
	u.dir("e", 0)
	u.Put(1, "e/hidden", "on the fallback alone")
	u.Up()
	u.refuse("rename", u.rename("d", "e"), unix.ENOTEMPTY)
	u.wantList("e", "hidden")
	u.want("d/f", "x")
	u.wantOn("d", 0)
	u.wantOn("e", 0, 1)
}

func TestRenameDirectoryOverAnotherType(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/f", "x")
	u.Put(1, "file", "x")
	u.dir("e", 1)
	u.Put(0, "file2", "x")
	u.Up()
	u.refuse("directory over file", u.rename("d", "file"), unix.ENOTDIR)
	u.refuse("file over directory", u.rename("file2", "e"), unix.EISDIR)
	u.want("d/f", "x")
	u.want("file2", "x")
}

// TestFailedDirectoryRenameIsUndone: one tier refuses after another has
// renamed already. The primary's parent is immutable.
func TestFailedDirectoryRenameIsUndone(t *testing.T) {
	u := newUnion(t, 2)
	for rank := range 3 {
		u.Put(rank, fmt.Sprintf("up/d/f%d", rank), "x")
	}
	u.dir("other", 0, 1, 2)
	immutable(t, u.Tier(0, "up"))
	u.Up()
	if err := u.rename("up/d", "other/e"); err == nil {
		t.Error("rename out of an immutable directory: no error")
	}
	u.wantList("up/d", "f0", "f1", "f2")
	u.wantNone("other/e")
	u.wantOn("up/d", 0, 1, 2)
	u.wantOn("other/e")
}

func TestDirectoryRenameOverAReadOnlyTierIsRefused(t *testing.T) {
	u := newUnion(t, 2)
	for rank := range 3 {
		u.Put(rank, fmt.Sprintf("d/f%d", rank), "x")
	}
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.refuse("rename", u.rename("d", "e"), unix.EROFS)
	u.wantList("d", "f0", "f1", "f2")
	u.wantOn("d", 0, 1, 2)
	u.wantOn("e")
}

func TestRenameDirectoryThatWouldUncoverAFileIsBusy(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "x/f", "visible")
	u.Put(1, "x", "would appear")
	u.Up()
	u.refuse("rename", u.rename("x", "y"), unix.EBUSY)
	u.want("x/f", "visible")
	u.wantNone("y")
}

// TestKilledDirectoryRenameIsFinished: the daemon is killed while a frozen
// filesystem holds it in the middle of a rename on two tiers. The next mount
// must show the whole directory under one of the two names.
func TestKilledDirectoryRenameIsFinished(t *testing.T) {
	for frozen := range 2 {
		t.Run(fmt.Sprint("frozen tier ", frozen), func(t *testing.T) {
			u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
			u.Put(0, "d/p", "P")
			u.Put(1, "d/f", "F")
			u.dir("to", 0, 1)
			u.Up()
			u.wantList("d", "p", "f")
			thaw := harness.Freeze(t, u.Tiers[frozen])
			mv := renaming.Cmd(u.Path("d"), u.Path("to/e"))
			u.ok("start", mv.Start())
			harness.WaitInside(t, u.Pid())
			u.ok("kill", unix.Kill(u.Pid(), unix.SIGKILL))
			thaw()
			mv.Wait()
			u.Gone(128 + int(unix.SIGKILL))
			u.ok("umount", unix.Unmount(u.Dir, unix.MNT_DETACH))
			u.Up()
			if harness.Exists(t, u.Path("to/e")) {
				u.wantList("to/e", "f", "p")
				u.want("to/e/p", "P")
				u.want("to/e/f", "F")
				u.wantOn("d")
				u.wantOn("to/e", 0, 1)
			} else {
				u.wantList("d", "f", "p")
				u.wantOn("to/e")
				u.wantOn("d", 0, 1)
			}
		})
	}
}

// renaming renames in a process of its own, which may hang for a while.
var renaming = harness.Func("rename", func(args []string) error { return os.Rename(args[0], args[1]) })

// TestRenameThatIsUndoneBringsTheEmptyTargetBack: the lower tier has replaced
// the empty target already when the higher one refuses.
func TestRenameThatIsUndoneBringsTheEmptyTargetBack(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/p", "P")
	u.Put(1, "d/f", "F")
	u.dir("empty", 1)
	harness.Chmod(t, u.Tier(1, "empty"), 0o751)
	harness.Must(t, "mount", "--bind", u.Tier(0, "d"), u.Tier(0, "d")) // a mount point cannot be renamed
	t.Cleanup(func() { unix.Unmount(u.Tier(0, "d"), unix.MNT_DETACH) })
	u.Up()
	u.refuse("rename", u.rename("d", "empty"), unix.EBUSY)
	u.wantOn("d", 0, 1)
	u.wantList("d", "f", "p")
	u.wantOn("empty", 1)
	u.wantList("empty")
	if st := harness.Stat(t, u.Path("empty")); st.Mode&0o7777 != 0o751 {
		t.Errorf("mode %o", st.Mode)
	}
}
