package command

import (
	"os"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

func TestWhereNamesTierAndBackingFile(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/fast", "1")
	harness.Write(t, m.Fallbacks[0]+"/slow\x1b", "2")
	harness.Symlink(t, "fast", m.Primary+"/link")
	m.Up()
	for name, tier := range map[string]string{"fast": m.Primary, "slow\x1b": m.Fallbacks[0], "link": m.Primary} {
		out, _ := tierfs(t, 0, "where", "--json", m.Path(name))
		got := decoded(t, out)
		if len(got) != 1 || got[0]["tier"] != tier || got[0]["path"] != tier+"/"+name || got[0]["file"] != m.Path(name) {
			t.Errorf("%q: %s", name, out)
		}
	}
	out, _ := tierfs(t, 0, "where", m.Path("slow\x1b"))
	harness.OneLine(t, out, `slow\x1b: on `+m.Fallbacks[0]+", as ")
}

// TestNamesAreToldApart: a backslash was shown as it is, so that a name could look
// like another with what a terminal acts on.
func TestNamesAreToldApart(t *testing.T) {
	m := harness.New(t, 1)
	for name, shown := range map[string]string{"a\x1b": `a\x1b`, `a\x1b`: `a\\x1b`, "a\tb": `a\tb`, `a\tb`: `a\\tb`} {
		harness.Write(t, m.Primary+"/"+name, "1")
		m.Up()
		for _, args := range [][]string{{"where", m.Path(name)}, {"why", m.Path(name)}, {"plan", "--all", m.Dir}} {
			out, _ := tierfs(t, 0, args...)
			harness.Contains(t, out, m.Dir+"/"+shown+": ")
		}
		m.Down()
	}
}

// Everybody may ask, as the mount itself answers.
func TestWhereIsForUsersToo(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/fast", "1")
	m.Up()
	out, stderr, code := harness.AsUser(t, 1000, 1000, nil, harness.CLI, "where", m.Path("fast"))
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	harness.OneLine(t, out, m.Primary+"/fast")
}

func TestWhereOutsideOfAnyMount(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/f", "1")
	m.Up()
	_, stderr := tierfs(t, 2, "where", m.Primary+"/f")
	harness.OneLine(t, stderr, "not in a tierfs mount")
	_, stderr = tierfs(t, 2, "where", m.Path("none"))
	harness.OneLine(t, stderr, "no such file")
	out, _ := tierfs(t, 2, "where", m.Path("none"), m.Path("f"))
	harness.OneLine(t, out, m.Primary+"/f")
	tierfs(t, 2, "where")
}

// A mount of one tier has no attributes to ask for.
func TestWhereInAMountOfOneTier(t *testing.T) {
	m := harness.New(t, 0)
	harness.Write(t, m.Primary+"/f", "1")
	m.Up()
	out, _ := tierfs(t, 0, "where", m.Path("f"))
	harness.OneLine(t, out, "on "+m.Primary+", as "+m.Primary+"/f")
	for _, args := range [][]string{{"plan", m.Dir}, {"why", m.Path("f")}, {"demote", m.Dir}} {
		_, stderr := tierfs(t, 2, args...)
		harness.OneLine(t, stderr, "one tier")
	}
}

// Paths lead to the same file in whichever way they are written.
func TestPathsAreFoundHoweverTheyAreWritten(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Primary+"/d/e")
	harness.Write(t, m.Primary+"/d/e/f", "1")
	m.Up()
	outside := harness.TempDir(t)
	harness.Symlink(t, m.Dir, outside+"/way")
	harness.Symlink(t, m.Path("d/e/f"), outside+"/to-file")
	harness.Mkdir(t, outside+"/bound")
	if err := unix.Mount(m.Path("d"), outside+"/bound", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(outside+"/bound", 0); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Chdir(m.Path("d")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Chdir("/"); err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{"e/f", "./e/../e/f", outside + "/way/d/e/f", outside + "/to-file", outside + "/bound/e/f"} {
		out, _ := tierfs(t, 0, "where", path)
		harness.OneLine(t, out, "as "+m.Primary+"/d/e/f")
		out, _ = tierfs(t, 0, "why", path)
		harness.OneLine(t, out, "on tier 0")
	}
}
