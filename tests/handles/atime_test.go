package handles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestAccessTimesFollowTheMountsOptions, not those of the tiers' own mounts:
// with noatime on the mount, reading a document must not write to the disk.
func TestAccessTimesFollowTheMountsOptions(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	tiers := []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")}
	for i, dir := range []string{"p", "f"} {
		harness.Mkdir(t, tiers[i]+"/"+dir)
		harness.Write(t, tiers[i]+"/"+dir+"/file", "x")
	}
	for _, c := range []struct {
		own, opts string // of the tier's mount, and of ours
		file, dir bool   // whether a second reading renews the access time
	}{
		{"strictatime", "noatime", false, false},
		{"relatime", "strictatime", true, true},
		{"noatime", "strictatime,nodiratime", true, false},
		{"strictatime", "relatime", false, false},
		{"noatime", "", false, false},
		{"strictatime", "", true, true},
	} {
		for _, mode := range []string{"on", "off"} {
			t.Run(c.own+" below "+c.opts+", passthrough="+mode, func(t *testing.T) {
				if mode == "on" {
					harness.Require(t, "passthrough")
				}
				for _, dir := range tiers {
					harness.Must(t, "mount", "--options-mode", "ignore", "-o", "remount,"+c.own, dir)
				}
				m := harness.NewOn(t, tiers, "passthrough="+mode)
				m.Up(strings.Split(c.opts, ",")...)
				for _, rel := range []string{"p", "f"} {
					touch := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
					if err := unix.UtimesNanoAt(unix.AT_FDCWD, m.Path(rel+"/file"), touch, 0); err != nil {
						t.Fatal(err)
					}
					reads(t, m.Path(rel)) // relatime renews it once after the change
					before := [2]unix.Timespec{harness.Stat(t, m.Path(rel)).Atim, harness.Stat(t, m.Path(rel+"/file")).Atim}
					time.Sleep(12 * time.Millisecond) // the clock of ext4 is that of the last tick
					reads(t, m.Path(rel))
					if renewed := harness.Stat(t, m.Path(rel+"/file")).Atim != before[1]; renewed != c.file {
						t.Errorf("%s/file: reading it renews the access time: %v", rel, renewed)
					}
					if renewed := harness.Stat(t, m.Path(rel)).Atim != before[0]; renewed != c.dir {
						t.Errorf("%s: listing it renews the access time: %v", rel, renewed)
					}
				}
			})
		}
	}
}

// reads lists a directory and reads the file in it.
func reads(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.ReadDir(dir); err != nil {
		t.Fatal(err)
	}
	harness.Read(t, filepath.Join(dir, "file"))
}

// TestDiskOfATierIsBusyWithAccessTimeOptions: the view of it in a mount of our
// own would not keep an administrator from unplugging it.
func TestDiskOfATierIsBusyWithAccessTimeOptions(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	tiers := []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")}
	m := harness.NewOn(t, tiers)
	m.Up("noatime")
	for _, dir := range tiers {
		if err := unix.Unmount(dir, 0); err != unix.EBUSY {
			t.Errorf("umount of %s: %v, want EBUSY", dir, err)
		}
	}
	m.Down()
}

// TestFilesystemInsideATierShowsInSpiteOfAccessTimeOptions: what one mount
// shows of a tier would hide it.
func TestFilesystemInsideATierShowsInSpiteOfAccessTimeOptions(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	m := harness.New(t, 1)
	inner := m.Primary + "/inner"
	harness.Mkdir(t, inner)
	harness.Must(t, "mount", "-t", "tmpfs", "tmpfs", inner)
	t.Cleanup(func() { harness.Unmount(t, inner) })
	harness.Write(t, inner+"/file", "x")
	_, stderr, _ := m.TryUp("noatime")
	harness.Contains(t, stderr, "access times follow the tier's own mount", m.Primary)
	harness.WantRead(t, m.Path("inner/file"), "x")
	m.Down()
}
