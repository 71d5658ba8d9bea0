// Package acl plays the same commands of several users, with setfacl(1) and
// getfacl(1), in a native directory and in mounts, and compares what they say
// and what is left on the tiers.
package acl

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// user is who a line of a scenario is run by.
type user struct {
	uid, gid uint32
	groups   []uint32
}

// The groups are staff 2501, friends 2502, guests 2503 and choir 2504.
var users = map[string]user{
	"root":  {},
	"alice": {2001, 2501, []uint32{2502}},
	"bob":   {2002, 2501, nil},
	"carol": {2003, 2503, []uint32{2502, 2504}},
	"dave":  {2004, 2503, nil},
}

// place is where the scenarios' directories are in a mount.
type place struct {
	name    string
	options []string
	tiers   int
	dirs    []int // the tiers that have the directories beforehand
	old     int   // the tier that has the files in them
}

var places = []place{
	{name: "alone", options: []string{"passthrough=on"}, tiers: 1, dirs: []int{0}},
	{name: "alone, through the daemon", options: []string{"passthrough=off"}, tiers: 1, dirs: []int{0}},
	{name: "primary above a fallback", options: []string{"passthrough=on"}, tiers: 2, dirs: []int{0}},
	{name: "fallback only", options: []string{"passthrough=on"}, tiers: 2, dirs: []int{1}, old: 1},
	{name: "fallback only, through the daemon", options: []string{"passthrough=off"}, tiers: 2, dirs: []int{1}, old: 1},
	{name: "merged", options: []string{"passthrough=on"}, tiers: 2, dirs: []int{0, 1}, old: 1},
	{name: "merged, through the daemon", options: []string{"passthrough=off"}, tiers: 2, dirs: []int{0, 1}, old: 1},
	{name: "parents made on the primary", options: []string{"create=primary"}, tiers: 2, dirs: []int{1}, old: 1},
}

// TestListsHoldAsBesideTheMount: whoever is let in, kept out, or given rights
// by an access list on the tier's filesystem is so in the mount, and the lists
// are those of the backing files. A run takes each scenario in every other place,
// chance says in which of them, and a soak in all.
func TestListsHoldAsBesideTheMount(t *testing.T) {
	harness.Require(t, "root", "fuse", "ext4")
	native := harness.On(t, "ext4", "64M")
	want := map[string][]string{}
	for _, s := range scenarios {
		prepare(t, native, s, true, true)
		want[s.name] = play(t, filepath.Join(native, dirName(s)), s)
	}
	for i, p := range places {
		var some []scenario
		for j, s := range scenarios {
			if harness.Takes(i+j, 2) {
				some = append(some, s)
			}
		}
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) { p.compare(t, some, want) })
	}
}

func (p place) compare(t *testing.T, scenarios []scenario, want map[string][]string) {
	if strings.Contains(strings.Join(p.options, ","), "passthrough=on") {
		harness.Require(t, "passthrough")
	}
	var tiers []string
	for range p.tiers {
		tiers = append(tiers, harness.On(t, "ext4", "64M"))
	}
	for _, s := range scenarios {
		for _, rank := range p.dirs {
			prepare(t, tiers[rank], s, true, rank == p.old)
		}
	}
	m := harness.NewOn(t, tiers, p.options...)
	m.Up()
	for _, s := range scenarios {
		t.Run(dirName(s), func(t *testing.T) {
			differ(t, play(t, m.Path(dirName(s)), s), want[s.name])
			var backing []string
			for _, tier := range tiers {
				backing = append(backing, filepath.Join(tier, dirName(s)))
			}
			wantSameLists(t, m.Path(dirName(s)), backing)
		})
	}
}

// prepare makes a scenario's directory: "old" and "olddir/f", files that were
// there before the mount.
func prepare(t *testing.T, tier string, s scenario, dirs, files bool) {
	t.Helper()
	dir := filepath.Join(tier, dirName(s))
	if dirs {
		harness.Mkdir(t, dir+"/olddir")
	}
	if files {
		harness.Write(t, dir+"/old", "old\n")
		harness.Write(t, dir+"/olddir/f", "older\n")
	}
}

func dirName(s scenario) string { return strings.ReplaceAll(s.name, " ", "-") }

// play runs a scenario's lines in its directory and writes down what they said.
func play(t *testing.T, dir string, s scenario) []string {
	t.Helper()
	var said []string
	for line := range strings.Lines(s.lines) {
		who, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if who == "" || who[0] == '#' {
			continue
		}
		said = append(said, "$ "+strings.TrimSpace(line))
		said = append(said, run(t, dir, who, command)...)
	}
	said = append(said, "at the end:")
	for _, file := range lists(t, dir) {
		said = append(said, file.name, file.list)
	}
	return said
}

// all is getfacl -R in an order that does not depend on readdir(2).
const all = `all() { find "$@" ! -type l -print0 | LC_ALL=C sort -z | xargs -0r getfacl -n; }; `

// run runs one command as a user and returns its output, line by line.
func run(t *testing.T, dir, who, command string) []string {
	t.Helper()
	u, known := users[who]
	if !known {
		t.Fatalf("no user %q", who)
	}
	cmd := exec.Command("/bin/sh", "-c", all+command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups}}
	stdout, stderr, code := harness.RunCmd(t, cmd)
	said := strings.Split(strings.TrimRight(stdout+stderr, "\n"), "\n")
	return append(said, fmt.Sprintf("exit %d", code))
}

// fileList is what getfacl(1) says of one file.
type fileList struct{ name, list string }

