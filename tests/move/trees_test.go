package move

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// tree is what a gardener's directory has: the content of each file by its path, and
// isTree for a directory.
type tree map[string]string

const isTree = "/"

func (tr tree) with(p, text string) tree {
	next := maps.Clone(tr)
	next[p] = text
	return next
}

// moved is the tree after a rename.
func (tr tree) moved(from, to string) tree {
	next := tree{}
	for p, text := range tr {
		switch {
		case p == to: // replaced
		case p == from || strings.HasPrefix(p, from+"/"):
			next[to+strings.TrimPrefix(p, from)] = text
		default:
			next[p] = text
		}
	}
	return next
}

func (tr tree) without(p string) tree {
	next := maps.Clone(tr)
	delete(next, p)
	return next
}

func (tr tree) empty(dir string) bool {
	for p := range tr {
		if strings.HasPrefix(p, dir+"/") {
			return false
		}
	}
	return true
}

// gardener changes a tree of its own.
type gardener struct {
	m     *harness.Mount
	r     *rand.Rand
	open  *sync.RWMutex // held while files are opened
	top   string
	seq   int
	now   tree
	next  tree   // what the operation under way is to leave, nil for none
	temp  string // a file that it writes meanwhile
	said  []string
	steps int
}

func (g *gardener) at(p string) string { return g.m.Path(filepath.Join(g.top, p)) }

// any is a path of the tree for which ok holds.
func (g *gardener) any(ok func(p, text string) bool) (string, bool) {
	var all []string
	for p, text := range g.now {
		if ok(p, text) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return "", false
	}
	slices.Sort(all)
	return all[g.r.IntN(len(all))], true
}

func (g *gardener) do(what string, next tree, fn func() error) error {
	g.next = next
	err := fn()
	g.said = append(g.said, fmt.Sprintf("%s %s: %v", time.Now().Format("05.000"), what, err))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	g.now, g.next, g.temp = next, nil, ""
	return nil
}

func (g *gardener) history() string {
	return strings.Join(g.said[max(0, len(g.said)-25):], "\n")
}

// step does one operation, or none if the tree has nothing for it.
func (g *gardener) step() error {
	isDir := func(_, text string) bool { return text == isTree }
	isFile := func(_, text string) bool { return text != isTree }
	dir, _ := g.any(isDir)
	p := path.Join(dir, string(rune('a'+g.r.IntN(8))))
	there := g.now[p]
	rename := func(from string) error {
		return g.do("rename "+from+" "+p, g.now.moved(from, p), func() error { return unix.Rename(g.at(from), g.at(p)) })
	}
	switch g.r.IntN(10) {
	case 0, 1:
		if there == "" && strings.Count(p, "/") <= 3 {
			return g.do("mkdir "+p, g.now.with(p, isTree), func() error { return os.Mkdir(g.at(p), 0o700) })
		}
	case 2, 3, 4:
		from, ok := g.any(func(p, text string) bool { return text == isTree && p != "." })
		apart := ok && p != from && !strings.HasPrefix(p, from+"/") && !strings.HasPrefix(from, p+"/")
		if apart && (there == "" || there == isTree && g.now.empty(p)) {
			return rename(from)
		}
	case 5:
		if d, ok := g.any(func(p, text string) bool { return text == isTree && p != "." && g.now.empty(p) }); ok {
			return g.do("rmdir "+d, g.now.without(d), func() error { return unix.Rmdir(g.at(d)) })
		}
	case 6:
		if from, ok := g.any(isFile); ok && p != from && there != isTree {
			return rename(from)
		}
	case 7:
		if f, ok := g.any(isFile); ok && g.r.IntN(4) == 0 { // so that there are some, also old ones
			return g.do("unlink "+f, g.now.without(f), func() error { return os.Remove(g.at(f)) })
		}
	case 8:
		if there != isTree {
			return g.save(p)
		}
	case 9:
		if f, ok := g.any(isFile); ok {
			return g.do("read "+f, g.now, func() error {
				g.open.RLock()
				b, err := os.ReadFile(g.at(f))
				g.open.RUnlock()
				if err == nil && string(b) != g.now[f] {
					err = fmt.Errorf("it has %d bytes: %.30q, want %d: %.30q", len(b), b, len(g.now[f]), g.now[f])
				}
				return err
			})
		}
	}
	return nil
}

// save is how editors do it.
func (g *gardener) save(p string) error {
	g.seq++
	body := fmt.Sprintf("%s %d %s", g.top, g.seq, text("x", g.r.IntN(3000)))
	g.temp = p + "~"
	err := g.do("write "+g.temp, g.now.with(g.temp, body), func() error {
		g.open.RLock()
		defer g.open.RUnlock()
		return os.WriteFile(g.at(p+"~"), []byte(body), 0o600)
	})
	if err != nil {
		return err
	}
	return g.do("save "+p, g.now.moved(p+"~", p), func() error { return unix.Rename(g.at(p+"~"), g.at(p)) })
}

