package union

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// ranksOf turns the bits of a set into ranks.
func ranksOf(set int) []int {
	var ranks []int
	for rank := range 3 {
		if set&(1<<rank) != 0 {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// TestRenameFileInEveryCombination renames a file whose copies are on any set
// of three tiers onto a name whose copies are on any set, in the same
// directory and into one that only the primary, or only the lowest tier, has.
// Afterwards one copy is left: the source's visible one, on its home tier.
func TestRenameFileInEveryCombination(t *testing.T) {
	u := newUnion(t, 2)
	type combination struct {
		dir, from, to string
		source        int
	}
	var all []combination
	for source := 1; source < 8; source++ {
		for target := range 8 {
			for i, to := range []string{"new", "../high%d%d/new", "../low%d%d/new"} {
				c := combination{dir: fmt.Sprintf("d%d%d%d", source, target, i), from: "old", to: to, source: source}
				if i > 0 {
					c.to = fmt.Sprintf(to, source, target)
				}
				u.dir(c.dir, 0, 1, 2)
				if i == 1 {
					u.dir(c.dir+"/../"+fmt.Sprintf("high%d%d", source, target), 0)
				}
				if i == 2 {
					u.dir(c.dir+"/../"+fmt.Sprintf("low%d%d", source, target), 2)
				}
				for _, rank := range ranksOf(source) {
					u.Put(rank, c.dir+"/"+c.from, fmt.Sprintf("source of tier %d", rank))
				}
				for _, rank := range ranksOf(target) {
					u.Put(rank, c.dir+"/"+c.to, fmt.Sprintf("target of tier %d", rank))
				}
				all = append(all, c)
			}
		}
	}
	u.Up()
	for i, c := range all {
		from, to := c.dir+"/"+c.from, c.dir+"/"+c.to
		home := ranksOf(c.source)[0]
		text := fmt.Sprintf("source of tier %d", home)
		before := harness.Stat(t, u.Path(from))
		fd, err := unix.Open(u.Path(from), unix.O_RDWR, 0)
		u.ok("open", err)
		if i%2 == 0 {
			harness.Read(t, u.Path(from))
		}
		if err := u.rename(from, to); err != nil {
			t.Errorf("rename %s %s: %v", from, to, err)
			unix.Close(fd)
			continue
		}
		u.want(to, text)
		u.wantNone(from)
		u.wantOn(from)
		u.wantOn(to, home)
		if after := harness.Stat(t, u.Path(to)); after.Ino != before.Ino {
			t.Errorf("%s: inode %d became %d", to, before.Ino, after.Ino)
		}
		_, err = unix.Pwrite(fd, []byte("SOURCE"), 0)
		u.ok("write to the open file", err)
		unix.Close(fd)
		harness.WantRead(t, u.Tier(home, to), "SOURCE"+text[6:])
	}
}

// TestRenameLeavesAnOpenTargetReadable: the replaced file lives on for those
// who have it open, wherever it was.
func TestRenameLeavesAnOpenTargetReadable(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "a", "A")
	u.Put(1, "b", "B")
	u.Put(1, "c", "C")
	u.Put(0, "d", "D")
	u.Up()
	for _, pair := range [][2]string{{"a", "b"}, {"c", "d"}} {
		fd := u.open(pair[1], unix.O_RDWR)
		u.ok("rename", u.rename(pair[0], pair[1]))
		b := make([]byte, 10)
		n, err := unix.Pread(fd, b, 0)
		if want := fmt.Sprintf("%c", pair[1][0]-'a'+'A'); err != nil || string(b[:n]) != want {
			t.Errorf("the replaced %s reads %q, %v", pair[1], b[:max(n, 0)], err)
		}
		var st unix.Stat_t
		u.ok("fstat", unix.Fstat(fd, &st))
		if st.Nlink != 0 {
			t.Errorf("the replaced %s has nlink %d", pair[1], st.Nlink)
		}
	}
}

// TestRenameOfEveryTypeBetweenTiers replaces across tiers what is not a file.
func TestRenameOfEveryTypeBetweenTiers(t *testing.T) {
	u := newUnion(t, 1)
	for i, from := range []int{0, 1} {
		harness.Symlink(t, "target", u.Tier(from, fmt.Sprint("link", i)))
		u.ok("mkfifo", unix.Mkfifo(u.Tier(from, fmt.Sprint("fifo", i)), 0o640))
		u.Put(1-from, fmt.Sprint("x", i), "replaced")
		u.Put(1-from, fmt.Sprint("y", i), "replaced")
	}
	u.Up()
	for i, from := range []int{0, 1} {
		u.ok("rename", u.rename(fmt.Sprint("link", i), fmt.Sprint("x", i)))
		u.wantOn(fmt.Sprint("x", i), from)
		u.ok("rename", u.rename(fmt.Sprint("fifo", i), fmt.Sprint("y", i)))
		u.wantOn(fmt.Sprint("y", i), from)
		if st := harness.Stat(t, u.Path(fmt.Sprint("y", i))); st.Mode != unix.S_IFIFO|0o640 {
			t.Errorf("mode %o", st.Mode)
		}
	}
}

func TestRenameOfAHardLinkOverItsOtherName(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "a", "x")
	u.ok("link", unix.Link(u.Tier(1, "a"), u.Tier(1, "b")))
	u.Up()
	u.ok("rename", u.rename("a", "b"))
	u.wantOn("a", 1)
	u.wantOn("b", 1)
}

// TestRenameThatWouldUncoverAnotherTypeIsBusy: a hidden directory would take
// the place of the file that is moved away.
func TestRenameThatWouldUncoverAnotherTypeIsBusy(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "x", "visible")
	u.Put(1, "x/inner", "would appear")
	u.Up()
	for range 3 {
		u.refuse("rename", u.rename("x", "y"), unix.EBUSY)
	}
	u.want("x", "visible")
	u.wantOn("x", 0, 1)
	u.wantNone("y")
	u.Put(0, "over", "o")
	u.refuse("rename", u.rename("over", "x"), unix.EBUSY)
	u.wantSaidOnce("x", u.Tiers[1])
}

