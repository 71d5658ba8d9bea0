package move

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestPlanKnowsWhatFits: the files before have taken what was free, whether they
// would move with the next one or before it. What is said is what happens, also
// of batches that are under way together.
func TestPlanKnowsWhatFits(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	tiers := []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "16M")}
	m := newMountOn(t, tiers, "minfree=4M", "window=00:00-00:01")
	const files, size = 10, 2 * part
	for i := range files {
		m.Put(0, fmt.Sprintf("%d/f", i%5), "")
		m.Put(0, fmt.Sprintf("%d/f%d", i%5, i), text("f", size))
	}
	m.Up("demote=1s")
	time.Sleep(quiet)
	full := "tier 1 (" + tiers[1] + ") has "
	out := harness.Must(t, harness.CLI, "plan", m.Dir)
	harness.Contains(t, out, "stay, no room for it on the other tier: ", "; no room for ", full, " free and is to keep 4 MiB (minfree), with ", " planned for other files")
	out = harness.Must(t, harness.CLI, "plan", "--all", m.Dir)
	harness.Contains(t, out, ": stays: no room for it on the other tier ("+full)
	plan := lastLine(t, harness.Must(t, harness.CLI, "plan", "--json", m.Dir))
	if len(plan.Full) != 1 {
		t.Fatalf("%+v", plan)
	}
	f := plan.Full[0]
	if f.Path != tiers[1] || f.MinFree != 4<<20 || f.Files == 0 || f.Files != plan.Skipped["no-room"] || f.Bytes != int64(f.Files*size) || f.Planned < int64((files-f.Files)*size) {
		t.Errorf("%+v", plan)
	}
	said, _, _ := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", "--dry-run", "--json", m.Dir)
	if dry := lastLine(t, said); dry.Files != plan.Files || len(dry.Full) != 1 {
		t.Errorf("a dry run: %+v, want %+v", dry, plan)
	}
	var st unix.Statfs_t
	said, _, code := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", "--json", m.Dir)
	if done := lastLine(t, said); done.Files != plan.Files || done.Skipped["no-room"] != f.Files || code != 1 {
		t.Errorf("demote: %+v, want %+v", done, plan)
	}
	ok(t, "statfs", unix.Statfs(tiers[1], &st))
	if free := st.Bavail * uint64(st.Bsize); free < 4<<20 {
		t.Errorf("%d bytes are free, less than minfree", free)
	}
	out = harness.Must(t, harness.CLI, "status", m.Dir)
	harness.Contains(t, out, fmt.Sprintf("; no room for %d files, ", f.Files), full)
	left := ""
	for i := range files {
		if rel := fmt.Sprintf("%d/f%d", i%5, i); harness.Exists(t, m.Tier(0, rel)) {
			left = rel
		}
	}
	time.Sleep(quiet)
	harness.Must(t, "mount", "-o", "remount,window=00:00-00:00", m.Dir)
	harness.Eventually(t, "the log says it", func() bool { return strings.Contains(m.Log(), "no room for files") })
	time.Sleep(3 * time.Second) // three scans
	if log := m.Log(); strings.Count(log, "no room for files") != 1 || !strings.Contains(log, "tier="+tiers[1]) {
		t.Errorf("log %s", log)
	}
	harness.OneLine(t, harness.Must(t, harness.CLI, "why", m.Path(left)), "it stays: no room for it on the other tier: "+full)
}

