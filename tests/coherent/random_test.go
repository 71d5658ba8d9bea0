package coherent

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// Where changes happen: two levels of directories, and some names that are a
// directory on one tier and a file on another.
var (
	dirs  = []string{"", "a", "b", "a/c", "b/c"}
	names = []string{"f", "g", "h", "c"}
)

// everywhere are all paths that changes can touch.
func everywhere() (all []string) {
	known := map[string]bool{}
	add := func(rel string) {
		if rel != "" && !known[rel] {
			known[rel] = true
			all = append(all, rel)
		}
	}
	for _, d := range dirs {
		add(d)
		for _, n := range names {
			add(filepath.Join(d, n))
			add(filepath.Join(d, n, "f"))
		}
	}
	return append(all, ".")
}

// chaos changes tiers behind a mount.
type chaos struct {
	m *harness.Mount
	*rand.Rand
}

func (c chaos) rank() int       { return c.IntN(len(c.m.Tiers)) }
func (c chaos) dir() string     { return dirs[c.IntN(len(dirs))] }
func (c chaos) path() string    { return filepath.Join(c.dir(), names[c.IntN(len(names))]) }
func (c chaos) on(r int) string { return c.m.Tier(r, c.path()) }

// change makes one change and says what.
func (c chaos) change() string {
	for {
		if what, err := c.try(); err == nil {
			return what
		}
	}
}

// try tries one that may not be possible.
func (c chaos) try() (what string, err error) {
	r := c.rank()
	p := c.on(r)
	switch c.IntN(16) {
	case 0, 1:
		return "create " + p, create(p)
	case 2:
		return "unlink " + p, unix.Unlink(p)
	case 3:
		return "append " + p, write(p, unix.O_APPEND)
	case 4:
		return "truncate " + p, unix.Truncate(p, int64(c.IntN(5)))
	case 5:
		return "chmod " + p, unix.Chmod(p, 0o600+uint32(c.IntN(64)))
	case 6:
		return "setxattr " + p, unix.Setxattr(p, "trusted.x", []byte{byte(c.IntN(256))}, 0)
	case 7:
		return "mkdir " + p, unix.Mkdir(p, 0o755)
	case 8:
		return "rmdir " + p, unix.Rmdir(p)
	case 9, 10:
		to := c.on(r)
		return "rename " + p + " " + to, unix.Rename(p, to)
	case 11:
		from, to := c.m.Tier(r, c.someDir()), c.m.Tier(r, c.someDir())
		return "rename " + from + " " + to, unix.Rename(from, to)
	case 12:
		to := c.on(r)
		return "link " + p + " " + to, unix.Link(p, to)
	case 13:
		rel := c.path()
		return "move between tiers " + rel, move(c.m.Tier(r, rel), c.m.Tier(c.rank(), rel))
	case 14:
		unix.Unlink(p)
		return "symlink " + p, unix.Symlink("nowhere", p)
	}
	d := c.m.Tier(r, c.someDir())
	return "mkdir " + d, os.MkdirAll(d, 0o755)
}

func (c chaos) someDir() string { return dirs[1+c.IntN(len(dirs)-1)] }

func create(path string) error { return write(path, unix.O_CREAT|unix.O_EXCL) }

func write(path string, flags int) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("x"))
	return err
}

// move is what an administrator does by hand: a copy under the name, then the
// original goes.
func move(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return unix.Unlink(from)
}

// clients use the mount all the time, so that every change meets operations that
// are under way.
func clients(m *harness.Mount, paths []string) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	for seed := range uint64(2) {
		done.Go(func() {
			r := rand.New(rand.NewPCG(seed, 7))
			for {
				select {
				case <-end:
					return
				default:
				}
				p := m.Path(paths[r.IntN(len(paths))])
				var st unix.Stat_t
				if unix.Lstat(p, &st) == nil && r.IntN(8) == 0 {
					os.ReadDir(p)
				}
				if r.IntN(32) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return func() {
		close(end)
		done.Wait()
	}
}

// TestEveryChangeBehindTheMountIsSeen makes thousands of changes and compares all
// that the mount shows with the tiers after each. TIERFS_COHERENT=10m makes it go
// on for so long with each set of tiers.
func TestEveryChangeBehindTheMountIsSeen(t *testing.T) {
	for _, types := range [][]string{{"ext4", "xfs"}, {"tmpfs", "btrfs"}, {"ext4", "same", "tmpfs"}, {"xfs"}} {
		t.Run(fmt.Sprint(types), func(t *testing.T) { changes(t, types, harness.Times(300, 6000)) })
	}
}

func changes(t *testing.T, types []string, n int) {
	m := newMount(t, types...)
	paths := everywhere()
	stop := clients(m, paths)
	defer stop()
	seed := uint64(time.Now().UnixNano())
	c := chaos{m, rand.New(rand.NewPCG(seed, 1))}
	var worst time.Duration
	end := time.Now().Add(harness.Duration(t, "TIERFS_COHERENT", 0))
	for i := 0; i < n || time.Now().Before(end); i++ {
		what := fmt.Sprintf("change %d of seed %d, %s", i, seed, c.change())
		if took := agree(t, m, paths, what); took > worst {
			worst = took
		}
		if i%20 == 0 { // it stays so
			time.Sleep(20 * time.Millisecond)
			if diff := difference(m, paths); diff != "" {
				t.Fatalf("%s: it was right once, and then not: %s", what, diff)
			}
		}
	}
	s := cacheOf(m)
	t.Logf("%v: %d changes, the worst seen after %v; %d events, %d told, %d sweeps", types, n, worst, s.Events, s.Told, s.Sweeps)
}
