package handles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// race runs several loops at once for a while; the first error of each ends
// it and fails the test.
func (p place) race(loops ...func() error) {
	p.Helper()
	var wait sync.WaitGroup
	end := time.Now().Add(700 * time.Millisecond)
	for i, loop := range loops {
		wait.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				if err := loop(); err != nil {
					p.Errorf("loop %d, round %d: %v", i, n, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// TestReusedNumberIsAnotherFile: ext4 gives the number of a removed file to
// the next new one at once, before the remover has heard that it is gone.
func TestReusedNumberIsAnotherFile(t *testing.T) {
	everywhere(t, func(p place) {
		var loops []func() error
		for i := range 4 {
			// Two ops in one directory never run at the same time.
			dir := fmt.Sprint(i)
			harness.Mkdir(p, filepath.Join(p.home, dir))
			name, other := filepath.Join(p.dir, dir, "f"), filepath.Join(p.dir, dir, "g")
			loops = append(loops, func() error {
				err := os.WriteFile(name, []byte(name), 0o644)
				b, errRead := os.ReadFile(name)
				if string(b) != name {
					err = errors.Join(err, fmt.Errorf("%s reads %q", name, b))
				}
				err = errors.Join(err, errRead, os.Link(name, other), os.Remove(name))
				var st unix.Stat_t
				err = errors.Join(err, unix.Lstat(other, &st), os.Remove(other))
				if st.Nlink != 1 || st.Size != int64(len(name)) {
					err = errors.Join(err, fmt.Errorf("%s has nlink %d size %d", other, st.Nlink, st.Size))
				}
				return err
			})
		}
		p.race(loops...)
	})
}

// TestDirectoryWithTheNumberOfAFile: a directory is made behind the mount, has the
// number of a file that a client holds, and takes the name of another directory.
func TestDirectoryWithTheNumberOfAFile(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "ext4")
	for what, change := range map[string]func(dir, other string) error{
		"rmdir":       func(dir, _ string) error { return unix.Rmdir(dir) },
		"rename":      func(dir, _ string) error { return unix.Rename(dir, dir+"e") },
		"rename over": func(dir, other string) error { return unix.Rename(other, dir) },
		"exchange": func(dir, other string) error {
			return unix.Renameat2(unix.AT_FDCWD, other, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
		},
	} {
		for rank, tier := range []string{"primary", "fallback"} {
			t.Run(what+", "+tier, func(t *testing.T) {
				m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")})
				for i := range 2 {
					harness.Mkdir(t, m.Tier(i, "q"))
				}
				m.Up()
				tried := 0
				for i := range 100 {
					name := fmt.Sprint("q/d", i)
					behind := m.Tier(rank, name)
					harness.Write(t, behind+"f", "x")
					harness.Mkdir(t, behind)
					harness.Mkdir(t, behind+"o")
					was := harness.Stat(t, behind+"f").Ino
					harness.Stat(t, m.Path(name))
					held, err := unix.Open(m.Path(name+"f"), unix.O_PATH|unix.O_CLOEXEC, 0)
					if err != nil {
						t.Fatal(err)
					}
					harness.Remove(t, behind+"f")
					harness.Mkdir(t, behind+"n")
					if harness.Stat(t, behind+"n").Ino == was {
						tried++
					}
					if err := errors.Join(unix.Rename(behind+"n", behind), change(m.Path(name), m.Path(name+"o"))); err != nil {
						t.Errorf("round %d: %v", i, err)
					}
					unix.Close(held)
				}
				if tried == 0 {
					t.Error("no directory has got the number of a file")
				}
			})
		}
	}
}

// TestNumberOfAnotherType: what a client has just looked up is removed behind the mount,
// and what has its name and number is of another type.
func TestNumberOfAnotherType(t *testing.T) {
	harness.Require(t, "root", "fuse", "loop", "ext4")
	link := func(path string) error { return unix.Symlink("target", path) }
	file := func(path string) error { return os.WriteFile(path, nil, 0o644) }
	dir := func(path string) error { return unix.Mkdir(path, 0o755) }
	look := func(path string) error { return unix.Lstat(path, &unix.Stat_t{}) }
	read := func(path string) error {
		_, err := os.ReadFile(path)
		return err
	}
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")})
	harness.Mkdir(t, m.Tier(1, "q"))
	harness.Write(t, m.Tier(1, "q/target"), "")
	m.Up()
	for what, c := range map[string]struct{ before, after, look, use func(path string) error }{
		"link to file, looked at": {link, file, look, look},
		"link to file, read":      {link, file, look, read},
		"file to link, read":      {file, link, look, read},
		"file to directory":       {file, dir, look, look},
		"directory to file":       {dir, file, look, look},
	} {
		tried := 0
		for i := range 100 {
			name := fmt.Sprint("q/", what, i)
			behind, path := m.Tier(1, name), m.Path(name)
			if err := errors.Join(c.before(behind), c.look(path)); err != nil {
				t.Fatal(err)
			}
			was := harness.Stat(t, behind).Ino
			harness.Remove(t, behind)
			if err := c.after(behind); err != nil {
				t.Fatal(err)
			}
			if harness.Stat(t, behind).Ino == was {
				tried++
			}
			if err := c.use(path); err != nil {
				t.Errorf("%s, round %d: %v", what, i, err)
			}
		}
		if tried == 0 {
			t.Errorf("%s: none has got the number of the one before", what)
		}
	}
}

// TestTwoNamesRemovedAtOnce: neither remover sees that its name is the last
// one, and the number is free all the same.
func TestTwoNamesRemovedAtOnce(t *testing.T) {
	everywhere(t, func(p place) {
		var loops []func() error
		for i := range 4 {
			one, two := fmt.Sprint("one", i), fmt.Sprint("two", i)
			harness.Mkdir(p, filepath.Join(p.home, one))
			harness.Mkdir(p, filepath.Join(p.home, two))
			name, other := filepath.Join(p.dir, one, "f"), filepath.Join(p.dir, two, "g")
			loops = append(loops, func() error {
				err := errors.Join(os.WriteFile(name, []byte(name), 0o644), os.Link(name, other))
				for _, path := range []string{name, other} {
					b, errRead := os.ReadFile(path)
					if string(b) != name {
						errRead = errors.Join(errRead, fmt.Errorf("%s reads %q", path, b))
					}
					err = errors.Join(err, errRead)
				}
				done := make(chan error)
				go func() { done <- os.Remove(name) }()
				return errors.Join(err, os.Remove(other), <-done)
			})
		}
		p.race(loops...)
	})
}

// TestReadersOfAReplacedFileSeeOneVersion: a document is saved by rename over
// and over, from the same tier and from the other, while others read it. Each
// must get a whole version, and never an error.
func TestReadersOfAReplacedFileSeeOneVersion(t *testing.T) {
	for _, from := range []string{"p", "f", "both"} {
		t.Run("saved on "+from, func(t *testing.T) {
			harness.Require(t, "root", "fuse")
			m := harness.New(t, 1)
			for rank, dir := range []string{"p", "f"} {
				harness.Mkdir(t, filepath.Join(m.Tiers[rank], dir))
				harness.Mkdir(t, filepath.Join(m.Tiers[rank], "doc"))
			}
			harness.Write(t, m.Fallbacks[0]+"/doc/it", "version")
			m.Up()
			n := 0
			save := func() error {
				n++
				tmp := m.Path([]string{"p", "f"}[n%2] + "/tmp")
				if from != "both" {
					tmp = m.Path(from + "/tmp")
				}
				return errors.Join(os.WriteFile(tmp, []byte("version"), 0o644), os.Rename(tmp, m.Path("doc/it")))
			}
			read := func() error {
				b, err := os.ReadFile(m.Path("doc/it"))
				if err == nil && string(b) != "version" {
					err = fmt.Errorf("read %q", b)
				}
				return err
			}
			look := func() error {
				var st unix.Stat_t
				return unix.Stat(m.Path("doc/it"), &st)
			}
			noise := func() error {
				name := m.Path("p/noise")
				return errors.Join(os.WriteFile(name, []byte("something else"), 0o644), os.Remove(name))
			}
			place{t, m, m.Dir, m.Primary}.race(save, read, read, look, noise)
		})
	}
}
