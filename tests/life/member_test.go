package life

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

const mark = ".tierfs"

// refused mounts, which has to fail with one line that has every part, and
// must leave nothing mounted.
func refused(m *harness.Mount, parts ...string) {
	m.T.Helper()
	stdout, stderr, code := m.TryUp()
	if code != 32 {
		m.T.Errorf("exit code %d, want 32\n%s%s", code, stdout, stderr)
	}
	harness.OneLine(m.T, stderr, append(parts, "mount.tierfs: ")...)
	m.None()
}

func adopt(t *testing.T, args ...string) (stderr string, code int) {
	t.Helper()
	_, stderr, code = harness.Run(t, append([]string{harness.CLI, "adopt"}, args...)...)
	return stderr, code
}

// tree is all that lies below a directory, with the contents of files.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all[strings.TrimPrefix(path, root)] = harness.Read(t, path)
		} else {
			all[strings.TrimPrefix(path, root)] = d.Type().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFirstMountWritesTheListsOnEveryTier(t *testing.T) {
	m := harness.New(t, 2)
	m.Up()
	m.Down()
	for _, tier := range m.Tiers {
		if st := harness.Stat(t, tier+"/"+mark); st.Mode != unix.S_IFDIR|0o700 || st.Uid != 0 {
			t.Errorf("%s/%s: mode %o of user %d", tier, mark, st.Mode, st.Uid)
		}
		list := harness.Read(t, tier+"/"+mark+"/members")
		for _, member := range m.Tiers {
			harness.Contains(t, list, member)
		}
	}
	before := []string{harness.Read(t, m.Tiers[0]+"/.tierfs/members"), harness.Read(t, m.Tiers[2]+"/.tierfs/members")}
	m.Up()
	m.Down()
	if after := []string{harness.Read(t, m.Tiers[0]+"/.tierfs/members"), harness.Read(t, m.Tiers[2]+"/.tierfs/members")}; !slices.Equal(before, after) {
		t.Errorf("the second mount changed the lists: %q to %q", before, after)
	}
}

func TestSingleTierGetsNoMark(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	harness.Write(t, m.Path("f"), "")
	m.Down()
	harness.WantList(t, m.Primary, "f")
}

func TestFirstMountWarnsOfTiersOnTheRootFilesystem(t *testing.T) {
	slow := harness.On(t, "tmpfs", "8M")
	for _, c := range []struct {
		tiers []string
		named []string
		not   []string
	}{
		{[]string{"/t-primary", slow}, []string{"/t-primary"}, []string{slow}},
		{[]string{harness.On(t, "tmpfs", "8M"), harness.On(t, "tmpfs", "8M")}, nil, []string{"root filesystem"}},
	} {
		if c.tiers[0] == "/t-primary" {
			harness.Mkdir(t, c.tiers[0])
			t.Cleanup(func() { os.RemoveAll("/t-primary") })
		}
		m := harness.NewOn(t, c.tiers)
		_, stderr, code := m.TryUp()
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if c.named != nil {
			harness.OneLine(t, stderr, append(c.named, "root filesystem")...)
		}
		for _, part := range c.not {
			if strings.Contains(stderr, part) {
				t.Errorf("%q in %q", part, stderr)
			}
		}
		m.Down()
		if _, stderr, _ := m.TryUp(); stderr != "" {
			t.Errorf("the second mount says %q", stderr)
		}
		m.Down()
	}
}

// A tier whose disk is not mounted looks like an empty directory. Serving it
// hides its files, and a mover would fill the root disk with the others.
func TestEmptyDirectoryInPlaceOfATierIsRefused(t *testing.T) {
	for rank := range 3 {
		m := harness.New(t, 2)
		harness.Write(t, m.Tiers[rank]+"/precious", "p")
		m.Up()
		m.Down()
		lost := m.Tiers[rank]
		harness.Rename(t, lost, lost+".unmounted")
		harness.Mkdir(t, lost)
		before := []map[string]string{tree(t, m.Tiers[(rank+1)%3]), tree(t, lost)}
		refused(m, lost, "adopt --replace")
		for i, root := range []string{m.Tiers[(rank+1)%3], lost} {
			if after := tree(t, root); !maps.Equal(after, before[i]) {
				t.Errorf("a refused mount changed %s: %q to %q", root, before[i], after)
			}
		}
		harness.Remove(t, lost)
		harness.Rename(t, lost+".unmounted", lost)
		m.Up() // the disk is there again
		harness.WantRead(t, m.Path("precious"), "p")
	}
}

func TestUnmountedDiskIsRefused(t *testing.T) {
	disk := harness.On(t, "ext4", "16M")
	m := harness.NewOn(t, []string{harness.On(t, "tmpfs", "8M"), disk})
	harness.Write(t, disk+"/precious", "p")
	m.Up()
	m.Down()
	device := harness.MountsAt(disk)[0].Source
	keep := harness.TempDir(t) // or else the loop device is given up
	harness.Must(t, "mount", device, keep)
	t.Cleanup(func() { harness.Unmount(t, keep) })
	harness.Must(t, "umount", disk)
	refused(m, disk, "not mounted")
	stdout, stderr, code := m.TryUp("nofail")
	if m.Mounted() || code != 0 {
		t.Errorf("with nofail: exit code %d, mounted %v\n%s%s", code, m.Mounted(), stdout, stderr)
	}
	m.None()
	harness.Must(t, "mount", device, disk)
	m.Up()
	harness.WantRead(t, m.Path("precious"), "p")
	m.Down()
}

func TestReplacedTierIsAdoptedByHand(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Primary+"/kept", "k")
	m.Up()
	m.Down()
	old := m.Fallbacks[0]
	fresh := harness.NewOn(t, []string{m.Primary, old + ".new"})
	harness.Mkdir(t, old+".new")
	harness.Write(t, old+".new/copied", "c")
	refused(fresh, old+".new")
	if stderr, code := adopt(t, "--replace", old+".new", old); code != 0 {
		t.Fatalf("adopt: exit code %d: %s", code, stderr)
	}
	fresh.Up()
	harness.WantList(t, fresh.Dir, "copied", "kept")
	harness.Eventually(t, "the log tells of it", func() bool { return strings.Contains(fresh.Log(), "took the place of") })
	fresh.Down()
	fresh.Up() // once is enough
	fresh.Down()
	refused(m, old) // the one that was replaced has old files
}

