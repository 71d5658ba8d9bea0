package move

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// numberless has a fallback whose inode numbers are made from names: after a rename
// a file has the old one for a while, and then another, which whatever gets its old
// name has as well.
func numberless(t *testing.T, opts ...string) (*faultfs.FS, mount) {
	t.Helper()
	disk := faultfs.New(t, 1)
	disk.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	return disk, newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, opts...)
}

// TestFilesMoveThoughTheirNumbersChange: one whose copy had got its number when it was
// looked at last stayed, with a hidden copy that kept it from moving for good.
func TestFilesMoveThoughTheirNumbersChange(t *testing.T) {
	for nth := 1; nth <= 5; nth++ {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			disk, m := numberless(t)
			m.Put(0, "f", "content")
			m.Up()
			time.Sleep(quiet)
			// After that step the kernel asks for the names again.
			disk.Arm(faultfs.Plan{NoNumbers: true, Ops: []string{"FSYNC", "FSYNCDIR"}, Nth: nth, DelayMS: 1200})
			m.carry("demote", "f").wantMoved(t, 1)
			m.wantOn(1, "f", "content")
			if r := disk.Report(); !r.Hit {
				t.Errorf("%q", r.Calls)
			}
			time.Sleep(quiet)
			m.carry("promote", "f").wantMoved(t, 1)
			m.wantOn(0, "f", "content")
			m.wantTidy()
		})
	}
}

// TestKilledMoverKnowsItsCopyThoughItsNumberChanges, by what is in it.
func TestKilledMoverKnowsItsCopyThoughItsNumberChanges(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "ext4")
	disk := faultfs.New(t, 1)
	disk.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	plain := func(t *testing.T, tier string) map[string]traits {
		harness.Mkdir(t, tier+"/docs")
		harness.Chown(t, tier+"/docs", harness.UserA, harness.UserB)
		harness.Chmod(t, tier+"/docs", 0o2751)
		all := map[string]traits{}
		for _, rel := range []string{"plain", "docs/one", "docs/two"} {
			harness.Write(t, tier+"/"+rel, text(rel, 3000))
			all[rel] = traitsOf(t, tier+"/"+rel)
		}
		return all
	}
	die(t, some(deaths(t), 3), []string{harness.On(t, "ext4", "256M"), disk.Disks[0]}, plain, 1200*time.Millisecond)
}

// TestAnotherFileIsNoCopyThoughItHasTheNumber: somebody has put a file under the name
// of a killed mover's copy, with the same size and time.
func TestAnotherFileIsNoCopyThoughItHasTheNumber(t *testing.T) {
	bin := faulty(t)
	for _, point := range []string{"named", "aside"} {
		t.Run(point, func(t *testing.T) {
			_, m := numberless(t)
			m.Put(0, "f", "content")
			time.Sleep(quiet)
			d := &death{point: point, tiers: m.Tiers, want: map[string]traits{"f": traitsOf(t, m.Tier(0, "f"))}}
			if _, stderr, code := m.UpBy(d.doomed(m.Mount, bin, point)); code != 0 {
				t.Fatal(stderr)
			}
			m.carry("demote", "f")
			m.Gone(128 + int(unix.SIGKILL))
			harness.Must(t, "umount", "-l", m.Dir)
			time.Sleep(quiet)
			st := harness.Stat(t, m.Tier(1, "f"))
			harness.Write(t, m.Tier(1, "g"), "another")
			harness.Must(t, "touch", "-d", fmt.Sprintf("@%d.%09d", st.Mtim.Sec, st.Mtim.Nsec), m.Tier(1, "g"))
			ok(t, "replace", os.Rename(m.Tier(1, "g"), m.Tier(1, "f")))
			time.Sleep(quiet)
			if now := harness.Stat(t, m.Tier(1, "f")); now.Ino != st.Ino || now.Mtim != st.Mtim || now.Size != st.Size {
				t.Errorf("it is told apart by what stat says: %+v, was %+v", now, st)
			}
			m.Up()
			harness.WantRead(t, m.Tier(1, "f"), "another")
			kept := []string{m.Tier(0, "f")}
			if point == "aside" {
				kept, _ = filepath.Glob(m.Tier(0, ".tierfs/trash/*"))
			}
			if len(kept) != 1 || harness.Read(t, kept[0]) != "content" {
				t.Errorf("the source is gone: %q", kept)
			}
		})
	}
}