func TestRenameOverAReadOnlyCopyLosesNothing(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "tmp", "new")
	u.Put(0, "doc", "visible")
	u.Put(1, "doc", "cannot be removed")
	u.Put(0, "src", "moves")
	u.Put(1, "src", "cannot be removed")
	readOnly(t, u.Fallbacks[0])
	u.Up()
	switch err := u.rename("tmp", "doc"); err {
	case nil:
		u.want("doc", "new")
	case unix.EROFS:
		u.want("doc", "visible")
		u.want("tmp", "new")
	default:
		t.Errorf("rename: %v", err)
	}
	u.refuse("rename away", u.rename("src", "dst"), unix.EROFS)
	u.want("src", "moves")
	u.wantNone("dst")
}

func TestNoreplaceLooksAtEveryTier(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "a", "A")
	u.Put(1, "b", "B")
	u.dir("d", 0)
	u.dir("e", 1)
	u.Up()
	flag := func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, u.Path(from), unix.AT_FDCWD, u.Path(to), unix.RENAME_NOREPLACE)
	}
	for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}, {"d", "e"}, {"e", "d"}, {"a", "e"}, {"d", "b"}} {
		u.refuse(fmt.Sprint(pair), flag(pair[0], pair[1]), unix.EEXIST)
	}
	u.ok("free", flag("b", "c"))
	u.want("c", "B")
	u.ok("free directory", flag("e", "f"))
	u.wantOn("f", 1)
	u.want("a", "A")
}

func TestExchangeWithinOneTierOnly(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "x/a", "A")
	u.Put(1, "y/b", "B")
	u.Put(0, "p", "P")
	u.Put(0, "q/in", "Q")
	u.Up()
	flag := func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, u.Path(from), unix.AT_FDCWD, u.Path(to), unix.RENAME_EXCHANGE)
	}
	u.ok("on the fallback", flag("x/a", "y/b"))
	u.want("x/a", "B")
	u.want("y/b", "A")
	u.ok("on the primary", flag("p", "q"))
	u.want("p/in", "Q")
	u.want("q", "P")
	u.refuse("between tiers", flag("q", "x/a"), unix.EINVAL)
	u.want("q", "P")
	u.want("x/a", "B")
	u.refuse("missing", flag("q", "none"), unix.ENOENT)
}

// TestWhiteoutStaysWhereTheFileWas: overlayfs on a mount renames so.
func TestWhiteoutStaysWhereTheFileWas(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(1, "x/a", "A")
	u.dir("y", 0)
	u.Put(0, "p", "P")
	u.Put(0, "both", "visible")
	u.Put(1, "both", "hidden")
	u.dir("merged", 0, 1)
	u.Up()
	flag := func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, u.Path(from), unix.AT_FDCWD, u.Path(to), unix.RENAME_WHITEOUT)
	}
	u.ok("on the fallback", flag("x/a", "y/a"))
	u.want("y/a", "A")
	u.wantOn("y/a", 1)
	u.wantOn("x/a", 1)
	for _, p := range []string{u.Path("x/a"), u.Tier(1, "x/a")} {
		if st := harness.Stat(t, p); st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
			t.Errorf("%s: mode %o device %x, want a whiteout", p, st.Mode, st.Rdev)
		}
	}
	for _, pair := range [][2]string{{"p", "y/a"}, {"y/a", "p"}, {"both", "z"}, {"p", "both"}, {"merged", "z"}} {
		u.refuse(fmt.Sprint(pair), flag(pair[0], pair[1]), unix.EINVAL)
	}
	u.want("p", "P")
	u.want("both", "visible")
	u.want("y/a", "A")
	u.wantOn("both", 0, 1)
	u.wantOn("merged", 0, 1)
	u.wantNone("z")
}
