package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

// threads work at the same time, each in directories of its own and all in one
// file.
const threads = 1000

// book is what a thread has done and what is to be there at its end.
type book struct {
	Ops     int
	Files   map[string]string // content by path
	Appends int               // to the common log
}

// record is a line of the common log, of one length.
func record(id, n int) string { return fmt.Sprintf("%04d %09d\n", id, n) }

// crowd runs the threads in a process of their own and prints their books.
var crowd = harness.Func("crowd", func(args []string) error {
	dir := args[0]
	limit, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	debug.SetMaxThreads(10 * threads)
	books, errs := make([]book, threads), make([]error, threads)
	end := time.Now().Add(limit)
	var wait sync.WaitGroup
	for id := range threads {
		wait.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread is this one's
			books[id].Files = map[string]string{}
			errs[id] = (&thread{book: &books[id], id: id, dir: dir, r: rand.New(rand.NewPCG(uint64(id), 1))}).run(end)
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(books)
})

// thread does one thing after another and looks at once whether it was done.
type thread struct {
	*book
	id, n int
	dir   string
	r     *rand.Rand
}

// most is how many files a thread has at a time.
const most = 12

// home are the thread's directories: on the primary and on the fallback.
func home(id int) []string { return []string{fmt.Sprintf("%d/high", id), fmt.Sprintf("%d/low", id)} }

func (t *thread) run(end time.Time) error {
	for time.Now().Before(end) {
		if err := t.step(); err != nil {
			return fmt.Errorf("thread %d, op %d: %w", t.id, t.Ops, err)
		}
		t.Ops++
	}
	return nil
}

func (t *thread) step() error {
	some := t.some()
	switch k := t.r.IntN(10); {
	case some == "" || k < 3 && len(t.Files) < most:
		return t.write(filepath.Join(home(t.id)[t.r.IntN(2)], fmt.Sprint("f", t.n)))
	case k < 5:
		return t.read(some)
	case k < 6:
		return t.move(some)
	case k < 7:
		return t.remove(some)
	case k < 8:
		return t.list()
	case k < 9:
		return t.append()
	}
	return t.write(some)
}

// some is one of the thread's files, "" if it has none.
func (t *thread) some() string {
	if len(t.Files) == 0 {
		return ""
	}
	names := make([]string, 0, most)
	for name := range t.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[t.r.IntN(len(names))]
}

func (t *thread) write(name string) error {
	t.n++
	content := strings.Repeat(fmt.Sprintf("%s %d\n", name, t.n), 1+t.r.IntN(300))
	if err := os.WriteFile(filepath.Join(t.dir, name), []byte(content), 0o644); err != nil {
		return err
	}
	t.Files[name] = content
	return nil
}

func (t *thread) read(name string) error {
	b, err := os.ReadFile(filepath.Join(t.dir, name))
	if err == nil && string(b) != t.Files[name] {
		err = fmt.Errorf("%s reads %d bytes %.40q, want %d %.40q", name, len(b), b, len(t.Files[name]), t.Files[name])
	}
	return err
}

func (t *thread) move(name string) error {
	t.n++
	to := filepath.Join(home(t.id)[t.r.IntN(2)], fmt.Sprint("f", t.n))
	if other := t.some(); t.r.IntN(3) == 0 && other != name {
		to = other
	}
	if err := os.Rename(filepath.Join(t.dir, name), filepath.Join(t.dir, to)); err != nil {
		return err
	}
	t.Files[to] = t.Files[name]
	delete(t.Files, name)
	return t.read(to)
}

func (t *thread) remove(name string) error {
	if err := os.Remove(filepath.Join(t.dir, name)); err != nil {
		return err
	}
	delete(t.Files, name)
	if _, err := os.Lstat(filepath.Join(t.dir, name)); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s was removed: %v", name, err)
	}
	return nil
}

