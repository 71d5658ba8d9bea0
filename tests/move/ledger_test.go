package move

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// state is one way in which a document may be found: at a path, or nowhere.
type state struct {
	path    string // in the mount; "" for nowhere
	content []byte

	// writing is a state that one write(2) over what was there makes.
	writing bool
	over    []byte
}

// fits reports whether b is the content. A daemon that is killed while it writes
// for a client may leave the first part of that, as a client would in a native
// directory; with passthrough it is the client who writes, and lives.
func (s *state) fits(b []byte, passthrough bool) bool {
	if bytes.Equal(b, s.content) || !s.writing {
		return bytes.Equal(b, s.content)
	}
	written := 0
	for !passthrough && written < min(len(b), len(s.content)) && b[written] == s.content[written] {
		written++
	}
	return bytes.Equal(b[written:], s.over[min(written, len(s.over)):])
}

// document is a file in the ledger. Only its writer changes it.
type document struct {
	name   string
	seq    int
	now    state   // what the last operation that was answered has left
	others []state // what the one under way may leave as well
	temp   string  // the path of a file that it may leave beside
}

func (d *document) next(size int) []byte {
	d.seq++
	return record(d.name, d.seq, size)
}

// may notes how an operation that begins now may leave the document.
func (d *document) may(states ...state) { d.others = states }

// is notes how it has.
func (d *document) is(s state) {
	d.now, d.others, d.temp = state{path: s.path, content: s.content}, nil, ""
}

// ledger knows what must be found in a mount.
type ledger struct {
	t      *testing.T
	m      *harness.Mount
	docs   [][]*document // by writer
	dying  atomic.Bool   // errors are to be expected
	halt   atomic.Bool
	ops    atomic.Int64
	moved  atomic.Int64
	direct bool // data does not go through the daemon
	movers sync.WaitGroup
	crew   sync.WaitGroup
}

const (
	writers   = 20
	documents = 50 // of each writer
	folders   = 10
	mostBytes = 64 << 10
)

// TestKilledAtRandomLosesNothing: a thousand files are written in all ways by
// twenty writers and move up and down all the time, and the daemon is killed
// again and again.
func TestKilledAtRandomLosesNothing(t *testing.T) {
	harness.Require(t, "root", "fuse", "passthrough", "loop", "ext4")
	tiers := []string{harness.On(t, "tmpfs", "512M"), harness.On(t, "ext4", "512M")}
	for _, tier := range tiers {
		for i := range folders {
			harness.Mkdir(t, filepath.Join(tier, folder(i)))
		}
	}
	l := &ledger{t: t, m: harness.NewOn(t, tiers, "minfree=0%")}
	l.fill(tiers)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(harness.Duration(t, "TIERFS_SOAK", 10*time.Second))
	kills, midst := 0, 0
	for ; time.Now().Before(end) && !t.Failed(); kills++ {
		l.direct = kills%2 == 0
		l.m.Up("passthrough=" + map[bool]string{true: "on", false: "off"}[l.direct])
		l.work(random)
		time.Sleep(time.Duration(300+random.IntN(1200)) * time.Millisecond)
		awaitRecord(t, tiers)
		time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
		l.kill()
		l.wantReadable(tiers)
		if len(leftovers(t, tiers)) > 0 {
			midst++
		}
		harness.Must(t, "umount", "-l", l.m.Dir)
		l.m.Up()
		l.wantExact()
		wantTidy(t, tiers)
		wantOnce(t, tiers)
		l.m.Down()
	}
	t.Logf("%d kills, %d in the middle of a move; %d operations, %d files moved", kills, midst, l.ops.Load(), l.moved.Load())
	if l.moved.Load() == 0 && midst == 0 {
		t.Error("nothing has moved")
	}
}

func folder(i int) string { return fmt.Sprintf("folder-%d", i) }