// killed has the daemon die in a rename on the disk, which is carried out or not, and
// ends the mount.
func killed(t *testing.T, disk *faultfs.FS, m mount, nth int, carriedOut bool, from, to string) {
	t.Helper()
	none := faultfs.Plan{NoNumbers: true, NoLinks: true, Nth: 1 << 30}
	disk.Arm(none)
	m.Up()
	at := faultfs.Plan{NoNumbers: true, NoLinks: true, Ops: []string{"RENAME", "RENAME2"}, Nth: nth, Hang: true}
	if !carriedOut {
		at.Errno = unix.EIO
	}
	disk.Arm(at)
	renamed := make(chan error, 1)
	go func() { renamed <- os.Rename(m.Path(from), m.Path(to)) }()
	harness.Eventually(t, "the rename hangs", func() bool { return disk.Report().Stuck == 1 })
	ok(t, "kill", unix.Kill(m.Pid(), unix.SIGKILL))
	disk.Arm(none)
	if err := <-renamed; err == nil {
		t.Error("the rename was answered")
	}
	m.Gone(128 + int(unix.SIGKILL))
	harness.Must(t, "umount", "-l", m.Dir)
}

// renumber serves the disk anew: its numbers are others.
func renumber(disk *faultfs.FS) {
	disk.Revive()
	disk.Arm(faultfs.Plan{NoNumbers: true, NoLinks: true, Nth: 1 << 30})
}

// TestKilledRenameOfADirectoryLeavesOneName: the number tells no mount that the
// directory on the disk is the one in the record. Half of the files were left under
// each name.
func TestKilledRenameOfADirectoryLeavesOneName(t *testing.T) {
	for _, carriedOut := range []bool{false, true} {
		t.Run(fmt.Sprintf("carried out: %v", carriedOut), func(t *testing.T) {
			disk, m := numberless(t)
			m.Put(0, "old/high", "high")
			m.Put(1, "old/sub/low", "low")
			killed(t, disk, m, 1, carriedOut, "old", "new")
			renumber(disk)
			m.Up()
			is, was := "old", "new"
			if carriedOut {
				is, was = was, is
			}
			m.wantOn(0, is+"/high", "high")
			m.wantOn(1, is+"/sub/low", "low")
			if on := m.on(was); len(on) > 0 {
				t.Errorf("%s is on the tiers %v still", was, on)
			}
			m.wantTidy()
		})
	}
}

// TestKilledRenameTouchesNoDirectoryMadeSince, under the name of the one that was
// renamed: it has its number.
func TestKilledRenameTouchesNoDirectoryMadeSince(t *testing.T) {
	disk, m := numberless(t)
	m.Put(0, "old/high", "high")
	harness.Mkdir(t, m.Tier(1, "old"))
	killed(t, disk, m, 1, true, "old", "new")
	m.Put(1, "old/other", "other")
	harness.Remove(t, m.Tier(0, "old/high"))
	harness.Remove(t, m.Tier(0, "old"))
	for range 2 {
		m.Up()
		harness.WantRead(t, m.Tier(1, "old/other"), "other")
		harness.WantRead(t, m.Path("old/other"), "other")
		m.Down()
	}
}

// TestKilledRenameWaitsWhereBothNamesAreTaken for somebody who knows what belongs
// together, and everything can be seen until then.
func TestKilledRenameWaitsWhereBothNamesAreTaken(t *testing.T) {
	disk, m := numberless(t)
	m.Put(0, "old/high", "high")
	m.Put(1, "old/low", "low")
	killed(t, disk, m, 1, false, "old", "new")
	m.Put(1, "new/other", "other")
	if _, stderr, code := m.TryUp(); code != 0 || !strings.Contains(stderr, "under both names") {
		t.Errorf("exit code %d, it says %s", code, stderr)
	}
	m.wantOn(0, "old/high", "high")
	m.wantOn(1, "old/low", "low")
	m.wantOn(1, "new/other", "other")
	m.Down()
	ok(t, "rename", os.Rename(m.Tier(1, "old/low"), m.Tier(1, "new/low")))
	harness.Remove(t, m.Tier(1, "old"))
	m.Up()
	m.wantOn(0, "new/high", "high")
	m.wantOn(1, "new/low", "low")
	m.wantTidy()
}

