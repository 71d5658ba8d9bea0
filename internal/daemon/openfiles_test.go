package daemon

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileOf is a file as OpenFiles knows it, on a filesystem where stat(2) tells its
// device.
func fileOf(t *testing.T, path string) File {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return File{Device{unix.Major(st.Dev), unix.Minor(st.Dev)}, st.Ino}
}

func TestOpenFilesFindsWhatOthersHaveOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"/open", "/mine", "/closed"} {
		if err := os.WriteFile(dir+name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := os.Open(dir + "/mine")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	hold(t, "/", "exec 7<"+dir+"/open; echo up; read x")
	open, on := fileOf(t, dir+"/open"), map[Device]bool{fileOf(t, dir).Device: true}
	all := OpenFiles(t.Context(), on)
	if !all[open] || all[fileOf(t, dir+"/mine")] || all[fileOf(t, dir+"/closed")] {
		t.Errorf("%v, want %v", all, open)
	}
	if all := OpenFiles(t.Context(), nil); len(all) > 0 {
		t.Errorf("of no filesystem: %v", all)
	}
}

func TestOpenFilesEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	start := time.Now()
	OpenFiles(ctx, nil)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestParseFDInfo(t *testing.T) {
	for text, want := range map[string]File{
		"pos:\t0\nflags:\t0100000\nmnt_id:\t24\nino:\t3\n":           {Device{Minor: 24}, 3},
		"pos:\t0\nflags:\t012100000\nmnt_id:\t24\nino:\t3\n":         {}, // O_PATH
		"pos:\t0\nflags:\t0100000\nmnt_id:\t24\n":                    {}, // before Linux 5.14
		"pos:\t0\nflags:\t02\nmnt_id:\t7\nino:\t12\nlock:\t1: FLOCK": {Device{Minor: 7}, 12},
		"": {},
	} {
		mount, ino, ok := parseFDInfo([]byte(text))
		if got := (File{Device{Minor: uint32(mount)}, ino}); ok != (want.Ino != 0) || ok && got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
}

func TestMappedFiles(t *testing.T) {
	const maps = `55d0-55d1 r--p 00000000 fe:00 123      /usr/bin/cat
55d1-55d2 r-xp 00001000 fe:00 123      /usr/bin/cat
7f00-7f01 rw-p 00000000 00:00 0 
7f02-7f03 r-xp 00000000 00:2d 77       /srv/do cs/lib\012x.so (deleted)
7ffc-7ffd rw-p 00000000 00:00 0        [stack]
`
	var got []File
	mappedFiles(maps, func(f File) { got = append(got, f) })
	if len(got) != 2 || got[0] != (File{Device{0xfe, 0}, 123}) || got[1] != (File{Device{0, 0x2d}, 77}) {
		t.Errorf("%v", got)
	}
}
