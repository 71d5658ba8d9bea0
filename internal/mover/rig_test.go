package mover

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// rig is real directories as tiers, and a tree that moves by rename(2).
type rig struct {
	*testing.T
	roots []string
	set   *tier.Set
	m     *Mover
	log   strings.Builder

	looks []time.Duration // how old those for open files may be that were asked for

	under atomic.Int32 // batches under way

	mu      sync.Mutex
	batches []Batch                  // GUARDED_BY(mu): as they came
	refuse  func(name string) Reason // GUARDED_BY(mu)
	gate    chan struct{}            // Move waits for it or for its context; nil for not
}

// copiedAtGate is how many bytes of a batch are copied before it waits.
const copiedAtGate = 5

func newRig(t *testing.T, tiers int, p Policy) *rig {
	t.Helper()
	r := &rig{T: t}
	for range tiers {
		r.roots = append(r.roots, t.TempDir())
	}
	r.open(p)
	return r
}

func (r *rig) open(p Policy) {
	r.Helper()
	set, err := tier.OpenSet(r.roots, tier.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Timeout: time.Minute})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(set.Close)
	r.set = set
	r.m = New(r, Config{Log: slog.New(slog.NewTextHandler(&r.log, nil)), Policy: p, MinFree: func(uint64) uint64 { return 0 }, Look: r.look})
	r.m.Permit(nil)
}

func (r *rig) look(age time.Duration) Holders {
	r.looks = append(r.looks, age)
	return func(int, *unix.Stat_t, uint64) Reason { return Moved }
}

func (r *rig) Tiers() []*tier.Tier { return r.set.Tiers() }

func (r *rig) Try(t *tier.Tier, mode uint32, fn func(f *tier.File) error) error {
	d := t.RootDir()
	defer d.Put()
	f, err := d.Open(".try", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer d.Unlink(".try")
	defer f.Close()
	return fn(f)
}

func (r *rig) Move(ctx context.Context, b *Batch, landed func([]Outcome)) {
	r.under.Add(1)
	defer r.under.Add(-1)
	if r.gate != nil {
		_ = b.Pace.Wait(ctx, copiedAtGate)
		select {
		case <-r.gate:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, *b)
	for _, name := range b.Names {
		var o Outcome
		from, to := filepath.Join(r.roots[b.From], b.Dir, name), filepath.Join(r.roots[b.To], b.Dir, name)
		st, err := os.Stat(from)
		switch {
		case ctx.Err() != nil:
			o.Skip = Stopped
		case err != nil:
			o.Skip = Gone
		case r.refuse != nil && r.refuse(name) != Moved:
			o.Skip, o.Err = r.refuse(name), unix.EIO
		default:
			o.Bytes = st.Size()
			if err := os.MkdirAll(filepath.Dir(to), 0755); err != nil {
				r.Error(err)
			}
			if err := moveFile(from, to, st); err != nil {
				r.Error(err)
			}
		}
		landed([]Outcome{o})
	}
}

// moveFile is rename(2), over filesystems too.
func moveFile(from, to string, st os.FileInfo) error {
	if err := os.Rename(from, to); err == nil {
		return nil
	}
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0644)
	}
	if err == nil {
		err = os.Chtimes(to, st.ModTime(), st.ModTime())
	}
	if err != nil {
		return err
	}
	return os.Remove(from)
}

// full has minfree leave nothing on any tier, whatever others do on its disk.
func (r *rig) full() { r.m.minFree = func(uint64) uint64 { return 1 << 60 } }

// at is where a path lies on a tier.
func (r *rig) at(rank int, path string) string { return filepath.Join(r.roots[rank], path) }

// file makes a file of that age, as the times that can be set show it.
func (r *rig) file(rank int, path string, size int, age time.Duration) {
	r.Helper()
	at := r.at(rank, path)
	if err := os.MkdirAll(filepath.Dir(at), 0755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(at, make([]byte, size), 0644); err != nil {
		r.Fatal(err)
	}
	then := time.Now().Add(-age)
	if err := os.Chtimes(at, then, then); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) pin(rank int, path, value string) {
	r.Helper()
	if err := os.MkdirAll(r.at(rank, path), 0755); err != nil && !os.IsExist(err) && !strings.Contains(err.Error(), "not a directory") {
		r.Fatal(err)
	}
	if err := unix.Setxattr(r.at(rank, path), PinName, []byte(value), 0); err != nil {
		r.Fatal(err)
	}
}

// files are those of a tier, by name.
func (r *rig) files(rank int) (all []string) {
	r.Helper()
	err := filepath.WalkDir(r.roots[rank], func(at string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(at, tier.MarkName) {
			rel, _ := filepath.Rel(r.roots[rank], at)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func (r *rig) want(rank int, files ...string) {
	r.Helper()
	if got := r.files(rank); !slices.Equal(got, files) {
		r.Errorf("tier %d has %q, want %q", rank, got, files)
	}
}

// scan is one scan by the policy.
func (r *rig) scan() Report {
	r.Helper()
	s := &schedule{m: r.m, policy: r.m.currentPolicy()}
	s.scanTiers(context.Background())
	return *r.m.Status().Last
}

// ripeAge is a demote age for tests: files that were just made reach it.
const ripeAge = 50 * time.Millisecond

// ripen waits for that. A change time cannot be set.
func ripen() { time.Sleep(ripeAge + 10*time.Millisecond) }
