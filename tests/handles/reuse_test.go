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
