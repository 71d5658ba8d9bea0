package model

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// noCache makes the kernel ask for every name and attribute, so that changes
// behind the mount are seen at once.
var noCache = []string{"cache=timeout", "entry_timeout=0", "attr_timeout=0"}

// coherent makes it ask for nothing that did not change, and nothing else heals
// what is wrong. What changes behind the mount is seen once an event of it is read.
var coherent = []string{"cache=coherent", "entry_timeout=0", "attr_timeout=0"}

// How long that takes, and may take where others keep the filesystem and the machine
// busy: an event is behind all of theirs. How soon it is seen else, tests/coherent tells.
const (
	eventRead = 100 * time.Millisecond
	eventLate = 5 * time.Second
)

var configs = []config{
	{name: "one", tiers: []string{"ext4"}},
	{name: "one-daemon", tiers: []string{"tmpfs"}, opts: []string{"nopassthrough"}},
	{name: "two", tiers: []string{"tmpfs", "tmpfs"}},
	{name: "two-same", tiers: []string{"ext4", "same"}},
	{name: "two-daemon", tiers: []string{"ext4", "tmpfs"}, opts: []string{"nopassthrough"}},
	{name: "three", tiers: []string{"tmpfs", "ext4", "tmpfs"}},
	{name: "three-primary", tiers: []string{"tmpfs", "tmpfs", "tmpfs"}, opts: []string{"create=primary"}, primaryFirst: true},
	{name: "three-full", tiers: []string{"tmpfs", "tmpfs", "tmpfs"}, opts: []string{"minfree=50M"}, short: true},
	{name: "three-read-only", tiers: []string{"tmpfs", "tmpfs", "tmpfs"}, readOnly: 2},
	{name: "three-narrow", tiers: []string{"tmpfs", "tmpfs", "ext4"}, opts: []string{"inodes=32", "noacl"}},
	{name: "two-outside", tiers: []string{"tmpfs", "tmpfs"}, opts: noCache, outside: true},
	{name: "three-outside", tiers: []string{"ext4", "tmpfs", "same"}, opts: append([]string{"nopassthrough"}, noCache...), outside: true},
	{name: "two-outside-later", tiers: []string{"tmpfs", "ext4"}, opts: []string{"cache=timeout", "entry_timeout=0.02", "attr_timeout=0.02"}, outside: true,
		wait: 40 * time.Millisecond},
	{name: "two-coherent", tiers: []string{"tmpfs", "ext4"}, opts: coherent, outside: true, wait: eventRead, late: eventLate},
	{name: "three-coherent", tiers: []string{"ext4", "tmpfs", "same"}, opts: append([]string{"nopassthrough"}, coherent...), outside: true, wait: eventRead, late: eventLate},
	{name: "two-moving-coherent", tiers: []string{"tmpfs", "ext4"}, opts: coherent, outside: true, moves: true, wait: eventRead, late: eventLate},
	{name: "two-moving", tiers: []string{"tmpfs", "ext4"}, moves: true},
	{name: "three-moving", tiers: []string{"ext4", "tmpfs", "same"}, opts: []string{"nopassthrough"}, moves: true},
	{name: "three-moving-full", tiers: []string{"tmpfs", "tmpfs", "tmpfs"}, opts: []string{"minfree=50M"}, short: true, moves: true},
	{name: "two-moving-outside", tiers: []string{"tmpfs", "ext4"}, opts: noCache, outside: true, moves: true},
}

// How long a program is, in make test and where time was given: long enough for
// deep states, and short enough to be cut down quickly.
const (
	fewSteps  = 250
	manySteps = 3000
)

// TestModel runs programs on every kind of mount and on the model. One of the
// seeds is always the same, and one is new each time; chance says which half of
// the mounts takes which. TIERFS_MODEL=10m takes both on all and goes on for that
// long, TIERFS_MODEL_SEED=7 begins with that seed, and
// TIERFS_MODEL_PROGRAM=FILE runs a program that was printed, nothing else.
func TestModel(t *testing.T) {
	harness.Require(t, "root", "fuse")
	if path := os.Getenv("TIERFS_MODEL_PROGRAM"); path != "" {
		runProgram(t, path)
		return
	}
	seeds := []uint64{1, rand.Uint64()}
	if text := os.Getenv("TIERFS_MODEL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	limit := harness.Duration(t, "TIERFS_MODEL", 0)
	end := time.Now().Add(limit)
	half := limit == 0 && len(seeds) == 2
	done := map[string]int{}
	for len(seeds) > 0 && !t.Failed() {
		for i, cfg := range configs {
			if half && (i+harness.Turn+len(seeds))%2 == 0 {
				continue
			}
			t.Run(cfg.name, func(t *testing.T) { done[cfg.name] += runSeed(t, cfg, seeds[0]) })
		}
		if seeds = seeds[1:]; len(seeds) == 0 && time.Now().Before(end) {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, cfg := range configs {
		t.Logf("%s: %d steps", cfg.name, done[cfg.name])
	}
}

// runSeed runs one program and returns its length.
func runSeed(t *testing.T, cfg config, seed uint64) int {
	steps := fewSteps
	if harness.Duration(t, "TIERFS_MODEL", 0) > 0 {
		steps = manySteps
	}
	done, err := attempt(t, cfg, newGenerator(cfg, seed, steps).next)
	if err == nil {
		return len(done)
	}
	t.Errorf("seed %d, %d steps, the last is %d: %v", seed, steps, len(done), err)
	short, e := shrink(t, cfg, done, max(time.Minute, harness.Duration(t, "TIERFS_MODEL", 0)))
	if e == nil {
		t.Logf("the same steps go well the second time:\n%s", program(cfg, done))
		return len(done)
	}
	t.Logf("%d steps that fail (%v):\n%s", len(short), e, program(cfg, short))
	return len(done)
}

// runProgram runs the program in a file.
func runProgram(t *testing.T, path string) {
	cfg, steps, err := parseProgram(harness.Read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attempt(t, cfg, replay(steps)); err != nil {
		t.Error(err)
	}
}

// TestProgramText holds a printed program to be what is read again.
func TestProgramText(t *testing.T) {
	cfg := configs[len(configs)-1]
	g := newGenerator(cfg, 7, 300)
	s := &state{}
	for range cfg.tiers {
		s.tiers = append(s.tiers, &tier{root: newNode(0o040000, 0o755)})
	}
	var want []step
	for st, more := g.next(s); more; st, more = g.next(s) {
		if rule := calls[st.op].rule; rule != nil {
			rule(s, st)
		}
		want = append(want, st)
	}
	got, steps, err := parseProgram(program(cfg, want))
	if err != nil || got.name != cfg.name || !slices.Equal(steps, want) {
		t.Errorf("a program of %d steps is read as one of %d: %v", len(want), len(steps), err)
	}
}
