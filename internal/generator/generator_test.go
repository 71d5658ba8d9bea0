package generator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/daemon"
)

// run returns the drop-ins that Run writes for lines, by unit, and its warnings.
func run(t *testing.T, lines ...daemon.FstabLine) (units map[string]string, warned []string) {
	t.Helper()
	dir := t.TempDir()
	Run(lines, dir, func(line string) { warned = append(warned, line) })
	found, err := filepath.Glob(dir + "/*.mount.d/50-tierfs.conf")
	if err != nil {
		t.Fatal(err)
	}
	units = map[string]string{}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		unit := strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".d")
		_, units[unit], _ = strings.Cut(string(text), "[Unit]\n")
	}
	return units, warned
}

func TestEveryTierIsRequired(t *testing.T) {
	for name, c := range map[string]struct{ source, dir, options, unit, want string }{
		"one fallback": {"/srv/fast", "/srv/docs", "fallback=/srv/slow", "srv-docs.mount",
			`RequiresMountsFor="/srv/fast"|RequiresMountsFor="/srv/slow"|`},
		"a list, and another": {"/srv/fast", "/srv/docs", "nofail,fallback=/a:/b,demote=3d,fallback=/c", "srv-docs.mount",
			`RequiresMountsFor="/srv/fast"|RequiresMountsFor="/a"|RequiresMountsFor="/b"|RequiresMountsFor="/c"|`},
		"over the primary": {"/srv/docs", "/srv/docs/", "fallback=/srv/slow/", "srv-docs.mount",
			`RequiresMountsFor="/srv/docs"|RequiresMountsFor="/srv/slow"|`},
		"none": {"/srv/fast", "/srv/docs", "defaults", "srv-docs.mount", `RequiresMountsFor="/srv/fast"|`},
		"noauto and automount": {"/srv/fast", "/srv/docs", "noauto,x-systemd.automount,x-initrd.mount,fallback=/srv/slow", "srv-docs.mount",
			`RequiresMountsFor="/srv/fast"|RequiresMountsFor="/srv/slow"|`},
		"odd names": {`/a "b"`, "/srv/my docs-é", `fallback="/50%,\"c\"":/d\:e\\f`, `srv-my\x20docs\x2d\xc3\xa9.mount`,
			`RequiresMountsFor="/a \"b\""|RequiresMountsFor="/50%%,\"c\""|RequiresMountsFor="/d:e\\f"|`},
		"an option of tomorrow": {"/srv/fast", "/srv/docs", "fallback=/srv/slow,tomorrow=1", "srv-docs.mount",
			`RequiresMountsFor="/srv/fast"|RequiresMountsFor="/srv/slow"|`},
	} {
		t.Run(name, func(t *testing.T) {
			units, warned := run(t, daemon.FstabLine{Source: c.source, Dir: c.dir, Type: "fuse.tierfs", Options: c.options})
			if got := strings.ReplaceAll(units[c.unit], "\n", "|"); got != c.want || len(units) != 1 || len(warned) > 0 {
				t.Errorf("units %q, warnings %q\nwant %s: %s", units, warned, c.unit, c.want)
			}
		})
	}
}

func TestLinesOfOthersAreLeftAlone(t *testing.T) {
	units, warned := run(t,
		daemon.FstabLine{Source: "/dev/sda1", Dir: "/", Type: "ext4", Options: "defaults"},
		daemon.FstabLine{Source: "/a", Dir: "/b", Type: "fuse.other", Options: "fallback=/c"})
	if len(units)+len(warned) > 0 {
		t.Errorf("units %q, warnings %q", units, warned)
	}
}

// A mistake in one line must not cost another its order.
func TestBadLinesAreNamedAndTheOthersWritten(t *testing.T) {
	line := func(source, dir, options string) daemon.FstabLine {
		return daemon.FstabLine{Source: source, Dir: dir, Type: "fuse.tierfs", Options: options}
	}
	units, warned := run(t,
		line("/p", "/bad/option", "demote=soon"),
		line("/p", "/bad/fallback", "fallback=slow"),
		line("p", "/bad/primary", "defaults"),
		line("/p", "none", "defaults"),
		line("/p\nExecStart=/bin/sh", "/bad/newline", "defaults"),
		line("/p", "/bad/bytes", "fallback=/\xff"),
		line("/p", "/"+strings.Repeat("long", 64), "defaults"),
		line("/p", "/good", "fallback=/s"),
		line("/q", "/good", "fallback=/r"),
		daemon.FstabLine{Source: "/dev/sda1", Dir: "/disk/", Type: "ext4", Options: "defaults"},
		line("/disk", "/disk", "fallback=/s"))
	if want := `RequiresMountsFor="/p"` + "\n" + `RequiresMountsFor="/s"` + "\n"; len(units) != 1 || units["good.mount"] != want {
		t.Errorf("units %q", units)
	}
	for i, want := range []string{"/bad/option", "/bad/fallback", "/bad/primary", "none", "/bad/newline", "/bad/bytes", "/long", "/good", "/disk"} {
		if i >= len(warned) || !strings.Contains(warned[i], `line of "`+want) {
			t.Errorf("warning %d does not name %s: %q", i, want, warned)
		}
	}
}

// systemd names a unit by the directory that the links in its path lead to.
func TestMountPointsAreResolved(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/real", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"rel": "real", "abs": dir + "/real/", "up": "real/../real", "gone": "nowhere/x", "loop": "loop"} {
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/rel/a/b": "/real/a/b", "/abs": "/real", "/up/a": "/real/a", "/gone/a": "/nowhere/x/a", "/loop/a": "/loop/a", "/real/../rel": "/real",
	} {
		if got := resolve(dir + path); got != dir+want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
	}
}

// What systemd-escape --path says (252).
func TestUnitNames(t *testing.T) {
	for path, want := range map[string]string{
		"/": "-.mount", "/a//b/": "a-b.mount", "/.x": `\x2ex.mount`, "/srv/a b-c/.x%é": `srv-a\x20b\x2dc-.x\x25\xc3\xa9.mount`,
		`/a\b`: `a\x5cb.mount`, `/x"y`: `x\x22y.mount`, "/A_z:0.9": "A_z:0.9.mount",
	} {
		if got, err := unitName(path); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", path, got, err, want)
		}
	}
}
