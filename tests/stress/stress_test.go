package stress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	processes = 40
	seeds     = 4 // files in each home directory beforehand
)

// shared are the directories in which all workers have names: on the primary,
// on the fallback, on both.
var shared = []string{"shared-high", "shared-low", "shared-both"}

// homes are a worker's own directories, named after the tiers that have them.
func homes(id int) []string {
	return []string{fmt.Sprintf("w%d/high", id), fmt.Sprintf("w%d/low", id), fmt.Sprintf("w%d/both", id)}
}

func seedContent(path string) []byte { return []byte(strings.Repeat("seed of "+path+"\n", 20)) }

// TestManyProcesses has 40 processes create, write, read, rename, link and
// remove in the mount. Each checks what it sees against its own book as it
// goes. Then the mount must show what the tiers hold, that must be what the
// books say, and nothing else may be left, visible or not.
func TestManyProcesses(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "512M"), harness.On(t, "ext4", "512M")})
	seed(t, m)
	m.Up()
	number := uint64(time.Now().UnixNano())
	t.Logf("seed %d", number)
	ledgers := run(t, m, number)
	if t.Failed() {
		return
	}
	want := mergedView(t, m.Tiers)
	compare(t, "the mount", shown(t, m.Dir), want)
	checkLedgers(t, want, ledgers)
	checkLeftovers(t, m, ledgers)
	m.Down()
	m.Up()
	compare(t, "the next mount", shown(t, m.Dir), want)
}

// seed fills the tiers. A file of a "both" directory has a shadowed copy.
func seed(t *testing.T, m *harness.Mount) {
	t.Helper()
	for id := range processes {
		for i, dir := range homes(id) {
			for rank, tier := range m.Tiers {
				if i == 1-rank {
					continue // "high" is not on the fallback, nor "low" on the primary
				}
				for n := range seeds {
					path := fmt.Sprintf("%s/seed%d", dir, n)
					content := seedContent(path)
					if i == 2 && rank == 1 {
						content = []byte("shadowed")
					}
					harness.Mkdir(t, filepath.Join(tier, dir))
					harness.Write(t, filepath.Join(tier, path), string(content))
				}
			}
		}
	}
	for rank, dirs := range [][]string{{"shared-high", "shared-both", "common"}, {"shared-low", "shared-both", "commonlow", "common"}} {
		for _, dir := range dirs {
			harness.Mkdir(t, filepath.Join(m.Tiers[rank], dir))
		}
		harness.Write(t, filepath.Join(m.Tiers[rank], "common/latest"), string(latest(0, rank)))
	}
}

// run runs the workers and returns their books.
func run(t *testing.T, m *harness.Mount, number uint64) []ledger {
	t.Helper()
	limit := harness.Duration(t, "TIERFS_STRESS", 8*time.Second)
	var cmds []*exec.Cmd
	outs, errs := make([]bytes.Buffer, processes), make([]bytes.Buffer, processes)
	for id := range processes {
		cmd := work.Cmd(m.Dir, strconv.Itoa(id), strconv.FormatUint(number, 10), limit.String())
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
		cmd.Stdout, cmd.Stderr = &outs[id], &errs[id]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	late := time.AfterFunc(limit+60*time.Second, func() {
		for _, cmd := range cmds {
			cmd.Process.Kill()
		}
	})
	defer late.Stop()
	ledgers, ops := make([]ledger, processes), 0
	for id, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("worker %d: %v: %s", id, err, &errs[id])
			continue
		}
		if err := json.Unmarshal(outs[id].Bytes(), &ledgers[id]); err != nil {
			t.Errorf("worker %d: %v", id, err)
		}
		ops += ledgers[id].Ops
	}
	t.Logf("%d processes, %d operations in %v", processes, ops, limit)
	return ledgers
}

// checkLedgers compares the merged view with the books, both ways.
func checkLedgers(t *testing.T, have view, ledgers []ledger) {
	t.Helper()
	known := map[string]bool{".": true, "common": true, "commonlow": true, "common/latest": true}
	for _, dir := range shared {
		known[dir] = true
	}
	for id, l := range ledgers {
		known[fmt.Sprint("w", id)] = true
		for path, want := range l.Files {
			known[path] = true
			if !strings.HasSuffix(have[path], " sum "+want) {
				t.Errorf("%s is %q, want content %s", path, have[path], want)
			}
		}
		for path, want := range l.Links {
			known[path] = true
			if !strings.Contains(have[path], " -> "+want+" ") {
				t.Errorf("%s is %q, want a link to %s", path, have[path], want)
			}
		}
		for _, path := range l.Dirs {
			known[path] = true
			if !strings.HasPrefix(have[path], "mode 40755") {
				t.Errorf("%s is %q, want a directory", path, have[path])
			}
		}
		for _, peers := range l.Peers {
			if want := fmt.Sprintf(" nlink %d ", len(peers)); !strings.Contains(have[peers[0]], want) {
				t.Errorf("%s is %q, want the %d names %q", peers[0], have[peers[0]], len(peers), peers)
			}
		}
	}
	for _, path := range keys(have) {
		if !known[path] {
			t.Errorf("left over: %s, %s", path, have[path])
		}
	}
}

// checkLeftovers looks for what the merged view does not show: shadowed copies
// that should be gone, and tierfs's own intents and staged files.
func checkLeftovers(t *testing.T, m *harness.Mount, ledgers []ledger) {
	t.Helper()
	may := map[string]bool{}
	for _, l := range ledgers {
		for _, path := range l.Shadows {
			may[path] = true
		}
	}
	primary := mergedView(t, m.Tiers[:1])
	for path, what := range mergedView(t, m.Tiers[1:]) {
		if _, hidden := primary[path]; hidden && !strings.HasPrefix(what, "mode 40") && !may[path] {
			t.Errorf("the fallback still has a shadowed %s, %s", path, what)
		}
	}
	for _, tier := range m.Tiers {
		for _, dir := range []string{"journal", "staging", "trash"} {
			rows, err := os.ReadDir(filepath.Join(tier, ".tierfs", dir))
			if err == nil && len(rows) > 0 {
				t.Errorf("%s/.tierfs/%s has %d entries", tier, dir, len(rows))
			}
		}
	}
	b, err := os.ReadFile(m.Path("common/latest"))
	if err == nil {
		err = whole(b)
	}
	if err != nil {
		t.Error(err)
	}
	var st unix.Stat_t
	if unix.Lstat(m.Tiers[0]+"/common/latest", &st) == nil && unix.Lstat(m.Tiers[1]+"/common/latest", &st) == nil {
		t.Error("the common file is on both tiers")
	}
}
