package tier

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	idA = "0a000000000000000000000000000000"
	idB = "0b000000000000000000000000000000"
	idC = "0c000000000000000000000000000000"
	idS = "05000000000000000000000000000000"
)

// text is a list as an editor would show it, with the members given as JSON.
func text(id string, members string) string {
	return fmt.Sprintf(`{"tierfs":1,"id":%q,"set":%q,"generation":3,"members":[%s]}`, id, idS, members)
}

const (
	lineA = `{"id":"` + idA + `","rank":0,"path":"/srv/a","root_inode":2,"state":"served"}`
	lineB = `{"id":"` + idB + `","rank":1,"path":"/srv/b","root_inode":2,"state":"served"}`
)

func pathFD(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func makeDirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func writeText(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
	wantPlain(t, err.Error())
}

// wantPlain holds a text for people to one printable line.
func wantPlain(t *testing.T, s string) {
	t.Helper()
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }); i >= 0 {
		t.Errorf("control character in %q", s)
	}
	if strings.HasSuffix(s, ".") {
		t.Errorf("%q ends in a period", s)
	}
}

// The mark decides what is served and moved, so a stranger who may write into
// the root of a tier must not be able to make one.
func TestMarkDirIsRefusedUnlessOurs(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"symlink":    {func(p string) error { return os.Symlink(t.TempDir(), p) }, "a symbolic link, not a directory"},
		"dangling":   {func(p string) error { return os.Symlink("nowhere", p) }, "a symbolic link, not a directory"},
		"file":       {func(p string) error { return os.WriteFile(p, nil, 0o700) }, "a regular file, not a directory"},
		"fifo":       {func(p string) error { return unix.Mkfifo(p, 0o700) }, "a fifo, not a directory"},
		"wide mode":  {func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o750)) }, "mode 0750, not 0700"},
		"sticky":     {func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o700|os.ModeSticky)) }, "mode 1700"},
		"other user": {func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 12345, -1)) }, "owned by user 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "other user" {
				needRoot(t)
			}
			root := t.TempDir()
			if err := c.make(filepath.Join(root, MarkName)); err != nil {
				t.Fatal(err)
			}
			for _, create := range []bool{false, true} {
				fd, err := OpenMarkDir(pathFD(t, root), create)
				wantError(t, err, MarkName, c.want)
				if fd != -1 {
					t.Errorf("descriptor %d with an error", fd)
				}
			}
		})
	}
}

// A set-group-ID tier, common on file servers, hands its bit to .tierfs.
func TestMarkDirInSetGroupIDRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o770|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		fd, err := OpenMarkDir(pathFD(t, root), true)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
		}
		unix.Close(fd)
	}
}

func TestMarkDirAbsentIsENOENT(t *testing.T) {
	root := t.TempDir()
	if _, err := OpenMarkDir(pathFD(t, root), false); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v, want ENOENT", err)
	}
	if left, _ := os.ReadDir(root); len(left) != 0 {
		t.Errorf("made %v", left)
	}
}

// Someone who mounts over .tierfs hides the list, and with it that a disk of
// the set is missing. A bind mount has the same st_dev.
func TestMarkDirMountedOverIsRefused(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	for name, mount := range map[string]func(target string) error{
		"tmpfs": func(p string) error { return unix.Mount("tierfs-test", p, "tmpfs", 0, "mode=0700") },
		"bind": func(p string) error {
			other := filepath.Join(filepath.Dir(p), "other")
			return errors.Join(os.Mkdir(other, 0o700), unix.Mount(other, p, "", unix.MS_BIND, ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			target := filepath.Join(root, MarkName)
			makeDirs(t, target)
			if err := mount(target); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(target, unix.MNT_DETACH)
			_, err := OpenMarkDir(pathFD(t, root), true)
			wantError(t, err, MarkName, "mounted over")
		})
	}
}

func TestListThatIsNoFileIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"symlink":   {func(p string) error { return os.Symlink("/etc/passwd", p) }, "a symbolic link, not a regular file"},
		"fifo":      {func(p string) error { return unix.Mkfifo(p, 0o600) }, "a fifo, not a regular file"},
		"directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "a directory, not a regular file"},
		"device":    {func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }, "a device, not a regular file"},
		"huge":      {func(p string) error { return os.WriteFile(p, make([]byte, maxList+1), 0o600) }, "over 1048576 bytes"},
		"sparse":    {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40)) }, "over 1048576 bytes"},
		"stranger":  {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chown(p, 12345, -1)) }, "owned by user 12345"},
		"empty":     {func(p string) error { return os.WriteFile(p, nil, 0o600) }, "not a list of members"},
		"escape":    {func(p string) error { return os.WriteFile(p, []byte("\x1b[2J\x1b[31m"), 0o600) }, "not a list of members"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "device" || name == "stranger" {
				needRoot(t)
			}
			root := t.TempDir()
			makeDirs(t, filepath.Join(root, MarkName))
			if err := c.make(filepath.Join(root, MarkName, listName)); err != nil {
				t.Fatal(err)
			}
			_, err := readMark(pathFD(t, root))
			wantError(t, err, MarkName+"/"+listName, c.want)
		})
	}
}

