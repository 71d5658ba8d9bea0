package move

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// points are the names of all points at which a test build can die: of a move,
// and of the replay of its record.
func points(t *testing.T) (moving, replaying []string) {
	t.Helper()
	sources, err := filepath.Glob("../../internal/tierfs/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		for _, call := range regexp.MustCompile(`\bfault\("(\w+)"\)`).FindAllStringSubmatch(harness.Read(t, path), -1) {
			if filepath.Base(path) == "relocation.go" {
				replaying = append(replaying, call[1])
			} else {
				moving = append(moving, call[1])
			}
		}
	}
	if len(moving) == 0 || len(replaying) == 0 {
		t.Fatal("the source has no points to die at")
	}
	return moving, replaying
}

// traits are what a file must keep on its way.
type traits struct {
	mode, uid, gid uint32
	size, blocks   int64
	atime, mtime   unix.Timespec
	attributes     map[string]string
	sum            [sha256.Size]byte
}

func traitsOf(t *testing.T, path string) traits {
	t.Helper()
	st := harness.Stat(t, path)
	b, err := readQuietly(path)
	if err != nil {
		t.Fatal(err)
	}
	return traits{
		mode: st.Mode, uid: st.Uid, gid: st.Gid, size: st.Size, blocks: st.Blocks, atime: st.Atim, mtime: st.Mtim,
		attributes: attributes(t, path), sum: sha256.Sum256(b),
	}
}

// wantTraits fails the test unless a file is the same; holes may be others, but
// not filled.
func wantTraits(t *testing.T, path string, want traits) {
	t.Helper()
	got := traitsOf(t, path)
	same := got.blocks <= want.blocks+16 && maps.Equal(got.attributes, want.attributes)
	g, w := got, want
	g.blocks, w.blocks, g.attributes, w.attributes = 0, 0, nil, nil
	if !same || fmt.Sprint(g) != fmt.Sprint(w) {
		t.Errorf("%s is\n%+v, was\n%+v", path, got, want)
	}
}

