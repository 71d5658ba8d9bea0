package tier

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (b *place) primary() *Tier {
	b.Helper()
	return b.openSet(time.Minute, "a").Primary()
}

func TestPrivateIsMadeForTheDaemonAlone(t *testing.T) {
	b := newPlace(t, "a")
	tr := b.primary()
	old := unix.Umask(0)
	defer unix.Umask(old)
	for range 2 { // made, then found
		d, err := tr.Private("journal")
		if err != nil {
			t.Fatal(err)
		}
		if !sameDir(d.FD(), pathFD(t, b.path("a/.tierfs/journal"))) || d.Tier != tr {
			t.Error("it is another directory")
		}
		if _, err := d.Open("record", unix.O_WRONLY|unix.O_CREAT, 0600); err != nil {
			t.Errorf("a record in it: %v", err)
		}
		d.Put()
	}
	for _, name := range []string{"a/.tierfs", "a/.tierfs/journal"} {
		var st unix.Stat_t
		if err := unix.Lstat(b.path(name), &st); err != nil || st.Mode&07777 != 0700 || int(st.Uid) != os.Geteuid() {
			t.Errorf("%s: mode %o, owner %d, %v", name, st.Mode, st.Uid, err)
		}
	}
}

// Who may write into the tier's root can put anything there under our names.
func TestPrivateOfHostilePlaceIsRefused(t *testing.T) {
	for what, prepare := range map[string]func(b *place) error{
		"a link for .tierfs":       func(b *place) error { return os.Symlink(b.path("out"), b.path("a/.tierfs")) },
		"a file for .tierfs":       func(b *place) error { return os.WriteFile(b.path("a/.tierfs"), nil, 0700) },
		"a .tierfs open to others": func(b *place) error { return mkdirMode(b.path("a/.tierfs"), 0770) },
		"a link for the journal": func(b *place) error {
			makeDirs(b.T, b.path("a/.tierfs"))
			return os.Symlink(b.path("out"), b.path("a/.tierfs/journal"))
		},
		"a file for the journal": func(b *place) error {
			makeDirs(b.T, b.path("a/.tierfs"))
			return os.WriteFile(b.path("a/.tierfs/journal"), nil, 0600)
		},
	} {
		b := newPlace(t, "a", "out")
		if err := prepare(b); err != nil {
			t.Fatal(err)
		}
		tr := b.primary()
		before, was := countFDs(t), b.snapshot()
		d, err := tr.Private("journal")
		if err == nil {
			d.Put()
			t.Errorf("%s was taken", what)
		}
		if n := countFDs(t) - before; n != 0 {
			t.Errorf("%s: %d descriptors are left", what, n)
		}
		if now := b.snapshot(); len(now) != len(was) {
			t.Errorf("%s: something was made", what)
		}
	}
}

func mkdirMode(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func TestPrivateOfAnAwayTierIsEIO(t *testing.T) {
	tr := newPlace(t, "a").primary()
	tr.lose(unix.EIO)
	if _, err := tr.Private("journal"); err != unix.EIO {
		t.Errorf("got %v", err)
	}
}

func TestPrivateOnAReadOnlyTierFails(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a")
	bindReadOnly(t, b.path("a"))
	if d, err := b.primary().Private("journal"); err == nil {
		d.Put()
		t.Error("made on a read-only tier")
	}
}
