package away

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestPrimaryIsServedWhileTheFallbackHangs: a backup disk that spins up, or a
// server that is rebooted, must not stop the documents that are on the fast
// storage. The time allowed is far below tier_timeout: nothing waited for it.
func TestPrimaryIsServedWhileTheFallbackHangs(t *testing.T) {
	p := up(t, "tier_timeout=60", "entry_timeout=0", "attr_timeout=0")
	harness.WantRead(t, p.Path("both/prim"), "on the primary")
	p.hang()
	var stuck sync.WaitGroup
	for range 64 {
		stuck.Go(func() { p.read("both/low") })
	}
	time.Sleep(300 * time.Millisecond) // until the tier is suspect
	begin := time.Now()
	for range 20 {
		harness.WantRead(t, p.Path("both/prim"), "on the primary")
		harness.Stat(t, p.Path("prim"))
		harness.Stat(t, p.Path("both"))
		harness.Append(t, p.Path("both/prim"), "")
		if err := unix.Chmod(p.Path("prim"), 0o640); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a hundred calls on the primary took %v", took)
	}
	p.resume()
	stuck.Wait()
	harness.WantRead(t, p.Path("both/low"), "on the fallback")
}

// TestKilledClientLeavesAHungTier: a user who presses ^C gets the prompt back.
func TestKilledClientLeavesAHungTier(t *testing.T) {
	p := up(t, "tier_timeout=60", "entry_timeout=0", "attr_timeout=0")
	p.hang()
	defer p.resume()
	client := exec.Command("cat", p.Path("low"))
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	client.Process.Signal(unix.SIGTERM)
	gone := make(chan struct{})
	go func() { client.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("a client that was killed still waits for the tier")
	}
}

func TestHungTierGivesEIOAfterItsTimeOutAndComesBack(t *testing.T) {
	p := up(t, "tier_timeout=1", "entry_timeout=0", "attr_timeout=0")
	links := harness.Stat(t, p.Path("both")).Nlink
	p.hang()
	for range 2 { // the first waits for the time-out, the second does not
		for _, rel := range []string{"low", "both/low", "nowhere", "lowdir"} {
			if err := p.read(rel); !errors.Is(err, unix.EIO) {
				t.Errorf("read %s: %v, want EIO", rel, err)
			}
		}
	}
	harness.WantErrno(t, "create", makeFile(p.Path("both/new")), unix.EIO)
	harness.WantErrno(t, "unlink what might have a copy there", unix.Unlink(p.Path("prim")), unix.EIO)
	harness.WantRead(t, p.Path("both/prim"), "on the primary")
	if got := harness.Stat(t, p.Path("both")).Nlink; got != links {
		t.Errorf("the merged directory shows %d links, %d before: not its last known ones", got, links)
	}
	names, err := readNames(p.Path("both"))
	if !errors.Is(err, unix.EIO) || strings.Join(names, " ") != "prim" {
		t.Errorf("listing gave %q and %v, want the primary's names and then EIO", names, err)
	}

	p.resume()
	harness.Eventually(t, "the tier is back", func() bool { return p.read("low") == nil })
	harness.WantList(t, p.Path("both"), "low", "prim")
	harness.Contains(t, p.Log(), "tier is away", "tier is back")
	harness.Write(t, p.Path("lowdir/new"), "x")
	harness.WantRead(t, p.disk+"/lowdir/new", "x")
}

func makeFile(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// readNames lists until the end or an error.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
