package daemon

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold starts a program in dir and returns its PID.
func hold(t *testing.T, dir, script string) int {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestHoldersNamesProcesses(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"/cwd", "/fd", "/near"} {
		if err := os.Mkdir(dir+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	byCwd := hold(t, dir+"/cwd", "echo up; read x")
	byFD := hold(t, "/", "exec 7>"+dir+"/fd/file; echo up; read x")
	byDeleted := hold(t, "/", "exec 7>"+dir+"/fd/gone; rm "+dir+"/fd/gone; echo up; read x")
	hold(t, dir+"/near", "echo up; read x")
	if got := pids(Holders(t.Context(), dir+"/cwd")); len(got) != 1 || !got[byCwd] {
		t.Errorf("cwd: %v, want %d", got, byCwd)
	}
	if got := pids(Holders(t.Context(), dir+"/fd")); len(got) != 2 || !got[byFD] || !got[byDeleted] {
		t.Errorf("fd: %v, want %d and %d", got, byFD, byDeleted)
	}
}

func pids(holders []Holder) map[int]bool {
	m := map[int]bool{}
	for _, h := range holders {
		m[h.PID] = true
	}
	return m
}

func TestHoldersEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	start := time.Now()
	Holders(ctx, "/")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestMapped(t *testing.T) {
	const maps = `55d0-55d1 r--p 00000000 fe:00 123      /usr/bin/cat
7f00-7f01 rw-p 00000000 00:00 0 
7f02-7f03 r-xp 00000000 00:2d 77       /srv/do cs/lib\012x.so (deleted)
7ffc-7ffd rw-p 00000000 00:00 0        [stack]
`
	for dir, want := range map[string]string{
		"/srv/do cs": "/srv/do cs/lib\nx.so (deleted)",
		"/usr":       "/usr/bin/cat",
		"/srv/do":    "",
		"/stack":     "",
	} {
		if got, ok := mapped(maps, dir); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", dir, got, ok, want)
		}
	}
}

func FuzzMapped(f *testing.F) {
	f.Add("55d0-55d1 r--p 00000000 fe:00 123      /usr/bin/cat\n", "/usr")
	f.Fuzz(func(t *testing.T, maps, dir string) {
		if what, ok := mapped(maps, dir); ok && !Within(what, dir) {
			t.Errorf("%q is not within %q", what, dir)
		}
	})
}

// TestHoldersOfADetachedFilesystem: what is open there has no path that tells, and a
// namespace may have it still.
func TestHoldersOfADetachedFilesystem(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("mount(2) of a tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	byCwd := hold(t, dir, "echo up; read x")
	byFD := hold(t, "/", "exec 7>"+dir+"/file; echo up; read x")
	byNamespace := hold(t, "/", "exec unshare -m --propagation private sh -c 'echo up; read x'")
	byNone := hold(t, "/", "echo up; read x")
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	for fstype, want := range map[string]map[int]bool{
		"tmpfs":       {byCwd: false, byFD: false, byNamespace: true},
		"fuse.tierfs": {byCwd: false, byFD: false}, // of these alone it cannot be told
	} {
		got := map[int]bool{} // by a namespace; others on the machine may have begun one meanwhile
		for _, h := range HoldersOf(t.Context(), fstype, unix.Minor(st.Dev)) {
			if slices.Contains([]int{byCwd, byFD, byNamespace, byNone}, h.PID) {
				got[h.PID] = h.Mounted
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", fstype, got, want)
		}
	}
}