// TestKilledRenameWaitsThoughAnotherTierIsDone: one such tier has the new name, the other
// both. The record went without a word, and the files stayed under both.
func TestKilledRenameWaitsThoughAnotherTierIsDone(t *testing.T) {
	disks := faultfs.New(t, 2)
	disks.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	m := newMountOn(t, disks.Disks)
	m.Put(0, "old/high", "high")
	m.Put(1, "old/low", "low")
	killed(t, disks, m, 2, false, "old", "new") // the first brings the record
	m.Put(0, "new/other", "other")
	for range 2 {
		if _, stderr, code := m.TryUp(); code != 0 || !strings.Contains(stderr, "under both names") {
			t.Errorf("exit code %d, it says %s", code, stderr)
		}
		m.wantOn(0, "old/high", "high")
		m.wantOn(0, "new/other", "other")
		m.wantOn(1, "new/low", "low")
		m.Down()
	}
	ok(t, "rename", os.Rename(m.Tier(0, "old/high"), m.Tier(0, "new/high")))
	harness.Remove(t, m.Tier(0, "old"))
	m.Up()
	m.wantTidy()
}

// TestKilledRenameOverAHigherFileLosesNeither: the file that was renamed was taken for
// another under its new name, and stayed hidden there by the one that it was to replace.
func TestKilledRenameOverAHigherFileLosesNeither(t *testing.T) {
	for _, carriedOut := range []bool{false, true} {
		t.Run(fmt.Sprintf("carried out: %v", carriedOut), func(t *testing.T) {
			disk, m := numberless(t)
			m.Put(1, "doc~", "new")
			m.Put(0, "doc", "old")
			killed(t, disk, m, 2, carriedOut, "doc~", "doc") // the first brings the record
			time.Sleep(quiet)
			m.Up()
			m.wantOn(1, "doc~", "new")
			m.wantOn(0, "doc", "old")
			m.wantTidy()
		})
	}
}

// TestRenameOfADirectoryIsUndoneThoughItsNumberChanges: a tier has refused it and then
// to take it back. Half of the files stayed under the new name.
func TestRenameOfADirectoryIsUndoneThoughItsNumberChanges(t *testing.T) {
	disks := faultfs.New(t, 2)
	none := faultfs.Plan{NoNumbers: true, Nth: 1 << 30}
	disks.Arm(none)
	m := newMountOn(t, disks.Disks)
	m.Put(0, "old/high", "high")
	m.Put(1, "old/low", "low")
	m.Up()
	// The record, and the lower tier; no more.
	disks.Arm(faultfs.Plan{NoNumbers: true, Disk: -1, Ops: []string{"RENAME", "RENAME2"}, Nth: 3, Stays: true, Errno: unix.EIO})
	if err := os.Rename(m.Path("old"), m.Path("new")); err == nil {
		t.Error("it is renamed")
	}
	harness.WantRead(t, m.Tier(1, "new/low"), "low")
	time.Sleep(1200 * time.Millisecond)
	disks.Arm(none)
	harness.Eventually(t, "it is undone", func() bool { return harness.Exists(t, m.Tier(1, "old/low")) })
	time.Sleep(quiet)
	m.wantOn(0, "old/high", "high")
	m.wantOn(1, "old/low", "low")
	m.wantTidy()
}

// TestCheckFindsACopyThoughItsNumberChanges while it is looked at, and mends it.
func TestCheckFindsACopyThoughItsNumberChanges(t *testing.T) {
	disk, m := numberless(t)
	m.Put(0, "f", "same")
	m.Up()
	harness.Write(t, m.Tier(1, "g"), "same")
	ok(t, "rename", os.Rename(m.Tier(1, "g"), m.Tier(1, "f")))
	disk.Arm(faultfs.Plan{NoNumbers: true, Ops: []string{"READ"}, Nth: 1, DelayMS: 1200})
	out := harness.Must(t, harness.CLI, "check", "--repair", "--yes", m.Dir)
	if !disk.Report().Hit {
		t.Error("nothing was read")
	}
	if on := m.on("f"); len(on) != 1 {
		t.Errorf("it is on the tiers %v\n%s", on, out)
	}
	harness.WantRead(t, m.Path("f"), "same")
}

