package coherent

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// rename renames a file to and fro until the mount is gone.
var rename = harness.Func("rename", func(args []string) error {
	for {
		if os.Rename(args[0], args[0]+"r") != nil || os.Rename(args[0]+"r", args[0]) != nil {
			return nil
		}
	}
})

// TestKilledWhileItTellsTheKernel: clients work in a directory, its names change
// behind the mount, and the daemon is killed. It is gone at once, and so is every
// client's wait.
func TestKilledWhileItTellsTheKernel(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	harness.Mkdir(t, m.Tier(0, "d"))
	const clients = 4
	for i := range clients {
		harness.Write(t, m.Tier(0, fmt.Sprint("d/f", i)), "")
	}
	defer churn(m.Tier(0, "d/outside0"), m.Tier(0, "d/outside1"))()
	for round := range 15 {
		var all []*exec.Cmd
		for i := range clients {
			c := rename.Cmd(m.Path(fmt.Sprint("d/f", i)))
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		time.Sleep(100 * time.Millisecond)
		unix.Kill(m.Pid(), unix.SIGKILL)
		ended := make(chan struct{})
		go func() {
			for _, c := range all {
				c.Wait()
			}
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("round %d: a client waits for a daemon that was killed", round)
			harness.Must(t, "umount", "-f", m.Dir)
			<-ended
		}
		unix.Unmount(m.Dir, unix.MNT_DETACH)
		m.Gone(128 + int(unix.SIGKILL))
		for i := range clients {
			p := m.Tier(0, fmt.Sprint("d/f", i))
			os.Rename(p+"r", p)
		}
		m.Up()
	}
}

// TestAGuardThatIsKilledIsReplaced: the daemon is never without.
func TestAGuardThatIsKilledIsReplaced(t *testing.T) {
	m := newMount(t, "tmpfs")
	first := m.Guards()
	if len(first) != 1 {
		t.Fatalf("%d guards", len(first))
	}
	unix.Kill(first[0], unix.SIGTERM)
	unix.Kill(first[0], unix.SIGKILL)
	harness.Eventually(t, "another guard", func() bool {
		now := m.Guards()
		return len(now) == 1 && now[0] != first[0]
	})
	m.Down()
}
