// Package union tests the rules by which several tiers are shown as one tree:
// each row of the table in docs/design.md, as promises.
package union

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// union is a mount whose tiers the test also looks into.
type union struct {
	*harness.Mount
	t *testing.T
}

// newUnion makes tiers on one filesystem; nothing is mounted yet.
func newUnion(t *testing.T, fallbacks int, opts ...string) union {
	t.Helper()
	harness.Require(t, "root", "fuse")
	return union{harness.New(t, fallbacks, opts...), t}
}

// newUnionOn makes a mount of directories of the test's choice.
func newUnionOn(t *testing.T, tiers []string, opts ...string) union {
	t.Helper()
	harness.Require(t, "root", "fuse")
	return union{harness.NewOn(t, tiers, opts...), t}
}

// dir makes a directory in the given tiers.
func (u union) dir(rel string, ranks ...int) {
	u.t.Helper()
	for _, rank := range ranks {
		harness.Mkdir(u.t, u.Tier(rank, rel))
	}
}

// on lists the ranks of the tiers that have a name, whatever it is there.
func (u union) on(rel string) []int {
	u.t.Helper()
	var ranks []int
	for rank := range u.Tiers {
		if harness.Exists(u.t, u.Tier(rank, rel)) {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// wantOn fails the test unless exactly the given tiers have a name.
func (u union) wantOn(rel string, ranks ...int) {
	u.t.Helper()
	if got := u.on(rel); !slices.Equal(got, ranks) {
		u.t.Errorf("%s is on tiers %v, want %v", rel, got, ranks)
	}
}

// want fails the test unless a file reads so through the mount.
func (u union) want(rel, text string) {
	u.t.Helper()
	harness.WantRead(u.t, u.Path(rel), text)
}

// wantList fails the test unless the mount lists exactly these names.
func (u union) wantList(rel string, names ...string) {
	u.t.Helper()
	harness.WantList(u.t, u.Path(rel), names...)
}

// wantNone fails the test unless the mount says that there is no such name.
func (u union) wantNone(rel string) {
	u.t.Helper()
	var st unix.Stat_t
	harness.WantErrno(u.t, "lstat "+rel, unix.Lstat(u.Path(rel), &st), unix.ENOENT)
}

// ok fails the test at once if a call failed.
func (u union) ok(what string, err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatalf("%s: %v", what, err)
	}
}

// refuse fails the test unless a call failed with the wanted errno.
func (u union) refuse(what string, err error, want unix.Errno) {
	u.t.Helper()
	harness.WantErrno(u.t, what, err, want)
}

// rename renames inside the mount.
// wantSaidOnce fails the test unless the log names what is in the way, once.
func (u union) wantSaidOnce(rel, tier string) {
	u.T.Helper()
	part := "in the tier itself name=" + rel + " tier=" + tier
	harness.Eventually(u.T, "the log has "+part, func() bool { return strings.Contains(u.Log(), part) })
	if n := strings.Count(u.Log(), part); n != 1 {
		u.T.Errorf("%q is in the log %d times", part, n)
	}
}

func (u union) rename(from, to string) error { return unix.Rename(u.Path(from), u.Path(to)) }

// create makes a new file through the mount.
func (u union) create(rel, text string) {
	u.t.Helper()
	f, err := os.OpenFile(u.Path(rel), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	u.ok("create "+rel, err)
	_, err = f.WriteString(text)
	u.ok("write "+rel, errors.Join(err, f.Close()))
}

// open opens a file of the mount until the end of the test.
func (u union) open(rel string, flags int) int {
	u.t.Helper()
	fd, err := unix.Open(u.Path(rel), flags|unix.O_CLOEXEC, 0o644)
	u.ok("open "+rel, err)
	u.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func replaceAll(s, old, new string) string { return strings.ReplaceAll(s, old, new) }