// lists are those of all below dir, sorted, but for symlinks, which have none.
func lists(t *testing.T, dir string) []fileList {
	t.Helper()
	cmd := exec.Command("getfacl", "-R", "-P", "-n", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	stdout, stderr, code := harness.RunCmd(t, cmd)
	if code != 0 {
		t.Fatalf("getfacl below %s: %s", dir, stderr)
	}
	var files []fileList
	for block := range strings.SplitSeq(strings.TrimSpace(stdout), "\n\n") {
		name, list, _ := strings.Cut(block, "\n")
		files = append(files, fileList{name, list})
	}
	slices.SortFunc(files, func(a, b fileList) int { return strings.Compare(a.name, b.name) })
	return files
}

// wantSameLists fails the test unless every backing file has the access list
// that the mount shows, and every file of the mount has a backing one.
func wantSameLists(t *testing.T, mount string, backing []string) {
	t.Helper()
	shown := map[string]string{}
	for _, file := range lists(t, mount) {
		shown[file.name] = file.list
	}
	found := map[string]bool{}
	for _, dir := range backing {
		if !harness.Exists(t, dir) {
			continue
		}
		for _, file := range lists(t, dir) {
			found[file.name] = true
			if file.list != shown[file.name] {
				t.Errorf("%s of %s has\n%s\nand the mount shows\n%s", file.name, dir, file.list, shown[file.name])
			}
		}
	}
	for name := range shown {
		if !found[name] {
			t.Errorf("%s is on no tier", name)
		}
	}
}

// differ reports the first lines in which two transcripts differ, with the
// command that gave them.
func differ(t *testing.T, got, want []string) {
	t.Helper()
	command := ""
	for i := range max(len(got), len(want)) {
		g, w := at(got, i), at(want, i)
		if g != w {
			t.Errorf("after %s\n native: %s\n  mount: %s", command, w, g)
			return
		}
		if strings.HasPrefix(w, "$ ") {
			command = w
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// TestListChangedOnTheTierHolds within the time for which attributes are
// believed, for those that the mount has asked before.
func TestListChangedOnTheTierHolds(t *testing.T) {
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")}, "attr_timeout=0.1", "entry_timeout=0.1")
	harness.Mkdir(t, m.Fallbacks[0]+"/d")
	harness.Write(t, m.Fallbacks[0]+"/d/f", "x\n")
	m.Up()
	try := func() string { return strings.Join(run(t, m.Dir, "alice", "cat d/f"), " ") }
	const denied, allowed = "cat: d/f: Permission denied exit 1", "x exit 0"
	for _, step := range []struct{ path, entry, want string }{
		{"d/f", "u:2001:-", denied}, {"d/f", "u:2001:r", allowed}, {"d", "u:2001:-", denied}, {"d", "u:2001:x", allowed},
	} {
		harness.Must(t, "setfacl", "-m", step.entry, m.Fallbacks[0]+"/"+step.path)
		var got string
		harness.Eventually(t, "after setfacl -m "+step.entry+" of "+step.path+" on the tier alice sees "+step.want,
			func() bool { got = try(); return got == step.want })
		if again := try(); again != got {
			t.Errorf("then alice sees %s again", again)
		}
	}
}

// TestHighestListDecides where the copies of a merged directory disagree, as
// mode and owner do; setting one through the mount makes them agree.
func TestHighestListDecides(t *testing.T) {
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	for _, d := range []string{"above", "below"} {
		harness.Mkdir(t, m.Primary+"/"+d)
		harness.Mkdir(t, m.Fallbacks[0]+"/"+d)
		harness.Write(t, m.Fallbacks[0]+"/"+d+"/f", "x\n")
	}
	harness.Must(t, "setfacl", "-m", "u:2001:-", m.Primary+"/above")
	harness.Must(t, "setfacl", "-m", "u:2001:-", m.Fallbacks[0]+"/below")
	m.Up()
	for d, want := range map[string]string{"above": "cat: above/f: Permission denied exit 1", "below": "x exit 0"} {
		if got := strings.Join(run(t, m.Dir, "alice", "cat "+d+"/f"), " "); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
		harness.Must(t, "setfacl", "-m", "u:2002:-", m.Path(d))
		wantSameLists(t, m.Path(d), []string{m.Primary + "/" + d, m.Fallbacks[0] + "/" + d})
	}
}

// TestTierWithoutLists: where the filesystem has none, as vfat has none,
// the mode says who is let in.
func TestTierWithoutLists(t *testing.T) {
	bare := harness.TempDir(t)
	harness.Must(t, "mount", "-t", "ramfs", "-o", "mode=755", "ramfs", bare)
	t.Cleanup(func() { harness.Unmount(t, bare) })
	harness.Mkdir(t, bare+"/d")
	harness.Write(t, bare+"/d/f", "x\n")
	harness.Write(t, bare+"/d/closed", "x\n")
	harness.Chmod(t, bare+"/d/closed", 0o640)
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), bare})
	m.Up()
	for command, want := range map[string]string{
		"cat d/f":              "x exit 0",
		"cat d/closed":         "cat: d/closed: Permission denied exit 1",
		"ls d":                 "closed f exit 0",
		"getfacl -cE d/closed": "user::rw- group::r-- other::--- exit 0",
	} {
		if got := strings.Join(run(t, m.Dir, "alice", command), " "); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if out, _, code := harness.Run(t, "setfacl", "-m", "u:2001:r", m.Path("d/closed")); code == 0 {
		t.Errorf("setfacl: %s", out)
	}
	m.Down()
}
