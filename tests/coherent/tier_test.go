package coherent

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// fill makes what a tier of the name has: what it shares with others, and what it
// alone has.
func fill(t *testing.T, dir, name string) {
	t.Helper()
	for _, sub := range []string{"both", "both/in", "both/in/dir-" + name, "dir-" + name} {
		harness.Mkdir(t, dir+"/"+sub)
		harness.Write(t, dir+"/"+sub+"/of-"+name, name)
	}
	for _, file := range []string{"f", "both/f", "both/in/f"} {
		harness.Write(t, dir+"/"+file, "of "+name)
	}
}

// whole is all that tiers of these names have, and what none has.
func whole(names ...string) []string {
	paths := []string{"", "f", "both", "both/f", "both/in", "both/in/f", "absent", "both/absent", "both/in/absent"}
	for _, name := range names {
		for _, dir := range []string{"", "both/", "both/in/", "dir-" + name + "/", "both/in/dir-" + name + "/"} {
			paths = append(paths, dir+"of-"+name)
		}
	}
	return paths
}

// looking has clients look at everything all the time, until it is told to stop: what
// is answered in the midst of a change must not stay.
func looking(m *harness.Mount, paths []string) (stop func()) {
	ended := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for {
				for _, rel := range paths {
					seen(m, rel)
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	return func() {
		close(ended)
		work.Wait()
	}
}

// change changes a tier, and wants that to be seen each time.
func change(t *testing.T, m *harness.Mount, dir string, paths []string) {
	t.Helper()
	for _, at := range []string{"/", "/both/", "/both/in/"} {
		harness.Write(t, dir+at+"absent", "x")
		agree(t, m, paths, "making "+at+"absent")
		harness.Append(t, dir+at+"absent", "more")
		agree(t, m, paths, "writing to "+at+"absent")
		harness.Remove(t, dir+at+"absent")
		agree(t, m, paths, "removing "+at+"absent")
		harness.Chmod(t, dir+at+"f", 0o600)
		agree(t, m, paths, "closing "+at+"f")
	}
}

// TestFallbackThatARemountAddsIsSeen, though the kernel knew that what it brings was
// not there.
func TestFallbackThatARemountAddsIsSeen(t *testing.T) {
	m := newMount(t, "ext4", "tmpfs")
	fill(t, m.Tiers[0], "0")
	fill(t, m.Tiers[1], "1")
	paths := whole("0", "1", "2", "3", "4")
	agree(t, m, paths, "the first two")
	for i, fstype := range []string{"ext4", "tmpfs", "xfs"} {
		dir := harness.On(t, fstype, "64M") + "/t"
		harness.Mkdir(t, dir)
		fill(t, dir, fmt.Sprint(i+2))
		stop := looking(m, paths)
		m.Tiers, m.Fallbacks = append(m.Tiers, dir), append(m.Fallbacks, dir)
		harness.Must(t, "mount", "-o", "remount,"+harness.FallbackOption(m.Fallbacks...), m.Dir)
		took := agree(t, m, paths, "the remount")
		stop()
		t.Logf("what is on %s is shown after %v", fstype, took)
		agree(t, m, paths, "the remount, later")
		change(t, m, dir, paths)
	}
	harness.Must(t, "umount", m.Dir) // before the disks that were added go
	m.Gone(0)
}

// TestTierThatComesBackWithOtherContentIsSeen: a disk hangs, and is exchanged for a
// copy of it on which somebody has worked.
func TestTierThatComesBackWithOtherContentIsSeen(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "ext4")
	const image = "/image"
	low := faultfs.New(t, 1)
	at := harness.TempDir(t)
	harness.Write(t, low.Roots[0]+image, "")
	if err := os.Truncate(low.Roots[0]+image, 64<<20); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "mkfs.ext4", "-q", "-F", low.Roots[0]+image)
	harness.Must(t, "mount", "-o", "loop", low.Roots[0]+image, at)
	dir := at + "/t"
	harness.Mkdir(t, dir+"/many")
	for i := range 4000 { // more than is read at once
		harness.Write(t, fmt.Sprintf("%s/many/a-name-that-takes-some-room-%d", dir, i), "")
	}
	fill(t, dir, "1")
	harness.Must(t, "umount", at)
	disk := harness.Must(t, "losetup", "--direct-io=on", "-f", "--show", low.Disks[0]+image)
	disk = disk[:len(disk)-1]
	harness.Must(t, "mount", disk, at)
	harness.Must(t, "losetup", "-d", disk) // as soon as nobody uses it

	primary := harness.On(t, "ext4", "64M") + "/t"
	harness.Mkdir(t, primary)
	fill(t, primary, "0")
	m := harness.NewOn(t, []string{primary, dir}, append(unhealed, "tier_timeout=1")...)
	t.Cleanup(func() { harness.Unmount(t, at) }) // after the mount
	m.Up()
	t.Cleanup(func() { low.Disarm() })
	if s := cacheOf(m); !s.Coherent {
		t.Fatal(s.Why)
	}
	paths := whole("0", "1", "2")
	agree(t, m, paths, "the mount")

	// The copy, at the path of the tier. It is not served yet.
	harness.Must(t, "sync", "-f", at)
	other := harness.TempDir(t) + image
	harness.Must(t, "cp", low.Roots[0]+image, other)
	harness.Must(t, "umount", "-l", at)
	harness.Must(t, "mount", "-o", "loop", other, at)
	fill(t, dir, "2")
	for _, gone := range []string{"both/in/dir-1", "dir-1"} {
		if err := os.RemoveAll(dir + "/" + gone); err != nil {
			t.Fatal(err)
		}
	}
	harness.Remove(t, dir+"/both/of-1")

	stop := looking(m, paths)
	low.Arm(faultfs.Plan{Disk: -1, Ops: []string{"READ"}, Nth: 1, Stays: true, Hang: true})
	if _, err := os.Stat(m.Path("many/a-name-that-takes-some-room-1234")); !errors.Is(err, unix.EIO) {
		t.Fatalf("a name that was not read: %v", err)
	}
	begin := time.Now()
	agree(t, m, paths, "the return")
	t.Logf("shown as it is now %v after it was said to be away", time.Since(begin))
	stop()
	agree(t, m, paths, "the return, later")
	change(t, m, dir, paths)
	low.Disarm()
	agree(t, m, paths, "the end of the old disk")
}
