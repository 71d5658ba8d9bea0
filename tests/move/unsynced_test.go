package move

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// interlude is what a client does with the file f while the move of it has not ended: f is
// on another tier, and its end on the first not durable. What the client does is, by
// itself or because its own tier happens to write it back.
type interlude struct {
	name   string
	source int    // the rank that f moves from
	at     string // the point at which mid runs, if one does
	mid    func(t *testing.T, m mount)
	end    string // the point at which do runs, and the power goes; "moved" if none is given
	do     func(t *testing.T, m mount)
	want   map[string]string // the files after a power cut
}

var interludes = []interlude{
	{
		name: "removed", source: 0,
		do: func(t *testing.T, m mount) {
			harness.Remove(t, m.Path("f"))
			syncNames(t, m.Dir)
		},
	},
	// The source's way into the trash happens to be durable, its end there is not, and the
	// directory was not changed since.
	{
		name: "renamed, from the trash", source: 0, at: "aside", mid: syncTier(0),
		do: func(t *testing.T, m mount) {
			harness.Rename(t, m.Path("f"), m.Path("g"))
			syncNames(t, m.Dir)
		},
		want: map[string]string{"g": "first"},
	},
	{
		name: "renamed, from the trash below", source: 1, at: "aside", mid: syncTier(1),
		do: func(t *testing.T, m mount) {
			harness.Rename(t, m.Path("f"), m.Path("g"))
			syncNames(t, m.Dir)
		},
		want: map[string]string{"g": "first"},
	},
	{
		name: "renamed, and that written back", source: 0,
		do: func(t *testing.T, m mount) {
			harness.Rename(t, m.Path("f"), m.Path("g"))
			syncTier(1)(t, m)
		},
		want: map[string]string{"g": "first"},
	},
	// An old version comes to light.
	{
		name: "written and removed, and that written back", source: 1,
		do: func(t *testing.T, m mount) {
			save(t, m.Path("f"), "second")
			harness.Remove(t, m.Path("f"))
			syncTier(0)(t, m)
		},
	},
	{
		name: "written and renamed, and that written back", source: 1,
		do: func(t *testing.T, m mount) {
			save(t, m.Path("f"), "second")
			harness.Rename(t, m.Path("f"), m.Path("g"))
			syncTier(0)(t, m)
		},
		want: map[string]string{"g": "second"},
	},
	// The move gives way, and takes the copy back.
	{
		name: "written while it moves, and removed, and that written back", source: 0, at: "named",
		mid: func(t *testing.T, m mount) { save(t, m.Path("f"), "second") },
		do: func(t *testing.T, m mount) {
			harness.Remove(t, m.Path("f"))
			syncTier(0)(t, m)
		},
	},
	{
		name: "replaced while it moves, and removed, and that written back", source: 0, at: "named",
		mid: func(t *testing.T, m mount) {
			harness.Write(t, m.Path("new"), "second")
			harness.Rename(t, m.Path("new"), m.Path("f"))
		},
		do: func(t *testing.T, m mount) {
			harness.Remove(t, m.Path("f"))
			syncTier(0)(t, m)
		},
	},
	// The move gives way to who opens the source, and the copy has been written by then: the
	// chores end it.
	{
		name: "written while it moves, settled and renamed, and that written back", source: 1, at: "named",
		mid: func(t *testing.T, m mount) {
			save(t, m.Path("f"), "second")
			if _, err := os.OpenFile(m.Tier(1, "f"), os.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("the source can be opened: %v", err)
			}
		},
		end: "settled",
		do: func(t *testing.T, m mount) {
			harness.Rename(t, m.Path("f"), m.Path("g"))
			syncTier(0)(t, m)
		},
		want: map[string]string{"g": "second"},
	},
}

