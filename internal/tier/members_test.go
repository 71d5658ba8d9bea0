package tier

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// skipMissing skips a test for a capability that is not there, or fails it where
// TIERFS_REQUIRE says that it must be.
func skipMissing(t *testing.T, capability, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("TIERFS_REQUIRE"), ","), capability) {
		t.Fatalf("%s is required: %s", capability, why)
	}
	t.Skipf("missing %s: %s", capability, why)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skipMissing(t, "root", "this test makes what only root may make")
	}
}

// privateMounts runs the test once more in a mount namespace of its own, where
// it reports true: no mount of a test that dies is ever left on the machine.
func privateMounts(t *testing.T) bool {
	t.Helper()
	needRoot(t)
	const env = "TIERFS_TEST_MOUNTS"
	if os.Getenv(env) == t.Name() {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		skipMissing(t, "root", "no mount namespaces here")
	case err != nil:
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("in a mount namespace:\n%s", out)
	}
	return false
}

func mountAt(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// bindReadOnly makes dir a read-only mount of itself.
func bindReadOnly(t *testing.T, dir string) {
	t.Helper()
	mountAt(t, dir, dir, "", unix.MS_BIND, "")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

// makeImage is a filesystem in a file, with a tool of the host.
func makeImage(t *testing.T, fstype, size string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fstype+".img")
	tool := "mkfs." + fstype
	if out, err := exec.Command("truncate", "-s", size, path).CombinedOutput(); err != nil {
		t.Fatalf("truncate: %v\n%s", err, out)
	}
	out, err := exec.Command(tool, "-q", path).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		skipMissing(t, fstype, tool+" is not installed")
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", tool, err, out)
	}
	return path
}

