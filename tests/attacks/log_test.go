package attacks

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestNamesCannotForgeLogLines: a file's name has a line break in it, and after
// that what looks like a line of the daemon's own; another has escapes for the
// terminal that the log is read on.
func TestNamesCannotForgeLogLines(t *testing.T) {
	const evil = "x\nforged: all is well\x1b[2J\u009b1m\u202e\xff"
	for _, opts := range []string{"", "debug"} {
		harness.Require(t, "root", "fuse", "loop", "ext4")
		logs := harness.TempDir(t)
		disk := harness.On(t, "ext4", "64M")
		m := harness.NewOn(t, []string{harness.TempDir(t), disk})
		// A copy below that cannot be removed is warned of, with its name.
		harness.Mkdir(t, disk+"/d")
		harness.Mkdir(t, m.Primary+"/d")
		harness.Write(t, disk+"/d/"+evil, "low")
		harness.Must(t, "chattr", "+i", disk+"/d/"+evil)
		m.Up(strings.Trim(opts+",log="+logs+"/log", ","))
		harness.Write(t, m.Path("d/new"), "new")
		if err := os.Rename(m.Path("d/new"), m.Path("d/"+evil)); err != nil && errno(err) != unix.EPERM {
			t.Errorf("rename: %v", err)
		}
		unix.Unlink(m.Path("d/" + evil))
		unix.Mkdir(m.Path("d/"+evil+"2"), 0o755)
		unix.Rmdir(m.Path("d/" + evil + "2"))
		harness.Must(t, "chattr", "-i", disk+"/d/"+evil)
		m.Down()
		text := harness.Read(t, logs+"/log")
		if opts == "debug" && !strings.Contains(text, "forged") {
			t.Errorf("the name is not in the log: the test looks at the wrong thing\n%s", text)
		}
		line := regexp.MustCompile(`^[-0-9T:Z+]+ tierfs\[\d+\] (info|debug|warn|error) (.*)$`)
		for l := range strings.Lines(text) {
			found := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
			if found == nil || strings.HasPrefix(found[2], "forged") || strings.ContainsAny(l, "\x1b\u009b\u202e") || !utf8.ValidString(l) {
				t.Errorf("in the log: %q", l)
			}
		}
	}
}
