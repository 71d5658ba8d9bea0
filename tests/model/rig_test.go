package model

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// config is a kind of mount.
type config struct {
	name         string
	tiers        []string // the filesystem of each; "same": the primary's
	opts         []string
	primaryFirst bool          // create=primary
	outside      bool          // tiers are changed behind the mount
	wait         time.Duration // after such a change
	late         time.Duration // how much longer it may take to be seen
	readOnly     int           // the rank of a tier, if not 0
	short        bool          // the primary has less than minfree
	moves        bool          // files move between the tiers
}

// rig is a mount and the model of it.
type rig struct {
	t      *testing.T
	cfg    config
	m      *harness.Mount
	model  *state
	backs  []string // where the tiers are changed behind the mount
	open   [slots]*opened
	native []map[string]unix.Stat_t // what the last check found on each tier
}

// opened is a handle on the mount.
type opened struct {
	fd  int
	typ uint32
	ino uint64
}

const (
	roomy = "64M"
	tight = 20 << 20 // what is taken of a tier that is short
)

// newRig makes the tiers. Nothing is mounted yet.
func newRig(t *testing.T, cfg config) *rig {
	x := &rig{t: t, cfg: cfg, model: &state{primaryFirst: cfg.primaryFirst}}
	for rank, fstype := range cfg.tiers {
		var dir string
		if fstype == "same" {
			dir = filepath.Join(filepath.Dir(x.backs[0]), fmt.Sprint("t", rank))
		} else {
			disk := harness.On(t, fstype, roomy)
			if fstype == "ext4" {
				harness.Must(t, "mount", "-o", "remount,nobarrier", disk)
			}
			if dir = filepath.Join(disk, "t"); rank == 0 && cfg.short {
				fill(t, filepath.Join(disk, "ballast"), tight)
			}
		}
		harness.Mkdir(t, dir)
		tr := &tier{root: newNode(unix.S_IFDIR, 0o755), short: rank == 0 && cfg.short}
		x.model.tiers = append(x.model.tiers, tr)
		x.backs = append(x.backs, dir)
	}
	x.m = harness.NewOn(t, x.frozen(), append(strings.Fields(os.Getenv("TIERFS_MODEL_OPTIONS")), cfg.opts...)...)
	return x
}

