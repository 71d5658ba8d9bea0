package daemon

import (
	"os"
	"os/exec"
	"testing"
)

func TestStateOfAProcess(t *testing.T) {
	mounts, err := Mounts()
	if err != nil || len(mounts) == 0 {
		t.Fatal(err)
	}
	m := mounts[0]
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
		name        string
		pid         int
		dir, fstype string
		want        State
	}{
		{"with its mount", os.Getpid(), m.Dir, m.Type, Serving},
		{"with another there", os.Getpid(), m.Dir, "fuse.other", Detached},
		{"without", os.Getpid(), "/no/such/place", m.Type, Detached},
		{"that has ended", zombie.Process.Pid, m.Dir, m.Type, Ending},
		{"that is not there", gone.Process.Pid, m.Dir, m.Type, Unknown},
	} {
		if got := StateOf(c.pid, c.dir, c.fstype, ""); got != c.want {
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