func loopMount(t *testing.T, image, dir, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", options, image, dir).CombinedOutput(); err != nil {
		skipMissing(t, "loop", fmt.Sprintf("mount of an image: %v: %s", err, bytes.TrimSpace(out)))
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// place is a bench for tiers. Those on its own filesystem count as lying on the
// root filesystem if onRoot is set.
type place struct {
	*testing.T
	dir    string
	onRoot bool
}

func newPlace(t *testing.T, dirs ...string) *place {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &place{T: t, dir: dir}
	for _, d := range dirs {
		makeDirs(t, b.path(d))
	}
	return b
}

func (b *place) path(name string) string { return filepath.Join(b.dir, name) }

// guard opens the tiers by rank, as a mount does, for the caller to close.
func (b *place) guard(names ...string) *guard {
	b.Helper()
	var roots []Root
	for rank, name := range names {
		fd, err := unix.Open(b.path(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		roots = append(roots, Root{Path: b.path(name), Rank: rank, FD: fd, ReadOnly: isReadOnly(fd)})
	}
	g, err := newGuard(roots, "")
	if err != nil {
		b.Fatal(err)
	}
	g.rootDev = 0
	if b.onRoot {
		var st unix.Stat_t
		if err := unix.Stat(b.dir, &st); err != nil {
			b.Fatal(err)
		}
		g.rootDev = uint64(st.Dev)
	}
	return g
}

// roots are the tiers until the end of the test.
func (b *place) roots(names ...string) []Root {
	b.Helper()
	g := b.guard(names...)
	b.Cleanup(func() { g.close() })
	return g.roots
}

// join mounts until the end of the test.
func (b *place) join(names ...string) *JoinResult {
	b.Helper()
	g := b.guard(names...)
	j, err := g.join(true)
	if err != nil {
		b.Fatalf("join %q: %v", names, err)
	}
	b.Cleanup(func() { j.Close(); g.close() })
	return j
}

// joinUp mounts and unmounts.
func (b *place) joinUp(names ...string) *JoinResult {
	b.Helper()
	g := b.guard(names...)
	defer g.close()
	j, err := g.join(true)
	if err != nil {
		b.Fatalf("join %q: %v", names, err)
	}
	if !j.Owner {
		b.Errorf("join %q: not owner: %q", names, j.Notes)
	}
	for _, s := range append(j.Warnings, j.Notes...) {
		wantPlain(b.T, s)
	}
	if err := j.Close(); err != nil {
		b.Error(err)
	}
	return j
}

// quiet is a mount of which nothing is to be said and after which every
// tier's list is the same.
func (b *place) quiet(names ...string) *JoinResult {
	b.Helper()
	j := b.joinUp(names...)
	if len(j.Warnings)+len(j.Notes) > 0 {
		b.Errorf("join %q said %q %q", names, j.Warnings, j.Notes)
	}
	b.sameLists(names...)
	return j
}

// refused wants an error with the parts, and that nothing has been written.
func (b *place) refused(names []string, parts ...string) {
	b.Helper()
	before := b.snapshot()
	err := b.attempt(names...)
	wantError(b.T, err, parts...)
	if after := b.snapshot(); !reflect.DeepEqual(before, after) {
		b.Errorf("a refused mount wrote:\n%v\nbecame\n%v", before, after)
	}
}

// attempt mounts, unmounts and returns the error.
func (b *place) attempt(names ...string) error {
	b.Helper()
	g := b.guard(names...)
	defer g.close()
	j, err := g.join(true)
	if err == nil {
		err = j.Close()
	}
	return err
}

// verify opens dir anew as the member want.
func (b *place) verify(dir string, want Identity) error {
	b.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	return VerifyMember(fd, dir, want)
}

// unmount is not lazy: what still has the filesystem open is a leak.
func (b *place) unmount(name string) {
	b.Helper()
	if err := unix.Unmount(b.path(name), 0); err != nil {
		b.Fatalf("unmount %s: %v", name, err)
	}
}

// snapshot is everything in the place, with the times of change.
func (b *place) snapshot() map[string]string {
	b.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		var content []byte
		if err == nil && d.Type().IsRegular() && st.Size < maxList {
			content, err = os.ReadFile(path)
		}
		all[path] = fmt.Sprint(st.Ino, st.Mode, st.Ctim, string(content))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func (b *place) record(name string) *record {
	b.Helper()
	fd, err := unix.Open(b.path(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	rec, err := readMark(fd)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return rec
}

func (b *place) sameLists(names ...string) {
	b.Helper()
	first := b.record(names[0])
	for _, n := range names {
		rec := b.record(n)
		if rec == nil || first == nil || rec.Generation == 0 || rec.Generation != first.Generation || rec.Set != first.Set || !slices.Equal(rec.Members, first.Members) {
			b.Errorf("the list of %s is %+v, that of %s is %+v", n, rec, names[0], first)
		}
	}
}

func (b *place) rename(from, to string) {
	b.Helper()
	if err := os.Rename(b.path(from), b.path(to)); err != nil {
		b.Fatal(err)
	}
}

func wantOne(t *testing.T, kind string, got []string, parts ...string) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%s %q, want one", kind, got)
	}
	for _, p := range parts {
		if !strings.Contains(got[0], p) {
			t.Errorf("%s %q lacks %q", kind, got[0], p)
		}
	}
}

// A disk of a set that is mounted alone shows half of the files, and users
// could get at what tierfs keeps there.
func TestOneTierOfASetIsToldOf(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	for name, says := range map[string]string{"a": "tier " + b.path("a"), "b": "tier " + b.path("b")} {
		j := b.joinUp(name)
		wantOne(t, "warning", j.Warnings, says, "the set of "+b.path("a")+", "+b.path("b"), "mount "+b.path("a")+" with fallback="+b.path("b"))
		lines, err := Check(b.guard(name).roots, "")
		if err != nil || !slices.Equal(lines, j.Warnings) {
			t.Errorf("checked: %q, %v", lines, err)
		}
	}
	// By the path that the set has for it, it is a tier of that. Mounted over
	// itself, it is what hides the others.
	g := b.guard("a")
	defer g.close()
	for _, g.at = range []string{b.path("a"), b.path("b")} {
		if j, err := g.join(true); err != nil || len(j.Warnings) != 1 {
			t.Errorf("on %s: %+v, %v", g.at, j, err)
		}
	}
	b.rename("a", "backing")
	g = b.guard("backing")
	defer g.close()
	g.at = b.path("a")
	if j, err := g.join(true); err != nil || len(j.Warnings) != 0 {
		t.Errorf("a tier of its set: %q, %v", j.Warnings, err)
	}
}

func TestOneTierHasNoMembers(t *testing.T) {
	b := newPlace(t, "a")
	if err := os.Symlink("/etc", b.path("a/"+MarkName)); err != nil {
		t.Fatal(err)
	}
	before := b.snapshot()
	j := b.joinUp("a")
	if !reflect.DeepEqual(before, b.snapshot()) {
		t.Error("a faithful passthrough wrote something")
	}
	if err := b.verify(b.path("a"), j.Members[0]); err != nil {
		t.Error(err)
	}
	if err := b.verify("/proc", j.Members[0]); err == nil {
		t.Error("/proc passed for the tier")
	}
}

func TestFirstMountWritesLists(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.quiet("a", "b", "c")
	rec := b.record("b")
	if rec.Generation != 1 || len(rec.Members) != 3 {
		t.Fatalf("list %+v", rec)
	}
	for i, name := range []string{"a", "b", "c"} {
		m := rec.Members[i]
		if m.Rank != i || string(m.Path) != b.path(name) || m.ID != b.record(name).ID || m.State != stateServed {
			t.Errorf("member %d is %+v", i, m)
		}
		wantFiles(t, b.path(name), MarkName)
		wantFiles(t, b.path(name+"/"+MarkName), lockName, listName)
	}
	before := b.snapshot()
	b.quiet("a", "b", "c")
	if !reflect.DeepEqual(before, b.snapshot()) {
		t.Error("a mount of the same members wrote something")
	}
}

func TestFirstMountWarnsOfRootFilesystemOnce(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.onRoot = true
	wantOne(t, "warning", b.joinUp("a", "b").Warnings, b.path("a"), b.path("b"), "on the root filesystem")
	b.quiet("a", "b")
}

func TestCheckWritesNothing(t *testing.T) {
	b := newPlace(t, "a", "b")
	before := b.snapshot()
	roots := b.guard("a", "b").roots
	if _, err := Check(roots, ""); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(before, b.snapshot()) {
		t.Error("it wrote something")
	}
	j, err := Join(roots, "")
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	b.rename("b", "gone")
	makeDirs(t, b.path("b"))
	_, err = Check(b.guard("a", "b").roots, "")
	wantError(t, err, "probably not mounted")
}

// The incident the guard is for: the disk of a tier was not mounted, the empty
// mount point was served, and files moved into it until the root disk was full.
func TestUnmountedDiskIsRefused(t *testing.T) {
	for _, gone := range []string{"a", "b", "c"} {
		b := newPlace(t, "a", "b", "c")
		b.joinUp("a", "b", "c")
		b.rename(gone, "disk")
		makeDirs(t, b.path(gone))
		rank := strings.Index("abc", gone)
		b.refused([]string{"a", "b", "c"}, fmt.Sprintf("tier %s: ", b.path(gone)), fmt.Sprintf("(rank %d)", rank), "probably not mounted",
			fmt.Sprintf("tierfs adopt --replace %[1]s %[1]s", b.path(gone)))
		if err := os.Remove(b.path(gone)); err != nil {
			t.Fatal(err)
		}
		b.rename("disk", gone)
		b.quiet("a", "b", "c")
	}
}

// The same with the fstab edited at the same time: the place is known by rank.
func TestUnmountedDiskUnderAnotherPathIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b", "b2", "c")
	b.joinUp("a", "b", "c")
	b.refused([]string{"a", "b2", "c"}, b.path("b2"), "member "+b.path("b")+" (rank 1)", "probably not mounted",
		"tierfs adopt --replace "+b.path("b2")+" "+b.path("b"))

	// With the member there, only at another place, the tier is just new.
	wantNote(t, b.joinUp("a", "b2", "c", "b").Notes, b.path("b2")+": new")
	b.quiet("a", "b2", "c", "b")
}

func TestListTakenAwayIsNotAMember(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	if err := os.Remove(b.path("b/" + MarkName + "/" + listName)); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "b"}, b.path("b"), "no mark")
}

func TestMemberLeftOutIsWarnedOfAndComesBack(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b", "c")
	id := b.record("b").ID
	wantOne(t, "warning", b.joinUp("a", "c").Warnings, "member "+b.path("b")+" (rank 1)", "not in the options", "fallback="+b.path("b"))
	b.sameLists("a", "c")
	j := b.joinUp("a", "c")
	wantOne(t, "note", j.Notes, "not in the options")
	if len(j.Warnings) > 0 {
		t.Errorf("warned again: %q", j.Warnings)
	}
	if g := b.record("b").Generation; g != 1 || b.record("a").Generation != 2 {
		t.Errorf("generations %d and %d", g, b.record("a").Generation)
	}

	b.rename("b", "disk")
	makeDirs(t, b.path("b"))
	b.refused([]string{"a", "b", "c"}, "member "+b.path("b"), "probably not mounted")
	if err := os.Remove(b.path("b")); err != nil {
		t.Fatal(err)
	}
	b.rename("disk", "b")

	found := false
	for _, n := range b.joinUp("a", "b", "c").Notes {
		found = found || strings.Contains(n, b.path("b")+": a member again")
	}
	if !found || b.record("b").ID != id {
		t.Error("it did not come back as what it was")
	}
	b.quiet("a", "b", "c")
}

// copied makes a copy of a tier, as rsync -aHAX does.
func (b *place) copied(from, to string) {
	b.Helper()
	if out, err := exec.Command("cp", "-a", b.path(from), b.path(to)).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
}

// TestOldCopyIsRefused: a disk was copied to another, which served from then on. The old
// one was taken for it when it was named again, and showed what had been changed since
// as it was.
func TestOldCopyIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b", "c")
	b.copied("b", "b2")
	wantOne(t, "note", b.joinUp("a", "b2", "c").Notes, "was at "+b.path("b"))
	parts := []string{"tier " + b.path("b") + ": ", "an old copy of the member that was last at " + b.path("b2"), "name that",
		"remove " + b.path("b/.tierfs/members") + " and run tierfs adopt --replace " + b.path("b") + " " + b.path("b2")}
	b.refused([]string{"a", "b", "c"}, parts...)
	b.quiet("a", "b2", "c")

	// Not forgotten when the copy that served is left out.
	b.joinUp("a", "c")
	b.refused([]string{"a", "b", "c"}, parts...)
	b.joinUp("a", "b2", "c")
	b.quiet("a", "b2", "c")

	// As the message says.
	if err := os.Remove(b.path("b/.tierfs/members")); err != nil {
		t.Fatal(err)
	}
	if err := Replace(b.path("b"), b.path("b2")); err != nil {
		t.Fatal(err)
	}
	b.joinUp("a", "b", "c")
	b.quiet("a", "b", "c")
	b.refused([]string{"a", "b2", "c"}, "another tier took its place")
}