func fill(t *testing.T, path string, size int64) {
	harness.Write(t, path, "")
	fd, err := unix.Open(path, unix.O_WRONLY, 0)
	if err == nil {
		err = unix.Fallocate(fd, 0, 0, size)
		unix.Close(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// frozen are the tiers as the mount gets them: the read-only one as a second,
// read-only binding of its directory.
func (x *rig) frozen() []string {
	tiers := append([]string(nil), x.backs...)
	if rank := x.cfg.readOnly; rank > 0 {
		dir := harness.TempDir(x.t)
		harness.Must(x.t, "mount", "--bind", tiers[rank], dir)
		harness.Must(x.t, "mount", "-o", "remount,bind,ro", dir)
		x.t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		x.model.tiers[rank].readOnly = true
		tiers[rank] = dir
	}
	return tiers
}

func (x *rig) union() bool            { return x.model.union() }
func (x *rig) path(rel string) string { return filepath.Join(x.m.Dir, rel) }
func (x *rig) behind(rank int, rel string) string {
	return filepath.Join(x.backs[rank], rel)
}

func (x *rig) close(h int) {
	if x.open[h] != nil {
		unix.Close(x.open[h].fd)
		x.open[h] = nil
	}
}

// end closes what is open, so that the mount can go.
func (x *rig) end() {
	for h := range slots {
		x.close(h)
		x.model.handles[h] = nil
	}
}

// run does the steps that next gives, the last of them being a check, and
// writes them down. It returns the first difference.
func (x *rig) run(done *[]step, next func(s *state) (step, bool)) error {
	defer x.end()
	for {
		st, more := next(x.model)
		if !more {
			return nil
		}
		*done = append(*done, st)
		if !x.m.Mounted() && !st.outside() {
			x.m.Up()
		}
		if err := x.do(st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
}

// do does one step on both sides.
func (x *rig) do(st step) error {
	switch {
	case x.leavesOut(st):
		return nil
	case st.op == "check":
		return x.check()
	case st.op == "remount":
		return x.remount()
	case st.op == "rows":
		return x.rows(st)
	case st.outside():
		return x.behindTheMount(st)
	}
	held := x.holdAll(st)
	defer held.release()
	want := calls[st.op].rule(x.model, st)
	got := calls[st.op].call(x, st)
	x.model.follow()
	if err := differ(got, want); err != nil {
		return err
	}
	if err := held.compare(x); err != nil {
		return err
	}
	if st.carries() {
		return x.check()
	}
	return x.named(st)
}

// leavesOut is what nobody can know the answer of. A handle whose file went
// away behind the mount may lead to another that was given its number; and a
// link with two names and a target inside a tier is shown relative to either.
func (x *rig) leavesOut(st step) bool {
	switch {
	case st.op == "close" || st.op == "open" || st.op == "remount":
		return false
	case x.lost(st.h) || x.lost(st.h2):
		return true
	}
	if st.carries() {
		return !x.model.movable(st.p)
	}
	e, err := x.model.existing(st.p, false)
	return st.op == "link" && err == 0 && strings.HasPrefix(e.node().target, "@/") || st.op == "linkhandle" && x.open[st.h] != nil && x.open[st.h].typ == unix.S_IFLNK
}

func (x *rig) lost(slot int) bool {
	h := x.model.handles[slot]
	return h != nil && (h.n.lost || x.cfg.outside && h.n.isDir() && x.model.whereIs(h.n) == nil)
}

func differ(got, want result) error {
	if got == want || want.errno == gone {
		return nil
	}
	return fmt.Errorf("gives %v, want %v", got, want)
}

// named compares what the names of a step are now.
func (x *rig) named(st step) error {
	for _, p := range []string{st.p, st.q} {
		if p == "" {
			continue
		}
		look := step{op: "stat", p: p}
		if err := differ(callStat(x, look), ruleStat(x.model, look)); err != nil {
			return fmt.Errorf("then %s: %w", look, err)
		}
	}
	return nil
}

// behindTheMount changes a tier. What cannot be done there is left out.
func (x *rig) behindTheMount(st step) error {
	if calls[st.op].rule(x.model, st).errno != 0 {
		return nil
	}
	got := calls[st.op].call(x, st)
	x.model.follow()
	if err := differ(got, result{}); err != nil || !x.m.Mounted() {
		return err
	}
	x.settle()
	err := x.named(st)
	for end := time.Now().Add(x.cfg.late); err != nil && time.Now().Before(end); err = x.named(st) {
		x.settle()
	}
	return err
}

// rows reads a part of a directory.
func (x *rig) rows(st step) error {
	h, o := x.model.handles[st.h], x.open[st.h]
	if h == nil || o == nil || h.path || o.typ != unix.S_IFDIR {
		return nil
	}
	if st.f != 0 {
		h.stream = nil
		if _, err := unix.Seek(o.fd, 0, unix.SEEK_SET); err != nil {
			return err
		}
	} else if h.stream == nil && h.listed {
		return nil // what it listed went away
	}
	h.listed = true
	rows, err := readSome(o.fd, int(st.n))
	if err != nil && x.model.whereIs(h.n) != nil {
		return err
	}
	return x.model.ruleRows(h, visible(rows), len(rows) == 0)
}

// remount closes all, unmounts and mounts. Nothing may be different.
func (x *rig) remount() error {
	x.end()
	x.down()
	if err := x.leftovers(true); err != nil {
		return err
	}
	x.m.Up()
	return x.check()
}

// down unmounts, and looks at the daemon's descriptors. Where directories go
// away behind the mount, the kernel may keep what was in them in its cache, and
// with that a descriptor of a file that was removed.
func (x *rig) down() {
	if x.cfg.outside {
		harness.Must(x.t, "umount", x.m.Dir)
		x.m.Gone(0)
	} else {
		x.m.Down()
	}
	if strings.Contains(x.m.Log(), "panic in an op") {
		x.t.Error("a panic in the daemon")
	}
}

// held is what an operation's names led to before.
type held struct {
	names []heldName
}

type heldName struct {
	path string
	fd   int
	ino  uint64
	n    *node
}

// holdAll holds the names of a step with O_PATH, so that the kernel does not
// forget them: then a file keeps its number, whatever becomes of its name.
func (x *rig) holdAll(st step) *held {
	h := &held{}
	if !st.hold {
		return h
	}
	for _, p := range []string{st.p, st.q} {
		e, err := x.model.existing(p, false)
		if err != 0 || p == "" {
			continue
		}
		fd, oserr := unix.Open(x.path(p), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		var s unix.Stat_t
		if oserr == nil && unix.Fstat(fd, &s) == nil {
			h.names = append(h.names, heldName{p, fd, s.Ino, e.node()})
		}
	}
	return h
}

func (h *held) release() {
	for _, n := range h.names {
		unix.Close(n.fd)
	}
}

// compare holds equal files to equal numbers, before and after.
func (h *held) compare(x *rig) error {
	for _, now := range h.names {
		e, err := x.model.existing(now.path, false)
		if err != 0 {
			continue
		}
		var s unix.Stat_t
		if err := unix.Lstat(x.path(now.path), &s); err != nil {
			return fmt.Errorf("then lstat %q: %w", now.path, err)
		}
		for _, was := range h.names {
			switch same := was.n == e.node(); {
			case same && s.Ino != was.ino:
				return fmt.Errorf("then %q has the number %#x, it was %#x as %q", now.path, s.Ino, was.ino, was.path)
			case !same && s.Ino == was.ino && !e.node().isDir():
				return fmt.Errorf("then %q has the number %#x of another file, which was %q", now.path, s.Ino, was.path)
			}
		}
	}
	return nil
}
