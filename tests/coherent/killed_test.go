package coherent

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
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

// TestDeadMountTellsNothing: what the kernel has of a mount whose daemon was killed is not
// given out any more, so that no backup takes it for what is there.
func TestDeadMountTellsNothing(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	for i := range 40 {
		m.Put(i%2, fmt.Sprint("d/sub/f", i), "x")
		m.Put(i%2, fmt.Sprint("top", i), "x")
	}
	paths := []string{"", "d", "d/sub"}
	agree(t, m, paths, "making files")
	look := func() (answers []string) {
		for _, p := range paths {
			rows, err := os.ReadDir(m.Path(p))
			answers = append(answers, fmt.Sprintf("readdir of %q: %d rows, %v", p, len(rows), err))
		}
		for _, p := range []string{"d", "d/sub/f1", "top1", "absent", "d/absent"} {
			_, err := os.Lstat(m.Path(p))
			answers = append(answers, fmt.Sprintf("lstat of %s: %v", p, err))
		}
		return answers
	}
	time.Sleep(1200 * time.Millisecond) // the root's attributes do not last before
	look()
	look()
	unix.Kill(m.Pid(), unix.SIGKILL)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		left := slices.DeleteFunc(look(), func(s string) bool { return strings.HasSuffix(s, unix.ENOTCONN.Error()) })
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a mount without a daemon still answers: %q", left)
		}
	}
	unix.Unmount(m.Dir, unix.MNT_DETACH)
	m.Gone(128 + int(unix.SIGKILL))
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

// TestChangeThatIsDoneAfterItsClientWasKilled: a client changes a name on a disk that waits, and is
// killed. What he began is done later, and everybody sees it, though the kernel was told
// that it has failed.
func TestChangeThatIsDoneAfterItsClientWasKilled(t *testing.T) {
	harness.Require(t, "ext4")
	m := newMount(t, "ext4", "ext4")
	for _, name := range []string{"d/f", "d/old"} {
		m.Put(1, name, "x")
	}
	agree(t, m, []string{"d"}, "making files")
	names := func() []string { return harness.List(t, m.Path("d")) }
	for _, step := range []struct {
		words []string
		want  string
	}{
		{[]string{"touch", m.Path("d/new")}, "f new old"},
		{[]string{"mkdir", m.Path("d/sub")}, "f new old sub"},
		{[]string{"rm", m.Path("d/f")}, "new old sub"},
		{[]string{"mv", m.Path("d/old"), m.Path("d/other")}, "new other sub"},
		{[]string{"ln", "-s", "nowhere", m.Path("d/link")}, "link new other sub"},
		{[]string{"rmdir", m.Path("d/sub")}, "link new other"},
	} {
		for _, name := range []string{"f", "new", "old", "sub", "other", "link"} {
			os.Lstat(m.Path("d/" + name)) // so that the kernel knows it, or that there is none
		}
		names()
		names()
		thaw := harness.Freeze(t, m.Tier(1, ""))
		client := exec.Command(step.words[0], step.words[1:]...)
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		harness.WaitInside(t, m.Pid())
		client.Process.Kill()
		client.Wait()
		if before := names(); slices.Equal(before, strings.Fields(step.want)) {
			t.Errorf("%q is done while the disk waits", step.words)
		}
		thaw()
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			var seen []string
			for _, name := range []string{"f", "link", "new", "old", "other", "sub"} {
				if _, err := os.Lstat(m.Path("d/" + name)); err == nil {
					seen = append(seen, name)
				}
			}
			if now := names(); strings.Join(now, " ") == step.want && slices.Equal(seen, now) {
				break
			} else if time.Now().After(end) {
				t.Fatalf("after %q %q are listed, and %q found; want %q", step.words, now, seen, step.want)
			}
		}
	}
}