// fill makes the documents, on either tier.
func (l *ledger) fill(tiers []string) {
	for w := range writers {
		var own []*document
		for i := range documents {
			d := &document{name: fmt.Sprintf("document-%d-%d", w, i)}
			d.now = state{path: filepath.Join(folder(i%folders), d.name), content: d.next(leastRecord + i*100)}
			harness.Write(l.t, filepath.Join(tiers[i%2], d.now.path), string(d.now.content))
			own = append(own, d)
		}
		l.docs = append(l.docs, own)
	}
}

// work starts the writers and the moves.
func (l *ledger) work(random *rand.Rand) {
	l.dying.Store(false)
	l.halt.Store(false)
	for _, own := range l.docs {
		w := &writer{l: l, r: rand.New(rand.NewPCG(random.Uint64(), 0))}
		l.crew.Go(func() { w.run(own) })
	}
	r := rand.New(rand.NewPCG(random.Uint64(), 0))
	l.movers.Go(func() {
		for !l.halt.Load() {
			command := []string{"demote", "promote"}[r.IntN(2)]
			out, _ := exec.Command(harness.CLI, command, "--older-than", "1s", l.m.Path(folder(r.IntN(folders)))).Output()
			l.moved.Add(int64(strings.Count(string(out), ": moved from tier ")))
		}
	})
}

