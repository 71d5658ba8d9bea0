package union

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestFallbackFileIsWrittenInPlace, with data passed through and without.
func TestFallbackFileIsWrittenInPlace(t *testing.T) {
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			u := newUnion(t, 1, mode)
			u.Put(1, "d/f", "0123456789")
			u.dir("d", 0)
			u.Up()
			before := harness.Stat(t, u.Tier(1, "d/f"))
			fd := u.open("d/f", unix.O_RDWR)
			_, err := unix.Pwrite(fd, []byte("AB"), 4)
			u.ok("pwrite", err)
			harness.WantRead(t, u.Tier(1, "d/f"), "0123AB6789")
			u.ok("ftruncate", unix.Ftruncate(fd, 8))
			harness.WantRead(t, u.Tier(1, "d/f"), "0123AB67")
			u.ok("truncate", os.Truncate(u.Path("d/f"), 6))
			harness.Append(t, u.Path("d/f"), "+end")
			harness.WantRead(t, u.Tier(1, "d/f"), "0123AB+end")
			harness.Write(t, u.Path("d/f"), "anew")
			harness.WantRead(t, u.Tier(1, "d/f"), "anew")
			u.ok("chmod", unix.Chmod(u.Path("d/f"), 0o600))
			u.ok("setxattr", unix.Setxattr(u.Path("d/f"), "user.k", []byte("v"), 0))
			u.wantOn("d/f", 1)
			after := harness.Stat(t, u.Tier(1, "d/f"))
			if after.Ino != before.Ino || after.Mode&0o777 != 0o600 {
				t.Errorf("inode %d then %d, mode %o: not in place", before.Ino, after.Ino, after.Mode)
			}
		})
	}
}

func TestOnlyTheHighestCopyIsWritten(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "f", "primary")
	u.Put(1, "f", "shadowed")
	u.Up()
	harness.Append(t, u.Path("f"), "+more")
	u.ok("chmod", unix.Chmod(u.Path("f"), 0o600))
	harness.WantRead(t, u.Tier(0, "f"), "primary+more")
	harness.WantRead(t, u.Tier(1, "f"), "shadowed")
	if st := harness.Stat(t, u.Tier(1, "f")); st.Mode&0o777 != 0o644 {
		t.Errorf("the shadowed copy's mode became %o", st.Mode)
	}
}

// TestArticle is the published scenario, step by step, on two filesystems.
func TestArticle(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	u.Put(0, "docs/new.txt", strings.Repeat("new document\n", 5000))
	u.Put(1, "docs/old.txt", strings.Repeat("old document\n", 20000))
	u.Put(1, "archive/2019/report.txt", strings.Repeat("report\n", 3000))
	for rank := range u.Tiers {
		harness.Must(t, "rm", "-rf", u.Tier(rank, "lost+found"))
	}
	u.Up()

	u.wantList("", "archive", "docs")
	u.wantList("docs", "new.txt", "old.txt")
	u.want("docs/new.txt", strings.Repeat("new document\n", 5000))
	u.want("docs/old.txt", strings.Repeat("old document\n", 20000))

	// A directory that both tiers have counts with the blocks of both.
	harness.Must(t, "sync", "-f", u.Tiers[0])
	harness.Must(t, "sync", "-f", u.Tiers[1])
	shown := blocks(t, u.Dir)
	sum := blocks(t, u.Tiers[0]) + blocks(t, u.Tiers[1])
	if shown != sum {
		t.Errorf("du of the mount is %d blocks, of the tiers %d", shown, sum)
	}

	harness.Append(t, u.Path("docs/old.txt"), "modified\n")
	u.wantOn("docs/old.txt", 1)
	if !strings.HasSuffix(harness.Read(t, u.Tier(1, "docs/old.txt")), "document\nmodified\n") {
		t.Error("the modification did not reach the fallback's file")
	}

	u.create("archive/2019/note.txt", "a note")
	u.wantOn("archive/2019/note.txt", 1)
	u.wantOn("archive", 1)

	u.ok("delete", os.Remove(u.Path("docs/old.txt")))
	u.ok("delete", os.Remove(u.Path("docs/new.txt")))
	u.wantOn("docs/old.txt")
	u.wantOn("docs/new.txt")
	u.wantList("docs")
	u.Down()
	u.wantOn("docs", 0, 1)
	u.wantOn("archive/2019/report.txt", 1)
}

// blocks is du -s in blocks of 512 bytes, without tierfs's own directory.
func blocks(t *testing.T, dir string) int {
	t.Helper()
	out := harness.Must(t, "du", "-s", "--block-size=512", "--exclude=.tierfs", dir)
	n := 0
	for _, c := range strings.Fields(out)[0] {
		n = 10*n + int(c-'0')
	}
	return n
}