func TestHostileLockIsRefused(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"symlink":   func(p string) error { return os.Symlink("/etc/passwd", p) },
		"fifo":      func(p string) error { return unix.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			makeDirs(t, filepath.Join(root, MarkName))
			if err := plant(filepath.Join(root, MarkName, lockName)); err != nil {
				t.Fatal(err)
			}
			_, _, err := lockMark(pathFD(t, root))
			wantError(t, err, MarkName+"/"+lockName, "not a regular file")
		})
	}
}

func TestParseRecordRefuses(t *testing.T) {
	good := text(idA, lineA+","+lineB)
	if _, err := parseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the list", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "unexpected end"},
		"null":             {"null", "format 0"},
		"array":            {"[]", "cannot unmarshal"},
		"deep":             {strings.Repeat(`{"tierfs":`, 100000), ""},
		"deep array":       {change(`"generation":3`, `"generation":`+strings.Repeat("[", 200000)+strings.Repeat("]", 200000)), ""},
		"trailing":         {good + "{}", "after top-level value"},
		"newer format":     {change(`"tierfs":1`, `"tierfs":2`), "format 2, this tierfs reads 1"},
		"unknown field":    {change(`"generation":3`, `"generation":3,"x\u001b":0`), "unknown field"},
		"short id":         {change(idA, "0a"), "32 hexadecimal digits"},
		"upper case id":    {strings.ReplaceAll(good, idA, strings.ToUpper(idA)), "32 hexadecimal digits"},
		"id with newline":  {change(`"id":"`+idA, `"id":"\n`+idA[1:]), "32 hexadecimal digits"},
		"no set":           {change(idS, ""), "set"},
		"generation":       {change(`"generation":3`, `"generation":9223372036854775808`), "too high"},
		"minus":            {change(`"generation":3`, `"generation":-1`), "cannot unmarshal"},
		"generation 0":     {change(`"generation":3`, `"generation":0`), "generation 0 names members"},
		"request":          {change(`"generation":3`, `"generation":3,"adopt":true`), "request"},
		"not itself":       {text(idC, lineA+","+lineB), "does not name its own tier"},
		"left itself":      {change(`"served"`, `"left"`), "does not name its own tier"},
		"twice":            {text(idA, lineA+","+lineA), "twice"},
		"same rank":        {change(`"rank":1`, `"rank":0`), "rank 0 twice"},
		"negative rank":    {change(`"rank":1`, `"rank":-1`), "rank -1"},
		"fraction":         {change(`"rank":1`, `"rank":1.5`), "cannot unmarshal"},
		"text for rank":    {change(`"rank":1`, `"rank":"1"`), "cannot unmarshal"},
		"huge rank":        {change(`"rank":1`, `"rank":65536`), "rank 65536"},
		"no path":          {change(`"/srv/b"`, `""`), "clean absolute"},
		"null path":        {change(`"/srv/b"`, `null`), "no path"},
		"relative":         {change(`"/srv/b"`, `"srv/b"`), "clean absolute"},
		"dots":             {change(`"/srv/b"`, `"/srv/../b"`), "clean absolute"},
		"newline in path":  {change(`"/srv/b"`, `"/srv/b\nerror: all is well"`), "control character"},
		"escape in path":   {change(`"/srv/b"`, `"/srv/\u001b[2J"`), "control character"},
		"direction":        {change(`"/srv/b"`, `"/srv/\u202egpj"`), "control character"},
		"nul in path":      {change(`"/srv/b"`, `"/srv/%00"`), "clean absolute"},
		"bad escape":       {change(`"/srv/b"`, `"/srv/%4"`), "bad %XX"},
		"bad escape digit": {change(`"/srv/b"`, `"/srv/%zz"`), "bad %XX"},
		"long path":        {change(`"/srv/b"`, `"/`+strings.Repeat("x", unix.PathMax)+`"`), "clean absolute"},
		"state":            {change(`"served"`, `"lost"`), "state"},
		"fsid":             {change(`"root_inode"`, `"fsid":"12","root_inode"`), "fsid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseRecord([]byte(c.text))
			if err == nil {
				t.Fatal("accepted")
			}
			if msg := oneLine(err); !strings.Contains(msg, c.want) {
				t.Errorf("error %q lacks %q", msg, c.want)
			} else {
				wantPlain(t, msg)
			}
		})
	}
}