func TestReplacedInPlaceIsAdoptedByHand(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	m.Down()
	tier := m.Fallbacks[0]
	harness.Rename(t, tier, tier+".broken")
	harness.Mkdir(t, tier)
	refused(m, tier)
	if stderr, code := adopt(t, "--replace", tier, tier); code != 0 {
		t.Fatalf("adopt: exit code %d: %s", code, stderr)
	}
	m.Up()
	m.Down()
}

func TestAdoptRefusesWhatIsWrong(t *testing.T) {
	m := harness.New(t, 1)
	other := harness.New(t, 0)
	m.Up()
	for _, args := range [][]string{
		{}, {"--replace"}, {"--replace", other.Primary}, {"--wrong", other.Primary}, {""},
		{m.Primary + "-missing"}, {"--replace", m.Primary + "-missing", m.Fallbacks[0]},
		{m.Fallbacks[0]}, {"--replace", m.Fallbacks[0], m.Primary}, // members that are served
	} {
		stderr, code := adopt(t, args...)
		if code == 0 {
			t.Errorf("adopt %q: exit code 0", args)
		}
		harness.OneLine(t, stderr, "tierfs: adopt: ")
	}
	harness.WantList(t, other.Primary)
	m.Down()
	if stderr, code := adopt(t, "--replace", other.Primary, other.Dir); code == 0 { // judged by the mount
		refused(harness.NewOn(t, []string{m.Primary, other.Primary}), other.Primary)
	} else {
		harness.OneLine(t, stderr, other.Dir)
	}
}