// The copy has the path of the disk that it replaces, and then that is back there.
func TestOldDiskAtItsOwnPathIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	b.rename("b", "old")
	b.copied("old", "b")
	b.joinUp("a", "b")
	b.rename("b", "new")
	b.rename("old", "b")
	b.refused([]string{"a", "b"}, "an old copy of the member that was last at "+b.path("b"), "mount the right disk")
	b.rename("b", "old")
	b.rename("new", "b")
	b.quiet("a", "b")
}

// A member that was away while others came, went and changed their order, and that has
// another path now, has the list that it got last.
func TestMemberThatWasLeftOutIsNoOldCopy(t *testing.T) {
	b := newPlace(t, "a", "b", "c", "n")
	b.joinUp("a", "b", "c")
	b.joinUp("a", "c")
	b.joinUp("c", "a")
	b.joinUp("c", "a", "n")
	b.rename("b", "b2")
	b.joinUp("c", "a", "n", "b2")
	b.quiet("c", "a", "n", "b2")
}

// Lists from before the generation of a member's own list was kept in them.
func TestMemberOfAnOldListComesBack(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b", "c")
	b.joinUp("a", "c")
	for _, name := range []string{"a", "c"} {
		list := b.path(name + "/.tierfs/members")
		text, err := os.ReadFile(list)
		if err != nil || !strings.Contains(string(text), `"own_generation": 1`) {
			t.Fatalf("%s, %v", text, err)
		}
		text = bytes.ReplaceAll(text, []byte(",\n      \"own_generation\": 1"), nil)
		if err := os.WriteFile(list, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.joinUp("a", "b", "c")
	b.quiet("a", "b", "c")
}

func TestOlderListIsBroughtUpToDate(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b", "c")
	list := b.path("b/" + MarkName + "/" + listName)
	old, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	b.joinUp("a", "c", "b")
	if err := os.WriteFile(list, old, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOne(t, "warning", b.joinUp("a", "c", "b").Warnings, "tier "+b.path("b")+": it may be an old copy", "generation 1", "got 2")
	b.quiet("a", "c", "b")
	if g := b.record("b").Generation; g != 2 {
		t.Errorf("generation %d, want 2", g)
	}
}

func TestForeignMarkIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b", "c", "x", "y")
	b.joinUp("a", "b", "c")
	b.joinUp("x", "y")
	b.refused([]string{"a", "b", "y"}, "tier "+b.path("y"), "another set", b.path("x"), MarkName)
	b.refused([]string{"y", "a", "b"}, "tier "+b.path("y"), "another set")
	b.refused([]string{"a", "b", "x", "y"}, "two sets meet", b.path("a"), b.path("x"))
	b.refused([]string{"a", "x"}, "two sets meet: the mark in "+b.path("a/.tierfs")+" is of the set of "+b.path("a")+", ", "the one in "+b.path("x/.tierfs")+" of that of "+b.path("x")+", ")
	b.refused([]string{"a", "x"}, "or remove "+MarkName+"/"+listName+" from the one that is to leave its set and join the other")
	if err := os.Remove(b.path("y/" + MarkName + "/" + listName)); err != nil {
		t.Fatal(err)
	}
	wantOne(t, "note", b.joinUp("a", "b", "c", "y").Notes, b.path("y"), "taken in")
}

// TestRestoredMarkIsTakenInAsTheMessageSays: it named an unmounted disk alone.
func TestRestoredMarkIsTakenInAsTheMessageSays(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	list := b.path("a/" + MarkName + "/" + listName)
	backup, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.Remove(b.path(name + "/" + MarkName + "/" + listName)); err != nil {
			t.Fatal(err)
		}
	}
	b.joinUp("a", "b")
	if err := os.WriteFile(list, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "b"}, "two sets of the same directories", "restored from a backup, remove "+MarkName+"/"+listName+" from that one and run tierfs adopt --replace DIR DIR")
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if err := Replace(b.path("a"), b.path("a")); err != nil {
		t.Fatal(err)
	}
	b.joinUp("a", "b")
}

