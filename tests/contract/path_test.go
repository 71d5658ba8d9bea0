package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// oddNames are names that some step on the way might cut, fold or unescape.
var oddNames = map[string]string{
	"space":       "a b  c",
	"comma":       "a,b,ro",
	"colon":       "a:b",
	"comma colon": "a,b:c,d",
	"backslash":   `a\b`,
	"end slash":   `a\`,
	"octal":       `a\040b`,
	"newline":     "a\nb",
	"tab":         "a\tb",
	"utf-8":       "größe-文書",
	"not utf-8":   "a\xff\xfeb",
	"quote":       `a"b`,
	"apostrophe":  `it's`,
	"equals":      "a=b",
	"hash":        "#a",
	"percent":     "a%sb%n",
	"dash":        "-o",
	"dollar":      "$(touch x)",
	"escape":      "a\x1b[31mb",
	"longest":     strings.Repeat("n", 255),
}

// odd makes a mount whose directories all have a name.
func odd(t *testing.T, name string) *harness.Mount {
	dir := harness.TempDir(t)
	m := harness.NewOn(t, []string{dir + "/p/" + name, dir + "/f/" + name})
	m.Dir = dir + "/m/" + name
	for _, d := range append(m.Tiers, m.Dir) {
		harness.Mkdir(t, d)
	}
	harness.Write(t, m.Primary+"/high", "h")
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	return m
}

func TestOddNamesOfDirectoriesWork(t *testing.T) {
	for kind, name := range oddNames {
		t.Run(kind, func(t *testing.T) {
			m := odd(t, name)
			up(m, helper(m.Primary, m.Dir, "-o", "rw,"+m.Options())...)
			harness.WantList(t, m.Dir, "high", "low")
			if got := harness.MountsAt(m.Dir)[0].Source; got != m.Primary {
				t.Errorf("source %q in mountinfo, want %q", got, m.Primary)
			}
			m.Down()
		})
	}
}

// libmount moves words about and cuts at commas before the helper sees the
// string; a name that mount(8) itself cannot carry is not asked for here.
func TestOddNamesOfDirectoriesWorkThroughMount(t *testing.T) {
	for kind, name := range oddNames {
		if strings.Contains(name, `"`) {
			continue // libmount 2.38 knows no escaped quote
		}
		t.Run(kind, func(t *testing.T) {
			m := odd(t, name)
			m.Up()
			harness.WantList(t, m.Dir, "high", "low")
			m.Down()
		})
	}
}

func TestOddNamesOfDirectoriesWorkInFstab(t *testing.T) {
	for _, kind := range []string{"space", "utf-8", "comma", "colon", "tab", "backslash", "not utf-8"} {
		t.Run(kind, func(t *testing.T) {
			m := odd(t, oddNames[kind])
			harness.Fstab(t, m.FstabLine())
			up(m, "mount", "-a")
			harness.WantList(t, m.Dir, "high", "low")
			up2 := harness.Must(t, "mount", "-a")
			if n := len(harness.MountsAt(m.Dir)); n != 1 || up2 != "" {
				t.Errorf("a second mount -a: %d mounts, says %q", n, up2)
			}
			m.Down()
		})
	}
}

func TestRelativePathsAndTrailingSlashes(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	for _, script := range []string{
		`mount -t fuse.tierfs p m -o fallback="$PWD/f1"`,
		`mount -t fuse.tierfs p/ m/ -o fallback="$PWD/f1/"`,
		`mount -t fuse.tierfs ./p ./m -o fallback="$PWD/./f1"`,
		`/sbin/mount.fuse.tierfs p m/// -o fallback="$PWD/m/../f1"`,
		`/sbin/mount.fuse.tierfs "$PWD/p/" "$PWD/./m/" -o "fallback=$PWD/f1//"`,
	} {
		up(m, "sh", "-c", `cd "$1" && `+script, "sh", filepath.Dir(m.Dir))
		harness.WantRead(t, m.Path("low"), "l")
		m.Down()
	}
}

func TestSymlinksToTiersAndMountPointAreFollowed(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	at := filepath.Dir(m.Dir)
	harness.Symlink(t, m.Primary, at+"/lp")
	harness.Symlink(t, "f1", at+"/lf")
	harness.Symlink(t, m.Dir, at+"/lm")
	up(m, helper(at+"/lp", at+"/lm", "-o", "fallback="+at+"/lf")...)
	harness.WantRead(t, m.Path("low"), "l")
	refused2 := func(opts string, part string) {
		t.Helper()
		_, stderr, code := harness.Run(t, helper("-f", at+"/lp", at+"/m2", "-o", opts)...)
		if code != failed {
			t.Errorf("%s: exit code %d, want %d", opts, code, failed)
		}
		harness.OneLine(t, stderr, part)
	}
	harness.Mkdir(t, at+"/m2")
	refused2("fallback="+m.Primary, "same directory")
	refused2("fallback="+at+"/missing", "missing")
}

// A path as long as the kernel takes it, and one byte more.
func TestLongestPathsWorkOrAreRefused(t *testing.T) {
	m := harness.New(t, 0)
	// PATH_MAX counts the zero byte at the end.
	long := m.Primary
	for len(long)+201 < 4095 {
		long += "/" + strings.Repeat("d", 200)
	}
	if rest := 4095 - len(long) - 1; rest > 0 {
		long += "/" + strings.Repeat("e", rest)
	}
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := m.UpBy(command(helper(long, m.Dir)))
	switch {
	case m.Mounted():
		m.Down()
	case code != failed:
		t.Errorf("a tier of %d bytes: exit code %d, want 0 or %d", len(long), code, failed)
		fallthrough
	default:
		harness.OneLine(t, stderr)
		m.None()
	}
	refused(m, helper(long+"/x", m.Dir), failed, "long")
	refused(m, helper(m.Primary, long+"/x"), failed, "long")
	refused(m, helper(m.Primary, m.Dir, "-o", "fallback="+long+"/x"), failed, "long")
}
