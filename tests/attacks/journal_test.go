package attacks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// memberID is the ID in a tier's list of members.
func memberID(t *testing.T, tier string) string {
	t.Helper()
	var list struct{ ID string }
	if err := json.Unmarshal([]byte(harness.Read(t, tier+"/.tierfs/members")), &list); err != nil {
		t.Fatal(err)
	}
	return list.ID
}

// record is a journal record of one move, for which a member's inode is right.
func record(kind, from, to, member string, ino uint64) string {
	enc := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	move := fmt.Sprintf(`[{"member":%q,"ino":%d}]`, member, ino)
	return fmt.Sprintf(`{"kind":%q,"from":%q,"to":%q,"moves":%s,"replaced":%s}`, kind, enc(from), enc(to), move, move)
}

// TestHostileJournalIsNotFollowed: records that an attacker has got into a
// tier's journal, with the right IDs and inode numbers. They lead out of the
// tiers, over files of users, through links, or are no records at all.
func TestHostileJournalIsNotFollowed(t *testing.T) {
	harness.Require(t, "root", "fuse")
	base := harness.TempDir(t)
	canary := makeCanary(t, base+"/outside")
	for _, tier := range []string{"p", "f"} {
		harness.Mkdir(t, base+"/"+tier+"/docs/sub")
	}
	m := harness.NewOn(t, []string{base + "/p", base + "/f"})
	harness.Write(t, m.Primary+"/docs/a", "a")
	harness.Write(t, m.Primary+"/docs/b", "b")
	harness.Write(t, m.Fallbacks[0]+"/docs/c", "c")
	harness.Symlink(t, base+"/outside", m.Primary+"/link")
	harness.Symlink(t, base+"/outside", m.Fallbacks[0]+"/link")
	m.Up()
	m.Down()
	id := memberID(t, m.Primary)
	journal := m.Primary + "/.tierfs/journal"
	harness.Mkdir(t, journal)
	harness.Chmod(t, journal, 0o700)
	ino := func(path string) uint64 { return harness.Stat(t, path).Ino }
	outside := ino(base + "/outside/file")
	for i, text := range []string{
		record("rename-directory", "../outside/sub", "stolen", id, ino(base+"/outside/sub")),
		record("rename-directory", "docs/../../outside/sub", "stolen", id, ino(base+"/outside/sub")),
		record("rename-directory", base+"/outside/sub", "stolen", id, ino(base+"/outside/sub")),
		record("rename-directory", "link/sub", "stolen", id, ino(base+"/outside/sub")),
		record("rename-directory", "docs", "link/docs", id, ino(m.Primary+"/docs")),
		record("rename-directory", "docs", "../outside/docs", id, ino(m.Primary+"/docs")),
		record("rename-directory", "docs", ".tierfs/docs", id, ino(m.Primary+"/docs")),
		record("rename-directory", ".tierfs", "marks", id, ino(m.Primary+"/.tierfs")),
		record("rename-directory", "docs", "docs/sub/docs", id, ino(m.Primary+"/docs")),
		record("rename-directory", "docs/a", "docs/b", id, ino(m.Primary+"/docs/a")),
		record("replace-file", "", "../outside/file", id, outside),
		record("replace-file", "", "link/file", id, outside),
		record("replace-file", "", "/etc/passwd", id, outside),
		record("replace-file", "", "docs/a\x00", id, outside),
		record("replace-file", "", "docs/a", "../../"+id, ino(m.Primary+"/docs/a")),
		record("replace-file", "", "docs", id, ino(m.Primary+"/docs")),
		record("unlink", "docs/a", "docs/a", id, ino(m.Primary+"/docs/a")),
		record("replace-file", "", strings.Repeat("d/", 2000)+"x", id, outside),
		strings.Repeat("[", 60<<10), strings.Repeat("{\"kind\":", 7<<10), "", "null", "\x00\xff", strings.Repeat("x", 10<<20),
		`{"kind":"rename-directory","from":"ZG9jcw==","to":"eA==","moves":[{"member":"` + id + `","ino":18446744073709551616}]}`,
	} {
		harness.Write(t, fmt.Sprintf("%s/%03d", journal, i), text)
	}
	harness.Symlink(t, base+"/outside/file", journal+"/link")
	harness.Symlink(t, "self", journal+"/self")
	harness.Mkdir(t, journal+"/directory/"+strings.Repeat("d/", 200))
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "socket": unix.S_IFSOCK, "x\nforged: y": unix.S_IFREG} {
		if err := unix.Mknod(journal+"/"+name, mode|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	harness.Mkdir(t, m.Primary+"/.tierfs/staging/full/of/things")
	harness.Symlink(t, base+"/outside/sub/deep", m.Primary+"/.tierfs/staging/link")
	harness.Chmod(t, m.Primary+"/.tierfs/staging", 0o700)
	m.Up()
	canary.unharmed()
	for _, tier := range m.Tiers {
		if harness.Exists(t, tier+"/stolen") || harness.Exists(t, tier+"/marks") {
			t.Errorf("%s was taken", tier)
		}
	}
	for name, text := range map[string]string{"a": "a", "b": "b", "c": "c"} {
		harness.WantRead(t, m.Path("docs/"+name), text)
	}
	harness.WantList(t, m.Path("docs"), "a", "b", "c", "sub")
	serves(t, m)
	for l := range strings.Lines(m.Log()) {
		if strings.Contains(l, "]: forged") {
			t.Errorf("in the log: %q", l)
		}
	}
	m.Down()
	os.RemoveAll(filepath.Dir(journal))
}

// TestPlantedPrivateDirectoriesAreNotUsed: the journal or the staging area is a
// link, or somebody else's. What needs it fails, and nothing is done there.
func TestPlantedPrivateDirectoriesAreNotUsed(t *testing.T) {
	for kind, plant := range map[string]func(at, outside string){
		"symlink": func(at, outside string) { harness.Symlink(t, outside, at) },
		"another's": func(at, _ string) {
			harness.Mkdir(t, at)
			harness.Chown(t, at, mallory, mallory)
			harness.Chmod(t, at, 0o700)
		},
		"open": func(at, _ string) { harness.Mkdir(t, at); harness.Chmod(t, at, 0o777) },
		"file": func(at, _ string) { harness.Write(t, at, "") },
	} {
		t.Run(kind, func(t *testing.T) {
			m := harness.New(t, 1, "create=primary")
			outside := harness.TempDir(t)
			harness.Chmod(t, outside, 0o700)
			harness.Mkdir(t, m.Fallbacks[0]+"/low")
			for _, tier := range m.Tiers {
				harness.Mkdir(t, tier+"/both")
			}
			m.Up()
			m.Down()
			for _, name := range []string{"journal", "staging"} {
				os.RemoveAll(m.Primary + "/.tierfs/" + name)
				plant(m.Primary+"/.tierfs/"+name, outside)
			}
			m.Up()
			if err := os.WriteFile(m.Path("low/new"), nil, 0o644); err == nil { // parents are made in the staging area
				t.Error("a file was made by way of a planted staging area")
			}
			os.Rename(m.Path("both"), m.Path("renamed")) // a record is written
			harness.WantList(t, outside)
			if harness.Exists(t, m.Path("both")) == harness.Exists(t, m.Path("renamed")) {
				t.Error("the directory is there twice, or gone")
			}
			serves(t, m)
		})
	}
}
