package tierfs

import "testing"

// TestForgottenDirectoryLeavesNoDescriptor: an op that the watchdog has
// answered for comes back from a slow tier when the kernel has forgotten the
// directory already.
func TestForgottenDirectoryLeavesNoDescriptor(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(0, "d/sub")
	r.mkdir(1, "d/sub")
	fs := r.open()
	d, sub := r.admit(fs, "d"), r.admit(fs, "d/sub")
	late := func() {
		for rank := range 2 {
			if dir, err := fs.dir(sub, rank); err == nil {
				dir.Put()
			}
		}
	}
	late()
	if fs.dirs.Len() == 0 {
		t.Fatal("nothing is cached of a directory in use")
	}
	fs.forget(sub.ID, 1)
	fs.forget(d.ID, 2)
	late()
	if n := fs.dirs.Len(); n != 0 {
		t.Errorf("%d descriptors are cached of directories that are forgotten", n)
	}
}
