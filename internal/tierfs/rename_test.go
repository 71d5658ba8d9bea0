package tierfs

import (
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// TestNoReplaceHoldsAgainstOutOfBand: what appears on the tier after both names
// were looked at must not be replaced.
func TestNoReplaceHoldsAgainstOutOfBand(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "file", "ours")
	r.write(0, "dir/f", "ours")
	r.mkdir(1, "dir")
	fs := r.open()
	for _, name := range []string{"file", "dir"} {
		r.admit(fs, name)
		x := &renaming{r: &fusedev.Request{}, from: fs.table.Root(), to: fs.table.Root(), name: name, newName: "new" + name, exclusive: true}
		want := error(unix.EEXIST)
		var err error
		if x.src, err = fs.survey(x.from, name); err != nil {
			t.Fatal(err)
		}
		if name == "dir" {
			r.mkdir(0, "newdir")
			err, want = fs.renameDir(x), errStirred // and the second survey finds it
		} else {
			r.write(0, "newfile", "theirs")
			err = fs.renameFile(x)
		}
		if err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	r.wantContent(0, "newfile", "theirs")
	r.wantContent(0, "file", "ours")
	r.want(1, "newdir", false)
	r.want(1, "dir", true)
}

// A file that replaces another is synced, perhaps while it is on its way to
// another tier: its own rename must not find it leased.
func TestSyncOfAFileEndsItsMove(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "content")
	time.Sleep(settleTime)
	fs := r.open()
	o := r.moveWith(fs, "leased", func() {
		d, err := fs.dir(fs.table.Root(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Put()
		var st unix.Stat_t
		if err := d.Stat("f", &st); err != nil {
			t.Fatal(err)
		}
		if err := syncFile(d, "f", &st); err != nil {
			t.Errorf("sync: %v", err)
		}
	})
	r.wantOutcome(o, mover.InUse)
	r.wantContent(0, "f", "content")
	r.wantTidy()
}
