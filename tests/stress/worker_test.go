package stress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// worker is one process. It works in its own directories and, under names of
// its own, in those that all share.
type worker struct {
	*book
	id   int
	rng  *rand.Rand
	next int // for names
	ops  int
}

var work = harness.Func("work", func(args []string) error {
	id, _ := strconv.Atoi(args[1])
	seed, _ := strconv.ParseUint(args[2], 10, 64)
	limit, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	if err := os.Chdir(args[0]); err != nil {
		return err
	}
	w := &worker{book: newBook(), id: id, rng: rand.New(rand.NewPCG(seed, uint64(id)))}
	w.seeded()
	for end := time.Now().Add(limit); time.Now().Before(end); w.ops++ {
		if err := w.step(); err != nil {
			return fmt.Errorf("worker %d, operation %d: %w", id, w.ops, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(w.close(w.ops))
})

// seeded enters what the test has put on the tiers beforehand: see seed.
func (w *worker) seeded() {
	for _, dir := range homes(w.id) {
		w.dirs[dir] = true
		for i := range seeds {
			path := fmt.Sprintf("%s/seed%d", dir, i)
			w.files[path] = &node{seedContent(path)}
			if strings.HasSuffix(dir, "/both") {
				w.shadows[path] = true
			}
		}
	}
}

// step is one operation, chosen at random.
func (w *worker) step() error {
	steps := []func() error{
		w.create, w.create, w.create, w.read, w.read, w.read, w.write, w.write, w.write, w.truncate, w.unlink, w.unlink,
		w.rename, w.rename, w.replace, w.replace, w.link, w.symlink, w.mkdir, w.rmdir, w.moveDir, w.list, w.publish, w.subscribe,
	}
	return steps[w.rng.IntN(len(steps))]()
}

func (w *worker) pick(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[w.rng.IntN(len(list))]
}

// somewhere is a new name in a directory of the worker's or in a shared one.
func (w *worker) somewhere() string {
	w.next++
	dirs := append(keys(w.dirs), shared...)
	return fmt.Sprintf("%s/n%d-%d", w.pick(dirs), w.id, w.next)
}

func (w *worker) some() []byte {
	b := make([]byte, w.rng.IntN(9000))
	for i := range b {
		b[i] = byte('a' + (i*7+w.next+w.id)%26)
	}
	return b
}

func (w *worker) create() error {
	if len(w.files) > 150 {
		return w.unlink()
	}
	path, content := w.somewhere(), w.some()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	w.files[path] = &node{content}
	return nil
}

func (w *worker) read() error {
	path := w.pick(keys(w.files))
	if path == "" {
		return nil
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if want := w.files[path].content; !bytes.Equal(got, want) {
		return fmt.Errorf("%s has %d bytes %s, want %d bytes %s", path, len(got), sum(got), len(want), sum(want))
	}
	return nil
}

func (w *worker) write() error {
	path := w.pick(keys(w.files))
	if path == "" {
		return nil
	}
	n, b := w.files[path], w.some()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	off := w.rng.IntN(len(n.content) + 1)
	if _, err := f.WriteAt(b, int64(off)); err != nil {
		return err
	}
	if grown := off + len(b); grown > len(n.content) {
		n.content = append(n.content, make([]byte, grown-len(n.content))...)
	}
	copy(n.content[off:], b)
	st, err := f.Stat()
	if err == nil && st.Size() != int64(len(n.content)) {
		err = fmt.Errorf("%s: size %d after a write, want %d", path, st.Size(), len(n.content))
	}
	return err
}

func (w *worker) truncate() error {
	path := w.pick(keys(w.files))
	if path == "" {
		return nil
	}
	n := w.files[path]
	size := w.rng.IntN(12000)
	if err := os.Truncate(path, int64(size)); err != nil {
		return err
	}
	n.content = append(n.content, make([]byte, max(0, size-len(n.content)))...)[:size]
	return nil
}

func (w *worker) unlink() error {
	if path := w.pick(keys(w.links)); path != "" && w.rng.IntN(4) == 0 {
		delete(w.links, path)
		return unix.Unlink(path)
	}
	path := w.pick(keys(w.files))
	if path == "" {
		return nil
	}
	if err := unix.Unlink(path); err != nil {
		return fmt.Errorf("unlink %s: %w", path, err)
	}
	delete(w.files, path)
	delete(w.shadows, path)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != unix.ENOENT {
		return fmt.Errorf("%s came back: %v", path, err)
	}
	return nil
}

func (w *worker) rename() error { return w.renameTo(w.somewhere()) }

// replace renames over one of the worker's own files.
func (w *worker) replace() error { return w.renameTo(w.pick(keys(w.files))) }

func (w *worker) renameTo(to string) error {
	from := w.pick(keys(w.files))
	if from == "" || to == "" {
		return nil
	}
	if err := unix.Rename(from, to); err != nil {
		return fmt.Errorf("rename %s %s: %w", from, to, err)
	}
	if w.files[from] == w.files[to] {
		return nil // two names of one file: rename(2) does nothing
	}
	w.files[to] = w.files[from]
	delete(w.files, from)
	delete(w.shadows, from)
	delete(w.shadows, to)
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != unix.ENOENT {
		return fmt.Errorf("%s is still there after a rename to %s: %v", from, to, err)
	}
	return nil
}

func (w *worker) link() error {
	from, to := w.pick(keys(w.files)), w.somewhere()
	if from == "" {
		return nil
	}
	if err := unix.Link(from, to); err != nil {
		return fmt.Errorf("link %s %s: %w", from, to, err)
	}
	w.files[to] = w.files[from]
	return nil
}

func (w *worker) symlink() error {
	path, target := w.somewhere(), fmt.Sprintf("../target-%d", w.next)
	w.links[path] = target
	return unix.Symlink(target, path)
}

func (w *worker) mkdir() error {
	if len(w.dirs) > 25 {
		return w.rmdir()
	}
	w.next++
	path := fmt.Sprintf("%s/d%d", w.pick(keys(w.dirs)), w.next)
	w.dirs[path] = true
	return unix.Mkdir(path, 0o755)
}

// rmdir removes an empty directory, or sees that a full one stays.
func (w *worker) rmdir() error {
	path := w.pick(w.deep())
	if path == "" {
		return nil
	}
	err := unix.Rmdir(path)
	if !w.empty(path) {
		if err != unix.ENOTEMPTY {
			return fmt.Errorf("rmdir of the full %s: %v", path, err)
		}
		return nil
	}
	delete(w.dirs, path)
	return err
}

// deep are the directories that may be removed and moved.
func (w *worker) deep() []string {
	var list []string
	for _, path := range keys(w.dirs) {
		if strings.Count(path, "/") > 1 {
			list = append(list, path)
		}
	}
	return list
}

func (w *worker) moveDir() error {
	from := w.pick(w.deep())
	w.next++
	to := fmt.Sprintf("%s/m%d", w.pick(keys(w.dirs)), w.next)
	if from == "" || strings.HasPrefix(to, from+"/") {
		return nil
	}
	if err := unix.Rename(from, to); err != nil {
		return fmt.Errorf("rename %s %s: %w", from, to, err)
	}
	w.move(from, to)
	return nil
}

// list compares one of the worker's own directories with the book.
func (w *worker) list() error {
	dir := w.pick(keys(w.dirs))
	rows, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	got := map[string]bool{}
	for _, r := range rows {
		got[dir+"/"+r.Name()] = true
	}
	for _, path := range append(append(keys(w.files), keys(w.links)...), keys(w.dirs)...) {
		if strings.HasPrefix(path, dir+"/") && !strings.Contains(path[len(dir)+1:], "/") {
			if !got[path] {
				return fmt.Errorf("%s is not listed", path)
			}
			delete(got, path)
		}
	}
	if len(got) > 0 {
		return fmt.Errorf("listed, but not there: %q", keys(got))
	}
	return nil
}

// publish replaces the one file that all read, as a program saves a document:
// now from the primary, now from the fallback.
func (w *worker) publish() error {
	w.next++
	tmp := fmt.Sprintf("%s/tmp%d-%d", []string{"common", "commonlow"}[w.rng.IntN(2)], w.id, w.next)
	if err := os.WriteFile(tmp, latest(w.id, w.next), 0o644); err != nil {
		return err
	}
	return unix.Rename(tmp, "common/latest")
}

// subscribe reads that file: there is always one, and it is whole.
func (w *worker) subscribe() error {
	b, err := os.ReadFile("common/latest")
	if err != nil {
		return err
	}
	return whole(b)
}

func latest(id, n int) []byte {
	line := fmt.Sprintf("version %d of worker %d\n", n, id)
	return []byte(strings.Repeat(line, 50+n%100) + "end\n")
}

func whole(b []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	var n, id int
	if _, err := fmt.Sscanf(lines[0], "version %d of worker %d", &n, &id); err != nil || !bytes.Equal(b, latest(id, n)) {
		return fmt.Errorf("the common file is not whole: %d bytes, begins with %.60q", len(b), lines[0])
	}
	return nil
}
