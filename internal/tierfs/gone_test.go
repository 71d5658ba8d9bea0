package tierfs

import (
	"sync/atomic"
	"testing"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

// TestFileStaysReachableWhileItLosesItsName: who has looked a file up reaches it
// until he forgets it, also in the moment of the unlink: the name was gone, and
// that a descriptor was kept instead had been asked before.
func TestFileStaysReachableWhileItLosesItsName(t *testing.T) {
	r := newRig(t, 1)
	fs := r.open()
	for range 400 {
		r.write(0, "f", "text")
		in := r.admit(fs, "f")
		var stop atomic.Bool
		done := make(chan error)
		go func() { done <- untilStopped(fs, in, &stop) }()
		if err := fs.unlink(&fusedev.Request{}, inode.RootID, "f"); err != nil {
			t.Fatal(err)
		}
		stop.Store(true)
		if err := <-done; err != nil {
			t.Fatalf("a file that was looked up: %v", err)
		}
		fs.forget(in.ID, 1)
	}
}

func untilStopped(fs *FS, in *inode.Inode, stop *atomic.Bool) error {
	for !stop.Load() {
		var st unix.Stat_t
		if err := fs.stat(nil, in, &st); err != nil {
			return err
		}
		f, err := fs.openFound(in, &st, unix.O_PATH)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}
