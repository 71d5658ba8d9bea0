package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
)

func TestStateOfAProcess(t *testing.T) {
	mounts, err := Mounts()
	if err != nil || len(mounts) == 0 {
		t.Fatal(err)
	}
	m := mounts[slices.IndexFunc(mounts, func(m Mount) bool { return m.Major == 0 })]
	conn := fmt.Sprint(m.Minor)
	zombie := exec.Command("true")
	out, _ := zombie.StdoutPipe()
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1)) // to its end
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		pid          int
		fstype, conn string
		want         State
	}{
		{"with its mount", os.Getpid(), m.Type, conn, Serving},
		{"with that of another connection", os.Getpid(), m.Type, conn + ".7", Detached},
		{"with one of another type", os.Getpid(), "fuse.other", conn, Detached},
		{"without", os.Getpid(), m.Type, "4294967295", Detached},
		{"that has not mounted yet", os.Getpid(), m.Type, "", Detached},
		{"that has ended", zombie.Process.Pid, m.Type, conn, Ending},
		{"that is not there", gone.Process.Pid, m.Type, conn, Unknown},
	} {
		if got := LinkOf(c.conn).State(c.pid, c.fstype); got != c.want {
			t.Errorf("a process %s: %d, want %d", c.name, got, c.want)
		}
	}
	_ = zombie.Wait()
}

func TestExiting(t *testing.T) {
	for stat, want := range map[string]bool{
		"7 (a) S 1 7 7 0 -1 4194560 1":        false,
		"7 (a) S 1 7 7 0 -1 4194308 1":        true,
		"7 (a) Z) S 1 7 7 0 -1 4194560 1":     false,
		"7 (mount.tierfs) Z 1 7 7 0 -1 0 1 2": true,
		"7 (a) R 1":                           false,
		"":                                    false,
	} {
		if got := exiting(stat); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}
