package model

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// Workers share directories, each with names of its own in them, and know the
// directories by descriptors: their paths change all the time.
const (
	workers = 8
	shares  = 4
	moves   = 4 // places that a directory can be in
)

// worker keeps a ledger of its names: what each must read.
type worker struct {
	id     int
	rng    *rand.Rand
	dirs   []int // descriptors
	ledger map[owned]string
	made   int
	ops    int
}

// owned is a name in a shared directory.
type owned struct {
	dir  int
	name string
}

// TestSharedDirectoriesMoveWhileOthersWorkInThem: eight goroutines create,
// write, read, rename, link and remove in directories that lie on different
// tiers, while another one renames these. Each sees its own names as its ledger
// has them, at every step and in the end.
func TestSharedDirectoriesMoveWhileOthersWorkInThem(t *testing.T) {
	harness.Require(t, "root", "fuse")
	cfg := config{name: "concurrent", tiers: []string{"tmpfs", "tmpfs", "same"}}
	x := newRig(t, cfg)
	for share, ranks := range [shares][]int{{0}, {1}, {0, 1}, {0, 1, 2}} {
		for _, rank := range ranks {
			harness.Mkdir(t, x.behind(rank, filepath.Join("place0", fmt.Sprint("share", share))))
		}
	}
	for place := 1; place < moves; place++ {
		harness.Mkdir(t, x.behind(place%3, fmt.Sprint("place", place)))
	}
	x.m.Up()
	seed := rand.Uint64()
	ledgers := x.runWorkers(seed, max(2*time.Second, harness.Duration(t, "TIERFS_MODEL", 0)/10))
	if t.Failed() {
		t.Logf("seed %d", seed)
		return
	}
	x.compareLedgers(ledgers)
	if err := x.leftovers(false); err != nil {
		t.Error(err)
	}
	x.m.Down()
	x.m.Up()
	x.compareLedgers(ledgers)
}

// runWorkers runs them and the one who moves the directories until the time is
// over, and returns what they have, each directory's names by their path.
func (x *rig) runWorkers(seed uint64, limit time.Duration) map[owned]string {
	var all sync.WaitGroup
	end := time.Now().Add(limit)
	list := make([]*worker, workers)
	for id := range list {
		w := &worker{id: id, rng: rand.New(rand.NewPCG(seed, uint64(id))), ledger: map[owned]string{}}
		list[id] = w
		for share := range shares {
			fd, err := unix.Open(x.path(fmt.Sprint("place0/share", share)), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				x.t.Fatal(err)
			}
			w.dirs = append(w.dirs, fd)
		}
	}
	moved := 0
	all.Go(func() { moved = x.moveShares(rand.New(rand.NewPCG(seed, workers)), end) })
	for _, w := range list {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := w.step(); err != nil {
					x.t.Errorf("worker %d, operation %d: %v", w.id, w.ops, err)
					return
				}
				w.ops++
			}
		})
	}
	all.Wait()
	ledger, ops := map[owned]string{}, 0
	for _, w := range list {
		maps.Copy(ledger, w.ledger)
		ops += w.ops
		for _, fd := range w.dirs {
			unix.Close(fd)
		}
	}
	x.t.Logf("%d operations, %d renames of the directories", ops, moved)
	return ledger
}

// moveShares renames the shared directories from place to place.
func (x *rig) moveShares(rng *rand.Rand, end time.Time) (moved int) {
	at := [shares]int{}
	for ; time.Now().Before(end); moved++ {
		share, to := rng.IntN(shares), rng.IntN(moves)
		name := fmt.Sprint("share", share)
		from := x.path(filepath.Join(fmt.Sprint("place", at[share]), name))
		if err := unix.Rename(from, x.path(filepath.Join(fmt.Sprint("place", to), name))); err != nil {
			x.t.Errorf("rename %s to place %d: %v", from, to, err)
			return moved
		}
		at[share] = to
	}
	return moved
}

func (w *worker) some() owned {
	keys := slices.SortedFunc(maps.Keys(w.ledger), func(a, b owned) int {
		if a.dir != b.dir {
			return a.dir - b.dir
		}
		return len(a.name) - len(b.name)
	})
	return keys[w.rng.IntN(len(keys))]
}

func (w *worker) fresh() owned {
	w.made++
	return owned{w.rng.IntN(shares), fmt.Sprintf("w%d-%d", w.id, w.made)}
}

