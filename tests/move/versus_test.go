package move

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// arena is a mount in which files go down and up all the time.
type arena struct {
	mount
	actors []*actor
	still  map[string]string // files that nobody changes
}

// actor uses files of its own in its own way. Its ledger is what the files must
// be, by name in its directory.
type actor struct {
	*arena
	name string
	rng  *rand.Rand
	dir  string // in the mount
	acts func(*actor) error
	book map[string]*kept
	done int
	met  int // moves that it came in the way of
}

// kept is what a file must be. Zero means that nobody has set it.
type kept struct {
	content []byte
	mode    uint32
	mtime   int64
	attr    string
}

// kinds of actors, and how many of each.
const each = 4

var kinds = map[string]func(*actor) error{
	"append":   (*actor).append,
	"in-place": (*actor).inPlace,
	"mmap":     (*actor).mapped,
	"editor":   (*actor).edit,
	"truncate": (*actor).truncate,
	"attr":     (*actor).attributes,
	"link":     (*actor).link,
	"rename":   (*actor).rename,
	"dir":      (*actor).renameDir,
	"unlink":   (*actor).unlink,
	"below":    (*actor).appendBelow,
	"saver":    (*actor).saveBelow,
}

// TestWritersVersusMover: whatever is done to files while they move, the end is
// what the ledgers say, and nobody sees anything else on the way.
func TestWritersVersusMover(t *testing.T) {
	for _, c := range []struct {
		name string
		on   func(t *testing.T) []string
		opt  string
	}{
		{"passthrough", func(t *testing.T) []string {
			return []string{harness.On(t, "ext4", "256M"), harness.On(t, "ext4", "256M")}
		}, "passthrough=auto"},
		{"daemon", func(t *testing.T) []string { dir := harness.TempDir(t); return []string{dir + "/p", dir + "/f"} }, "passthrough=off"},
	} {
		t.Run(c.name, func(t *testing.T) { versus(t, c.on(t), c.opt) })
	}
}

func versus(t *testing.T, tiers []string, opt string) {
	harness.Require(t, "root", "fuse", "loop")
	for _, dir := range tiers {
		harness.Mkdir(t, dir)
	}
	// Names that change behind the mount are to be seen at once.
	a := &arena{mount: newMountOn(t, tiers, opt, "entry_timeout=0", "attr_timeout=0", "mover_rate=6M"), still: map[string]string{}}
	seed := rand.Uint64()
	a.cast(seed)
	a.Up()
	down, up := a.play(time.Now().Add(harness.Duration(t, "TIERFS_STRESS", 7*time.Second)))
	if t.Failed() {
		t.Logf("seed %d", seed)
		return
	}
	if down == 0 || up == 0 {
		t.Errorf("%d files went down, %d up: nothing was shown", down, up)
	}
	a.compare()
	a.wantTidy()
	a.Down()
	a.Up()
	a.compare()
	a.wantTidy()
}

// cast makes the actors and what is there before they begin.
func (a *arena) cast(seed uint64) {
	for i := range 24 {
		rel := fmt.Sprintf("still/%02d", i)
		a.still[rel] = strings.Repeat(fmt.Sprintf("line of %s\n", rel), 100+i*500)
		a.Put(i%2, rel, a.still[rel])
	}
	kindNames := []string{}
	for kind := range kinds {
		kindNames = append(kindNames, kind)
	}
	slices.Sort(kindNames)
	for k, kind := range kindNames {
		for i := range each {
			act := &actor{arena: a, name: fmt.Sprint(kind, i), acts: kinds[kind], book: map[string]*kept{}, rng: rand.New(rand.NewPCG(seed, uint64(k*each+i)))}
			act.dir = fmt.Sprint("work", i, "/", act.name)
			act.book["f"] = &kept{content: act.some(200_000)}
			a.Put(i%2, act.dir+"/f", string(act.book["f"].content))
			a.actors = append(a.actors, act)
		}
	}
}

