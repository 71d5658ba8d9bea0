package contract

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// Of linux/auto_fs.h.
const (
	autofsReady      = 0x9360 // AUTOFS_IOC_READY
	autofsPacketSize = 304    // struct autofs_v5_packet
	autofsTokenAt    = 8
)

// automount is a direct automount point, with the test in the place of the
// automount daemon: only the test's process group gets through.
type automount struct {
	dir  string
	root *os.File // the autofs itself, for its ioctls
	pipe *os.File // where the kernel tells that someone wants in
}

func newAutomount(t *testing.T, dir string) *automount {
	t.Helper()
	harness.Require(t, "autofs")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf("fd=%d,minproto=5,maxproto=5,direct", w.Fd())
	if err := unix.Mount("auto", dir, "autofs", 0, data); err != nil {
		t.Fatalf("autofs on %s: %v", dir, err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		root.Close()
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("umount autofs: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
		r.Close()
		w.Close()
	})
	return &automount{dir, root, r}
}

// wanted waits until someone wants in and returns the request's token.
func (a *automount) wanted(t *testing.T) int {
	t.Helper()
	packet := make([]byte, autofsPacketSize)
	a.pipe.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := a.pipe.Read(packet); err != nil {
		t.Fatal("no request: ", err)
	}
	return int(binary.NativeEndian.Uint32(packet[autofsTokenAt:]))
}

// ready lets the waiting ones in.
func (a *automount) ready(t *testing.T, token int) {
	t.Helper()
	if err := unix.IoctlSetInt(int(a.root.Fd()), autofsReady, token); err != nil {
		t.Fatal(err)
	}
}

// A daemon that calls setsid before its mount is up leaves the group that the
// automount point lets through, and waits there for itself until systemd's
// time-out of 90 seconds. So does a helper that opens or lists the mount point.
func TestAutomountPointIsMountedByWhoeverAsks(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	a := newAutomount(t, m.Dir)
	for _, args := range [][]string{m.Args(), helper(m.Primary, m.Dir+"/", "-o", m.Options())} {
		client := exec.Command("cat", m.Path("low"))
		client.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		got := make(chan string, 1)
		go func() {
			out, err := client.CombinedOutput()
			got <- fmt.Sprintf("%s %v", out, err)
		}()
		token := a.wanted(t)
		start := time.Now()
		up(m, args...)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q: took %v", args, took)
		}
		a.ready(t, token)
		if g := <-got; g != "l <nil>" {
			t.Errorf("%q: the client gets %q", args, g)
		}
		if sid, _ := unix.Getsid(m.Pid()); sid != m.Pid() {
			t.Errorf("%q: the daemon stays in session %d", args, sid)
		}
		m.Down()
	}
}