// step is one operation, with what it leads to.
func (w *worker) step() error {
	if len(w.ledger) < 5 {
		return w.create()
	}
	switch w.rng.IntN(7) {
	case 0, 1:
		if len(w.ledger) < 30 {
			return w.create()
		}
		return w.unlink()
	case 2:
		return w.unlink()
	case 3:
		return w.rename(w.fresh())
	case 4:
		return w.rename(w.some())
	case 5:
		return w.list()
	}
	return w.read()
}

func (w *worker) create() error {
	o := w.fresh()
	fd, err := unix.Openat(w.dirs[o.dir], o.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("create %v: %w", o, err)
	}
	w.ledger[o] = string(pattern(w.rng.Int64N(5000), uint32(w.made)))
	n, err := unix.Write(fd, []byte(w.ledger[o]))
	if err == nil && n != len(w.ledger[o]) {
		err = errors.New("short")
	}
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("write %v: %w", o, err)
	}
	return nil
}

func (w *worker) unlink() error {
	o := w.some()
	delete(w.ledger, o)
	if err := unix.Unlinkat(w.dirs[o.dir], o.name, 0); err != nil {
		return fmt.Errorf("unlink %v: %w", o, err)
	}
	return w.absent(o)
}

func (w *worker) absent(o owned) error {
	var s unix.Stat_t
	if err := unix.Fstatat(w.dirs[o.dir], o.name, &s, unix.AT_SYMLINK_NOFOLLOW); err != unix.ENOENT {
		return fmt.Errorf("%v is still there: %v", o, err)
	}
	return nil
}

func (w *worker) rename(to owned) error {
	from := w.some()
	if from == to {
		return nil
	}
	if err := unix.Renameat(w.dirs[from.dir], from.name, w.dirs[to.dir], to.name); err != nil {
		return fmt.Errorf("rename %v to %v: %w", from, to, err)
	}
	w.ledger[to] = w.ledger[from]
	delete(w.ledger, from)
	return w.absent(from)
}

func (w *worker) read() error {
	o := w.some()
	fd, err := unix.Openat(w.dirs[o.dir], o.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %v: %w", o, err)
	}
	defer unix.Close(fd)
	b := make([]byte, 6000)
	n, err := unix.Read(fd, b)
	if err != nil || string(b[:n]) != w.ledger[o] {
		return fmt.Errorf("%v has %d bytes, want %d (%v)", o, n, len(w.ledger[o]), err)
	}
	return nil
}

// list looks for the worker's names in a directory.
func (w *worker) list() error {
	dir := w.rng.IntN(shares)
	fd, err := unix.Openat(w.dirs[dir], ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open directory %d: %w", dir, err)
	}
	defer unix.Close(fd)
	rows, err := readAll(fd)
	if err != nil {
		return fmt.Errorf("list directory %d: %w", dir, err)
	}
	seen := map[string]int{}
	for _, r := range rows {
		seen[r.name]++
	}
	for o := range w.ledger {
		if o.dir == dir && seen[o.name] != 1 {
			return fmt.Errorf("%v is listed %d times", o, seen[o.name])
		}
	}
	return nil
}

// compareLedgers looks for the shared directories and compares what is in them.
func (x *rig) compareLedgers(ledger map[owned]string) {
	x.t.Helper()
	found := map[owned]string{}
	for share := range shares {
		at, _ := filepath.Glob(x.path(fmt.Sprint("place*/share", share)))
		if len(at) != 1 {
			x.t.Errorf("directory %d is at %q", share, at)
			continue
		}
		for _, name := range harness.List(x.t, at[0]) {
			found[owned{share, name}] = harness.Read(x.t, filepath.Join(at[0], name))
		}
		for rank := range x.backs { // and nowhere else
			if behind, _ := filepath.Glob(x.behind(rank, fmt.Sprint("place*/share", share))); len(behind) > 1 {
				x.t.Errorf("on tier %d directory %d is at %q", rank, share, behind)
			}
		}
	}
	for o, want := range ledger {
		if got, has := found[o]; !has || got != want {
			x.t.Errorf("%v has %d bytes (there: %v), want %d", o, len(got), has, len(want))
		}
	}
	if len(found) != len(ledger) {
		x.t.Errorf("%d names, want %d", len(found), len(ledger))
	}
}
