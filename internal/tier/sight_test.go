package tier

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLookSeesWhatStatSees(t *testing.T) {
	b := newPlace(t, "a")
	tr := b.primary()
	for name, makeIt := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, make([]byte, 12345), 0o640) },
		"dir":  func(path string) error { return os.Mkdir(path, 0o2711) },
		"link": func(path string) error { return os.Symlink("nowhere", path) },
		"fifo": func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		path := b.path("a/" + name)
		if err := makeIt(path); err != nil {
			t.Fatal(err)
		}
		then := []unix.Timespec{{Sec: 1e9, Nsec: 123456789}, {Sec: -5, Nsec: 7}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, then, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		var s Sight
		d := tr.RootDir()
		if err := d.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		err := d.Look(name, &s)
		d.Put()
		if err != nil || s.Stat != st || s.Fixed {
			t.Errorf("%s: %v, %+v, want %+v", name, err, s, st)
		}
		if !s.Born.IsZero() && time.Since(s.Born) > time.Minute {
			t.Errorf("%s was made %v", name, s.Born)
		}
	}
}

func TestLookTellsWhatIsFixed(t *testing.T) {
	b := newPlace(t, "a")
	tr := b.primary()
	path := b.path("a/f")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"i", "a"} {
		if out, err := exec.Command("chattr", "+"+flag, path).CombinedOutput(); err != nil {
			t.Skipf("chattr +%s: %v, %s", flag, err, out)
		}
		var s Sight
		d := tr.RootDir()
		err := d.Look("f", &s)
		d.Put()
		if err != nil || !s.Fixed {
			t.Errorf("chattr +%s: %v, %+v", flag, err, s)
		}
		if out, err := exec.Command("chattr", "-"+flag, path).CombinedOutput(); err != nil {
			t.Fatalf("chattr -%s: %v, %s", flag, err, out)
		}
	}
}
