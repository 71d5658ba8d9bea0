package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// TestFailedMoveNamesTheTier: "input/output error" did not say which disk to look
// at.
func TestFailedMoveNamesTheTier(t *testing.T) {
	disks := faultfs.New(t, 2)
	m := harness.NewOn(t, disks.Disks)
	m.Put(0, "f", strings.Repeat("x", 100<<10))
	m.Up()
	time.Sleep(1100 * time.Millisecond) // what has just changed stays
	for _, c := range []struct {
		disk int
		op   string
	}{{0, "READ"}, {1, "WRITE"}, {1, "CREATE"}, {1, "FSYNC"}} {
		disks.Arm(faultfs.Plan{Disk: c.disk, Ops: []string{c.op}, Nth: 1, Stays: true, Errno: unix.EIO})
		stdout, stderr, code := harness.Run(t, harness.CLI, "demote", "--older-than", "1s", m.Path("f"))
		if code != 1 || !disks.Disarm().Hit {
			t.Errorf("%v: exit code %d: %s%s", c, code, stdout, stderr)
		}
		harness.Contains(t, stdout, fmt.Sprintf("%s: stays: an error, see the log (tier %s: input/output error)\n", m.Path("f"), disks.Disks[c.disk]))
	}
}

// TestMoveNamesTheTargetThatDies, at whatever call it does so: of a fallback that was
// gone the log said "input/output error" with the primary's name.
func TestMoveNamesTheTargetThatDies(t *testing.T) {
	const calls = 60
	for from, command := range []string{"demote", "promote"} {
		t.Run(command, func(t *testing.T) {
			disks := faultfs.New(t, 2)
			m := harness.NewOn(t, disks.Disks)
			for n := range calls {
				m.Put(from, fmt.Sprintf("a/%d/f", n), "content")
			}
			m.Up()
			time.Sleep(1100 * time.Millisecond) // what has just changed stays
			source, target := "(tier "+disks.Disks[from]+": ", "(tier "+disks.Disks[1-from]+": "
			named := 0
			for n := range calls {
				disks.Arm(faultfs.Plan{Disk: 1 - from, Nth: n + 1, Stays: true, Errno: unix.EIO})
				out, _, _ := harness.Run(t, harness.CLI, command, "--older-than", "1s", m.Path(fmt.Sprint("a/", n)))
				disks.Disarm()
				if strings.Contains(out, source) {
					t.Errorf("from call %d on: %s", n+1, out)
				}
				if strings.Contains(out, target) {
					named++
				}
			}
			if named < calls/2 {
				t.Errorf("the target is named %d times", named)
			}
		})
	}
}
