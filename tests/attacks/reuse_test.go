package attacks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// The kernel believes names and attributes for a minute in these tests, so that
// the time in which the tiers change behind its back never ends.
const longBelief = "entry_timeout=60,attr_timeout=60"

// onExt4 is a mount whose tiers give a freed inode number to the next file.
func onExt4(t *testing.T, opts ...string) *harness.Mount {
	t.Helper()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.TempDir(t)}, opts...)
	harness.Mkdir(t, m.Primary+"/d")
	harness.Chown(t, m.Primary+"/d", mallory, mallory)
	return m
}

// replace removes the file old and makes others until one has its number, which
// is then called name.
func replace(t *testing.T, old, name, text string, mode uint32) {
	t.Helper()
	was := harness.Stat(t, old).Ino
	time.Sleep(50 * time.Millisecond) // a filesystem's clock is coarse
	harness.Remove(t, old)
	for i := range 1000 {
		path := fmt.Sprintf("%s.%d", name, i)
		harness.Write(t, path, text)
		harness.Chmod(t, path, mode)
		if harness.Stat(t, path).Ino == was {
			harness.Rename(t, path, name)
			return
		}
	}
	harness.Skip(t, "the filesystem does not give the number again")
}

// TestCachedNameDoesNotLeadToTheNextFile: a file is removed in the tier, and
// another one there gets its number. Who opened the old name while the kernel
// still believed in it got the new file, and emptied it.
func TestCachedNameDoesNotLeadToTheNextFile(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		m := onExt4(t, longBelief, opts)
		harness.Write(t, m.Primary+"/d/old", "old")
		m.Up()
		old, err := unix.Open(m.Path("d/old"), unix.O_PATH, 0) // the kernel holds its number
		if err != nil {
			t.Fatal(err)
		}
		replace(t, m.Primary+"/d/old", m.Primary+"/d/new", "new", 0o644)
		harness.WantRead(t, m.Path("d/new"), "new")
		var a unix.Stat_t
		if err := unix.Fstat(old, &a); err == nil && a.Ino == harness.Stat(t, m.Path("d/new")).Ino {
			t.Error("both files show one number")
		}
		for _, flags := range []int{unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR | unix.O_APPEND, unix.O_RDONLY} {
			fd, err := unix.Open(m.Path("d/old"), flags, 0)
			harness.WantErrno(t, "open the name that is gone", err, unix.ENOENT)
			if err == nil {
				unix.Write(fd, []byte("lost"))
				unix.Close(fd)
			}
		}
		harness.WantErrno(t, "truncate the name that is gone", unix.Truncate(m.Path("d/old"), 0), unix.ENOENT)
		harness.WantErrno(t, "chmod the name that is gone", unix.Chmod(m.Path("d/old"), 0), unix.ENOENT)
		harness.WantRead(t, m.Primary+"/d/new", "new")
		unix.Close(old)
		m.Down()
	}
}

// TestHandleStaysWithItsFile: the same with a handle that is open.
func TestHandleStaysWithItsFile(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		m := onExt4(t, longBelief, opts)
		m.Up()
		for i := range 20 {
			old := fmt.Sprintf("d/%d", i)
			harness.Write(t, m.Path(old), "old")
			f, err := os.OpenFile(m.Path(old), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			harness.Remove(t, m.Primary+"/"+old)
			harness.Write(t, m.Primary+"/"+old+"new", "new")
			harness.WantRead(t, m.Path(old+"new"), "new")
			_, err = f.WriteAt([]byte("OLD"), 0)
			text, readErr := io.ReadAll(f)
			if err = errors.Join(err, readErr, f.Truncate(1), f.Chmod(0o600), f.Close()); err != nil || string(text) != "OLD" {
				t.Errorf("the handle reads %q, %v", text, err)
			}
			harness.WantRead(t, m.Primary+"/"+old+"new", "new")
		}
		m.Down()
	}
}

// believe makes the kernel believe in what a path is now.
var believe = harness.Func("believe", func(args []string) error {
	_, err := os.ReadFile(args[0])
	return err
})

