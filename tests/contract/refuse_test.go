package contract

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestTiersThatCannotBeAreRefused(t *testing.T) {
	m := harness.New(t, 1)
	p, f := m.Primary, m.Fallbacks[0]
	file, fifo := p+"/file", p+"/fifo"
	harness.Write(t, file, "")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Mkdir(t, p+"/sub")
	harness.Mkdir(t, f+"/sub")
	harness.Symlink(t, p, f+"/to-primary")
	harness.Symlink(t, "loop", f+"/loop")
	fallback := func(dir string) []string { return helper(p, m.Dir, "-o", "fallback="+dir) }
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{helper(p+"-missing", m.Dir), []string{"primary", p + "-missing", "no such directory"}},
		{fallback(p + "-missing"), []string{"fallback", p + "-missing", "no such directory"}},
		{helper(file, m.Dir), []string{"primary", file, "not a directory"}},
		{fallback(file), []string{"fallback", file, "not a directory"}},
		{fallback(fifo), []string{fifo, "not a directory"}},
		{fallback("/dev/null"), []string{"/dev/null", "not a directory"}},
		{fallback(p), []string{p, "same directory"}},
		{fallback(f + "/to-primary"), []string{"same directory"}},
		{fallback(f + ":" + f), []string{f, "same directory"}},
		{fallback(p + "/sub"), []string{p, p + "/sub", "inside"}},
		{helper(p+"/sub", m.Dir, "-o", "fallback="+p), []string{p + "/sub", "inside"}},
		{fallback(f + ":" + f + "/sub"), []string{f + "/sub", "inside"}},
		{fallback(f + "/loop"), []string{"loop"}},
	} {
		refused(m, c.args, failed, c.parts...)
	}
	harness.WantList(t, f, "loop", "sub", "to-primary") // no mark is left by a refused mount
}

// It was "operation not permitted; make the directory writable".
func TestTopOfAMountIsNoTierAndTheMessageSaysWhy(t *testing.T) {
	inner := harness.New(t, 1)
	inner.Up()
	outer := harness.New(t, 1)
	refused(outer, helper(inner.Dir, outer.Dir, "-o", "fallback="+outer.Fallbacks[0]), failed, inner.Dir, "the top of a tierfs mount, which keeps .tierfs for itself")
	harness.Mkdir(t, inner.Path("sub"))
	below := harness.NewOn(t, []string{inner.Path("sub"), outer.Fallbacks[0]})
	below.Up()
	below.Down()
}

// The names do not show it, the directories do.
func TestTierInsideAnotherByABindMountIsRefused(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Primary+"/sub")
	harness.Must(t, "mount", "--bind", m.Primary+"/sub", m.Fallbacks[0])
	t.Cleanup(func() { harness.Unmount(t, m.Fallbacks[0]) })
	refused(m, m.Args(), failed, "inside")
}

func TestMountPointsThatCannotBeAreRefused(t *testing.T) {
	m := harness.New(t, 1)
	p, f := m.Primary, m.Fallbacks[0]
	file := filepath.Dir(m.Dir) + "/file"
	harness.Write(t, file, "")
	harness.Mkdir(t, p+"/sub/deep")
	harness.Mkdir(t, f+"/sub")
	for _, c := range []struct {
		dir  string
		part string
	}{
		{m.Dir + "-missing", "mount point"},
		{file, "not a directory"},
		{p + "/sub", "inside tier"},
		{p + "/sub/deep", "inside tier"},
		{f + "/sub", "inside tier"},
	} {
		at := *m
		at.Dir = c.dir
		refused(&at, helper(p, c.dir, "-o", m.Options()), failed, c.part)
	}
}

func TestMountOverThePrimaryShowsIt(t *testing.T) {
	m := harness.New(t, 1)
	m.Dir = m.Primary
	harness.Write(t, m.Primary+"/high", "h")
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	for range 2 { // the second time by the lists
		m.Up()
		harness.WantRead(t, m.Path("high"), "h")
		harness.WantRead(t, m.Path("low"), "l")
		harness.Write(t, m.Path("new"), "n")
		harness.Must(t, "ls", "-lR", m.Dir)
		m.Down()
		harness.WantList(t, m.Primary, ".tierfs", "high", "new")
		harness.Remove(t, m.Primary+"/new")
	}
	harness.Fstab(t, m.FstabLine())
	up(m, "mount", "-a")
	harness.Must(t, "mount", "-a")
	if n := len(harness.MountsAt(m.Dir)); n != 1 {
		t.Errorf("%d mounts after a second mount -a", n)
	}
}