// What cannot be a member is refused at once, not by the next mount. A member
// whose directory has gone is known from the lists of the others.
func TestAdoptRefusesToReplaceWhatIsNoMember(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	m.Down()
	lost := m.Fallbacks[0]
	harness.Rename(t, lost, lost+".new")
	harness.Must(t, "rm", "-r", lost+".new/.tierfs")
	for _, fstab := range []string{"", m.Primary + " " + m.Dir + " fuse.tierfs x-systemd.automount,fallback=" + lost + ".new 0 0"} {
		harness.Fstab(t, fstab)
		for _, member := range []string{"nonsense", "1", lost + "/typo"} {
			stderr, code := adopt(t, "--replace", lost+".new", member)
			if code != 2 {
				t.Errorf("%q: exit code %d", member, code)
			}
			harness.OneLine(t, stderr, "tierfs: adopt: member ", member)
			if fstab != "" {
				harness.OneLine(t, stderr, lost+", ", ", "+m.Primary)
			}
		}
		harness.WantList(t, lost+".new")
	}
	if stderr, code := adopt(t, "--replace", lost+".new", lost); code != 0 {
		t.Fatalf("adopt: exit code %d: %s", code, stderr)
	}
	fresh := harness.NewOn(t, []string{m.Primary, lost + ".new"})
	fresh.Up()
	fresh.Down()
}

// A member that is mounted alone: it is said that files are missing. .tierfs is
// shown, as the mount may be a tier of that set (see tests/away).
func TestMemberMountedAloneSaysSo(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	m.Down()
	alone := harness.NewOn(t, []string{m.Primary})
	_, stderr, code := alone.TryUp()
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	harness.OneLine(t, stderr, m.Primary, "with fallback="+m.Fallbacks[0])
	harness.WantList(t, alone.Dir, ".tierfs")
}

// A mount may be a tier of another. It carries the mark of that set, and is no
// member of it that is mounted alone.
func TestMountThatIsATierIsNoMemberMountedAlone(t *testing.T) {
	inner := harness.New(t, 0)
	outer := harness.NewOn(t, []string{harness.On(t, "tmpfs", "8M"), inner.Dir})
	for range 2 {
		if _, stderr, code := inner.TryUp(); code != 0 || stderr != "" {
			t.Errorf("exit code %d: %q", code, stderr)
		}
		outer.Up()
		harness.Write(t, inner.Path("f"), "f")
		harness.WantRead(t, outer.Path("f"), "f")
		outer.Down()
		out, stderr, code := harness.Run(t, harness.CLI, "check", inner.Dir)
		if code != 0 || stderr != "" {
			t.Errorf("check: exit code %d\n%s%s", code, out, stderr)
		}
		harness.OneLine(t, out, "looked at 2 names in 1 directory: 0 findings")
		inner.Down()
	}
	alone := harness.NewOn(t, inner.Tiers) // elsewhere than that set has it
	_, stderr, _ := alone.TryUp()
	harness.OneLine(t, stderr, inner.Primary, "and the files on the others are not shown")
	alone.Down()
}

func TestForeignTierIsRefused(t *testing.T) {
	a, b := harness.New(t, 1), harness.New(t, 1)
	for _, m := range []*harness.Mount{a, b} {
		m.Up()
		m.Down()
	}
	refused(harness.NewOn(t, []string{a.Primary, b.Fallbacks[0]}), "set")
	refused(harness.NewOn(t, []string{a.Primary, a.Fallbacks[0], b.Fallbacks[0]}), b.Fallbacks[0])
	a.Up()
	b.Up()
}

func TestCopyOfATierIsRefused(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	m.Down()
	harness.Must(t, "cp", "-a", m.Fallbacks[0], m.Fallbacks[0]+".copy")
	refused(harness.NewOn(t, append(slices.Clone(m.Tiers), m.Fallbacks[0]+".copy")), m.Fallbacks[0], "copy")
}

// Swapped by mistake, the slow tier would take the new files, and nobody would
// notice. Swapped on purpose, it is told once.
func TestNewOrderOfTheMembersIsAcceptedAndSaidOnce(t *testing.T) {
	m := harness.New(t, 2)
	for _, tier := range m.Tiers {
		harness.Write(t, tier+"/which", tier)
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {2, 0, 1}} {
		var tiers []string
		for _, i := range order {
			tiers = append(tiers, m.Tiers[i])
		}
		next := harness.NewOn(t, tiers)
		_, rehearsed, _ := harness.Run(t, append(next.Args(), "-f")...)
		_, stderr, code := next.TryUp()
		if code != 0 {
			t.Fatalf("%v: exit code %d\n%s", order, code, stderr)
		}
		switch {
		case order[0] != 0:
			harness.OneLine(t, stderr, "the primary was "+m.Tiers[0]+" and is "+tiers[0]+" now, so new files go there", "put the options in the old order")
		case order[1] != 1:
			harness.OneLine(t, stderr, "tiers in another order: ", strings.Join(tiers, ":")+" now")
		}
		harness.Contains(t, rehearsed, stderr)
		harness.WantRead(t, next.Path("which"), tiers[0])
		next.Down()
		if _, again, _ := next.TryUp(); strings.Contains(again, "order") {
			t.Errorf("%v: told again: %q", order, again)
		}
		next.Down()
	}
}

