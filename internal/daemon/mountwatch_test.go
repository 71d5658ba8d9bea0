package daemon

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountWatchSeesThemComeAndGo(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	watch, err := OpenMountWatch()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool)
	ended := make(chan error)
	go func() {
		ended <- watch.Run(ctx, func() {
			mounts, err := Mounts()
			if err != nil {
				t.Error(err)
			}
			_, up := Top(mounts, dir)
			select {
			case seen <- up:
			case <-ctx.Done():
			}
		})
	}()
	until := func(want bool) {
		for <-seen != want {
		}
	}
	until(false)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("mount(2) of a tmpfs: %v", err)
	}
	until(true)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	until(false)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