// TestNearestTierWithRoom is that of each file: all of a directory went past a tier that
// had no room for all of them. Plan, dry run and move agree.
func TestNearestTierWithRoom(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse")
	var tiers []string
	for _, size := range []string{"32M", "5M", "32M"} {
		dir := harness.TempDir(t)
		harness.Must(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		tiers = append(tiers, dir)
	}
	m := newMountOn(t, tiers, "minfree=0", "demote=1s", "window=00:00-00:01")
	const files, fit = 12, 4 // and what tmpfs has of its own
	for i := range files {
		m.Put(0, fmt.Sprintf("d/%d", i), text("f", part))
	}
	m.Up()
	time.Sleep(quiet)
	harness.OneLine(t, harness.Must(t, harness.CLI, "why", m.Path("d/7")), "goes to tier 1")
	plan := goalsOf(t, harness.Must(t, harness.CLI, "plan", "--json", m.Dir))
	dry := goalsOf(t, harness.Must(t, harness.CLI, "demote", "--older-than", "1s", "--dry-run", "--json", m.Dir))
	m.carry("demote", "").wantMoved(t, files)
	near := 0
	for i := range files {
		rel := fmt.Sprintf("d/%d", i)
		ranks := m.on(rel)
		if len(ranks) != 1 || plan[m.Path(rel)] != ranks[0] || dry[m.Path(rel)] != ranks[0] {
			t.Errorf("%s is on the tiers %v; planned for %d, by a dry run for %d", rel, ranks, plan[m.Path(rel)], dry[m.Path(rel)])
			continue
		}
		if ranks[0] == 1 {
			near++
		}
	}
	if near != fit {
		t.Errorf("%d files have moved to the next tier down, want %d", near, fit)
	}
}

// TestPlanKnowsWhichInodesAreLeft, with those of the directories that are to be made,
// and on tmpfs with what extended attributes take of them: a plan and a dry run say of
// each file what a move then does.
func TestPlanKnowsWhichInodesAreLeft(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	small := map[string]func() string{
		"tmpfs": func() string {
			dir := harness.TempDir(t)
			harness.Must(t, "mount", "-t", "tmpfs", "-o", "size=16M,nr_inodes=60", "tmpfs", dir)
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			return dir
		},
		"ext4": func() string {
			dir := harness.On(t, "ext4", "16M")
			var st unix.Statfs_t
			ok(t, "statfs", unix.Statfs(dir, &st))
			harness.Mkdir(t, dir+"/full")
			for i := range st.Ffree - 60 {
				harness.Write(t, fmt.Sprintf("%s/full/%d", dir, i), "")
			}
			return dir
		},
	}
	for name, disk := range small {
		t.Run(name, func(t *testing.T) {
			m := newMountOn(t, []string{harness.TempDir(t), disk()}, "minfree=1M", "demote=1s", "window=00:00-00:01")
			for i := range 60 {
				rel := fmt.Sprintf("%d/sub/%d", i%6, i)
				m.Put(0, rel, "f")
				ok(t, "setxattr", unix.Setxattr(m.Tier(0, rel), "user.note", make([]byte, 500), 0))
			}
			m.Up()
			time.Sleep(quiet)
			short := "has 1[0-9.]+ MiB free and is to keep 1 MiB .minfree., but only [0-9]+ inodes?, with [0-9]+ planned for other files"
			plan := harness.Must(t, harness.CLI, "plan", "--json", m.Dir)
			dry, _, _ := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", "--dry-run", "--json", m.Dir)
			if text := harness.Must(t, harness.CLI, "plan", m.Dir); !regexp.MustCompile(short).MatchString(text) {
				t.Errorf("%s", text)
			}
			done, _, _ := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", "--json", m.Dir)
			fates := fatesOf(t, done)
			if end := lastLine(t, done); end.Files == 0 || end.Skipped["no-room"] == 0 || len(end.Skipped) > 1 {
				t.Errorf("%+v", end)
			}
			for what, out := range map[string]string{"plan": plan, "dry run": dry} {
				for path, why := range fatesOf(t, out) {
					if fates[path] != why {
						t.Errorf("%s: %s: %q, want %q", what, path, why, fates[path])
					}
				}
			}
			if out := harness.Must(t, harness.CLI, "status", m.Dir); !regexp.MustCompile("MiB free and is to keep 1 MiB .minfree., but (only [0-9]+ inode|no inode left)").MatchString(out) {
				t.Errorf("%s", out)
			}
		})
	}
}

// TestLargerThanTheTargetHolds is seen before anything is copied: what such a file has
// at its beginning would be copied at every scan.
func TestLargerThanTheTargetHolds(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4", "xfs")
	m := newMountOn(t, []string{harness.On(t, "xfs", "300M"), harness.On(t, "ext4", "64M")}, "minfree=0", "demote=1s", "window=00:00-00:01", "mover_rate=1M")
	m.Put(0, "large", text("large", 16*part))
	ok(t, "truncate", os.Truncate(m.Tier(0, "large"), 17<<40))
	m.Put(0, "sparse", "sparse")
	ok(t, "truncate", os.Truncate(m.Tier(0, "sparse"), 5<<30))
	m.Up()
	time.Sleep(quiet)
	const why = "stays: larger than a file can be on the other tier"
	harness.Contains(t, harness.Must(t, harness.CLI, "plan", "--all", m.Dir), m.Path("large")+": "+why+"\n", "would move 1 file, 5 GiB; 1 stays: ")
	harness.OneLine(t, harness.Must(t, harness.CLI, "why", m.Path("large")), "; it "+why)
	begun := time.Now()
	done, _, code := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", "--json", m.Dir)
	if end := lastLine(t, done); end.Files != 1 || end.Skipped["too-large"] != 1 || code != 1 {
		t.Errorf("%+v", end)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %v: the beginning has been copied", d)
	}
	harness.WantList(t, m.Tier(1, ".tierfs/staging"))
	if !harness.Exists(t, m.Tier(1, "sparse")) || !harness.Exists(t, m.Tier(0, "large")) {
		t.Error("what fits has not moved, or the other has")
	}
}

// fatesOf is why files stay, by path, in lines of --json; "" if they do not.
func fatesOf(t *testing.T, out string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(out) {
		var f struct{ Path, Skip string }
		ok(t, "json", json.Unmarshal([]byte(line), &f))
		if f.Path != "" {
			all[f.Path] = f.Skip
		}
	}
	return all
}

// goalsOf is where files go, by path, in lines of --json.
func goalsOf(t *testing.T, out string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for line := range strings.Lines(out) {
		var f struct {
			Path string
			To   int
		}
		ok(t, "json", json.Unmarshal([]byte(line), &f))
		if f.Path != "" {
			all[f.Path] = f.To
		}
	}
	return all
}

// totals are the sums in the last line of --json.
type totals struct {
	Files   int
	Skipped map[string]int
	Full    []struct {
		Path           string
		MinFree        uint64
		Files          int
		Bytes, Planned int64
	}
}

func lastLine(t *testing.T, out string) totals {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var end struct{ End totals }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return end.End
}