func TestNewFallbackOnADiskIsAdoptedAndSaidSo(t *testing.T) {
	first := harness.NewOn(t, []string{harness.On(t, "tmpfs", "8M"), harness.On(t, "tmpfs", "8M")})
	first.Up()
	first.Down()
	added := harness.On(t, "tmpfs", "8M")
	harness.Write(t, added+"/low", "l")
	next := harness.NewOn(t, append(slices.Clone(first.Tiers), added))
	next.Up()
	harness.WantRead(t, next.Path("low"), "l")
	harness.Eventually(t, "the log tells of it", func() bool { return strings.Contains(next.Log(), added) && strings.Contains(next.Log(), "new") })
	next.Down()
	harness.Contains(t, harness.Read(t, added+"/.tierfs/members"), first.Tiers[1])

	_, stderr, code := first.TryUp() // a known member is left out
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	harness.OneLine(t, stderr, added, "not in the options")
	first.Down()
}

func TestNewFallbackOnTheRootFilesystemWantsAdopt(t *testing.T) {
	first := harness.NewOn(t, []string{harness.On(t, "tmpfs", "8M"), harness.On(t, "tmpfs", "8M")})
	first.Up()
	first.Down()
	added := "/t-added" // where no disk is mounted
	harness.Mkdir(t, added)
	t.Cleanup(func() { os.RemoveAll(added) })
	next := harness.NewOn(t, append(slices.Clone(first.Tiers), added))
	refused(next, added, "adopt")
	harness.WantList(t, added)
	if stderr, code := adopt(t, added); code != 0 {
		t.Fatalf("adopt: exit code %d: %s", code, stderr)
	}
	next.Up()
	next.Down()
}

// Whoever can write into a tier's root must not be able to lead the daemon
// astray.
func TestHostileMarkIsRefused(t *testing.T) {
	for kind, spoil := range map[string]func(t *testing.T, mark string){
		"symlink": func(t *testing.T, mark string) {
			harness.Rename(t, mark, mark+"x")
			harness.Symlink(t, mark+"x", mark)
		},
		"open mode":   func(t *testing.T, mark string) { harness.Chmod(t, mark, 0o777) },
		"other owner": func(t *testing.T, mark string) { harness.Chown(t, mark, harness.UserA, harness.UserA) },
		"file":        func(t *testing.T, mark string) { os.RemoveAll(mark); harness.Write(t, mark, "") },
		"no list":     func(t *testing.T, mark string) { harness.Remove(t, mark+"/members") },
		"garbage":     func(t *testing.T, mark string) { harness.Write(t, mark+"/members", "{") },
		"empty":       func(t *testing.T, mark string) { harness.Write(t, mark+"/members", "") },
		"huge":        func(t *testing.T, mark string) { harness.Write(t, mark+"/members", strings.Repeat("x", 8<<20)) },
		"list symlink": func(t *testing.T, mark string) {
			harness.Rename(t, mark+"/members", mark+"/x")
			harness.Symlink(t, "x", mark+"/members")
		},
		"list fifo": func(t *testing.T, mark string) {
			harness.Remove(t, mark+"/members")
			if err := unix.Mkfifo(mark+"/members", 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"list of another": func(t *testing.T, mark string) {
			harness.Chown(t, mark+"/members", harness.UserA, harness.UserA)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			m := harness.New(t, 1)
			m.Up()
			m.Down()
			spoil(t, m.Fallbacks[0]+"/"+mark)
			refused(m, m.Fallbacks[0])
		})
	}
}

func TestMarkIsInvisibleThroughTheMount(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Primary+"/d")
	harness.Write(t, m.Primary+"/f", "f")
	m.Up()
	p := m.Path(mark)
	harness.WantList(t, m.Dir, "d", "f")
	if harness.Exists(t, p) || harness.Exists(t, p+"/members") {
		t.Error("a lookup finds it")
	}
	enoent := func(what string, err error) { t.Helper(); harness.WantErrno(t, what, err, unix.ENOENT) }
	eperm := func(what string, err error) { t.Helper(); harness.WantErrno(t, what, err, unix.EPERM) }
	_, err := os.Open(p)
	enoent("open", err)
	_, err = os.ReadFile(p + "/members")
	enoent("read the list", err)
	enoent("chmod", unix.Chmod(p, 0o777))
	enoent("unlink", unix.Unlink(p))
	enoent("rmdir", unix.Rmdir(p))
	enoent("rename away", unix.Rename(p, m.Path("away")))
	_, err = unix.Open(p, unix.O_CREAT|unix.O_RDWR, 0o644)
	eperm("create", err)
	eperm("mkdir", unix.Mkdir(p, 0o755))
	eperm("mkfifo", unix.Mkfifo(p, 0o644))
	eperm("symlink", unix.Symlink("x", p))
	eperm("link", unix.Link(m.Path("f"), p))
	eperm("rename a file to it", unix.Rename(m.Path("f"), p))
	eperm("rename a directory to it", unix.Rename(m.Path("d"), p))
	for _, tier := range m.Tiers {
		harness.WantList(t, tier+"/"+mark, harness.List(t, m.Fallbacks[0]+"/"+mark)...)
	}
	harness.WantRead(t, m.Path("f"), "f")
}