func (t *thread) list() error {
	var got, want []string
	for _, dir := range home(t.id) {
		rows, err := os.ReadDir(filepath.Join(t.dir, dir))
		if err != nil {
			return err
		}
		for _, row := range rows {
			got = append(got, filepath.Join(dir, row.Name()))
		}
	}
	for name := range t.Files {
		want = append(want, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("listed are %q, want %q", got, want)
	}
	return nil
}

// append adds a line to the log of all.
func (t *thread) append() error {
	f, err := os.OpenFile(filepath.Join(t.dir, "log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(record(t.id, t.Appends)); err != nil {
		return err
	}
	t.Appends++
	return nil
}

// TestThousandThreads: every op is done, and done once; and the daemon is no
// larger at the end than it was in the middle.
func TestThousandThreads(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "1G"), harness.On(t, "ext4", "1G")})
	for id := range threads {
		for i, dir := range home(id) {
			harness.Mkdir(t, filepath.Join(m.Tiers[i], dir))
		}
	}
	harness.Write(t, m.Fallbacks[0]+"/log", "")
	m.Up()
	limit := max(harness.Duration(t, "TIERFS_SOAK", 0), 4*time.Second)
	watch := watchMemory(t, m)
	out, stderr := &bytes.Buffer{}, &bytes.Buffer{}
	cmd := crowd.Cmd(m.Dir, limit.String())
	cmd.Stdout, cmd.Stderr = out, stderr
	err := cmd.Run()
	samples := watch()
	if err != nil {
		t.Fatalf("%v\n%.4000s", err, stderr)
	}
	var books []book
	if err := json.Unmarshal(out.Bytes(), &books); err != nil {
		t.Fatal(err)
	}
	ops := 0
	for _, b := range books {
		ops += b.Ops
	}
	t.Logf("%d threads, %d ops in %v", threads, ops, limit)
	judge(t, samples)
	checkBooks(t, m.Dir, books)
	wantMemoryBack(t, m)
	m.Down() // no descriptor is left
	m.Up()
	checkBooks(t, m.Dir, books)
}

// sample is the daemon at one moment.
type sample struct{ memory, fds int }

// watchMemory looks at the daemon all the time, until it is asked for what it
// saw.
func watchMemory(t *testing.T, m *harness.Mount) (stop func() []sample) {
	t.Helper()
	ask, got := make(chan bool), make(chan []sample)
	go func() {
		var all []sample
		for {
			select {
			case <-ask:
				got <- all
				return
			case <-time.After(500 * time.Millisecond):
				now, _ := memory(t, m)
				all = append(all, sample{now, len(m.FDs())})
			}
		}
	}()
	return func() []sample { ask <- true; return <-got }
}

// judge compares the second quarter of a run with the last one. A short run is
// all beginning, and only told of.
func judge(t *testing.T, samples []sample) {
	t.Helper()
	if len(samples) < 4 {
		return
	}
	most := func(all []sample) (s sample) {
		for _, one := range all {
			s.memory, s.fds = max(s.memory, one.memory), max(s.fds, one.fds)
		}
		return s
	}
	n := len(samples)
	early, late := most(samples[n/4:n/2]), most(samples[3*n/4:])
	t.Logf("second quarter: %s, %d descriptors; last: %s, %d", mib(early.memory), early.fds, mib(late.memory), late.fds)
	if harness.Duration(t, "TIERFS_SOAK", 0) < time.Minute {
		return
	}
	if late.memory > early.memory*5/4+16<<20 {
		t.Errorf("resident memory grew from %s to %s", mib(early.memory), mib(late.memory))
	}
	if late.fds > early.fds*5/4+100 {
		t.Errorf("descriptors grew from %d to %d", early.fds, late.fds)
	}
}

// checkBooks compares the mount with what was done.
func checkBooks(t *testing.T, dir string, books []book) {
	t.Helper()
	for id, b := range books {
		th := &thread{book: &b, id: id, dir: dir}
		err := th.list()
		for name := range b.Files {
			err = errors.Join(err, th.read(name))
		}
		if err != nil {
			t.Errorf("thread %d: %v", id, err)
		}
	}
	next := make([]int, threads)
	for line := range strings.Lines(harness.Read(t, dir+"/log")) { // none, if the machine is too slow for one each
		id := 0
		if _, err := fmt.Sscanf(line, "%d ", &id); err != nil || id >= threads || line != record(id, next[id]) {
			t.Fatalf("%q of the log is not the next line of a thread", line)
		}
		next[id]++
	}
	for id, b := range books {
		if next[id] != b.Appends {
			t.Errorf("thread %d appended %d lines, %d are there", id, b.Appends, next[id])
		}
	}
}