// TestRepairRemovesNoFileThatHasComeSince, though it has number, size and times of the
// copy that was compared.
func TestRepairRemovesNoFileThatHasComeSince(t *testing.T) {
	disks := faultfs.New(t, 2)
	disks.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	m := newMountOn(t, disks.Disks)
	m.Put(0, "f", "same")
	m.Put(1, "f", "same")
	m.Up()
	disks.Arm(faultfs.Plan{NoNumbers: true, Disk: 0, Ops: []string{"FSYNC"}, Nth: 1, Hang: true}) // found, and not removed yet
	done := make(chan string, 1)
	go func() {
		out, _, _ := harness.Run(t, harness.CLI, "check", "--repair", "--yes", m.Dir)
		done <- out
	}()
	harness.Eventually(t, "the copy is to be removed", func() bool { return disks.Report().Stuck == 1 })
	root := func(name string) string { return filepath.Join(disks.Roots[1], name) }
	st := harness.Stat(t, root("f"))
	harness.Write(t, root("g"), "mine")
	harness.Must(t, "touch", "-r", root("f"), root("g"))
	ok(t, "replace", os.Rename(root("g"), root("f")))
	time.Sleep(1200 * time.Millisecond)
	disks.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	out := <-done
	if now := harness.Stat(t, root("f")); now.Mtim != st.Mtim || now.Size != st.Size {
		t.Errorf("it is told apart by what stat says: %+v, was %+v", now, st)
	}
	if !harness.Exists(t, root("f")) || harness.Read(t, root("f")) != "mine" {
		t.Errorf("it is removed\n%s", out)
	}
}

// TestWhatIsMadeUnderAnOldNameIsAnother: it has the number of what was renamed, and both
// are known.
func TestWhatIsMadeUnderAnOldNameIsAnother(t *testing.T) {
	_, m := numberless(t)
	m.Put(1, "d/old/first", "first")
	m.Put(1, "d/f", "first")
	m.Up()
	harness.List(t, m.Path("d/old"))
	harness.Rename(t, m.Path("d/old"), m.Path("d/new"))
	harness.Mkdir(t, m.Path("d/old"))
	harness.Write(t, m.Path("d/old/second"), "second")
	harness.Write(t, m.Path("d/new/third"), "third")
	harness.Rename(t, m.Path("d/f"), m.Path("d/g"))
	harness.Write(t, m.Path("d/f"), "second")
	for range 2 {
		for path, want := range map[string]string{"d/new/first": "first", "d/old/second": "second", "d/new/third": "third", "d/f": "second", "d/g": "first"} {
			m.wantOn(1, path, want)
		}
		harness.WantList(t, m.Path("d/old"), "second")
		harness.WantList(t, m.Path("d/new"), "first", "third")
		time.Sleep(1200 * time.Millisecond)
	}
}

// TestPlanSeesWhatIsOpenBehindWherePathsMakeNumbers: the mount tells the file by
// another one, and /proc has the filesystem's.
func TestPlanSeesWhatIsOpenBehindWherePathsMakeNumbers(t *testing.T) {
	_, m := numberless(t)
	m.Put(1, "f", "content")
	m.Up()
	f, err := os.Open(m.Tier(1, "f"))
	ok(t, "open", err)
	defer f.Close()
	time.Sleep(quiet)
	out, _, _ := harness.Run(t, harness.CLI, "promote", "--older-than", "1s", "--dry-run", "--all", m.Path("f"))
	harness.Contains(t, out, "stays: open in the tier, behind the mount")
}

// TestNoforgetWarnsOfNumbersThatDoNotLast: file handles do not either.
func TestNoforgetWarnsOfNumbersThatDoNotLast(t *testing.T) {
	disk, m := numberless(t)
	m = newMountOn(t, m.Tiers, "noforget")
	if _, stderr, code := m.TryUp(); code != 0 || strings.Count(stderr, "noforget: ") != 1 || !strings.Contains(stderr, disk.Disks[0]) {
		t.Errorf("exit code %d, it says %s", code, stderr)
	}
}
