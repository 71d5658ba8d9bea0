package contract

import (
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMountAllTwiceMountsOnce(t *testing.T) {
	m := harness.New(t, 1)
	slashes := *m
	slashes.Primary += "/"
	slashes.Fallbacks = []string{m.Fallbacks[0] + "/"}
	for _, line := range []string{
		m.FstabLine(),
		m.FstabLine("nofail", "_netdev", "x-systemd.requires-mounts-for="+m.Fallbacks[0]),
		slashes.FstabLine(),
		strings.Replace(m.FstabLine(), " fuse.tierfs ", " tierfs ", 1),
		m.Primary + " " + m.Dir + " fuse.tierfs",
		m.Primary + " " + m.Dir + " fuse.tierfs defaults",
	} {
		harness.Fstab(t, line)
		up(m, "mount", "-a")
		for _, again := range [][]string{{"mount", "-a"}, {"mount", "-a", "-F"}, {"mount", "-a", "-O", "no_netdev"}} {
			if _, stderr, code := harness.Run(t, again...); code != ok || stderr != "" {
				t.Errorf("%q: %q again: exit code %d, %q", line, again, code, stderr)
			}
		}
		if at := harness.MountsAt(m.Dir); len(at) != 1 {
			t.Errorf("%q: %d mounts after a second mount -a", line, len(at))
		}
		m.Down()
	}
}

func TestSourceIsTheFirstFieldToTheLetter(t *testing.T) {
	m := harness.New(t, 1)
	harness.Fstab(t, m.FstabLine())
	up(m, "mount", m.Dir)
	line := harness.MountsAt(m.Dir)[0]
	if line.Source != m.Primary || line.FSType != "fuse.tierfs" {
		t.Errorf("source %q, type %q in mountinfo", line.Source, line.FSType)
	}
	got := harness.Must(t, "findmnt", "-rn", "-t", "fuse.tierfs", "-o", "SOURCE,TARGET,FSTYPE", m.Dir)
	if want := m.Primary + " " + m.Dir + " fuse.tierfs\n"; got != want {
		t.Errorf("findmnt: %q, want %q", got, want)
	}
	harness.Must(t, "findmnt", "--verify", "--tab-file", "/etc/fstab")
	if got := harness.Must(t, "df", "--output=source,fstype", m.Dir); !strings.Contains(got, m.Primary+" fuse.tierfs") {
		t.Errorf("df: %q", got)
	}
}

func TestOneLineOfFstabIsMountedByEitherName(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	harness.Fstab(t, m.FstabLine("noauto"))
	for _, args := range [][]string{
		{"mount", m.Dir}, {"mount", m.Primary}, {"mount", m.Dir, "-o", "ro,noexec"}, {"mount", "-o", "create=primary", m.Dir},
	} {
		up(m, args...)
		harness.WantRead(t, m.Path("low"), "l")
		m.Down()
	}
	refused(m, []string{"mount", "-o", "nosuch", m.Dir}, usage, "nosuch")
}

func TestUmountAllOfTheTypeUnmounts(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	harness.Must(t, "umount", "-a", "-t", "fuse.tierfs")
	m.Gone(0)
}

// nofail reaches the helper, and mount(8) does not soften a helper's failure.
func TestNofailForgivesAMissingTier(t *testing.T) {
	m := harness.New(t, 1)
	missing := m.Primary + "-missing"
	for _, line := range []string{
		strings.Replace(m.FstabLine("nofail"), m.Primary, missing, 1),
		strings.Replace(m.FstabLine("nofail"), m.Fallbacks[0], missing, 1),
	} {
		harness.Fstab(t, line)
		for _, args := range [][]string{{"mount", "-a"}, {"mount", m.Dir}, {"mount", "-f", m.Dir}} {
			_, stderr, code := m.UpBy(command(args))
			if code != ok {
				t.Errorf("%q with %q: exit code %d, want 0", args, line, code)
			}
			harness.OneLine(t, stderr, "mount.tierfs: ", missing, "nofail")
			m.None()
		}
	}
	harness.Fstab(t, m.FstabLine("nofail"))
	up(m, "mount", "-a")
}

func TestNofailForgivesNothingElse(t *testing.T) {
	m := harness.New(t, 1)
	file := m.Primary + "/file"
	harness.Write(t, file, "")
	refused(m, m.Args("nofail", "fallback="+file), failed, "not a directory")
	refused(m, m.Args("nofail", "nosuch"), usage, "nosuch")
	refused(m, m.Args("nofail", "fallback="+m.Primary), failed, "same directory")
	m.Up()
	stdout, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-o", m.Options("nofail"))...)
	if code != failed {
		t.Errorf("already mounted with nofail: exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestMissingTierWithoutNofailIs32(t *testing.T) {
	m := harness.New(t, 1)
	missing := m.Primary + "-missing"
	harness.Fstab(t, strings.Replace(m.FstabLine(), m.Fallbacks[0], missing, 1))
	refused(m, []string{"mount", m.Dir}, failed, "fallback", missing, "no such directory")
	_, stderr, code := m.UpBy(command([]string{"mount", "-a"}))
	if code == ok {
		t.Error("mount -a: exit code 0")
	}
	harness.OneLine(t, stderr, missing)
	m.None()
}

// TestOptionsThatMountCutsOffAreRefused: libmount 2.38 hands on what comes before an
// option with one double quote, so the mount was writable, of the primary alone, and
// nobody said so.
func TestOptionsThatMountCutsOffAreRefused(t *testing.T) {
	m := harness.New(t, 1)
	for _, quote := range []string{`"`, `\042`} {
		for _, line := range []string{
			m.Primary + " " + m.Dir + " fuse.tierfs fallback=/srv/co" + quote + "q,demote=1s,ro 0 0",
			m.Primary + " " + m.Dir + " fuse.tierfs fallback=" + m.Fallbacks[0] + ",exclude=a" + quote + "b,ro 0 0",
		} {
			harness.Fstab(t, line)
			_, stderr, code := harness.Run(t, "mount", m.Dir)
			if at := harness.MountsAt(m.Dir); len(at) > 0 {
				harness.Must(t, "umount", m.Dir)
				t.Errorf("%s: mounted", line)
				continue
			}
			if code == ok {
				t.Errorf("%s: exit code 0", line)
			}
			harness.OneLine(t, stderr, "/etc/fstab: line of \""+m.Dir+"\": a double quote in its options has no other", "take it out")
		}
	}
	harness.Fstab(t, m.FstabLine(`exclude="a,b"`, "ro"))
	up(m, "mount", m.Dir)
	m.Down()
}