// plant makes files of all kinds in a tier. There are two at least in each
// directory, so that the second can be under way when the first has moved.
func plant(t *testing.T, tier string) map[string]traits {
	t.Helper()
	harness.Mkdir(t, tier+"/docs/deep")
	harness.Chown(t, tier+"/docs", harness.UserA, harness.UserB)
	harness.Chmod(t, tier+"/docs", 0o2751)
	contents := map[string]string{
		"plain": strings.Repeat("plain text\n", 9999), "empty": "",
		"docs/attributes": "red", "docs/list": "for some", "docs/setgid": "#!/bin/sh\n",
		"docs/deep/owned": strings.Repeat("owned ", 30000), "docs/deep/sparse": "begin",
	}
	for rel, text := range contents {
		harness.Write(t, filepath.Join(tier, rel), text)
	}
	at := func(rel string) string { return filepath.Join(tier, rel) }
	for _, err := range []error{
		unix.Setxattr(at("docs/attributes"), "user.color", []byte("red"), 0),
		unix.Setxattr(at("docs/attributes"), "user.empty", nil, 0),
		unix.Setxattr(at("docs/attributes"), "trusted.note", bytes.Repeat([]byte{0, 255}, 100), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	harness.Must(t, "setfacl", "-m", fmt.Sprintf("u:%d:rw,g:%d:r", harness.UserA, harness.UserB), at("docs/list"))
	harness.Chown(t, at("docs/deep/owned"), harness.UserA, harness.UserB)
	harness.Chmod(t, at("docs/deep/owned"), 0o640)
	harness.Chmod(t, at("docs/setgid"), 0o2755)
	sparse, err := os.OpenFile(at("docs/deep/sparse"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if _, err := sparse.WriteAt([]byte("middle"), 3<<20+5); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate(8<<20 + 1); err != nil {
		t.Fatal(err)
	}
	all := map[string]traits{}
	when := time.Date(2019, 3, 4, 5, 6, 7, 123456789, time.UTC)
	for rel := range contents {
		if err := os.Chtimes(at(rel), when.Add(time.Hour+time.Nanosecond), when); err != nil {
			t.Fatal(err)
		}
		when = when.Add(1234567 * time.Microsecond)
		all[rel] = traitsOf(t, at(rel))
	}
	return all
}

// death is one case: a move between two tiers that ends at a point.
type death struct {
	point  string
	replay string // the point at which the next daemon dies, if it does
	source int    // rank
	tiers  []string
	want   map[string]traits
}

func (d *death) name() string {
	return strings.TrimSuffix([]string{"down/", "up/"}[d.source]+d.point+"/"+d.replay, "/")
}

// deaths are all cases, each in both directions.
func deaths(t *testing.T) (all []*death) {
	t.Helper()
	moving, replaying := points(t)
	for source := range 2 {
		for _, point := range moving {
			all = append(all, &death{point: point, source: source})
		}
		for _, point := range replaying {
			all = append(all, &death{point: "placed", replay: point, source: source}, &death{point: "removed", replay: point, source: source})
		}
	}
	return all
}

// TestKilledMoverLosesNothing: the daemon is killed at every point of a move,
// when it comes there for the second time: one directory or one file has moved
// by then, others have not. In some cases the next daemon is killed as well,
// while it settles what the first has left. A run takes one point in two.
func TestKilledMoverLosesNothing(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "ext4")
	die(t, some(deaths(t), 2), []string{harness.On(t, "ext4", "256M"), harness.On(t, "ext4", "256M")}, plant, 0)
}

// some are those cases that this run takes, one in n.
func some(all []*death, n int) (these []*death) {
	for i, d := range all {
		if harness.Takes(i, n) {
			these = append(these, d)
		}
	}
	return these
}

// faulty is a binary that dies where it is told to.
func faulty(t *testing.T) string {
	t.Helper()
	harness.Require(t, "root", "fuse")
	faultyOnce.Do(func() {
		faultyBin = filepath.Join(filepath.Dir(harness.TempDir(t)), "faulty.tierfs")
		harness.Build(t, faultyBin, "-trimpath", "-tags", "faultpoints")
	})
	return faultyBin
}

var (
	faultyOnce sync.Once
	faultyBin  string
)

// die has all cases die on the disks, with the files that plant makes, and looks at
// what the next daemon makes of it, a pause later.
func die(t *testing.T, all []*death, disks []string, plant func(t *testing.T, tier string) map[string]traits, pause time.Duration) {
	bin := faulty(t)
	for i, d := range all {
		for _, disk := range disks {
			d.tiers = append(d.tiers, fmt.Sprintf("%s/%d", disk, i))
			harness.Mkdir(t, d.tiers[len(d.tiers)-1])
		}
		d.want = plant(t, d.tiers[d.source])
	}
	time.Sleep(quiet)
	for _, d := range all {
		t.Run(d.name(), func(t *testing.T) {
			if pause > 0 { // most of what it takes
				t.Parallel()
			}
			m := harness.NewOn(t, d.tiers, "minfree=0%")
			d.die(t, m, bin)
			if d.replay != "" {
				d.dieReplaying(t, m, bin)
			}
			time.Sleep(pause)
			d.wantRecovery(t, m)
		})
	}
}

// doomed mounts with a daemon that dies at a point.
func (d *death) doomed(m *harness.Mount, bin, point string) *exec.Cmd {
	cmd := exec.Command(bin, m.Args()[3:]...)
	cmd.Env = append(os.Environ(), "TIERFS_TEST_DIR="+m.Dir, "TIERFS_FAULT="+point)
	return cmd
}

// die moves until the daemon dies.
func (d *death) die(t *testing.T, m *harness.Mount, bin string) {
	t.Helper()
	if _, stderr, code := m.UpBy(d.doomed(m, bin, d.point+":2")); code != 0 {
		t.Fatal(stderr)
	}
	command := []string{"demote", "promote"}[d.source]
	if stdout, _, code := harness.Run(t, harness.CLI, command, "--older-than", "1s", m.Dir); code == 0 {
		t.Errorf("%s was done:\n%s", command, stdout)
	}
	m.Gone(128 + int(unix.SIGKILL))
	d.wantWhole(t)
	harness.Must(t, "umount", "-l", m.Dir)
}

// dieReplaying mounts, which does not get as far as that.
func (d *death) dieReplaying(t *testing.T, m *harness.Mount, bin string) {
	t.Helper()
	if _, _, code := harness.RunCmd(t, d.doomed(m, bin, d.replay)); code == 0 {
		t.Error("it lives")
	}
	m.None()
	d.wantWhole(t)
}

// wantRecovery fails the test unless the next mount shows every file once, and
// leaves nothing behind.
func (d *death) wantRecovery(t *testing.T, m *harness.Mount) {
	t.Helper()
	m.Up()
	got := files(t, m.Dir)
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(d.want)); !slices.Equal(got, want) {
		t.Errorf("the mount has %q, want %q", got, want)
	}
	for rel, want := range d.want {
		wantTraits(t, m.Path(rel), want)
	}
	st := harness.Stat(t, m.Path("docs"))
	if st.Mode != unix.S_IFDIR|0o2751 || st.Uid != harness.UserA || st.Gid != harness.UserB {
		t.Errorf("docs has mode %o, owner %d, group %d", st.Mode, st.Uid, st.Gid)
	}
	wantTidy(t, d.tiers)
	wantOnce(t, d.tiers)
	m.Down()
}

// wantWhole fails the test unless every file can be read without tierfs: what
// has the name, on whatever tier, is the file.
func (d *death) wantWhole(t *testing.T) {
	t.Helper()
	for rel, want := range d.want {
		found := false
		for _, tier := range d.tiers {
			if path := filepath.Join(tier, rel); harness.Exists(t, path) {
				found = true
				wantTraits(t, path, want)
			}
		}
		if !found {
			t.Errorf("%s is on no tier", rel)
		}
	}
}
