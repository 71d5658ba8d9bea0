package contract

import (
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMountFlagsAreVisibleInMountinfo(t *testing.T) {
	m := harness.New(t, 0)
	for _, c := range []struct{ opts, has, hasNot string }{
		{"", "rw nosuid nodev relatime default_permissions allow_other", "ro noexec noatime"},
		{"rw,exec,async,atime,diratime,symfollow,nolazytime", "rw nosuid nodev relatime", "noexec"},
		{"ro", "ro", ""},
		{"noexec", "noexec", "ro"},
		{"user,suid", "nodev noexec", "nosuid"},
		{"suid,nosuid", "nosuid", ""},
		{"allow_suid,allow_dev", "", "nosuid nodev"},
		{"allow_suid,allow_dev,nosuid,nodev", "nosuid nodev", ""}, // of fstab, and of the command line
		{"noatime", "noatime", "relatime"},
		{"nodiratime", "nodiratime", ""},
		{"strictatime", "", "relatime noatime"},
		{"noatime,relatime", "relatime", "noatime"},
		{"lazytime", "lazytime", ""},
		{"sync", "sync", ""},
		{"sync,async", "", "sync"},
		{"dirsync", "dirsync", ""},
		{"nosymfollow", "nosymfollow", ""},
		{"noallow_other", "default_permissions", "allow_other"},
		{"max_read=65536", "max_read=65536", ""},
		{"ro,noexec,noatime,nodiratime,sync", "ro noexec noatime nodiratime sync nosuid nodev", ""},
	} {
		m.Up(c.opts)
		wantFlags(m, c.opts, c.has, c.hasNot)
		m.Down()
	}
}

// mount(8) keeps suid and dev for itself where no user or owner stands beside
// them (util-linux 2.38), so the helper is called as automounters call it.
func TestSuidAndDevTurnTheDefaultsOff(t *testing.T) {
	m := harness.New(t, 0)
	for _, c := range []struct{ opts, has, hasNot string }{
		{"suid", "nodev", "nosuid"},
		{"dev", "nosuid", "nodev"},
		{"suid,dev", "", "nosuid nodev"},
		{"suid,nosuid", "nosuid nodev", ""},
	} {
		up(m, helper(m.Primary, m.Dir, "-o", c.opts)...)
		wantFlags(m, c.opts, c.has, c.hasNot)
		m.Down()
	}
}

func wantFlags(m *harness.Mount, opts, has, hasNot string) {
	m.T.Helper()
	got := flags(m)
	for _, word := range strings.Fields(has) {
		if !slices.Contains(got, word) {
			m.T.Errorf("%q: no %q in %q", opts, word, got)
		}
	}
	for _, word := range strings.Fields(hasNot) {
		if slices.Contains(got, word) {
			m.T.Errorf("%q: %q in %q", opts, word, got)
		}
	}
}

// mount(2) answers EINVAL to any word that it does not know, so an option that
// mount(8), systemd or another tool leaves in the string must end in the helper.
func TestOptionsForOthersAreDropped(t *testing.T) {
	m := harness.New(t, 0)
	for _, word := range strings.Fields(`rw nofail _netdev user users user=root nouser owner group uhelper=udisks2
		helper=x norelatime mand nomand bg silent loud iversion noiversion auto noauto defaults comment=hi
		x-systemd.automount x-gvfs-show X-mount.mkdir=0755 x-systemd.requires-mounts-for=/srv default_permissions`) {
		up(m, helper(m.Primary, m.Dir, "-o", "rw,"+word)...)
		m.Down()
	}
	m.Up("nofail", "_netdev", "user", "noauto", "x-systemd.idle-timeout=60", "comment=a b")
	harness.Contains(t, strings.Join(flags(m), ","), "nosuid", "nodev", "noexec") // mount(8): user implies noexec
}

func TestEveryOptionOfOursIsTaken(t *testing.T) {
	m := harness.New(t, 0)
	for _, opts := range []string{
		"create=parent,create=primary", "minfree=5%", "minfree=2G", "minfree=0", "statfs=sum", "statfs=primary",
		"rawlinks", "entry_timeout=5,attr_timeout=0.5,negative_timeout=2s,tier_timeout=500ms", "entry-timeout=0,attr-timeout=0",
		"threads=1", "threads=64", "passthrough=auto", "passthrough=off", "acl", "noacl", "allow_other", "inodes=64", "inodes=32",
		"debug", "log=syslog", "max_read=4096",
	} {
		m.Up(opts)
		harness.Write(t, m.Path("f"), opts)
		harness.WantRead(t, m.Path("f"), opts)
		m.Down()
	}
}

func TestWrongValuesNameTheOptionAndTheCure(t *testing.T) {
	m := harness.New(t, 0)
	for opts, parts := range map[string][]string{
		"falback=/x":           {`unknown option "falback"`, `did you mean "fallback"?`},
		"entry_timout=1":       {`did you mean "entry_timeout"?`},
		"noexce":               {`did you mean "noexec"?`},
		"demote=90":            {`demote "90": want a duration such as 21d`},
		"high=80,low=90":       {"low 90%: more than high, which is 80%"},
		"xyzzy":                {`unknown option "xyzzy"`},
		"create=there":         {`create "there"`, "parent"},
		"minfree=x":            {`minfree "x": want a percentage such as 1% or a size such as 2G`},
		"minfree=101%":         {"minfree"},
		"statfs=all":           {"statfs", "sum"},
		"inodes=16":            {"inodes", "64"},
		"entry_timeout=soon":   {"entry_timeout", "soon"},
		"attr_timeout=-1":      {"attr_timeout", "negative"},
		"tier_timeout=0":       {"tier_timeout"},
		"threads=0":            {"threads", "1024"},
		"threads=1025":         {"threads", "1024"},
		"passthrough=maybe":    {"passthrough", "auto"},
		"log=relative":         {"log", "absolute"},
		"fallback":             {"fallback", "no value"},
		"fallback=":            {"fallback"},
		"fallback=/a::/b":      {"fallback"},
		"fallback=x":           {`fallback "x"`, "not an absolute path", "begin it with /"},
		"fallback=/a:../b":     {`fallback "../b"`, "not an absolute path"},
		"rawlinks=1":           {"rawlinks", "no value"},
		"=x":                   {"name"},
		`fallback="/a`:         {"quote"},
		"max_read=-5":          {"max_read"},
		"falback=/a,falbeck=b": {"falback"},
		"bad\noption\x1b[2J":   {`bad\noption\x1b[2J`},
		"\xff\xfe":             {`\xff\xfe`},
	} {
		refused(m, helper(m.Primary, m.Dir, "-o", opts), usage, parts...)
	}
	refused(m, m.Args("falback=/x"), usage, `did you mean "fallback"?`) // through mount(8)
}

func TestFallbacksKeepTheirOrderInEverySpelling(t *testing.T) {
	m := harness.New(t, 3)
	for i, tier := range m.Fallbacks {
		harness.Write(t, tier+"/all", tier)
		if i > 0 {
			harness.Write(t, tier+"/lower", tier)
		}
	}
	a, b, c := m.Fallbacks[0], m.Fallbacks[1], m.Fallbacks[2]
	for _, opts := range []string{
		"fallback=" + a + ":" + b + ":" + c,
		"fallback=" + a + ",fallback=" + b + ",fallback=" + c,
		"fallback=" + a + ":" + b + ",ro,fallback=" + c,
		`fallback="` + a + `":` + b + `,"fallback=` + c + `"`,
	} {
		up(m, "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", opts)
		harness.WantRead(t, m.Path("all"), a)
		harness.WantRead(t, m.Path("lower"), b)
		m.Down()
	}
	up(m, helper(m.Primary, m.Dir, "-o", "fallback="+a, "-o", "fallback="+b, "-o", "fallback="+c)...)
	harness.WantRead(t, m.Path("lower"), b)
}
