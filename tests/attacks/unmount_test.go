package attacks

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// toil works in a directory until that is gone, or it is killed.
var toil = harness.Func("toil", func(args []string) error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/%s-%d", args[0], args[1], i%10)
		os.WriteFile(name, make([]byte, 10000), 0o644)
		os.ReadDir(args[0])
		os.Rename(name, name+"r")
		os.ReadFile(name + "r")
		os.Mkdir(name, 0o755)
		os.Remove(name)
		if err := os.Remove(name + "r"); err != nil && i > 0 && errno(err) != unix.ENOENT {
			return err
		}
	}
})

// connection is the kernel's number of a mount, in /sys/fs/fuse/connections.
func connection(t *testing.T, m *harness.Mount) string {
	t.Helper()
	major, minor, _ := strings.Cut(harness.MountsAt(m.Dir)[0].Dev, ":")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	return fmt.Sprint(a<<20 | b)
}

// abort ends a mount's connection through the FUSE control filesystem.
func abort(t *testing.T, number string) {
	t.Helper()
	ctl := harness.TempDir(t) + "/ctl"
	harness.Mkdir(t, ctl)
	harness.Must(t, "mount", "-t", "fusectl", "fusectl", ctl)
	defer harness.Run(t, "umount", ctl)
	if err := os.WriteFile(ctl+"/"+number+"/abort", []byte("1"), 0); err != nil {
		t.Error(err)
	}
}

// TestMountEndsUnderItsClients: in each way that a mount can end, alone and
// several at once, while clients are in the middle of everything. None of them
// hangs, nothing half is left, and the next mount works at once.
func TestMountEndsUnderItsClients(t *testing.T) {
	detach := func(t *testing.T, m *harness.Mount) { unix.Unmount(m.Dir, unix.MNT_DETACH) }
	force := func(t *testing.T, m *harness.Mount) { unix.Unmount(m.Dir, unix.MNT_FORCE|unix.MNT_DETACH) }
	kill := func(sig unix.Signal) func(*testing.T, *harness.Mount) {
		return func(t *testing.T, m *harness.Mount) { unix.Kill(m.Pid(), sig) }
	}
	for name, ways := range map[string][]func(*testing.T, *harness.Mount){
		"umount -l":            {detach},
		"umount -f -l":         {force},
		"abort":                {func(t *testing.T, m *harness.Mount) { abort(t, connection(t, m)) }},
		"SIGKILL":              {kill(unix.SIGKILL)},
		"two SIGTERM":          {kill(unix.SIGTERM), kill(unix.SIGTERM)},
		"umount -l, SIGTERM":   {detach, kill(unix.SIGTERM)},
		"umount -f -l, SIGINT": {force, kill(unix.SIGINT)},
		"umount -l, SIGKILL":   {detach, kill(unix.SIGKILL)},
		"all":                  {kill(unix.SIGTERM), force, detach, kill(unix.SIGTERM), detach},
	} {
		t.Run(name, func(t *testing.T) {
			m := harness.New(t, 1)
			for _, tier := range m.Tiers {
				harness.Mkdir(t, tier+"/job")
				harness.Chmod(t, tier+"/job", 0o777)
			}
			m.Up()
			var clients []*exec.Cmd
			for i := range 8 {
				clients = append(clients, start(t, toil, mallory, m.Path("job"), fmt.Sprint(i)))
			}
			time.Sleep(100 * time.Millisecond)
			var done sync.WaitGroup
			for _, way := range ways {
				done.Go(func() { way(t, m) })
			}
			done.Wait()
			// What still works in what was detached is killed; what is dead has ended
			// by itself. Neither may hang.
			for _, c := range clients {
				c.Process.Kill()
				ended := make(chan struct{})
				go func() { c.Wait(); close(ended) }()
				select {
				case <-ended:
				case <-time.After(30 * time.Second):
					t.Fatal("a client hangs")
				}
			}
			unix.Unmount(m.Dir, unix.MNT_DETACH) // an end from outside leaves the line
			if strings.Contains(name, "KILL") {
				m.Gone(128+int(unix.SIGKILL), 0)
			} else {
				m.Gone(0)
			}
			harness.NotMounted(t, m.Dir)
			m.Up()
			serves(t, m)
			m.Down()
		})
	}
}
