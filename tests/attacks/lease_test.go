package attacks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestLeaseInTheTierMakesAnOpenWait: somebody holds a lease on a file in the
// tier, as Samba does. An open through the mount failed with EAGAIN, which no
// program expects; it has to wait until the lease is given up.
func TestLeaseInTheTierMakesAnOpenWait(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		m := harness.New(t, 1, opts)
		harness.Write(t, m.Fallbacks[0]+"/f", "text")
		m.Up()
		holder, err := os.OpenFile(m.Fallbacks[0]+"/f", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_APPEND} {
			harness.Eventually(t, "nobody else has it open", func() bool {
				_, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
				return err == nil
			})
			_, err := unix.Open(m.Path("f"), flags|unix.O_NONBLOCK, 0)
			harness.WantErrno(t, "open that must not wait", err, unix.EAGAIN)
			opened := make(chan error)
			go func() {
				fd, err := unix.Open(m.Path("f"), flags, 0)
				unix.Close(fd)
				opened <- err
			}()
			select {
			case err := <-opened:
				t.Errorf("the open did not wait: %v", err)
				continue
			case <-time.After(200 * time.Millisecond):
			}
			serves(t, m)
			if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
				t.Fatal(err)
			}
			if err := <-opened; err != nil {
				t.Errorf("open with %o: %v", flags, err)
			}
		}
		holder.Close()
		m.Down()
	}
}

// TestStoppedClientsHoldUpNobody: clients are stopped in the middle of what
// they do, with files open and locked, and directories half read.
func TestStoppedClientsHoldUpNobody(t *testing.T) {
	m := harness.New(t, 1)
	for i, tier := range m.Tiers {
		harness.Mkdir(t, tier+"/job")
		harness.Chown(t, tier+"/job", mallory, mallory)
		harness.Write(t, fmt.Sprintf("%s/job/common%d", tier, i), "text")
	}
	m.Up()
	var stopped []func()
	for i := range 16 {
		cmd := start(t, busy, mallory, m.Path("job"), fmt.Sprint(i))
		harness.Eventually(t, "it works", func() bool { return harness.Exists(t, fmt.Sprintf("%s/job/ready%d", m.Primary, i)) })
		if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped = append(stopped, func() { stop(cmd) })
	}
	serves(t, m)
	for _, path := range []string{"job/common0", "job/common1"} {
		harness.WantRead(t, m.Path(path), "text")
		harness.Write(t, m.Path(path), "text")
	}
	harness.List(t, m.Path("job"))
	harness.Rename(t, m.Path("job"), m.Path("renamed"))
	harness.Rename(t, m.Path("renamed"), m.Path("job"))
	fd, err := unix.Open(m.Path("job/common0"), unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	harness.WantErrno(t, "a lock that the stopped have", unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB), unix.EAGAIN)
	for _, end := range stopped {
		end()
	}
	harness.Eventually(t, "the lock is free when they have gone", func() bool { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil })
	unix.Close(fd)
}

// busy does one thing after the other, with a lock held and a listing begun.
var busy = harness.Func("busy", func(args []string) error {
	dir, me := args[0], args[1]
	common, err := unix.Open(dir+"/common0", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.Flock(common, unix.LOCK_SH); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if _, err := d.Readdirnames(1); err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/%s-%d", dir, me, i%5)
		os.WriteFile(name, []byte(name), 0o644)
		os.Rename(name, name+"r")
		os.ReadFile(dir + "/common1")
		os.ReadDir(dir)
		os.Remove(name + "r")
		if i == 3 {
			if err := os.WriteFile(dir+"/ready"+me, nil, 0o644); err != nil {
				return err
			}
		}
	}
})