// Paths are bytes, and a tier may stand in a directory of an old character set.
func TestListKeepsEveryPath(t *testing.T) {
	for _, path := range []string{"/srv/b", "/srv/größe", "/a b", "/100%", "/latin-\xe4\xf6", "/new\nline", "/\u202e", "/<&>", "/\ufffd", `/"q"\`} {
		rec := &record{Format: listFormat, ID: idA, Set: idS, Generation: 1, Members: []member{{ID: idA, Path: listPath(path), State: stateServed}}}
		data, err := rec.encode()
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		back, err := parseRecord(data)
		if err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%q became %+v, %v", path, back, err)
		}
		wantPlain(t, show(path))
	}
}

func TestListThatCouldNotBeReadIsNotWritten(t *testing.T) {
	root := t.TempDir()
	makeDirs(t, filepath.Join(root, MarkName))
	for _, path := range []string{"", "relative", "/a/../b"} {
		rec := &record{Format: listFormat, ID: idA, Set: idS, Generation: 1, Members: []member{{ID: idA, Path: listPath(path), State: stateServed}}}
		if err := writeRecord(pathFD(t, filepath.Join(root, MarkName)), rec); err == nil {
			t.Errorf("path %q was written", path)
		}
	}
	wantFiles(t, filepath.Join(root, MarkName))
}

// What a crash left of a list that was being written is in the way of no later one.
func TestWriteRecordReplacesLeftover(t *testing.T) {
	root := t.TempDir()
	mark := filepath.Join(root, MarkName)
	makeDirs(t, mark)
	secret := filepath.Join(root, "secret")
	writeText(t, secret, "unharmed")
	rec := &record{Format: listFormat, ID: idA}
	for name, plant := range map[string]func(path string) error{
		"none":    func(string) error { return nil },
		"torn":    func(p string) error { return os.WriteFile(p, []byte(`{"tier`), 0o600) },
		"symlink": func(p string) error { return os.Symlink("../secret", p) },
	} {
		if err := plant(filepath.Join(mark, newListName)); err != nil {
			t.Fatal(err)
		}
		if err := writeRecord(pathFD(t, mark), rec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantFiles(t, mark, listName)
		if back, err := readMark(pathFD(t, root)); err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%s: read back %+v, %v", name, back, err)
		}
	}
	if b, _ := os.ReadFile(secret); string(b) != "unharmed" {
		t.Errorf("a symlink was followed: %q", b)
	}
	if st, err := os.Stat(filepath.Join(mark, listName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(text(idA, lineA+","+lineB)))
	f.Add([]byte(text(idB, lineB)))
	f.Add([]byte(`{"tierfs":1,"id":"` + idA + `","set":"","generation":0,"replaces":"/srv/%E4"}`))
	f.Add([]byte(`{"tierfs":1,"members":[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := parseRecord(data)
		if err != nil {
			wantPlain(t, strings.TrimRight(oneLine(err), "."))
			return
		}
		again, err := rec.encode()
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		back, err := parseRecord(again)
		if err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		if len(rec.Members) == 0 {
			rec.Members = nil
		}
		if !reflect.DeepEqual(back, rec) {
			t.Fatalf("%+v became %+v", rec, back)
		}
		tiers := []seen{{Root: Root{Path: "/srv/a"}, rec: rec}, {Root: Root{Path: "/srv/b", Rank: 1}, inode: 2, dev: 9}}
		v, err := judge(tiers, 1)
		if err != nil {
			wantPlain(t, err.Error())
			return
		}
		for _, s := range append(v.warnings, v.notes...) {
			wantPlain(t, s)
		}
	})
}
