package faults

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// TestFailingFallbackLeavesThePrimaryServing: one copy of a directory on a disk that
// answers EIO to everything made the whole directory EIO, and if that was the root, the
// mount, with all that was on the primary.
func TestFailingFallbackLeavesThePrimaryServing(t *testing.T) {
	b := newBench(t, "attr_timeout=0,entry_timeout=0")
	dir := b.fresh()
	before, _ := union(b.disks.Roots, dir)
	b.disks.Arm(faultfs.Plan{Disk: 1, Nth: 1, Stays: true, Errno: unix.EIO})
	for name, do := range map[string]func(dir string) error{
		"stat of the directory": stat(""), "stat of a merged directory": stat("d"), "stat in it": stat("d/hot"),
		"read": read("hot", "hot"), "read in a merged directory": read("d/hot", "d hot"),
		"statfs": func(dir string) error { return unix.Statfs(dir, new(unix.Statfs_t)) },
		"write":  write("d/hot", unix.O_WRONLY, "d hot"),
	} {
		if err := do(b.Path(dir)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"cold", "d/cold", "none", "d/none"} {
		if err := stat(name)(b.Path(dir)); err != unix.EIO {
			t.Errorf("%s: %v, want EIO", name, err)
		}
	}
	f, err := os.Open(b.Path(dir + "/d"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if names, err := f.Readdirnames(-1); !slices.Contains(names, "hot") || err == nil {
		t.Errorf("listed %q, %v, want all that is known, and then an error", names, err)
	}
	stdout, _, code := harness.Run(t, harness.CLI, "status", b.Dir)
	harness.Contains(t, stdout, "errors of its disk")
	if code != 1 {
		t.Errorf("status: exit code %d, want 1", code)
	}
	harness.Contains(t, b.Log(), "tier's disk fails")
	b.disks.Disarm()
	b.wellAgain()
	if diff := look(b.Path(dir)).diff(before); diff != "" {
		t.Errorf("afterwards: %s", diff)
	}
}