// TestPowerCutDoesNotUndoWhatFollowsAMove: a client who removed or renamed a file, which
// a batch had moved a moment before, found it again after a power cut, under the name
// that was gone durably or as it had been before it was written.
func TestPowerCutDoesNotUndoWhatFollowsAMove(t *testing.T) {
	bin := faulty(t)
	for _, fstype := range cutKinds(t) {
		medium := newMedium(t, fstype)
		for _, i := range interludes {
			t.Run(fstype+"/"+i.name, func(t *testing.T) { i.run(t, bin, medium) })
		}
	}
}

func (i *interlude) run(t *testing.T, bin string, medium *medium) {
	medium.t = t
	tiers, detach := medium.attach(medium.file)
	harness.Write(t, tiers[i.source]+"/f", "first")
	m := newMountOn(t, tiers, "minfree=0%")
	end := cmp.Or(i.end, "moved")
	pauses := newPauses(t, i.at, end)
	cmd := exec.Command(bin, m.Args()[3:]...)
	cmd.Env = append(os.Environ(), "TIERFS_TEST_DIR="+m.Dir, "TIERFS_PAUSE="+pauses.String())
	if _, stderr, code := m.UpBy(cmd); code != 0 {
		t.Fatal(stderr)
	}
	time.Sleep(quiet)
	for rank := range tiers {
		syncTier(rank)(t, m)
	}
	move := m.start([]string{"demote", "promote"}[i.source], "f")
	if i.mid != nil {
		pauses.reach(i.at)
		i.mid(t, m)
		pauses.end(i.at)
	}
	pauses.reach(end)
	i.do(t, m)
	cut := medium.file + "-cut"
	medium.clone(cut)
	defer harness.Remove(t, cut)
	pauses.end(end)
	if _, err := m.ended(move); err != nil {
		t.Error(err)
	}
	m.Down()
	wantFiles(t, m, i.want)
	for path := range i.want { // for the next
		harness.Must(t, "rm", "-f", tiers[0]+"/"+path, tiers[1]+"/"+path)
	}
	detach()

	tiers, detach = medium.attach(cut)
	defer detach()
	m = newMountOn(t, tiers, "minfree=0%")
	m.Up()
	defer m.Down()
	wantFiles(t, m, i.want)
	m.wantTidy()
}

// wantFiles fails the test unless each of the files is on one tier, and no other.
func wantFiles(t *testing.T, m mount, want map[string]string) {
	t.Helper()
	n := 0
	for rank := range m.Tiers {
		for _, path := range files(t, m.Tiers[rank]) {
			text := harness.Read(t, m.Tier(rank, path))
			if have, ok := want[path]; !ok || have != text {
				t.Errorf("%s is on tier %d, with %q", path, rank, text)
			}
			n++
		}
	}
	if n != len(want) {
		t.Errorf("the tiers have %d files, want %d", n, len(want))
	}
}

// save writes a file anew, durably.
func save(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// syncNames makes the names in a directory durable.
func syncNames(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}

// syncTier writes a tier's filesystem back, as the kernel does at any time.
func syncTier(rank int) func(t *testing.T, m mount) {
	return func(t *testing.T, m mount) {
		t.Helper()
		harness.Must(t, "sync", "-f", m.Tiers[rank])
	}
}

// pauses are points at which a test build waits, each with a file that says so.
type pauses struct {
	t     *testing.T
	files map[string]string
}

func newPauses(t *testing.T, points ...string) *pauses {
	dir := harness.TempDir(t)
	p := &pauses{t, map[string]string{}}
	for _, point := range points {
		if point != "" {
			p.files[point] = filepath.Join(dir, point)
		}
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return p
}

func (p *pauses) String() string {
	var all []string
	for point, file := range p.files {
		all = append(all, fmt.Sprintf("%s=%s", point, file))
	}
	return strings.Join(all, ",")
}

// reach waits until the daemon waits at a point.
func (p *pauses) reach(point string) {
	p.t.Helper()
	harness.Eventually(p.t, "the move gets to the point "+point, func() bool { return harness.Exists(p.t, p.files[point]) })
}

// end lets it go on.
func (p *pauses) end(point string) {
	p.t.Helper()
	harness.Remove(p.t, p.files[point])
}