// settle fails the test unless the mount has the tree as it was or was to become.
func (g *gardener) settle(t *testing.T) {
	t.Helper()
	got := tree{}
	root := g.m.Path(g.top)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() {
			got[rel] = isTree
			return nil
		}
		b, err := os.ReadFile(p)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Errorf("%s: %v", g.top, err)
	}
	if g.temp != "" && g.next != nil && strings.HasPrefix(g.next[g.temp], got[g.temp]) && !maps.Equal(got, g.next) { // the daemon has written a part of it
		if _, there := got[g.temp]; there {
			g.next = g.next.with(g.temp, got[g.temp])
		}
	}
	if !maps.Equal(got, g.now) && (g.next == nil || !maps.Equal(got, g.next)) {
		t.Errorf("%s has\n%s\nwas\n%s\nand was to become\n%s\nafter\n%s", g.top, got, g.now, g.next, g.history())
	}
	g.now, g.next, g.temp = got, nil, ""
}

// String lists the tree.
func (tr tree) String() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(tr)) {
		fmt.Fprintf(&b, "\t%s %d %.20q\n", p, len(tr[p]), tr[p])
	}
	return b.String()
}

const gardeners = 6

// TestKilledAmongDirectoriesLosesNothing: gardeners rename directories and files on a
// tier whose numbers do not last, and the daemon is killed again and again, with the
// tier served anew or not.
func TestKilledAmongDirectoriesLosesNothing(t *testing.T) {
	lasts := harness.Duration(t, "TIERFS_SOAK", 10*time.Second)
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("anew: %v", anew), func(t *testing.T) { garden(t, anew, lasts/2) })
	}
}

func garden(t *testing.T, anew bool, lasts time.Duration) {
	disk := faultfs.New(t, 1)
	plan := faultfs.Plan{NoNumbers: true, NoLinks: true, NoXattrs: true, Ops: []string{"RENAME", "RENAME2", "UNLINK", "RMDIR"}, Nth: 1, Stays: true, DelayMS: 4}
	disk.Arm(plan)
	tiers := []string{harness.On(t, "tmpfs", "512M"), disk.Disks[0]}
	m := harness.NewOn(t, tiers, "minfree=0%")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var all []*gardener
	open := new(sync.RWMutex)
	for i := range gardeners {
		g := &gardener{m: m, open: open, r: rand.New(rand.NewPCG(random.Uint64(), 0)), top: fmt.Sprint("garden-", i), now: tree{".": isTree}}
		harness.Mkdir(t, filepath.Join(tiers[i%2], g.top))
		all = append(all, g)
	}
	kills, midst := 0, 0
	for end := time.Now().Add(lasts); time.Now().Before(end) && !t.Failed(); kills++ {
		m.Up()
		killAmong(t, m, all, random)
		if len(leftovers(t, tiers)) > 0 {
			midst++
		}
		harness.Must(t, "umount", "-l", m.Dir)
		if anew {
			disk.Revive()
			disk.Arm(plan)
		}
		m.Up()
		harness.Contains(t, harness.Must(t, harness.CLI, "check", m.Dir), " 0 findings")
		for _, g := range all {
			g.settle(t)
		}
		m.Down()
	}
	steps := 0
	for _, g := range all {
		steps += g.steps
	}
	t.Logf("%d kills, %d in the middle of something; %d operations", kills, midst, steps)
}

// killAmong has all work, files move, and the daemon killed then.
func killAmong(t *testing.T, m *harness.Mount, all []*gardener, random *rand.Rand) {
	t.Helper()
	var dying atomic.Bool
	var crew sync.WaitGroup
	var commands []string
	defer func() {
		if t.Failed() {
			t.Logf("commands:\n%s", strings.Join(commands[max(0, len(commands)-8):], "\n"))
			for _, g := range all {
				t.Logf("%s:\n%s", g.top, g.history())
			}
		}
	}()
	defer crew.Wait()
	defer dying.Store(true)
	for _, g := range all {
		crew.Go(func() {
			for ; !dying.Load(); g.steps++ {
				if err := g.step(); err != nil {
					if !dying.Load() {
						t.Errorf("%s: %v after\n%s", g.top, err, g.history())
					}
					return
				}
				rest := time.Duration(g.r.IntN(20)) * time.Millisecond
				if g.r.IntN(50) == 0 {
					rest = 2 * time.Second // what changes all the time stays where it is
				}
				for end := time.Now().Add(rest); time.Now().Before(end) && !dying.Load(); {
					time.Sleep(min(rest, 20*time.Millisecond))
				}
			}
		})
	}
	// A file that gets another number between its lookup and its open(2) is stale, and
	// looked up once more; twice in a row would be an error.
	crew.Go(func() {
		for ; !dying.Load(); time.Sleep(100 * time.Millisecond) {
			all[0].open.Lock()
			if err := harness.DropUnused(m.Tiers[1]); err != nil {
				t.Error(err)
			}
			all[0].open.Unlock()
		}
	})
	crew.Go(func() {
		for i := 0; !dying.Load(); i++ {
			args := []string{[]string{"demote", "promote"}[i%2], "--older-than", "1s"}
			for _, g := range all {
				args = append(args, m.Path(g.top))
			}
			begun := time.Now()
			text, err := exec.Command(harness.CLI, args...).CombinedOutput()
			commands = append(commands, fmt.Sprintf("%s to %s %s: %v %s", begun.Format("05.000"), time.Now().Format("05.000"), args[0], err, text))
		}
	})
	time.Sleep(time.Duration(800+random.IntN(1500)) * time.Millisecond)
	awaitRecord(t, m.Tiers)
	time.Sleep(time.Duration(random.IntN(7)) * time.Millisecond)
	dying.Store(true)
	if err := unix.Kill(m.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	crew.Wait()
	m.Gone(128 + int(unix.SIGKILL))
}