// play lets all act until the end, and returns how many files went each way.
func (a *arena) play(end time.Time) (down, up int) {
	var all sync.WaitGroup
	running := func() bool { return time.Now().Before(end) && !a.t.Failed() }
	watch := func(name string, step func() error) {
		all.Go(func() {
			n := 0
			for ; running(); n++ {
				if err := step(); err != nil {
					a.t.Errorf("%s, step %d: %v", name, n, err)
					return
				}
			}
			a.t.Logf("%s: %d", name, n)
		})
	}
	for _, act := range a.actors {
		all.Go(func() {
			for running() {
				act.rest()
				if err := act.step(); err != nil {
					a.t.Errorf("%s, act %d: %v", act.name, act.done, err)
					return
				}
				act.done++
			}
		})
	}
	watch("reader", a.read)
	watch("lister", a.list)
	watch("creator", a.create)
	numbers := a.hold()
	defer numbers.release()
	watch("numbers", numbers.same)
	skips := map[string]int{}
	watch("mover", func() error {
		n, err := a.round("demote", skips)
		down += n
		if err == nil {
			n, err = a.round("promote", skips)
			up += n
		}
		return err
	})
	all.Wait()
	met := 0
	for _, act := range a.actors {
		met += act.met
	}
	a.t.Logf("%d down, %d up, %d of them met, skips %v", down, up, met, skips)
	return down, up
}

func (a *arena) round(which string, skips map[string]int) (int, error) {
	r, err := a.ended(a.start(which, ""))
	if err == nil && r.code > 1 {
		err = errors.New(r.said)
	}
	for _, why := range r.skips {
		skips[which+" "+why]++
	}
	time.Sleep(300 * time.Millisecond)
	return r.moved, err
}

// rest is as long as files take to become quiet, more or less. It ends when both
// tiers have the file, in the middle of its move.
func (a *actor) rest() {
	for end := time.Now().Add(time.Duration(a.rng.IntN(2500)) * time.Millisecond); time.Now().Before(end); time.Sleep(4 * time.Millisecond) {
		var st unix.Stat_t
		if unix.Lstat(a.Tier(0, a.dir+"/f"), &st) == nil && unix.Lstat(a.Tier(1, a.dir+"/f"), &st) == nil {
			a.met++
			return
		}
	}
}

// some is content that is not what was there before.
func (a *actor) some(most int) []byte {
	b := make([]byte, 1+a.rng.IntN(most))
	letter := byte('a' + a.rng.IntN(26))
	for i := range b {
		b[i] = letter + byte(i%7)
	}
	return b
}

func (a *actor) path(name string) string { return a.Path(a.dir + "/" + name) }

// step acts, and looks at what has come of it.
func (a *actor) step() error {
	if err := a.acts(a); err != nil {
		return err
	}
	for name, want := range a.book {
		if err := want.is(a.path(name)); err != nil {
			return fmt.Errorf("then %s: %w", name, err)
		}
	}
	return nil
}

func (k *kept) is(path string) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, k.content) {
		return fmt.Errorf("%d bytes %.20q, want %d bytes %.20q; they differ from byte %d", len(got), got, len(k.content), k.content, differ(got, k.content))
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Size != int64(len(k.content)) || k.mode != 0 && st.Mode&0o7777 != k.mode || k.mtime != 0 && st.Mtim.Nano() != k.mtime {
		return fmt.Errorf("size %d, mode %o, mtime %d; want %d, %o, %d", st.Size, st.Mode&0o7777, st.Mtim.Nano(), len(k.content), k.mode, k.mtime)
	}
	if k.attr == "" {
		return nil
	}
	b := make([]byte, 100)
	if n, err := unix.Getxattr(path, "user.kept", b); err != nil || string(b[:n]) != k.attr {
		return fmt.Errorf("user.kept is %q, want %q (%v)", b[:max(n, 0)], k.attr, err)
	}
	return nil
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// opened runs fn on an open file of the actor's.
func opened(path string, flags int, fn func(f *os.File) error) error {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Close())
}

// append adds to the file, now and then with a pause before the second half.
func (a *actor) append() error {
	k := a.book["f"]
	if len(k.content) > 1<<20 {
		return a.truncate()
	}
	return opened(a.path("f"), os.O_WRONLY|os.O_APPEND, func(f *os.File) error {
		for range 1 + a.rng.IntN(2) {
			b := a.some(3000)
			if _, err := f.Write(b); err != nil {
				return err
			}
			k.content = append(k.content, b...)
			if a.rng.IntN(4) == 0 {
				a.rest()
			}
		}
		return nil
	})
}

