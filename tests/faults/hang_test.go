package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// clients is how many wait for the tier that hangs.
const clients = 64

// hanging is a mount whose fallback is a disk that hangs on demand.
type hanging struct {
	*harness.Mount
	t    *testing.T
	low  *faultfs.FS
	root string // behind the fallback

	rounds atomic.Int32
	step   atomic.Pointer[string] // that is under way, for messages
}

func newHanging(t *testing.T, opts ...string) *hanging {
	t.Helper()
	low := faultfs.New(t, 1)
	h := &hanging{t: t, low: low, root: low.Roots[0]}
	h.Mount = harness.NewOn(t, []string{harness.TempDir(t), low.Disks[0]}, append(opts, "entry_timeout=0", "attr_timeout=0")...)
	for _, dir := range []string{"/both", "/high", "/high/sub"} {
		harness.Mkdir(t, h.Primary+dir)
	}
	harness.Mkdir(t, h.root+"/both")
	harness.Mkdir(t, h.root+"/low")
	harness.Write(t, h.Primary+"/both/hot", "hot")
	harness.Write(t, h.Primary+"/high/hot", "high hot")
	harness.Write(t, h.root+"/both/cold", "cold")
	harness.Write(t, h.root+"/low/cold", "low cold")
	h.Up()
	// What is known of a directory is known as long as the kernel remembers it.
	for _, dir := range []string{"high", "high/sub"} {
		f, err := os.Open(h.Path(dir))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	return h
}

// hang stops the fallback. It has just said what it has: an op later than
// that by a second would ask again, so a slow machine tries once more.
func (h *hanging) hang() {
	h.t.Helper()
	for {
		start := time.Now()
		harness.List(h.t, h.Path("high"))
		harness.List(h.t, h.Path("high/sub"))
		h.low.Arm(faultfs.Plan{Disk: -1, Nth: 1, Stays: true, Hang: true})
		if time.Since(start) < 500*time.Millisecond {
			return
		}
		h.low.Disarm()
	}
}

// stuck starts clients that ask for what only the fallback has, and returns
// when they wait and the tier is known to hang. They send their errors.
func (h *hanging) stuck() <-chan error {
	h.t.Helper()
	answers := make(chan error, clients)
	for i := range clients {
		go func() {
			switch i % 4 {
			case 0:
				answers <- stat("low/cold")(h.Dir)
			case 1:
				answers <- list("low", "cold")(h.Dir)
			case 2:
				answers <- read("both/cold", "cold")(h.Dir)
			case 3:
				answers <- list("both", "cold", "hot")(h.Dir)
			}
		}()
	}
	harness.Eventually(h.t, "the fallback hangs", func() bool { return h.low.Report().Stuck > 0 })
	time.Sleep(time.Second) // until the tier is suspect
	return answers
}

// servePrimary does what needs the primary alone, and reports the first error.
func (h *hanging) servePrimary() error {
	name := fmt.Sprint("/new", h.rounds.Add(1))
	for _, step := range []struct {
		what string
		do   func(dir string) error
	}{
		{"stat of a file", stat("both/hot")},
		{"stat of a merged directory", stat("both")},
		{"read", read("both/hot", "hot")},
		{"write", write("high/hot", unix.O_WRONLY, "HIGH")},
		{"append", write("both/hot", unix.O_WRONLY|unix.O_APPEND, "")},
		{"chmod", func(dir string) error { return unix.Chmod(dir+"/both/hot", 0o640) }},
		{"setxattr", func(dir string) error { return unix.Setxattr(dir+"/both/hot", "user.test", []byte("v"), 0) }},
		{"fsync", opened("high/hot", unix.O_RDWR, unix.Fsync)},
		{"create", create("high" + name)},
		{"mkdir", func(dir string) error { return unix.Mkdir(dir+"/high/sub"+name, 0o755) }},
		{"symlink", func(dir string) error { return unix.Symlink("x", dir+"/high/sub"+name+".ln") }},
		{"link", two(unix.Link, "high"+name, "high"+name+".2")},
		{"rename", two(unix.Rename, "high"+name+".2", "high/sub"+name+".3")},
		{"unlink", one(unix.Unlink, "high"+name)},
		{"rmdir", one(unix.Rmdir, "high/sub"+name)},
		{"statfs", func(dir string) error { return unix.Statfs(dir, new(unix.Statfs_t)) }},
		{"readdir of a directory on the primary", func(dir string) error {
			_, err := os.ReadDir(dir + "/high/sub")
			return err
		}},
	} {
		h.step.Store(&step.what)
		if err := step.do(h.Dir); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// served fails the test unless the primary serves within a time far below
// tier_timeout.
func (h *hanging) served(limit time.Duration) {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		for range 10 {
			if err := h.servePrimary(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			h.t.Errorf("while the fallback hangs: %v", err)
		}
	case <-time.After(limit):
		h.t.Errorf("the primary waits for the fallback: %s", *h.step.Load())
		h.low.Disarm()
		<-done
	}
}

// TestPrimaryServesWhile64ClientsWaitForTheFallback: those who wait get their
// answer when the disk is back, and nothing has to be mounted again.
func TestPrimaryServesWhile64ClientsWaitForTheFallback(t *testing.T) {
	h := newHanging(t, "tier_timeout=90")
	h.hang()
	answers := h.stuck()
	h.served(45 * time.Second)
	if harness.Soak {
		time.Sleep(time.Minute)
		h.served(25 * time.Second)
	}
	h.low.Disarm()
	for range clients {
		if err := <-answers; err != nil {
			t.Errorf("who waited got: %v", err)
		}
	}
	h.asBefore()
}

// asBefore fails the test unless the fallback is served and can be changed.
func (h *hanging) asBefore() {
	h.t.Helper()
	harness.Eventually(h.t, "the fallback is back", func() bool { return stat("low/cold")(h.Dir) == nil })
	harness.WantRead(h.t, h.Path("low/cold"), "low cold")
	harness.WantList(h.t, h.Path("both"), "cold", "hot")
	harness.Write(h.t, h.Path("low/new"), "x")
	harness.WantRead(h.t, h.root+"/low/new", "x")
	harness.Remove(h.t, h.Path("low/new"))
	if h.low.Report().Stuck > 0 {
		h.t.Error("a call still hangs")
	}
}

// TestHungFallbackGivesEIOToAllWhoWait at tier_timeout, and at once to those
// who come later; what the primary alone has goes on being served.
func TestHungFallbackGivesEIOToAllWhoWait(t *testing.T) {
	h := newHanging(t, "tier_timeout=3")
	h.hang()
	answers := h.stuck()
	for range clients {
		if err := <-answers; !errors.Is(err, unix.EIO) {
			t.Errorf("who waited got: %v", err)
		}
	}
	for _, o := range []func(string) error{stat("low/cold"), read("both/cold", "cold"), list("both", "cold", "hot"), create("low/new"), create("both/new")} {
		if err := o(h.Dir); !errors.Is(err, unix.EIO) {
			t.Errorf("while the fallback is away: %v", err)
		}
	}
	h.served(30 * time.Second)
	h.low.Disarm()
	h.asBefore()
}

// TestWhoWaitsForATierThatOnlySeemsToBeBackGetsEIO: its root answers, as that of
// rclone does whose storage is gone, so that it is away for a moment. One who
// came later than the call that made it so had not waited for long then, and
// waited for ever.
func TestWhoWaitsForATierThatOnlySeemsToBeBackGetsEIO(t *testing.T) {
	h := newHanging(t, "tier_timeout=3")
	for i := range 2 {
		harness.Symlink(t, "there", fmt.Sprintf("%s/low/link%d", h.root, i))
	}
	h.low.Arm(faultfs.Plan{Disk: -1, Ops: []string{"READLINK"}, Nth: 1, Stays: true, Hang: true})
	answers := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := os.Readlink(h.Path(fmt.Sprintf("low/link%d", i)))
			answers <- err
		}()
		time.Sleep(1500 * time.Millisecond) // the tier is away for a second at most
	}
	for range 2 {
		select {
		case err := <-answers:
			if !errors.Is(err, unix.EIO) {
				t.Errorf("who waited got: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("who waited gets no answer")
			h.low.Disarm()
			<-answers
		}
	}
	h.low.Disarm()
	h.asBefore()
}

// TestWhoListsATierThatOnlySeemsToBeBackGetsEIO: a listing may take long on a disk
// that is well, but not on one that has calls hanging from before.
func TestWhoListsATierThatOnlySeemsToBeBackGetsEIO(t *testing.T) {
	h := newHanging(t, "tier_timeout=2")
	harness.Symlink(t, "there", h.root+"/low/link")
	h.low.Arm(faultfs.Plan{Disk: -1, Ops: []string{"READLINK", "READDIR", "READDIRPLUS"}, Nth: 1, Stays: true, Hang: true})
	if _, err := os.Readlink(h.Path("low/link")); !errors.Is(err, unix.EIO) {
		t.Errorf("who waited got: %v", err)
	}
	harness.Eventually(t, "it seems to be back", func() bool { return stat("low/cold")(h.Dir) == nil })
	answer := make(chan error, 1)
	go func() { answer <- list("low", "cold", "link")(h.Dir) }()
	select {
	case err := <-answer:
		if !errors.Is(err, unix.EIO) {
			t.Errorf("who listed got: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("who listed gets no answer")
		h.low.Disarm()
		<-answer
	}
	h.low.Disarm()
	h.asBefore()
}

// TestKilledClientsLeaveAHungFallback: 64 users press ^C, or are killed.
func TestKilledClientsLeaveAHungFallback(t *testing.T) {
	h := newHanging(t, "tier_timeout=90")
	h.hang()
	var all []*exec.Cmd
	for i := range clients {
		c := exec.Command("cat", h.Path([]string{"low/cold", "both/cold"}[i%2]))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	harness.Eventually(t, "the fallback hangs", func() bool { return h.low.Report().Stuck > 0 })
	var gone sync.WaitGroup
	for i, c := range all {
		c.Process.Signal([]unix.Signal{unix.SIGTERM, unix.SIGKILL}[i%2])
		gone.Go(func() { c.Wait() })
	}
	done := make(chan struct{})
	go func() { gone.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(45 * time.Second):
		t.Error("clients that were killed still wait for the tier")
		h.low.Disarm()
		<-done
	}
	h.served(45 * time.Second)
	h.low.Disarm()
	h.asBefore()
}

// TestFallbackThatComesAndGoesLeaksNothing: a disk with a loose cable, under
// load. Each time the calls under way fail, and the tier comes back anew. The
// clean-up looks for descriptors.
func TestFallbackThatComesAndGoesLeaksNothing(t *testing.T) {
	h := newHanging(t, "tier_timeout=1")
	turns := 4
	if harness.Soak {
		turns = 20
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 8 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("low/%d-%d", i, n%10)
				for _, err := range []error{write(name, unix.O_CREAT|unix.O_WRONLY, name)(h.Dir), read("both/cold", "cold")(h.Dir), list("low")(h.Dir)} {
					if err != nil && !errors.Is(err, unix.EIO) && !strings.HasPrefix(err.Error(), "listed") {
						t.Errorf("under load: %v", err)
					}
				}
				if err := read("both/hot", "hot")(h.Dir); err != nil {
					t.Errorf("the primary: %v", err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	threads := 0
	for turn := range turns {
		if turn%2 == 0 {
			h.low.Arm(faultfs.Plan{Disk: -1, Nth: 1, Stays: true, Hang: true})
			harness.Eventually(t, "away", func() bool { return errors.Is(stat("low/cold")(h.Dir), unix.EIO) })
			h.low.Disarm()
		} else {
			h.low.Kill()
			harness.Eventually(t, "away", func() bool { return errors.Is(stat("low/cold")(h.Dir), unix.EIO) })
			h.low.Revive()
		}
		harness.Eventually(t, "back", func() bool { return stat("low/cold")(h.Dir) == nil })
		if turn == 1 {
			threads = h.threads()
		}
	}
	close(stop)
	load.Wait()
	h.asBefore()
	if now := h.threads(); now > threads+16 {
		t.Errorf("%d threads, %d after the first turns", now, threads)
	}
}

func (h *hanging) threads() int { return len(harness.List(h.t, fmt.Sprintf("/proc/%d/task", h.Pid()))) }
