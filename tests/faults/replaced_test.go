package faults

import (
	"os"
	"testing"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// TestReplacedFileThatADiskDeniesToHaveTakenIsNotLost: the disk has set the file
// aside and answers with an error. The rename failed then, and at the next mount
// the file, which nothing had replaced, went as something that was.
func TestReplacedFileThatADiskDeniesToHaveTakenIsNotLost(t *testing.T) {
	disk := faultfs.New(t, 1)
	m := harness.NewOn(t, []string{disk.Disks[0], harness.TempDir(t)})
	m.Put(0, "d/new", "was there")
	m.Put(1, "d/old", "comes")
	m.Up()
	disk.Arm(faultfs.Plan{Disk: 0, Ops: []string{"RENAME", "RENAME2"}, Nth: 1, Errno: unix.EIO, Done: true})
	err := os.Rename(m.Path("d/old"), m.Path("d/new"))
	if !disk.Disarm().Hit {
		t.Fatal("nothing was set aside")
	}
	want := map[string]string{"d/new": "comes"}
	if err != nil {
		want = map[string]string{"d/old": "comes", "d/new": "was there"}
	}
	m.Down()
	m.Up()
	for name, text := range want {
		if got, e := os.ReadFile(m.Path(name)); e != nil || string(got) != text {
			t.Errorf("after %v: %s has %q (%v), want %q", err, name, got, e, text)
		}
	}
}
