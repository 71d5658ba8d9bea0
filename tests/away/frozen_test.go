package away

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestFrozenFallbackStopsOnlyWhoChangesIt: a filesystem that is frozen for a
// snapshot, or whose thin pool is full, answers every question and lets no
// change through. Removing a directory there once held a lock on the whole
// tree, and the primary stood still with it.
func TestFrozenFallbackStopsOnlyWhoChangesIt(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop")
	cold := harness.On(t, "ext4", "64M")
	m := harness.NewOn(t, []string{harness.TempDir(t), cold}, "threads=8", "entry_timeout=0")
	harness.Mkdir(t, m.Primary+"/a/b")
	harness.Write(t, m.Primary+"/a/b/x", "hot")
	for _, name := range []string{"/gone", "/q/0", "/q/1", "/q/2", "/q/3", "/q/4", "/q/5", "/q/6", "/q/7", "/q/8", "/q/9"} {
		harness.Mkdir(t, cold+"/cold"+name)
	}
	m.Up()
	harness.List(t, m.Path("cold/q"))
	harness.Must(t, "fsfreeze", "-f", cold)
	thaw := func() { harness.Run(t, "fsfreeze", "-u", cold) }
	t.Cleanup(thaw)

	stuck := make(chan error)
	go func() { stuck <- unix.Rmdir(m.Path("cold/gone")) }()
	for i := range 10 {
		go func() { stuck <- unix.Mkdir(m.Path("cold/q/"+string(rune('0'+i))+"/new"), 0o755) }()
	}
	time.Sleep(3 * time.Second) // more clients than workers wait by now
	served := make(chan struct{})
	go func() {
		defer close(served)
		harness.WantRead(t, m.Path("a/b/x"), "hot")
		harness.Mkdir(t, m.Path("a/new"))
		if err := unix.Rename(m.Path("a/b"), m.Path("a/c")); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-served:
	case <-time.After(10 * time.Second):
		t.Error("the primary waits for the frozen fallback")
	}
	thaw()
	for range 11 {
		if err := <-stuck; err != nil {
			t.Errorf("after the thaw: %v", err)
		}
	}
	<-served
	harness.WantRead(t, m.Path("a/c/x"), "hot")
	if harness.Exists(t, cold+"/cold/gone") {
		t.Error("the directory is still there")
	}
}
