package union

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestDirectoryAttributesAreSetOnEveryTier: a directory that is closed on the
// primary alone would open again when its primary copy is lost.
func TestDirectoryAttributesAreSetOnEveryTier(t *testing.T) {
	u := newUnion(t, 2)
	u.dir("d", 0, 1, 2)
	u.Up()
	u.ok("chmod", unix.Chmod(u.Path("d"), 0o2750))
	u.ok("chown", unix.Chown(u.Path("d"), 11, 12))
	u.ok("chmod", unix.Chmod(u.Path("d"), 0o2750))
	u.ok("setxattr", unix.Setxattr(u.Path("d"), "user.k", []byte("v"), 0))
	u.ok("setxattr", unix.Setxattr(u.Path("d"), "user.gone", []byte("v"), 0))
	u.ok("removexattr", unix.Removexattr(u.Path("d"), "user.gone"))
	harness.Must(t, "setfacl", "-m", "u:54321:rx,d:u:54321:rwx", u.Path("d"))
	ts := []unix.Timespec{{Sec: 1000, Nsec: 1}, {Sec: 2000, Nsec: 2}}
	u.ok("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, u.Path("d"), ts, 0))
	want := strings.TrimPrefix(harness.Must(t, "getfacl", "-pn", u.Path("d")), "# file: "+u.Path("d"))
	for rank := range u.Tiers {
		p := u.Tier(rank, "d")
		st := harness.Stat(t, p)
		if st.Mode&0o7777 != 0o2750 || st.Uid != 11 || st.Gid != 12 || st.Mtim != ts[1] || st.Atim != ts[0] {
			t.Errorf("tier %d: mode %o owner %d:%d times %v %v", rank, st.Mode, st.Uid, st.Gid, st.Atim, st.Mtim)
		}
		b := make([]byte, 100)
		if n, err := unix.Getxattr(p, "user.k", b); err != nil || string(b[:n]) != "v" {
			t.Errorf("tier %d: user.k is %q, %v", rank, b[:max(n, 0)], err)
		}
		if _, err := unix.Getxattr(p, "user.gone", b); err != unix.ENODATA {
			t.Errorf("tier %d: user.gone: %v, want ENODATA", rank, err)
		}
		if got := strings.TrimPrefix(harness.Must(t, "getfacl", "-pn", p), "# file: "+p); got != want {
			t.Errorf("tier %d has the access list\n%s\nwant\n%s", rank, got, want)
		}
	}
}

// TestDirectoryFlagsAreSetOnEveryTier, so that what is made below belongs to
// the directory's project on whichever tier it lands.
func TestDirectoryFlagsAreSetOnEveryTier(t *testing.T) {
	u := newUnionOn(t, []string{harness.On(t, "xfs", "300M"), harness.On(t, "xfs", "300M")})
	u.dir("d", 0, 1)
	u.dir("d/low", 1)
	u.Up()
	harness.Must(t, "chattr", "-p", "42", u.Path("d"))
	harness.Must(t, "chattr", "-p", "42", u.Path("d/low"))
	harness.Must(t, "chattr", "+Pd", u.Path("d"))
	harness.Must(t, "chattr", "+P", u.Path("d/low"))
	for rank := range u.Tiers {
		if got := strings.Fields(harness.Must(t, "lsattr", "-dp", u.Tier(rank, "d"))); got[0] != "42" || !strings.ContainsRune(got[1], 'P') || !strings.ContainsRune(got[1], 'd') {
			t.Errorf("tier %d: the project and the flags are %q", rank, got)
		}
	}
	for rank, rel := range []string{"d/f", "d/low/f"} {
		u.create(rel, "x")
		if got := strings.Fields(harness.Must(t, "lsattr", "-p", u.Tier(rank, rel))); got[0] != "42" {
			t.Errorf("%s is of project %s, want 42", rel, got[0])
		}
	}
}

func TestRootAttributesAreSetOnEveryTier(t *testing.T) {
	u := newUnion(t, 1)
	u.Up()
	u.ok("chmod", unix.Chmod(u.Dir, 0o1777))
	u.ok("chown", unix.Chown(u.Dir, 7, 8))
	u.ok("setxattr", unix.Setxattr(u.Dir, "user.k", []byte("v"), 0))
	for rank, root := range u.Tiers {
		if st := harness.Stat(t, root); st.Mode&0o7777 != 0o1777 || st.Uid != 7 || st.Gid != 8 {
			t.Errorf("tier %d: mode %o owner %d:%d", rank, st.Mode, st.Uid, st.Gid)
		}
	}
	if st := harness.Stat(t, u.Dir); st.Mode&0o7777 != 0o1777 || st.Uid != 7 {
		t.Errorf("shown: mode %o owner %d", st.Mode, st.Uid)
	}
}

func TestFileAttributesAreSetAtHomeOnly(t *testing.T) {
	u := newUnion(t, 2)
	u.Put(1, "f", "shown")
	u.Put(2, "f", "shadowed")
	u.Up()
	before := harness.Stat(t, u.Tier(2, "f"))
	u.ok("chmod", unix.Chmod(u.Path("f"), 0o600))
	u.ok("chown", unix.Chown(u.Path("f"), 1, 2))
	u.ok("setxattr", unix.Setxattr(u.Path("f"), "user.k", []byte("v"), 0))
	u.ok("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, u.Path("f"), []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	if st := harness.Stat(t, u.Tier(1, "f")); st.Mode&0o777 != 0o600 || st.Uid != 1 || st.Mtim.Sec != 2 {
		t.Errorf("home: %+v", st)
	}
	if after := harness.Stat(t, u.Tier(2, "f")); after != before {
		t.Errorf("the shadowed copy changed: %+v, was %+v", after, before)
	}
}

// TestLowerTiersRefusalDoesNotFailAChmod: the highest tier decides.
func TestLowerTiersRefusalDoesNotFailAChmod(t *testing.T) {
	u := newUnion(t, 1)
	u.dir("d", 0, 1)
	readOnly(t, u.Fallbacks[0])
	u.Up()
	u.ok("chmod", unix.Chmod(u.Path("d"), 0o700))
	if st := harness.Stat(t, u.Path("d")); st.Mode&0o777 != 0o700 {
		t.Errorf("shown mode %o", st.Mode)
	}
	if st := harness.Stat(t, u.Tier(1, "d")); st.Mode&0o777 != 0o755 {
		t.Errorf("the read-only tier's mode became %o", st.Mode)
	}
}

// tierfs(7) says that they tell everybody; without a fallback it was ENODATA.
func TestSyntheticAttributesAreInAMountOfOneTierToo(t *testing.T) {
	m := harness.New(t, 0)
	harness.Write(t, m.Primary+"/f", "x")
	m.Up()
	b := make([]byte, 4096)
	for attr, want := range map[string]string{"user.tierfs.tier": m.Primary, "user.tierfs.path": m.Primary + "/f"} {
		n, err := unix.Lgetxattr(m.Path("f"), attr, b)
		if got := string(b[:max(n, 0)]); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", attr, got, err, want)
		}
		if err := unix.Setxattr(m.Path("f"), attr, []byte("elsewhere"), 0); err != unix.EPERM {
			t.Errorf("%s could be set: %v", attr, err)
		}
	}
	if n, err := unix.Listxattr(m.Path("f"), b); n != 0 || err != nil {
		t.Errorf("listed %q, %v", b[:max(n, 0)], err)
	}
}