// attempts are what a user may try with a file that he may not touch.
var attempts = map[string]func(path string) error{
	"read":      func(path string) error { return tryOpen(path, unix.O_RDONLY) },
	"write":     func(path string) error { return tryOpen(path, unix.O_WRONLY) },
	"overwrite": func(path string) error { return tryOpen(path, unix.O_WRONLY|unix.O_TRUNC) },
	"truncate":  func(path string) error { return unix.Truncate(path, 0) },
	"chmod":     func(path string) error { return unix.Chmod(path, 0o4777) },
	"utimes": func(path string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0)
	},
	"setxattr": func(path string) error { return unix.Setxattr(path, "user.x", []byte("x"), 0) },
	"acl": func(path string) error {
		const all = "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x20\x00\x07\x00\xff\xff\xff\xff"
		return unix.Setxattr(path, "system.posix_acl_access", []byte(all), 0)
	},
	"link": func(path string) error { return unix.Link(path, path+"2") },
}

func tryOpen(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// attempt fails unless it is refused.
var attempt = harness.Func("attempt", func(args []string) error {
	if err := attempts[args[0]](args[1]); err != unix.EACCES && err != unix.EPERM {
		return fmt.Errorf("%s: %v, want a refusal", args[0], err)
	}
	return nil
})

// TestNextFileIsNotItsPredecessorsOwners: mallory's file is removed behind the
// mount, and root makes one under that name which gets its number. The kernel
// took it for mallory's as long as it believed the attributes: he could read
// it, and give it any mode.
func TestNextFileIsNotItsPredecessorsOwners(t *testing.T) {
	changes := map[string]func(t *testing.T, path string){
		"reused": func(t *testing.T, path string) { replace(t, path, path, secret, 0o600) },
		"chown": func(t *testing.T, path string) {
			harness.Write(t, path, secret)
			harness.Chown(t, path, 0, 0)
			harness.Chmod(t, path, 0o600)
		},
	}
	for kind, change := range changes {
		t.Run(kind, func(t *testing.T) {
			m := onExt4(t, longBelief)
			m.Up()
			for what := range attempts {
				path := m.Primary + "/d/" + what
				harness.Write(t, path, "mine")
				harness.Chown(t, path, mallory, mallory)
				as(t, believe, mallory, m.Path("d/"+what))
				change(t, path)
				before := harness.Stat(t, path)
				as(t, attempt, mallory, what, m.Path("d/"+what))
				after := harness.Stat(t, path)
				before.Atim, after.Atim = unix.Timespec{}, unix.Timespec{}
				if before != after {
					t.Errorf("%s: root's file was %+v, is %+v", what, before, after)
				}
				harness.WantRead(t, path, secret)
			}
		})
	}
}

// take removes a name, or renames it, or renames over it.
var take = harness.Func("take", func(args []string) error {
	path, other := args[1], filepath.Dir(args[1])+"/mine"
	switch args[0] {
	case "unlink":
		return refusal(unix.Unlink(path))
	case "rmdir":
		return refusal(unix.Rmdir(path))
	case "rename":
		return refusal(unix.Rename(path, path+"2"))
	case "rename over":
		return errors.Join(os.WriteFile(other, nil, 0o600), refusal(unix.Rename(other, path)), os.Remove(other))
	}
	return nil
})

func refusal(err error) error {
	if err != unix.EPERM && err != unix.EACCES {
		return fmt.Errorf("%v, want a refusal", err)
	}
	return nil
}

// TestStickyDirectoryProtectsTheNextFile: in a directory such as /tmp, a name
// was mallory's and is the victim's by now, made in the tier. As long as the
// kernel believed in the old one, mallory could remove the new.
func TestStickyDirectoryProtectsTheNextFile(t *testing.T) {
	m := onExt4(t, longBelief)
	harness.Mkdir(t, m.Primary+"/tmp")
	harness.Chmod(t, m.Primary+"/tmp", 0o1777)
	m.Up()
	for _, what := range []string{"unlink", "rmdir", "rename", "rename over"} {
		path := m.Primary + "/tmp/" + what
		make := func(uid int) {
			if what == "rmdir" {
				harness.Mkdir(t, path)
			} else {
				harness.Write(t, path, "")
			}
			harness.Chown(t, path, uid, uid)
		}
		make(mallory)
		harness.Stat(t, m.Path("tmp/"+what))
		harness.Remove(t, path)
		make(victim)
		as(t, take, mallory, what, m.Path("tmp/"+what))
		if st := harness.Stat(t, path); st.Uid != victim {
			t.Errorf("%s: the victim's is gone, or user %d's", what, st.Uid)
		}
	}
}
