package contract

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// util-linux 2.40.3 put the options before the operands; helpers that counted
// on argv[1] and argv[2] broke.
func TestOperandsAndFlagsComeInAnyOrder(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/below", "b")
	opts, p, d := m.Options(), m.Primary, m.Dir
	for _, args := range [][]string{
		{p, d, "-o", opts},
		{"-o", opts, p, d},
		{p, "-o", opts, d},
		{"-n", p, "-v", d, "-s", "-o", opts},
		{"-o" + opts, p, d},
		{p, d, "-sno", opts},
		{"-o", opts, "--", p, d},
		{p, d, "-t", "fuse.tierfs", "-o", opts},
		{"-t", "tierfs", p, d, "-o", opts},
		{"-t", "fuse.tierfs", "-o", opts, "-rw", p, d},
		{p, d, "-o", "rw", "-o", opts, "-o", "noexec"},
	} {
		up(m, helper(args...)...)
		harness.WantRead(t, m.Path("below"), "b")
		m.Down()
	}
}

func TestMountCallsTheHelperOfEitherType(t *testing.T) {
	for _, fstype := range []string{"fuse.tierfs", "tierfs"} {
		m := harness.New(t, 0)
		up(m, "mount", "-t", fstype, m.Primary, m.Dir)
		if got := harness.MountsAt(m.Dir)[0].FSType; got != "fuse.tierfs" {
			t.Errorf("-t %s: type %q in mountinfo", fstype, got)
		}
		m.Down()
	}
}

func TestFlagsOfMountReachTheHelper(t *testing.T) {
	for _, bundle := range [][]string{{"-n"}, {"-v"}, {"-s"}, {"-r"}, {"-w"}, {"-nvs"}, {"-v", "-r", "-n"}} {
		m := harness.New(t, 0)
		args := append([]string{"mount", "-t", "fuse.tierfs"}, append(bundle, m.Primary, m.Dir)...)
		up(m, args...)
		wantRO := slices.Contains(bundle, "-r")
		if got := slices.Contains(flags(m), "ro"); got != wantRO {
			t.Errorf("%q: read-only %v, want %v", bundle, got, wantRO)
		}
		m.Down()
	}
}

func TestLaterOfReadOnlyAndReadWriteWins(t *testing.T) {
	m := harness.New(t, 0)
	for _, c := range []struct {
		args []string
		ro   bool
	}{
		{[]string{"-r"}, true},
		{[]string{"-w"}, false},
		{[]string{"-r", "-w"}, false},
		{[]string{"-w", "-r"}, true},
		{[]string{"-r", "-o", "rw"}, false},
		{[]string{"-o", "rw", "-o", "ro"}, true},
		{[]string{"-o", "ro,rw,ro"}, true},
	} {
		up(m, helper(append(c.args, m.Primary, m.Dir)...)...)
		if got := slices.Contains(flags(m), "ro"); got != c.ro {
			t.Errorf("%q: read-only %v, want %v", c.args, got, c.ro)
		}
		m.Down()
	}
}

func TestVerboseSaysWhatIsDone(t *testing.T) {
	m := harness.New(t, 0)
	stdout, stderr := up(m, helper("-v", m.Primary, m.Dir)...)
	harness.Contains(t, stdout+stderr, m.Primary, m.Dir)
	m.Down()
	stdout, stderr = up(m, helper(m.Primary, m.Dir)...)
	if stdout+stderr != "" {
		t.Errorf("without -v a mount of one directory says %q", stdout+stderr)
	}
}

func TestWrongUsageIsOneLineAndCodeOne(t *testing.T) {
	m := harness.New(t, 0)
	p, d := m.Primary, m.Dir
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{nil, []string{"operand"}},
		{[]string{p}, []string{p, "mount point"}},
		{[]string{p, d, "third"}, []string{"third"}},
		{[]string{"", d}, []string{"empty"}},
		{[]string{p, d, "-x"}, []string{`"-x"`}},
		{[]string{p, d, "--wrong"}, []string{"--wrong"}},
		{[]string{p, d, "-o"}, []string{"-o"}},
		{[]string{p, d, "-N"}, []string{"-N"}},
		{[]string{p, d, "-t", "fuse.mergerfs"}, []string{"fuse.mergerfs", "fuse.tierfs"}},
		{[]string{p, d, "-t", "ext4"}, []string{"ext4"}},
	} {
		refused(m, helper(c.args...), usage, c.parts...)
	}
}

func TestHelpAndVersionGoToStandardOutput(t *testing.T) {
	for _, c := range []struct{ flag, part string }{{"--help", "fallback"}, {"-h", "minfree"}, {"--version", "tierfs"}, {"-V", "tierfs"}} {
		stdout, stderr, code := harness.Run(t, helper(c.flag)...)
		if code != ok || stderr != "" {
			t.Errorf("%s: exit code %d, stderr %q", c.flag, code, stderr)
		}
		harness.Contains(t, stdout, c.part)
	}
}

// Every other FUSE helper mounts with mount -f.
func TestFakeChecksAndMountsNothing(t *testing.T) {
	m := harness.New(t, 1)
	for _, args := range [][]string{
		{"mount", "-f", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options()},
		{"mount", "-fnvs", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", m.Options("nosuch")},
		helper("-f", m.Primary, m.Dir, "-o", m.Options()),
	} {
		if stdout, stderr, code := m.UpBy(exec.Command(args[0], args[1:]...)); code != ok {
			t.Errorf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
		m.None()
		for _, tier := range m.Tiers {
			harness.WantList(t, tier) // not even a member list
		}
	}
}

func TestFakeReportsErrorsWithTheirCode(t *testing.T) {
	m := harness.New(t, 1)
	missing := m.Primary + "-missing"
	file := m.Primary + "/file"
	harness.Write(t, file, "")
	for _, c := range []struct {
		spec, dir, opts string
		code            int
		part            string
	}{
		{m.Primary, m.Dir, "falback=/x", usage, "fallback"},
		{m.Primary, m.Dir, "minfree=x", usage, "minfree"},
		{missing, m.Dir, "rw", failed, missing},
		{m.Primary, m.Dir, "fallback=" + missing, failed, missing},
		{m.Primary, m.Dir, "fallback=" + file, failed, "not a directory"},
		{m.Primary, m.Dir + "-missing", "rw", failed, "mount point"},
		{m.Primary, file, "rw", failed, "not a directory"},
		{m.Primary, m.Dir, "fallback=" + m.Primary, failed, "same directory"},
	} {
		refused(m, helper("-f", c.spec, c.dir, "-o", c.opts), c.code, c.part)
	}
}

func TestSloppyMakesUnknownOptionsWarnings(t *testing.T) {
	m := harness.New(t, 0)
	for _, args := range [][]string{
		{"mount", "-s", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", "nosuch=1,other"},
		helper(m.Primary, m.Dir, "-o", "nosuch=1,other", "-s"),
	} {
		_, stderr := up(m, args...)
		harness.Contains(t, stderr, "nosuch", "other")
		m.Down()
	}
	refused(m, helper("-s", m.Primary, m.Dir, "-o", "minfree=x"), usage, "minfree")
}