func (a *actor) inPlace() error {
	k := a.book["f"]
	return opened(a.path("f"), os.O_RDWR, func(f *os.File) error {
		b, at := a.some(3000), a.rng.IntN(len(k.content))
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			return err
		}
		k.content = over(k.content, b, at)
		return nil
	})
}

// over is content with b written at an offset.
func over(content, b []byte, at int) []byte {
	if grown := at + len(b) - len(content); grown > 0 {
		content = append(content, make([]byte, grown)...)
	}
	copy(content[at:], b)
	return content
}

// mapped writes into a mapping, with or without msync(2), and sometimes when the
// descriptor has long been closed.
func (a *actor) mapped() error {
	k := a.book["f"]
	fd, err := unix.Open(a.path("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, 0, len(k.content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return err
	}
	for range 1 + a.rng.IntN(3) {
		b, at := a.some(3000), a.rng.IntN(len(k.content))
		n := copy(mem[at:], b)
		copy(k.content[at:], b[:n])
		if a.rng.IntN(2) == 0 {
			if err := unix.Msync(mem, unix.MS_SYNC); err != nil {
				return err
			}
		}
		if a.rng.IntN(2) == 0 {
			a.rest()
		}
	}
	if !bytes.Equal(mem, k.content) {
		return errors.New("the mapping is another")
	}
	return unix.Munmap(mem)
}

// edit saves as editors do: a new file is renamed over the old one.
func (a *actor) edit() error {
	b := a.some(200_000)
	err := opened(a.path("#f"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, func(f *os.File) error {
		_, err := f.Write(b)
		if err == nil && a.rng.IntN(2) == 0 {
			err = f.Sync()
		}
		return err
	})
	if err != nil {
		return err
	}
	if a.rng.IntN(2) == 0 {
		a.rest() // it may have moved meanwhile
	}
	if err := unix.Rename(a.path("#f"), a.path("f")); err != nil {
		return err
	}
	a.book["f"].content = b
	return a.absent("#f")
}

func (a *actor) absent(name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(a.path(name), &st); err != unix.ENOENT {
		return fmt.Errorf("%s is there: %v", name, err)
	}
	return nil
}

func (a *actor) truncate() error {
	k := a.book["f"]
	size := 1 + a.rng.IntN(300_000)
	switch a.rng.IntN(3) {
	case 0:
		if err := unix.Truncate(a.path("f"), int64(size)); err != nil {
			return err
		}
	case 1:
		if err := opened(a.path("f"), os.O_RDWR, func(f *os.File) error { return f.Truncate(int64(size)) }); err != nil {
			return err
		}
	default:
		k.content = a.some(300_000)
		return os.WriteFile(a.path("f"), k.content, 0)
	}
	k.content = append(k.content, make([]byte, max(0, size-len(k.content)))...)[:size]
	return nil
}

func (a *actor) attributes() error {
	k, path := a.book["f"], a.path("f")
	switch a.rng.IntN(3) {
	case 0:
		k.mode = []uint32{0o600, 0o644, 0o750, 0o4755, 0o444}[a.rng.IntN(5)]
		return unix.Chmod(path, k.mode)
	case 1:
		k.attr = string(a.some(50))
		return unix.Setxattr(path, "user.kept", []byte(k.attr), 0)
	}
	k.mtime = 1e18 + a.rng.Int64N(1e17)
	ts := unix.NsecToTimespec(k.mtime)
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, 0)
}

// link gives the file a second name for a while. One of the two is written to.
func (a *actor) link() error {
	k := a.book["f"]
	if a.book["g"] == nil {
		a.book["g"] = k
		return unix.Link(a.path("f"), a.path("g"))
	}
	if err := a.inPlace(); err != nil {
		return err
	}
	gone, left := "f", "g"
	if a.rng.IntN(2) == 0 {
		gone, left = left, gone
	}
	delete(a.book, "g")
	if err := unix.Unlink(a.path(gone)); err != nil {
		return err
	}
	if left == "g" {
		return unix.Rename(a.path("g"), a.path("f"))
	}
	return nil
}

// rename gives the file another name and back, sometimes in another directory.
func (a *actor) rename() error {
	away := []string{"g", "sub/f"}[a.rng.IntN(2)]
	if err := os.MkdirAll(a.path("sub"), 0o755); err != nil {
		return err
	}
	if err := unix.Rename(a.path("f"), a.path(away)); err != nil {
		return err
	}
	if err := errors.Join(a.absent("f"), a.book["f"].is(a.path(away))); err != nil {
		return err
	}
	a.rest()
	if err := unix.Rename(a.path(away), a.path("f")); err != nil {
		return err
	}
	return a.absent(away)
}

// renameDir renames the directory itself, to and fro.
func (a *actor) renameDir() error {
	to := a.dir + "~"
	if strings.HasSuffix(a.dir, "~") {
		to = strings.TrimSuffix(a.dir, "~")
	}
	from := a.dir
	if err := unix.Rename(a.Path(from), a.Path(to)); err != nil {
		return err
	}
	a.dir = to
	for rank := range a.Tiers { // and nowhere else
		if harness.Exists(a.t, a.Tier(rank, from)) {
			return fmt.Errorf("%s is on tier %d still", from, rank)
		}
	}
	return nil
}

// unlink removes the file and makes it anew, sometimes while it is open.
func (a *actor) unlink() error {
	k := a.book["f"]
	f, err := os.Open(a.path("f"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Unlink(a.path("f")); err != nil {
		return err
	}
	if err := a.absent("f"); err != nil {
		return err
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, k.content) {
		return fmt.Errorf("the removed file has %d bytes, want %d (%v)", len(got), len(k.content), err)
	}
	k.content = a.some(200_000)
	return opened(a.path("f"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, func(f *os.File) error {
		_, err := f.Write(k.content)
		return err
	})
}

// appendBelow opens the file in the tier that has it, and adds to it there.
func (a *actor) appendBelow() error {
	k := a.book["f"]
	for {
		for rank := range a.Tiers {
			err := opened(a.Tier(rank, a.dir+"/f"), os.O_WRONLY|os.O_APPEND, func(f *os.File) error {
				for range 2 {
					b := a.some(1000)
					if _, err := f.Write(b); err != nil {
						return err
					}
					k.content = append(k.content, b...)
					time.Sleep(time.Duration(a.rng.IntN(100)) * time.Millisecond)
				}
				return nil
			})
			if !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
}

// saveBelow saves in the primary's directory as editors do, if the file is
// there. If it has gone down by then, both tiers have it, and the older one has
// to be removed by who made this so.
func (a *actor) saveBelow() error {
	path := a.Tier(0, a.dir+"/f")
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return nil
	}
	k := &kept{content: a.some(100_000)}
	if err := os.WriteFile(path+"#", k.content, 0o644); err != nil {
		return err
	}
	if err := unix.Rename(path+"#", path); err != nil {
		return fmt.Errorf("rename in the tier: %w", err)
	}
	a.book["f"] = k
	a.rest() // what moves the file now ends
	if err := k.is(a.path("f")); err != nil {
		return err
	}
	var high, low unix.Stat_t
	if unix.Lstat(path, &high) == nil && unix.Lstat(a.Tier(1, a.dir+"/f"), &low) == nil {
		return a.removeLower(k)
	}
	return nil
}

// removeLower removes what the primary's file hides, if it does still. The mover
// takes its copy back by itself when it comes to see that the source is another:
// on a machine that is slow, only between our read and our unlink.
func (a *actor) removeLower(k *kept) error {
	got, err := os.ReadFile(a.Tier(1, a.dir+"/f"))
	if err != nil || bytes.Equal(got, k.content) {
		return nil // it has moved meanwhile
	}
	if err := unix.Unlink(a.Tier(1, a.dir+"/f")); err != nil && err != unix.ENOENT {
		return fmt.Errorf("unlink in the tier: %w", err)
	}
	return nil
}

// read reads the files that nobody changes, by name and by a descriptor.
func (a *arena) read() error {
	for rel, want := range a.still {
		err := opened(a.Path(rel), os.O_RDONLY, func(f *os.File) error {
			got, err := io.ReadAll(f)
			if err == nil && string(got) != want {
				err = fmt.Errorf("%s has %d bytes, want %d", rel, len(got), len(want))
			}
			return err
		})
		if err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // they are to be closed, mostly
	}
	return nil
}

// list lists their directory in large and in small pieces: each name is there
// once.
func (a *arena) list() error {
	for _, size := range []int{400, 32 << 10} {
		names, err := listed(a.Path("still"), size)
		if err != nil {
			return err
		}
		slices.Sort(names)
		want := []string{".", ".."}
		for rel := range a.still {
			want = append(want, filepath.Base(rel))
		}
		slices.Sort(want)
		if !slices.Equal(names, want) {
			return fmt.Errorf("%q is listed, want %q", names, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// listed reads a directory by getdents64(2) with a buffer of a size.
func listed(path string, size int) (names []string, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for b := make([]byte, size); ; {
		n, err := unix.Getdents(fd, b)
		if n <= 0 || err != nil {
			return names, err
		}
		for rest := b[:n]; len(rest) > 0; {
			length := int(rest[16]) | int(rest[17])<<8
			name, _, _ := bytes.Cut(rest[19:length], []byte{0})
			names = append(names, string(name))
			rest = rest[length:]
		}
	}
}

// create tries to make what is there already.
func (a *arena) create() error {
	for rel := range a.still {
		path := a.Path(rel)
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		if err != unix.EEXIST {
			unix.Close(fd)
			return fmt.Errorf("O_EXCL of %s: %v", rel, err)
		}
		if err := unix.Mkdir(path, 0o755); err != unix.EEXIST {
			return fmt.Errorf("mkdir of %s: %v", rel, err)
		}
		if err := unix.Symlink("x", path); err != unix.EEXIST {
			return fmt.Errorf("symlink of %s: %v", rel, err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// numbers are files that a process keeps known.
type numbers struct {
	*arena
	fds map[string]int
	ino map[string]uint64
}

func (a *arena) hold() *numbers {
	n := &numbers{a, map[string]int{}, map[string]uint64{}}
	for rel := range a.still {
		var st unix.Stat_t
		fd, err := unix.Open(a.Path(rel), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err != nil {
			a.t.Fatal(err)
		}
		n.fds[rel], n.ino[rel] = fd, st.Ino
	}
	return n
}

func (n *numbers) release() {
	for _, fd := range n.fds {
		unix.Close(fd)
	}
}

func (n *numbers) same() error {
	for rel, fd := range n.fds {
		for range 5 {
			var byName, held unix.Stat_t
			if err := errors.Join(unix.Lstat(n.Path(rel), &byName), unix.Fstat(fd, &held)); err != nil {
				return fmt.Errorf("%s: %w", rel, err)
			}
			if byName.Ino != n.ino[rel] || held.Ino != n.ino[rel] || held.Size != int64(len(n.still[rel])) || held.Nlink != 1 {
				return fmt.Errorf("%s has the numbers %#x and %#x, %d bytes, %d links; want %#x, %d bytes", rel, byName.Ino, held.Ino, held.Size, held.Nlink, n.ino[rel], len(n.still[rel]))
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// compare holds everything to the ledgers, and nothing else to be there.
func (a *arena) compare() {
	a.t.Helper()
	for rel, want := range a.still {
		harness.WantRead(a.t, a.Path(rel), want)
	}
	want := map[string]bool{}
	for rel := range a.still {
		want[rel] = true
	}
	for _, act := range a.actors {
		for name, k := range act.book {
			want[act.dir+"/"+name] = true
			if err := k.is(act.path(name)); err != nil {
				a.t.Errorf("%s, %s: %v", act.name, name, err)
			}
		}
	}
	err := filepath.WalkDir(a.Dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(a.Dir, path)
		if err == nil && !d.IsDir() && !want[rel] {
			err = fmt.Errorf("%s is there", rel)
		}
		return err
	})
	if err != nil {
		a.t.Error(err)
	}
	for rel := range want {
		if ranks := a.on(rel); len(ranks) != 1 {
			a.t.Errorf("%s is on the tiers %v", rel, ranks)
		}
	}
}