// TestMarksBelowADiskAreTold: the first mount was made without the disks, so
// that the directories below them carry marks of a set too. The message named
// the same directories as two sets.
func TestMarksBelowADiskAreTold(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	for _, onRoot := range []bool{true, false} {
		b := newPlace(t, "a", "b", "c", "diskA", "diskB", "diskC")
		b.onRoot = onRoot
		tiers := []string{"a", "b", "c"}
		b.joinUp(tiers...)
		bind := map[string]string{"a": "diskA", "b": "diskB", "c": "diskC"}
		for _, disk := range bind {
			mountAt(t, "tierfs-test", b.path(disk), "tmpfs", 0, "mode=0755")
		}
		cover := func(names ...string) {
			for _, n := range names {
				mountAt(t, b.path(bind[n]), b.path(n), "", unix.MS_BIND, "")
			}
		}
		if onRoot { // one disk, and it is new
			cover("a")
			b.refused(tiers, "tier "+b.path("a")+": ", "no mark", "on the root filesystem, in "+b.path("b/.tierfs"), "mount the disk of that one")
			b.unmount("a")
		}
		cover(tiers...)
		b.joinUp(tiers...)
		b.unmount("c")
		b.refused(tiers, "tier "+b.path("c")+": its disk is probably not mounted", "the list in "+b.path("a/.tierfs"), "mount it")
		b.unmount("b")
		if onRoot { // two of three agree, but on the wrong thing
			b.refused(tiers, "tier "+b.path("b")+": its disk is probably not mounted", "the list in "+b.path("a/.tierfs"))
		}
		cover("c")
		b.refused(tiers, "tier "+b.path("b")+": its disk is probably not mounted")
		b.unmount("c")
		cover("b")
		b.refused([]string{"c", "a"}, map[bool]string{true: "tier " + b.path("c") + ": its disk is", false: "two sets meet: the marks in " + b.path("c/.tierfs") + " and " + b.path("a/.tierfs")}[onRoot])
		cover("c")
		b.quiet(tiers...)
		for _, n := range tiers {
			b.unmount(n)
		}
	}
}

func TestCopiedMarkIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	if err := os.CopyFS(b.path("clone"), os.DirFS(b.path("b"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.path("clone/"+MarkName), 0o700); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "b", "clone"}, b.path("b"), b.path("clone"), "a copy of the other")
	wantOne(t, "note", b.joinUp("a", "clone").Notes, b.path("clone"), "was at "+b.path("b"))
}

func TestNewTierIsTakenIn(t *testing.T) {
	for _, onRoot := range []bool{false, true} {
		b := newPlace(t, "a", "b", "n")
		b.onRoot = onRoot
		b.joinUp("a", "b")
		j := b.joinUp("a", "n", "b")
		if !slices.ContainsFunc(j.Notes, func(s string) bool { return strings.Contains(s, b.path("n")+": new, taken in") }) || len(j.Warnings) > 0 {
			t.Errorf("notes %q, warnings %q", j.Notes, j.Warnings)
		}
		b.quiet("a", "n", "b")
	}
}

func TestNewTierOnRootFilesystemIsRefused(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "b", "n", "own")
	b.onRoot = true
	for _, d := range []string{"a", "b", "own"} {
		mountAt(t, "tierfs-test", b.path(d), "tmpfs", 0, "mode=0755")
	}
	b.quiet("a", "b")
	b.refused([]string{"a", "b", "n"}, "tier "+b.path("n"), "on the root filesystem", "probably not mounted", "tierfs adopt "+b.path("n"))
	wantOne(t, "note", b.joinUp("a", "b", "own").Notes, b.path("own"), "taken in")
	if err := Adopt(b.path("n")); err != nil {
		t.Fatal(err)
	}
	j := b.joinUp("a", "b", "own", "n")
	wantOne(t, "note", j.Notes, b.path("n"), "taken in as asked")
	wantOne(t, "warning", j.Warnings, b.path("n"), "on the root filesystem")
	b.quiet("a", "b", "own", "n")
}

func TestNewOrderIsAcceptedWithAWarning(t *testing.T) {
	b := newPlace(t, "a", "b", "c", "n")
	b.joinUp("a", "b", "c")
	j := b.joinUp("c", "a", "b")
	wantOne(t, "warning", j.Warnings, "the primary was "+b.path("a")+" and is "+b.path("c")+" now, so new files go there")
	if len(j.Notes) != 3 {
		t.Errorf("notes %q", j.Notes)
	}
	b.quiet("c", "a", "b")
	wantOne(t, "warning", b.joinUp("c", "b", "a").Warnings, b.path("c")+":"+b.path("b")+":"+b.path("a")+" now, "+b.path("c")+":"+b.path("a"))
	b.quiet("c", "b", "a")
	// A new tier among them, or one less, is no other order.
	if j := b.joinUp("n", "c", "b", "a"); len(j.Warnings) != 0 {
		t.Errorf("%q", j.Warnings)
	}
	wantOne(t, "warning", b.joinUp("n", "b", "a").Warnings, "not in the options")
}

// Whoever finds a tier in use is told by whom.
func TestHolderOfATierIsNamed(t *testing.T) {
	b := newPlace(t, "a", "b")
	g := b.guard("a", "b")
	g.at = "/srv/my docs"
	defer g.close()
	first, err := g.join(true)
	if err != nil {
		t.Fatal(err)
	}
	holder := Holder{PID: os.Getpid(), At: "/srv/my docs"}
	second := b.join("b", "a")
	if !second.Held || second.Holder != holder {
		t.Errorf("holder %+v, want %+v", second.Holder, holder)
	}
	var served *ServedError
	if err := Replace(b.path("a"), b.path("b")); !errors.As(err, &served) || served.Holder != holder {
		t.Errorf("replace: %v", err)
	}
	first.Close()
	if !second.TakeOver() || second.Holder != (Holder{}) {
		t.Errorf("not taken over, or a holder still: %+v", second.Holder)
	}
	for text, want := range map[string]Holder{
		"": {}, "12": {}, "12 /a": {}, "x /a\n": {}, "12 a\n": {}, "12 /a\x1b\n": {12, "/a\x1b", ""}, "12,45.6 /a\n": {12, "/a", "45.6"},
		"12 /" + strings.Repeat("x", 2*unix.PathMax) + "\n": {},
	} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := readHolder(int(f.Fd())); got != want {
			t.Errorf("%.20q: %+v", text, got)
		}
		f.Close()
	}
}

