package move

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// numberless has a fallback whose inode numbers are made from names: after a rename
// a file has the old one for a while, and then another, which whatever gets its old
// name has as well.
func numberless(t *testing.T) (*faultfs.FS, mount) {
	t.Helper()
	disk := faultfs.New(t, 1)
	disk.Arm(faultfs.Plan{NoNumbers: true, Nth: 1 << 30})
	return disk, newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]})
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
	die(t, deaths(t), []string{harness.On(t, "ext4", "256M"), disk.Disks[0]}, plain, 1200*time.Millisecond)
}

// TestAnotherFileIsNoCopyThoughItHasTheNumber: somebody has put a file under the name
// of a killed mover's copy, with the same size and time.
func TestAnotherFileIsNoCopyThoughItHasTheNumber(t *testing.T) {
	bin := harness.TempDir(t) + "/mount.tierfs"
	harness.Build(t, bin, "-trimpath", "-tags", "faultpoints")
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