// Two daemons that move the same files would lose some.
func TestSecondDaemonOnTheSameTiersSaysThatItDoesNotMove(t *testing.T) {
	m := harness.New(t, 1)
	twin := harness.NewOn(t, m.Tiers)
	m.Up()
	begun := time.Now()
	_, stderr, code := twin.TryUp()
	harness.OneLine(t, stderr, fmt.Sprintf("mount.tierfs: another tierfs serves these tiers (daemon %d, mounted on %s): it moves files, this one does not", m.Pid(), m.Dir))
	if took := time.Since(begun); code != 0 || took > 5*time.Second {
		t.Errorf("code %d after %v", code, took)
	}
	harness.Write(t, m.Path("f"), "x")
	harness.WantRead(t, twin.Path("f"), "x")
	m.Down()
	if !took(twin) {
		t.Fatal("the second did not take over within ten seconds")
	}
	twin.Adopt() // it holds the locks now
}

func TestReadOnlyFallbackServesAndSaysEROFS(t *testing.T) {
	disk := harness.On(t, "ext4", "16M")
	harness.Write(t, disk+"/f", "f")
	harness.Mkdir(t, disk+"/d")
	harness.Must(t, "mount", "-o", "remount,ro", disk)
	m := harness.NewOn(t, []string{harness.On(t, "tmpfs", "8M"), disk})
	for range 2 {
		m.Up()
		harness.WantRead(t, m.Path("f"), "f")
		harness.WantErrno(t, "write", os.WriteFile(m.Path("f"), nil, 0o644), unix.EROFS)
		harness.WantErrno(t, "unlink", os.Remove(m.Path("f")), unix.EROFS)
		harness.Write(t, m.Path("new"), "n")
		harness.WantRead(t, m.Primary+"/new", "n")
		m.Down()
	}
	var err error
	if _, err = os.Stat(disk + "/" + mark); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a mark on a read-only tier: %v", err)
	}
}

// TestOldCopyOfAFallbackIsRefused: the fallback was copied to another disk, which served
// then. The old one was mounted again without a word, with the files as they were before.
func TestOldCopyOfAFallbackIsRefused(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/doc", "v1")
	m.Up()
	m.Down()
	other := harness.TempDir(t) + "/slow2"
	harness.Must(t, "cp", "-a", m.Fallbacks[0], other)
	second := harness.NewOn(t, []string{m.Primary, other})
	second.Up()
	harness.Write(t, second.Path("doc"), "v2 important")
	second.Down()
	_, stderr, code := m.TryUp()
	if code == 0 {
		t.Fatal("mounted")
	}
	harness.OneLine(t, stderr, "tier "+m.Fallbacks[0]+": it is an old copy of the member that was last at "+other+", ", "name that, or remove ")
	harness.Remove(t, m.Fallbacks[0]+"/.tierfs/members")
	harness.Must(t, harness.CLI, "adopt", "--replace", m.Fallbacks[0], other)
	m.Up()
	harness.WantRead(t, m.Path("doc"), "v1")
	m.Down()
}