func TestMovedPathIsAccepted(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	id := b.record("b").ID
	b.rename("b", "b2")
	wantOne(t, "note", b.joinUp("a", "b2").Notes, b.path("b2"), "was at "+b.path("b"))
	b.quiet("a", "b2")
	if b.record("b2").ID != id {
		t.Error("it has another ID now")
	}
	makeDirs(t, b.path("b"))
	wantOne(t, "note", b.joinUp("a", "b2", "b").Notes, b.path("b")+": new")
}

func TestHostileMarkIsRefused(t *testing.T) {
	for name, plant := range map[string]func(mark string) error{
		"symlink": func(p string) error { return errors.Join(os.RemoveAll(p), os.Symlink("../a/"+MarkName, p)) },
		"file":    func(p string) error { return errors.Join(os.RemoveAll(p), os.WriteFile(p, nil, 0o700)) },
		"mode":    func(p string) error { return os.Chmod(p, 0o755) },
		"garbage": func(p string) error { return os.WriteFile(filepath.Join(p, listName), []byte("\x1b]0;x\a"), 0o600) },
		"fifo": func(p string) error {
			return errors.Join(os.Remove(filepath.Join(p, listName)), unix.Mkfifo(filepath.Join(p, listName), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPlace(t, "a", "b")
			b.joinUp("a", "b")
			if err := plant(b.path("b/" + MarkName)); err != nil {
				t.Fatal(err)
			}
			b.refused([]string{"a", "b"}, "tier "+b.path("b"), MarkName, "; ")
		})
	}
}

func TestHostileLockRefusesTheMount(t *testing.T) {
	b := newPlace(t, "a", "b")
	b.joinUp("a", "b")
	lock := b.path("b/" + MarkName + "/" + lockName)
	if err := errors.Join(os.Remove(lock), os.Symlink("/etc/passwd", lock)); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "b"}, "tier "+b.path("b"), lockName, "symbolic link")
}

// A name chosen by whoever filled the disk must not write to the terminal.
func TestNamesAreQuotedInMessages(t *testing.T) {
	b := newPlace(t, "a", "b\x1b[31m\nok")
	b.joinUp("a", "b\x1b[31m\nok")
	b.rename("b\x1b[31m\nok", "disk")
	makeDirs(t, b.path("b\x1b[31m\nok"))
	b.refused([]string{"a", "b\x1b[31m\nok"}, `b\x1b[31m\nok"`)
}

func TestReadOnlyTier(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "ro", "other")
	bindReadOnly(t, b.path("ro"))
	b.joinUp("a", "ro")
	b.sameLists("a")
	rec := b.record("a")
	if b.record("ro") != nil || len(rec.Members) != 2 || !rec.Members[1].ReadOnly {
		t.Fatalf("list %+v", rec)
	}
	j := b.joinUp("a", "ro")
	if len(j.Warnings)+len(j.Notes) > 0 || j.Members[1].ID != rec.Members[1].ID || j.Members[1].Marked {
		t.Errorf("%+v", j)
	}
	if err := b.verify(b.path("ro"), j.Members[1]); err != nil {
		t.Error(err)
	}
	wantError(t, b.verify(b.path("other"), j.Members[1]), "mount the right disk")

	// Not mounted: the mount point is a plain empty directory.
	b.unmount("ro")
	b.rename("ro", "disk")
	makeDirs(t, b.path("ro"))
	b.refused([]string{"a", "ro"}, b.path("ro"), "probably not mounted")

	// Another filesystem, read-only too.
	bindReadOnly(t, b.path("ro"))
	b.refused([]string{"a", "ro"}, b.path("ro"), "not the filesystem that was member", "tierfs adopt --replace "+b.path("ro")+" "+b.path("a"))
	wantError(t, Replace(b.path("ro"), b.path("ro")), "read-only")
	wantError(t, Replace(b.path("ro"), b.path("other")), "name a writable tier of its set")
	wantError(t, Adopt(b.path("ro")), "read-only")
	if err := Replace(b.path("ro"), b.path("a")); err != nil {
		t.Fatal(err)
	}
	wantOne(t, "note", b.joinUp("a", "ro").Notes, b.path("ro")+": new")
	if j := b.joinUp("a", "ro"); len(j.Warnings)+len(j.Notes) > 0 {
		t.Errorf("%+v", j)
	}
}

func wantNote(t *testing.T, notes []string, part string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, part) }) {
		t.Errorf("notes %q, none with %q", notes, part)
	}
}

// remount,rw and remount,ro of a member's filesystem do not make it another.
func TestTierChangesBetweenReadOnlyAndWritable(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "b")
	bindReadOnly(t, b.path("b"))
	id := b.joinUp("a", "b").Members[1].ID
	b.unmount("b")
	b.quiet("a", "b")
	if got := b.record("b").ID; got != id {
		t.Errorf("mark %s, but the list named it %s", got, id)
	}
	bindReadOnly(t, b.path("b"))
	j := b.joinUp("a", "b")
	if len(j.Warnings)+len(j.Notes) > 0 || !j.Members[1].Marked {
		t.Errorf("%+v", j)
	}
	if b.record("a").Generation != b.record("b").Generation+1 {
		t.Error("the list of the writable tier does not say that the other is read-only")
	}
	b.unmount("b")
	b.quiet("a", "b")
}

func TestAllTiersReadOnly(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "b")
	bindReadOnly(t, b.path("a"))
	bindReadOnly(t, b.path("b"))
	for range 2 {
		j := b.joinUp("a", "b")
		wantOne(t, "note", j.Notes, "read-only")
		if len(j.Warnings) > 0 || j.SetID != "" || j.Members[0].ID != "" {
			t.Errorf("%+v", j)
		}
	}
}

// xfs says its device number for f_fsid, and loop devices, like disks, get the
// numbers in the order they are found.
func TestReadOnlyDiskUnderAnotherDeviceNumber(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	img := makeImage(t, "xfs", "300M")
	blockers := []string{"b0", "b1", "b2", "b3", "b4"}
	b := newPlace(t, append([]string{"a", "ro"}, blockers...)...)
	loopMount(t, img, b.path("ro"), "ro")
	b.joinUp("a", "ro")
	var before, after unix.Stat_t
	unix.Stat(b.path("ro"), &before)
	// The number is free a moment after the unmount, and others may want it too.
	for _, name := range blockers {
		b.unmount("ro")
		loopMount(t, makeImage(t, "ext4", "8M"), b.path(name), "ro")
		loopMount(t, img, b.path("ro"), "ro")
		if unix.Stat(b.path("ro"), &after); before.Dev != after.Dev {
			break
		}
	}
	if before.Dev == after.Dev {
		skipMissing(t, "loop", "the image got the same device number again")
	}
	if j := b.joinUp("a", "ro"); len(j.Warnings)+len(j.Notes) > 0 {
		t.Errorf("%+v", j)
	}
}

