package life

import (
	"os"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestUmountOfTheBusyIsEBUSY(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	f, err := os.Create(m.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	harness.WantErrno(t, "umount2", unix.Unmount(m.Dir, 0), unix.EBUSY)
	if _, stderr, code := harness.Run(t, "umount", m.Dir); code != 32 {
		t.Errorf("umount: exit code %d: %s", code, stderr)
	}
	if len(harness.MountsAt(m.Dir)) != 1 {
		t.Error("the mount is gone")
	}
	if _, err := f.WriteString("still"); err != nil {
		t.Error(err)
	}
	f.Close()
	harness.WantRead(t, m.Path("f"), "still")
	m.Down()
}

func TestLazyUmountServesWhatIsOpenToItsEnd(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		m := harness.New(t, 1)
		m.Up(opts)
		f, err := os.Create(m.Path("f"))
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.Open(m.Dir)
		if err != nil {
			t.Fatal(err)
		}
		harness.Must(t, "umount", "-l", m.Dir)
		harness.NotMounted(t, m.Dir)
		harness.WantList(t, m.Dir)
		if _, err := f.WriteString("to the end"); err != nil {
			t.Error(err)
		}
		if err := f.Sync(); err != nil {
			t.Error(err)
		}
		if err := unix.Renameat(int(dir.Fd()), "f", int(dir.Fd()), "g"); err != nil {
			t.Error(err)
		}
		f.Close()
		if unix.Kill(m.Pid(), 0) != nil {
			t.Error("the daemon has left an open directory alone")
		}
		dir.Close()
		m.Gone(0)
		harness.WantRead(t, m.Primary+"/g", "to the end")
	}
}

func TestMountAgainAfterLazyUmountWhileTheOldOneLives(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	old := m.Pid()
	harness.Write(t, m.Path("f"), "x")
	f, err := os.Open(m.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "umount", "-l", m.Dir)
	next := harness.NewOn(t, m.Tiers)
	next.Dir = m.Dir
	next.Up()
	if next.Pid() == old {
		t.Fatal("the old daemon serves the new mount")
	}
	harness.WantRead(t, next.Path("f"), "x")
	buf := make([]byte, 1)
	if _, err := f.ReadAt(buf, 0); err != nil || buf[0] != 'x' {
		t.Errorf("the old descriptor reads %q, %v", buf, err)
	}
	f.Close()
	time.Sleep(20 * time.Millisecond)
	next.Down()
	m.Gone(0)
}