// readOnly binds a tier over itself, read-only.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	harness.Must(t, "mount", "--bind", dir, dir)
	t.Cleanup(func() { harness.Unmount(t, dir) })
	harness.Must(t, "mount", "-o", "remount,bind,ro", dir)
}

func TestSyntheticAttributesTellWhereAFileIs(t *testing.T) {
	u := newUnion(t, 1)
	u.Put(0, "d/p", "x")
	u.Put(1, "d/f", "x")
	u.Up()
	get := func(rel, attr string) string {
		b := make([]byte, 4096)
		n, err := unix.Lgetxattr(u.Path(rel), attr, b)
		u.ok("getxattr "+attr+" of "+rel, err)
		return string(b[:n])
	}
	for rel, rank := range map[string]int{"d/p": 0, "d/f": 1, "d": 0} {
		if got := get(rel, "user.tierfs.tier"); got != u.Tiers[rank] {
			t.Errorf("%s is said to be on tier %q, want %q", rel, got, u.Tiers[rank])
		}
		if got := get(rel, "user.tierfs.path"); got != u.Tier(rank, rel) {
			t.Errorf("%s is said to be at %q, want %q", rel, got, u.Tier(rank, rel))
		}
	}
	u.ok("setxattr", unix.Setxattr(u.Path("d/f"), "user.tierfs.pin", []byte("none"), 0))
	b := make([]byte, 4096)
	n, err := unix.Listxattr(u.Path("d/f"), b)
	u.ok("listxattr", err)
	listed := strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00")
	if !slices.Equal(listed, []string{"user.tierfs.pin"}) {
		t.Errorf("listed %q, want the pin alone", listed)
	}
	for _, attr := range []string{"user.tierfs.tier", "user.tierfs.path"} {
		if unix.Setxattr(u.Path("d/f"), attr, []byte("elsewhere"), 0) == nil {
			t.Errorf("%s could be set", attr)
		}
		if _, err := unix.Getxattr(u.Tier(1, "d/f"), attr, b); err != unix.ENODATA {
			t.Errorf("%s on the backing file: %v, want ENODATA", attr, err)
		}
	}
	u.ok("rename", u.rename("d/f", "d/g"))
	if got := get("d/g", "user.tierfs.path"); got != u.Tier(1, "d/g") {
		t.Errorf("after a rename it is said to be at %q", got)
	}
}