func TestDisksOfTheirOwn(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	fast, slow, fresh := makeImage(t, "ext4", "8M"), makeImage(t, "ext4", "8M"), makeImage(t, "ext4", "8M")
	b := newPlace(t, "fast", "slow")
	b.onRoot = true
	loopMount(t, fast, b.path("fast"), "rw")
	loopMount(t, slow, b.path("slow"), "rw")
	j := b.quiet("fast", "slow")
	if len(b.record("fast").Members[1].FSID) != 16 {
		t.Errorf("no f_fsid recorded of ext4: %+v", b.record("fast").Members[1])
	}

	b.unmount("slow")
	b.refused([]string{"fast", "slow"}, b.path("slow"), "probably not mounted")
	wantError(t, b.verify(b.path("slow"), j.Members[1]), "probably not mounted")
	loopMount(t, fresh, b.path("slow"), "rw")
	b.refused([]string{"fast", "slow"}, b.path("slow"), "adopt --replace")
	wantError(t, b.verify(b.path("slow"), j.Members[1]), "no mark")
	wantError(t, b.verify(b.path("fast"), j.Members[1]), "mount the right disk")
	if err := Replace(b.path("slow"), b.path("slow")); err != nil {
		t.Fatal(err)
	}
	wantOne(t, "note", b.joinUp("fast", "slow").Notes, b.path("slow")+": took the place of")
	b.quiet("fast", "slow")

	b.unmount("slow")
	loopMount(t, slow, b.path("slow"), "rw")
	b.refused([]string{"fast", "slow"}, b.path("slow"), "another tier took its place", "tierfs adopt")
	wantError(t, Replace(b.path("slow"), b.path("slow")), "is a member of the set")
}

func TestReplaceByAnotherDirectory(t *testing.T) {
	b := newPlace(t, "a", "b", "c", "n")
	b.joinUp("a", "b", "c")
	if err := Replace(b.path("n"), b.path("b")); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "b", "c", "n"}, b.path("n"), b.path("b"), "leave the second out")
	j := b.joinUp("a", "n", "c")
	wantOne(t, "note", j.Notes, b.path("n"), "took the place of member "+b.path("b")+" (rank 1)")
	if len(j.Warnings) > 0 {
		t.Errorf("warnings %q", j.Warnings)
	}
	b.quiet("a", "n", "c")

	// The old path is remembered, and so is the old disk.
	b.refused([]string{"a", "n", "c", "b"}, b.path("b"), "another tier took its place")
	b.rename("b", "disk")
	makeDirs(t, b.path("b"))
	b.refused([]string{"a", "n", "c", "b"}, b.path("b"), "was a member until", "tierfs adopt "+b.path("b"))
	if err := Adopt(b.path("b")); err != nil {
		t.Fatal(err)
	}
	wantOne(t, "note", b.joinUp("a", "n", "c", "b").Notes, "taken in as asked")
	b.quiet("a", "n", "c", "b")
}

func TestReplaceOfNoMemberIsRefused(t *testing.T) {
	b := newPlace(t, "a", "b", "n")
	b.joinUp("a", "b")
	wantError(t, Replace(b.path("n"), ""), "no member named")
	wantError(t, Replace(b.path("nowhere"), b.path("b")), "no such file")
	if err := Replace(b.path("n"), b.path("typo")); err != nil {
		t.Fatal(err)
	}
	b.refused([]string{"a", "n"}, b.path("typo"), "no member of the set of "+b.path("a")+", "+b.path("b"))
	if err := Replace(b.path("n"), b.path("b")); err != nil {
		t.Fatal(err)
	}
	b.joinUp("a", "n")
	j := b.join("a", "n")
	defer j.Close()
	wantError(t, Replace(b.path("a"), b.path("b")), "a tierfs serves it")
}