func TestMountOverAFallbackShowsIt(t *testing.T) {
	m := harness.New(t, 1)
	m.Dir = m.Fallbacks[0]
	harness.Write(t, m.Primary+"/high", "h")
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	m.Up()
	harness.WantList(t, m.Dir, "high", "low")
	m.Down()
}

// The tiers are opened before the mount covers them.
func TestMountAboveItsTiersWorks(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/high", "h")
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	m.Dir = filepath.Dir(m.Primary)
	m.Up()
	harness.WantList(t, m.Dir, "high", "low")
	harness.Write(t, m.Path("new"), "n")
	m.Down()
	harness.WantRead(t, m.Primary+"/new", "n")
}

func TestTierThatIsADeadMountIsRefused(t *testing.T) {
	dead := harness.New(t, 0)
	dead.Up()
	unix.Kill(dead.Pid(), unix.SIGKILL)
	dead.Gone(128 + int(unix.SIGKILL))
	m := harness.New(t, 1)
	refused(m, helper(m.Primary, m.Dir, "-o", "fallback="+dead.Dir), failed, "fallback", dead.Dir)
	refused(m, helper(dead.Dir, m.Dir), failed, "primary", dead.Dir)
	harness.Must(t, "umount", dead.Dir)
}

// TestPassthroughOnSaysWhereItCannotBe: who asks for it by name wants to know.
func TestPassthroughOnSaysWhereItCannotBe(t *testing.T) {
	harness.Require(t, "passthrough", "overlay")
	m := harness.New(t, 1)
	disk := harness.On(t, "tmpfs", "16M")
	for _, dir := range []string{"/lower", "/upper", "/work"} {
		harness.Mkdir(t, disk+dir)
	}
	harness.Write(t, disk+"/lower/low", "l")
	over := m.Fallbacks[0]
	harness.Must(t, "mount", "-t", "overlay", "overlay", over, "-o", "lowerdir="+disk+"/lower,upperdir="+disk+"/upper,workdir="+disk+"/work")
	t.Cleanup(func() { harness.Unmount(t, over) })
	refusal := "no passthrough on this tier"
	for _, c := range []struct {
		opts    string
		part    string // of what is said when it is mounted
		refused string // the priority of the line at the first open
	}{
		{"passthrough=on", over, "<28>"}, // daemon.warning
		{"passthrough=on,sync", "sync", ""},
		{"passthrough=auto", "", "<30>"}, // daemon.info
		{"passthrough=off", "", ""},
	} {
		_, rehearsed, code := harness.Run(t, append(m.Args(c.opts), "-f")...)
		if code != ok {
			t.Errorf("%s: -f: exit code %d", c.opts, code)
		}
		_, stderr, code := m.TryUp(c.opts)
		if code != ok {
			t.Fatalf("%s: exit code %d: %s", c.opts, code, stderr)
		}
		for _, said := range []string{stderr, rehearsed} {
			if c.part == "" && strings.Contains(said, "passthrough") {
				t.Errorf("%s: says %q", c.opts, said)
			}
			if c.part != "" && !strings.Contains(said, "mount.tierfs: passthrough=on: ") || !strings.Contains(said, c.part) {
				t.Errorf("%s: says %q, want %q in it", c.opts, said, c.part)
			}
		}
		harness.WantRead(t, m.Path("low"), "l")
		pid := m.Pid()
		m.Down()
		harness.Eventually(t, "the log is whole", func() bool { return strings.Contains(harness.Syslog(pid), "served to its end") })
		line := ""
		for l := range strings.Lines(harness.Syslog(pid)) {
			if strings.Contains(l, refusal) {
				line = l
			}
		}
		if (line != "") != (c.refused != "") || !strings.HasPrefix(line, c.refused) {
			t.Errorf("%s: the log has %q, want priority %q", c.opts, line, c.refused)
		}
	}
}
