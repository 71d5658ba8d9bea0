package coherent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// dir is an open directory, listed by getdents64(2).
type dir struct {
	*testing.T
	fd int
}

func openDir(t *testing.T, path string) dir {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return dir{t, fd}
}

func (d dir) close() { unix.Close(d.fd) }

// rest lists from where the directory is, in pieces of size.
func (d dir) rest(size int) []string {
	rows, err := harness.RestOfRows(d.fd, size)
	if err != nil {
		d.Errorf("getdents64: %v", err)
	}
	return harness.NamesOf(rows)
}

// piece is the next one with names that are not "." and "..".
func (d dir) piece(size int) []string {
	rows, err := harness.Rows(d.fd, size)
	if err != nil {
		d.Errorf("getdents64: %v", err)
	}
	names := harness.NamesOf(rows)
	if len(rows) > 0 && len(names) == 0 {
		return d.piece(size)
	}
	return names
}

func (d dir) rewind() {
	d.Helper()
	if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
		d.Fatal(err)
	}
}

// TestListingsAreKept: a directory that is listed again costs the daemon nothing, as long
// as it does not change.
func TestListingsAreKept(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	for i := range 40 {
		m.Put(i%2, fmt.Sprint("d/f", i), "x")
	}
	look := func() (asked uint64) {
		before := m.Status().Ops
		for range 10 {
			if names, err := os.ReadDir(m.Path("d")); err != nil || len(names) != 40 {
				t.Fatalf("%d names (%v)", len(names), err)
			}
		}
		after := m.Status().Ops
		for _, op := range []string{"OPENDIR", "READDIR", "READDIRPLUS", "RELEASEDIR"} {
			asked += after[op] - before[op]
		}
		return asked
	}
	agree(t, m, []string{"d"}, "making files")
	for range 40 { // files that were just made may have changes to be told yet
		if look(); look() == 0 {
			return
		}
	}
	t.Error("listings are asked for all the time")
}

// TestListingThatEndsWithAPage: a client goes on after a name that is gone, when the kernel
// has a newer listing that fills its pages. It would take that for the end.
func TestListingThatEndsWithAPage(t *testing.T) {
	m := newMount(t, "ext4", "ext4")
	const row = 32 // of a name of up to eight bytes, as are "." and ".."
	files := os.Getpagesize()/row - 2 + 1
	for i := range files {
		m.Put(i%2, fmt.Sprintf("d/f%03d", i), "x")
	}
	agree(t, m, []string{"d"}, "making files")
	all := openDir(t, m.Path("d"))
	defer all.close()
	all.rest(4096)
	half := openDir(t, m.Path("d"))
	defer half.close()
	got := half.piece(1000)
	if err := os.Remove(m.Path("d/" + got[len(got)-1])); err != nil {
		t.Fatal(err)
	}
	all.rewind()
	if n := len(all.rest(4096)); n != files-1 {
		t.Errorf("%d names, want %d", n, files-1)
	}
	if got = append(got, half.rest(1000)...); len(got) != files {
		t.Errorf("who was in the middle has %d names, want %d", len(got), files)
	}
}

// TestRewindTellsOfChanges: who has a directory open and rewinds it sees what has
// changed, whether through the mount or behind it, and whoever else has read it.
func TestRewindTellsOfChanges(t *testing.T) {
	m := newMount(t, "ext4", "ext4")
	m.Put(0, "d/a", "x")
	m.Put(1, "d/b", "x")
	agree(t, m, []string{"d"}, "making files")
	var all []dir
	for range 3 {
		d := openDir(t, m.Path("d"))
		defer d.close()
		all = append(all, d)
		all[0].rewind()
		all[0].rest(4096)
	}
	for i := range 60 {
		name := fmt.Sprint("new", i)
		switch i % 3 {
		case 0:
			harness.Write(t, m.Path("d/"+name), "x")
		default:
			m.Put(i%3-1, "d/"+name, "x")
		}
		for n, d := range all {
			for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				d.rewind()
				names := d.rest(1 << (8 + i%5))
				slices.Sort(names)
				if len(names) == i+3 && slices.Contains(names, name) && len(slices.Compact(names)) == i+3 {
					break
				}
				if i%3 == 0 || time.Now().After(end) {
					t.Fatalf("handle %d does not see %s: %q", n, name, names)
				}
			}
		}
	}
}

// TestHalfReadListingGoesOn: who has read half of a listing gets the other half of
// that one, and not of one that somebody else has read since.
func TestHalfReadListingGoesOn(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	const files = 200
	for i := range files {
		m.Put(i%2, fmt.Sprintf("d/f%03d", i), "x")
	}
	agree(t, m, []string{"d"}, "making files")
	settled := openDir(t, m.Path("d"))
	settled.rest(4096)
	settled.close()
	half, other := openDir(t, m.Path("d")), openDir(t, m.Path("d"))
	defer half.close()
	defer other.close()
	got := half.piece(1000)
	for i, name := range got[:3] { // so that all rows have other places
		where := []string{m.Tier(0, "d/"+name), m.Tier(1, "d/"+name), m.Path("d/" + name)}
		if os.Remove(where[i%3]) != nil && os.Remove(where[(i+1)%2]) != nil {
			t.Fatalf("%s is nowhere", name)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		other.rewind()
		if n := len(other.rest(4096)); n == files-3 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d names", n)
		}
	}
	got = append(got, half.rest(1000)...)
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) || n != files {
		t.Errorf("%d names are listed, %d of them once; want %d", len(got), n, files)
	}
}

// TestEachNameOnceWhileTheDirectoryChanges: listings in small pieces have each name
// that is there all the time once, whatever else comes and goes, whoever else reads,
// and whatever the kernel drops of its cache.
func TestEachNameOnceWhileTheDirectoryChanges(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	const steady = 300
	var want []string
	for i := range steady {
		name := fmt.Sprintf("steady-%03d", i)
		want = append(want, name)
		m.Put(i%2, "d/"+name, "x")
	}
	agree(t, m, []string{"d"}, "making files")
	var all sync.WaitGroup
	end := time.Now().Add(harness.Duration(t, "TIERFS_STRESS", 6*time.Second))
	running := func() bool { return time.Now().Before(end) && !t.Failed() }
	for k := range 3 { // who changes it: through the mount, and in each tier
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 1))
			base := []string{m.Path("d"), m.Tier(0, "d"), m.Tier(1, "d")}[k]
			for running() {
				path := filepath.Join(base, fmt.Sprint("other", k, "-", r.IntN(60)))
				if os.Remove(path) != nil {
					os.WriteFile(path, nil, 0o644)
				}
				time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for running() {
			time.Sleep(200 * time.Millisecond)
			os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0)
		}
	})
	listings := make([]int, 6)
	for k := range listings {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 2))
			d := openDir(t, m.Path("d"))
			for ; running(); listings[k]++ {
				var got []string
				for more := d.piece(300 << (k % 3)); len(more) > 0; more = d.piece(300 << (k % 3)) {
					for _, name := range more {
						if name[0] == 's' {
							got = append(got, name)
						}
					}
					if r.IntN(8) == 0 {
						time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, want) && !t.Failed() {
					t.Errorf("%d steady names are listed, %d of them once; want %d", len(got), len(slices.Compact(got)), steady)
				}
				if r.IntN(2) == 0 {
					d.rewind()
					continue
				}
				d.close()
				d = openDir(t, m.Path("d"))
			}
			d.close()
		})
	}
	all.Wait()
	t.Logf("listings: %v", listings)
}