func TestSecondDaemonServesAndTakesOver(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b", "c")
	first := b.join("a", "b")
	if !first.Owner {
		t.Fatal("not owner")
	}
	before := b.snapshot()
	second := b.join("c", "b")
	if second.Owner || second.TakeOver() || second.Refused != nil {
		t.Errorf("two owners: %+v", second)
	}
	if second.Members[0].ID != b.record("c").ID || second.SetID != first.SetID {
		t.Errorf("%+v", second)
	}
	if !second.Held {
		t.Error("it is not told of the first")
	}
	if !reflect.DeepEqual(before, b.snapshot()) {
		t.Error("it wrote something")
	}
	// What the second did not get whole it has not kept.
	third := b.join("c", "a")
	if third.Owner {
		t.Error("owner of what the first has")
	}
	third.Close()
	first.Close()
	if !second.TakeOver() || !second.Owner || !second.TakeOver() {
		t.Errorf("not taken over: %v", second.Refused)
	}
	b.sameLists("c", "b")
	if fourth := b.join("b", "c"); fourth.Owner {
		t.Error("two owners")
	}
	for _, l := range second.locks {
		if flags, err := unix.FcntlInt(uintptr(l.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: a child would hold the lock", flags, err)
		}
	}
}

// A daemon that takes in a tier may be in the midst of an operation, which one that
// waits for the locks would finish or take back.
func TestLocksAreKeptWhileATierIsTakenIn(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b")
	first, second := b.join("a", "b"), b.join("a", "b")
	stop, done := make(chan struct{}), make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				done <- second.Owner
				return
			default:
				second.TakeOver()
			}
		}
	}()
	for range 50 {
		for _, names := range [][]string{{"a", "b"}, {"a", "b", "c"}} {
			if err := first.Rejoin(b.roots(names...)); err != nil || !first.Owner {
				t.Fatalf("not owner any more: %v", err)
			}
		}
	}
	close(stop)
	if <-done {
		t.Error("two owners")
	}
	b.sameLists("a", "b", "c")
	if err := os.Chmod(b.path("c/"+MarkName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := first.Rejoin(b.roots("a", "b", "c")); err == nil || !first.Owner || len(first.locks) != 3 {
		t.Errorf("refused with %v: owner %v, locks %v", err, first.Owner, first.locks)
	}
	first.Close()
	if !second.TakeOver() {
		t.Errorf("not taken over: %v", second.Refused)
	}
}

// Who becomes owner finishes what the last one left, and does so where it takes over.
func TestWhoIsNotOwnerTakesNoLockWithATier(t *testing.T) {
	b := newPlace(t, "a", "b", "c")
	b.joinUp("a", "b")
	first, second := b.join("a", "b"), b.join("a", "b")
	first.Close()
	if err := second.Rejoin(b.roots("a", "b", "c")); err != nil || second.Owner || len(second.Members) != 3 {
		t.Errorf("%v: %+v", err, second)
	}
	if !second.TakeOver() || len(second.locks) != 3 {
		t.Errorf("not taken over: %v", second.Refused)
	}
	b.sameLists("a", "b", "c")
}

// The disk of a tier is back on another mount, where the lock that is kept is not the
// one that counts; or the lock file was removed.
func TestLockOfATierThatIsBackIsTakenAnew(t *testing.T) {
	b := newPlace(t, "a", "b")
	first := b.join("a", "b")
	if err := os.Remove(b.path("b/" + MarkName + "/" + lockName)); err != nil {
		t.Fatal(err)
	}
	kept := first.locks[0]
	if err := first.Rejoin(b.roots("a", "b")); err != nil || !first.Owner || first.locks[0] != kept {
		t.Errorf("%v: %+v", err, first)
	}
	fd, _, err := lockMark(pathFD(t, b.path("b")))
	if fd >= 0 || err != nil {
		t.Errorf("the lock of b is not held: %v", err)
	}
	// Somebody else has it: ours stay, and it is had later.
	if err := os.Remove(b.path("b/" + MarkName + "/" + lockName)); err != nil {
		t.Fatal(err)
	}
	other, _, err := lockMark(pathFD(t, b.path("b")))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Rejoin(b.roots("a", "b")); err != nil || first.Owner || !first.Held {
		t.Errorf("%v: %+v", err, first)
	}
	if fd, _, _ := lockMark(pathFD(t, b.path("a"))); fd >= 0 || first.TakeOver() {
		t.Error("the lock of a was given up, or that of b is another's and was had")
	}
	unix.Close(other)
	if !first.TakeOver() || len(first.locks) != 2 || first.locks[0] != kept {
		t.Errorf("not taken over: %v", first.Refused)
	}
}

func TestTakeOverOutlivesDescriptorsOfRoots(t *testing.T) {
	b := newPlace(t, "a", "b")
	first := b.join("a", "b")
	g := b.guard("a", "b")
	for i := range g.roots {
		g.roots[i].FD, _ = unix.Dup(g.roots[i].FD)
	}
	second, err := g.join(true)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, r := range g.roots {
		unix.Close(r.FD)
	}
	first.Close()
	b.rename("b", "b2")
	makeDirs(t, b.path("b"))
	if !second.TakeOver() {
		t.Errorf("not taken over: %v", second.Refused)
	}
}

func TestTakeOverIsRefusedToAStranger(t *testing.T) {
	b := newPlace(t, "a", "b")
	first, second := b.join("a", "b"), b.join("a", "b")
	first.Close()
	if err := os.Remove(b.path("b/" + MarkName + "/" + listName)); err != nil {
		t.Fatal(err)
	}
	if second.TakeOver() {
		t.Error("owner of tiers that are not the set's")
	}
	wantError(t, second.Refused, "no mark")
}

func TestJoinLeaksNoDescriptor(t *testing.T) {
	b := newPlace(t, "a", "b", "n")
	b.joinUp("a", "b")
	g, refused := b.guard("a", "b"), b.guard("a", "n")
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := count()
	for range 3 {
		first, err := g.join(true)
		if err != nil {
			t.Fatal(err)
		}
		second, err := g.join(true)
		if err != nil {
			t.Fatal(err)
		}
		second.TakeOver()
		first.Close()
		second.TakeOver()
		second.Close()
		if _, err := refused.join(true); err == nil {
			t.Fatal("accepted")
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}

func TestFullDisk(t *testing.T) {
	if !privateMounts(t) {
		return
	}
	b := newPlace(t, "a", "b", "n")
	fill := func(name string) {
		data := make([]byte, 1<<20)
		if err := os.WriteFile(b.path(name+"/fill"), data, 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("filling %s: %v", name, err)
		}
	}
	for _, d := range []string{"b", "n"} {
		mountAt(t, "tierfs-test", b.path(d), "tmpfs", 0, "size=64k,mode=0755")
	}
	fill("b")
	err := b.attempt("a", "b")
	wantError(t, err, "tier "+b.path("b"), "no space left on device", "free some space")
	os.Remove(b.path("b/fill"))
	b.quiet("a", "b")

	fill("n")
	err = b.attempt("a", "b", "n")
	wantError(t, err, "tier "+b.path("n"), "no space left on device")
	b.quiet("a", "b")

	fill("b")
	b.rename("a", "a2") // the lists are to change
	wantOne(t, "warning", b.joinUp("a2", "b").Warnings, "tier "+b.path("b"), "no space left on device", "free some space")
	wantFiles(t, b.path("b/"+MarkName), lockName, listName)
	os.Remove(b.path("b/fill"))
	wantOne(t, "warning", b.joinUp("a2", "b").Warnings, "tier "+b.path("b")+": it may be an old copy", "nothing to do if it had no room")
	b.quiet("a2", "b")
}

// Set halves that were mounted apart know different things; together again,
// they are the one set they were.
func TestHalvesOfASetMeetAgain(t *testing.T) {
	b := newPlace(t, "a", "b", "c", "d", "n")
	b.joinUp("a", "b", "c", "d")
	b.joinUp("a", "b")
	b.joinUp("c", "d")
	b.joinUp("a", "b", "c", "d")
	b.quiet("a", "b", "c", "d")

	// A tier that only the older half knows is not taken on its own word.
	b.joinUp("a", "b")
	b.joinUp("a", "b", "n")
	b.joinUp("c", "d")
	b.joinUp("d", "c")
	b.joinUp("c", "d")
	b.refused([]string{"d", "c", "n"}, b.path("n"), "does not name it")
}

var errCrash = errors.New("crash")

// crashing makes the guard die at its n-th write: before it, between the file
// and its name, or after it. It reports whether it came to that.
func crashing(g *guard, n int, how string) (crashed bool) {
	defer g.close()
	defer func() {
		if p := recover(); p != nil {
			if p != errCrash {
				panic(p)
			}
			crashed = true
		}
	}()
	g.write = func(dirfd int, rec *record) error {
		if n--; n >= 0 {
			return writeRecord(dirfd, rec)
		}
		switch how {
		case "after":
			writeRecord(dirfd, rec)
		case "between":
			fd, err := unix.Openat(dirfd, newListName, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
			if err == nil {
				unix.Write(fd, []byte(`{"tierfs":1,`))
				unix.Close(fd)
			}
		}
		panic(errCrash)
	}
	j, err := g.join(true)
	if err == nil {
		j.Close()
	}
	return false
}

// wantInvariant is the sentence above Join: who is named has a mark, here or on
// the disk that was here.
func (b *place) wantInvariant(names ...string) {
	b.Helper()
	marks := map[string]bool{}
	dirs, err := os.ReadDir(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range dirs {
		if rec := b.record(d.Name()); rec != nil {
			marks[rec.ID] = true
		}
	}
	for _, n := range names {
		rec := b.record(n)
		if rec == nil {
			continue
		}
		for _, m := range rec.Members {
			if !marks[m.ID] {
				b.Errorf("the list of %s names %s as %s, and no tier carries that mark", n, m.Path, m.ID)
			}
		}
	}
}

// A power cut at any point of any change must leave a set that mounts again by
// itself, with the members it had.
func TestCrashAtEveryWriteMountsAgain(t *testing.T) {
	scenarios := map[string]struct {
		before func(b *place)
		tiers  []string
	}{
		"first mount": {func(*place) {}, []string{"a", "b", "c"}},
		"adoption":    {func(b *place) { b.joinUp("a", "b") }, []string{"a", "n", "b"}},
		"order":       {func(b *place) { b.joinUp("a", "b", "c") }, []string{"c", "b", "a"}},
		"leaving":     {func(b *place) { b.joinUp("a", "b", "c") }, []string{"b", "c"}},
		"replacement": {func(b *place) {
			b.joinUp("a", "b", "c")
			if err := Replace(b.path("n"), b.path("b")); err != nil {
				b.Fatal(err)
			}
		}, []string{"a", "n", "c"}},
		"replacement in place": {func(b *place) {
			b.joinUp("a", "b", "c")
			b.rename("a", "disk")
			makeDirs(b.T, b.path("a"))
			if err := Replace(b.path("a"), b.path("a")); err != nil {
				b.Fatal(err)
			}
		}, []string{"a", "b", "c"}},
	}
	for name, s := range scenarios {
		for _, how := range []string{"before", "between", "after"} {
			t.Run(name+" "+how, func(t *testing.T) {
				for n := 0; crashOnce(t, s.before, s.tiers, n, how); n++ {
				}
			})
		}
	}
}

// crashOnce crashes at write n, crashes the next mount at every write of its
// own in turn, and then lets one succeed.
func crashOnce(t *testing.T, before func(*place), tiers []string, n int, how string) (crashed bool) {
	b := newPlace(t, "a", "b", "c", "n")
	before(b)
	ids := map[string]string{}
	for _, name := range tiers {
		if rec := b.record(name); rec != nil {
			ids[name] = rec.ID
		}
	}
	if !crashing(b.guard(tiers...), n, how) {
		return false
	}
	for again := 0; again < 4; again++ {
		b.wantInvariant(tiers...)
		if !crashing(b.guard(tiers...), again, how) {
			break
		}
	}
	b.wantInvariant(tiers...)
	b.joinUp(tiers...)
	b.sameLists(tiers...)
	for name, id := range ids {
		if b.record(name).ID != id {
			t.Errorf("crash at write %d: %s has another ID now", n, name)
		}
	}
	for _, name := range tiers {
		wantFiles(t, b.path(name+"/"+MarkName), lockName, listName)
	}
	j := b.joinUp(tiers...)
	if len(j.Warnings) > 0 {
		t.Errorf("crash at write %d: warnings %q", n, j.Warnings)
	}
	return true
}

// A crash of the first mount and then one tier less: the one that was named
// before the crash belongs to the same set later.
func TestCrashOfFirstMountThenFewerTiers(t *testing.T) {
	for n := range 6 {
		b := newPlace(t, "a", "b", "c")
		crashing(b.guard("a", "b", "c"), n, "before")
		b.joinUp("b", "c")
		b.joinUp("a", "b", "c")
		b.quiet("a", "b", "c")
	}
}

// TestOrdinaryUser mounts as a user: the marks are that user's, and root's are not.
func TestOrdinaryUser(t *testing.T) {
	needRoot(t)
	const env, user = "TIERFS_TEST_USER", 54321
	b := newPlace(t, "a", "b", "roots", "shut")
	for dir := b.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(b.path("test"), program, 0o755), os.Chmod(b.path("shut"), 0o755),
		os.Chown(b.path("a"), user, user), os.Chown(b.path("b"), user, user), os.Chown(b.path("roots"), user, user),
		os.Mkdir(b.path("roots/"+MarkName), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(b.path("test"), "-test.v", "-test.run=^TestAsUser$")
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), env+"="+b.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestAsUser")) {
		t.Fatalf("as user %d: %v\n%s", user, err, out)
	}
	var st unix.Stat_t
	if err := unix.Stat(b.path("a/"+MarkName), &st); err != nil || st.Uid != user {
		t.Errorf("the mark belongs to %d, %v", st.Uid, err)
	}
	b.refused([]string{"a", "b"}, "owned by user 54321, not by 0")
}

// TestAsUser does nothing but in the child of TestOrdinaryUser.
func TestAsUser(t *testing.T) {
	dir := os.Getenv("TIERFS_TEST_USER")
	if dir == "" {
		return
	}
	b := &place{T: t, dir: dir}
	b.quiet("a", "b")
	err := b.attempt("a", "b", "roots")
	wantError(t, err, "tier "+b.path("roots"), "owned by user 0, not by 54321")
	err = b.attempt("a", "b", "shut")
	wantError(t, err, "tier "+b.path("shut"), "permission denied", "writable for the user who mounts")
}