// kill ends the daemon in the middle of it all, and waits for the writers.
func (l *ledger) kill() {
	l.t.Helper()
	l.dying.Store(true)
	if err := unix.Kill(l.m.Pid(), unix.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
	l.halt.Store(true)
	l.crew.Wait()
	l.movers.Wait()
	l.m.Gone(128 + int(unix.SIGKILL))
}

// wantReadable fails the test unless each document, as it was or as it was to
// become, is there for somebody who has only the tiers.
func (l *ledger) wantReadable(tiers []string) {
	l.t.Helper()
	for _, own := range l.docs {
		for _, d := range own {
			if !d.readable(l.t, tiers, l.direct) {
				l.t.Errorf("%s cannot be read in the tiers, nor where it was to be", d.now.path)
			}
		}
	}
}

func (d *document) readable(t *testing.T, tiers []string, direct bool) bool {
	t.Helper()
	for _, s := range append(d.others, d.now) {
		got, there := visible(t, tiers, s.path)
		if s.path == "" || there && s.fits(got, direct) {
			return true
		}
	}
	return false
}

// visible is what a path shows: the copy of the highest tier.
func visible(t *testing.T, tiers []string, rel string) (content []byte, there bool) {
	t.Helper()
	for _, tier := range tiers {
		b, err := os.ReadFile(filepath.Join(tier, rel))
		switch {
		case err == nil:
			return b, true
		case rel != "" && !errors.Is(err, os.ErrNotExist):
			t.Fatal(err)
		}
	}
	return nil, false
}

// wantExact fails the test unless the mount has each document once, as it was
// or as it was to become, and nothing else.
func (l *ledger) wantExact() {
	l.t.Helper()
	found := map[string][]byte{}
	for _, rel := range files(l.t, l.m.Dir) {
		found[rel] = []byte(harness.Read(l.t, l.m.Path(rel)))
	}
	for _, own := range l.docs {
		for _, d := range own {
			l.settle(d, found)
		}
	}
	for rel, content := range found {
		l.t.Errorf("%s is there, with %d bytes: %.60q", rel, len(content), content)
	}
}

// settle takes what is the document out of what was found.
func (l *ledger) settle(d *document, found map[string][]byte) {
	l.t.Helper()
	if _, left := found[d.temp]; left {
		harness.Remove(l.t, l.m.Path(d.temp))
		delete(found, d.temp)
	}
	for _, s := range append(d.others, d.now) {
		content, there := found[s.path]
		if there != (s.path != "") || !s.fits(content, l.direct) {
			continue
		}
		elsewhere := false
		for _, other := range append(d.others, d.now) {
			if _, there := found[other.path]; there && other.path != s.path {
				elsewhere = true
			}
		}
		if !elsewhere {
			d.is(state{path: s.path, content: content})
			delete(found, s.path)
			return
		}
	}
	for _, s := range append(d.others, d.now) {
		content, there := found[s.path]
		l.t.Errorf("%s: want %d bytes at %q; there: %v, %d bytes, same: %v", d.name, len(s.content), s.path, there, len(content), bytes.Equal(content, s.content))
	}
}

// writer works on its documents.
type writer struct {
	l *ledger
	r *rand.Rand
}

func (w *writer) run(own []*document) {
	ops := []func(d *document) error{w.append, w.rewrite, w.cut, w.save, w.remake, w.rename, w.read, w.read}
	for !w.l.halt.Load() {
		d := own[w.r.IntN(len(own))]
		op := ops[w.r.IntN(len(ops))]
		if d.now.path == "" {
			op = w.remake
		}
		if err := op(d); err != nil {
			if !w.l.dying.Load() {
				w.l.t.Errorf("%s: %v", d.name, err)
			}
			return
		}
		w.l.ops.Add(1)
		time.Sleep(time.Duration(w.r.IntN(80)) * time.Millisecond)
	}
}

func (w *writer) size() int { return leastRecord + w.r.IntN(16<<10) }

// put writes b with one write(2), and often syncs it.
func (w *writer) put(path string, flags int, b []byte) error {
	f, err := os.OpenFile(w.l.m.Path(path), os.O_WRONLY|flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && w.r.IntN(3) == 0 {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (w *writer) append(d *document) error {
	if len(d.now.content) > mostBytes {
		return w.save(d)
	}
	more := d.next(w.size())
	old := d.now.content
	next := state{path: d.now.path, content: append(bytes.Clone(old), more...), writing: true, over: old}
	d.may(next)
	if err := w.put(d.now.path, os.O_APPEND, more); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// rewrite puts other content of the same length in place.
func (w *writer) rewrite(d *document) error {
	if len(d.now.content) > mostBytes || len(d.now.content) < leastRecord {
		return w.cut(d)
	}
	next := state{path: d.now.path, content: d.next(len(d.now.content)), writing: true, over: d.now.content}
	d.may(next)
	if err := w.put(d.now.path, 0, next.content); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// cut makes the file empty first.
func (w *writer) cut(d *document) error {
	next := state{path: d.now.path, content: d.next(w.size()), writing: true}
	d.may(next)
	if err := w.put(d.now.path, os.O_TRUNC, next.content); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// save is how editors do it.
func (w *writer) save(d *document) error {
	next := state{path: d.now.path, content: d.next(w.size())}
	d.temp = d.now.path + "~"
	d.may(next)
	if err := w.put(d.temp, os.O_CREATE|os.O_EXCL, next.content); err != nil {
		return err
	}
	if err := os.Rename(w.l.m.Path(d.temp), w.l.m.Path(next.path)); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// remake removes the file, if it is there, and makes it anew.
func (w *writer) remake(d *document) error {
	path := filepath.Join(folder(w.r.IntN(folders)), d.name)
	next := state{path: path, content: d.next(w.size()), writing: true}
	d.may(state{}, next)
	if d.now.path != "" {
		if err := os.Remove(w.l.m.Path(d.now.path)); err != nil {
			return err
		}
	}
	if err := w.put(path, os.O_CREATE|os.O_EXCL, next.content); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// rename carries the file to another folder.
func (w *writer) rename(d *document) error {
	next := state{path: filepath.Join(folder(w.r.IntN(folders)), d.name), content: d.now.content}
	d.may(next)
	if err := os.Rename(w.l.m.Path(d.now.path), w.l.m.Path(next.path)); err != nil {
		return err
	}
	d.is(next)
	return nil
}

// read finds what the last operation has left, whatever moves.
func (w *writer) read(d *document) error {
	b, err := os.ReadFile(w.l.m.Path(d.now.path))
	if err == nil && !bytes.Equal(b, d.now.content) {
		return fmt.Errorf("reads %d bytes: %.60q, want %d: %.60q", len(b), b, len(d.now.content), d.now.content)
	}
	return err
}
