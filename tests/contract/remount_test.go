package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// dialer connects to a unix socket, whatever address is asked for.
func dialer(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// status asks the daemon over its control socket.
func status(m *harness.Mount) (options string, tiers []string, pid int) {
	m.T.Helper()
	path := "/run/tierfs/" + strings.Replace(harness.MountsAt(m.Dir)[0].Dev, ":", "-", 1) + ".sock"
	client := http.Client{Transport: &http.Transport{
		DialContext:       dialer(path),
		DisableKeepAlives: true,
	}}
	resp, err := client.Get("http://tierfs/v1/status")
	if err != nil {
		m.T.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct {
		PID     int
		Options string
		Tiers   []struct{ Path string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		m.T.Fatal(err)
	}
	for _, tier := range s.Tiers {
		tiers = append(tiers, tier.Path)
	}
	return s.Options, tiers, s.PID
}

// one fails the test unless the mount is still the one mount of the same daemon.
func one(m *harness.Mount, pid int) {
	m.T.Helper()
	if at := harness.MountsAt(m.Dir); len(at) != 1 {
		m.T.Fatalf("want one mount, got %+v", at)
	}
	if _, _, now := status(m); now != pid {
		m.T.Errorf("daemon %d answers, it was %d", now, pid)
	}
}

func TestRemountReadOnlyAndBack(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	pid := m.Pid()
	for _, target := range [][]string{{m.Dir}, {"-t", "fuse.tierfs", m.Primary, m.Dir}} {
		harness.Must(t, append([]string{"mount", "-o", "remount,ro"}, target...)...)
		one(m, pid)
		if !slices.Contains(flags(m), "ro") {
			t.Error("not read-only in mountinfo")
		}
		harness.WantErrno(t, "write", os.WriteFile(m.Path("f"), nil, 0o644), unix.EROFS)
		harness.Must(t, append([]string{"mount", "-o", "remount,rw"}, target...)...)
		one(m, pid)
		if slices.Contains(flags(m), "ro") {
			t.Error("still read-only in mountinfo")
		}
		harness.Write(t, m.Path("f"), "x")
	}
}

func TestRemountKeepsTheOtherFlags(t *testing.T) {
	m := harness.New(t, 0)
	m.Up("noexec", "noatime")
	harness.Must(t, "mount", "-o", "remount,ro", m.Dir)
	for _, word := range []string{"ro", "noexec", "noatime", "nosuid", "nodev"} {
		if !slices.Contains(flags(m), word) {
			t.Errorf("%s is gone: %q", word, flags(m))
		}
	}
	if _, _, code := harness.AsUser(t, harness.UserA, harness.UserA, nil, "ls", m.Dir); code != 0 {
		t.Error("remount has taken allow_other away")
	}
}

// mount(8) passes on what the mount has, what is asked for, and then all words
// that it does not know, from wherever they are.
func TestRemountTakesSuidAwayAndGivesItBack(t *testing.T) {
	m := harness.New(t, 0)
	m.Up("allow_suid")
	for _, c := range []struct {
		opts  string
		clear bool
	}{{"nosuid", true}, {"ro", true}, {"rw,allow_suid", false}, {"allow_suid,nosuid", true}} {
		harness.Must(t, "mount", "-o", "remount,"+c.opts, m.Dir)
		if got := slices.Contains(flags(m), "nosuid"); got != c.clear {
			t.Errorf("after remount,%s: nosuid is %v", c.opts, got)
		}
	}
}

// TestRemountUndoesAFlag: mount(8) drops the word that undoes, and the one that
// is undone. What it sends depends on fstab and on how the mount is named.
func TestRemountUndoesAFlag(t *testing.T) {
	m := harness.New(t, 1)
	const on = "sync,noexec,noatime,nodiratime,lazytime,nosymfollow"
	undone := []struct{ word, flag string }{
		{"async", "sync"}, {"exec", "noexec"}, {"atime", "noatime"}, {"diratime", "nodiratime"},
		{"nolazytime", "lazytime"}, {"symfollow", "nosymfollow"},
	}
	for _, c := range []struct{ line, target []string }{
		{nil, []string{m.Dir}},
		{[]string{on}, []string{m.Dir}},
		{[]string{on}, []string{m.Primary}},
	} {
		harness.Fstab(t)
		if c.line != nil {
			harness.Fstab(t, m.FstabLine(c.line...))
		}
		for _, u := range undone {
			m.Up(on)
			harness.Must(t, append([]string{"mount", "-o", "remount," + u.word}, c.target...)...)
			for _, other := range undone {
				if got := slices.Contains(flags(m), other.flag); got != (other.flag != u.flag) {
					t.Errorf("fstab %q: remount,%s %s: %s is %v", c.line, u.word, c.target, other.flag, got)
				}
			}
			wantFlags(m, u.word, "nosuid nodev", "")
			m.Down()
		}
	}
}

// TestRemountBySourceAndDirectoryReplacesAllFlags, as mount(8) has it.
func TestRemountBySourceAndDirectoryReplacesAllFlags(t *testing.T) {
	m := harness.New(t, 1)
	harness.Fstab(t, m.FstabLine("noauto"))
	m.Up("sync,noexec,strictatime,allow_suid")
	harness.Must(t, "mount", "-t", "fuse.tierfs", "-o", "remount,exec", m.Primary, m.Dir)
	wantFlags(m, "remount,exec", "nosuid nodev relatime", "sync noexec")
}

func TestRemountUndoesNosuidAndNodevOfTheRunningMount(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	harness.Must(t, "mount", "-o", "remount,suid", m.Dir)
	wantFlags(m, "suid", "nodev", "nosuid")
	harness.Must(t, "mount", "-o", "remount,dev", m.Dir)
	wantFlags(m, "dev", "", "nosuid nodev")
	harness.Must(t, "mount", "-o", "remount,ro", m.Dir)
	wantFlags(m, "ro", "ro", "nosuid nodev")
}

// TestRemountSaysThatAccessTimesStay: the table of mounts alone changes.
func TestRemountSaysThatAccessTimesStay(t *testing.T) {
	m := harness.New(t, 0)
	m.Up("strictatime")
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,ro", m.Dir)
	if code != ok || stderr != "" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	_, stderr, code = harness.Run(t, "mount", "-o", "remount,noatime", m.Dir)
	if code != ok {
		t.Errorf("exit code %d", code)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", m.Dir, "access times", "unmount")
}

func TestRemountWithOpenWriterIsRefusedAndChangesNothing(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	f, err := os.Create(m.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,ro,attr_timeout=9", m.Dir)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", "busy")
	if slices.Contains(flags(m), "ro") {
		t.Error("read-only in mountinfo")
	}
	if _, err := f.WriteString("on"); err != nil {
		t.Error(err)
	}
	f.Close()
}

// TestRefusedRemountKeepsOnlyItsFallback: a fallback that the daemon has taken in cannot be
// taken away again, and for its sake the other options stayed changed too.
func TestRefusedRemountKeepsOnlyItsFallback(t *testing.T) {
	m := harness.New(t, 0)
	dir := harness.TempDir(t)
	first, second := dir+"/1", dir+"/2"
	harness.Mkdir(t, first)
	harness.Mkdir(t, second)
	up(m, "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", "attr_timeout=3,fallback="+first)
	f, err := os.Create(m.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,ro,attr_timeout=9,fallback="+first+":"+second, m.Dir)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", "busy", "nothing has changed, but that "+second+" is in the mount all the same")
	opts, tiers, _ := status(m)
	if all := strings.Split(opts, ","); slices.Contains(all, "ro") || !slices.Contains(all, "attr_timeout=3") {
		t.Errorf("options %q", opts)
	}
	if len(tiers) != 3 {
		t.Errorf("tiers %q", tiers)
	}
	m.Adopt() // the new tier's lock is held too
}

func TestRemountTakesTheChangeableOptions(t *testing.T) {
	m := harness.New(t, 1)
	m.Up("minfree=5%")
	pid := m.Pid()
	for _, c := range []struct{ opts, want string }{
		{"attr_timeout=7", "attr_timeout=7"},
		{"entry_timeout=8,negative_timeout=9", "negative_timeout=9"},
		{"create=primary", "create=primary"},
		{"minfree=2G", "minfree=2G"},
		{"statfs=primary", "statfs=primary"},
	} {
		harness.Must(t, "mount", "-o", "remount,"+c.opts, m.Dir)
		one(m, pid)
		if opts, _, _ := status(m); !slices.Contains(strings.Split(opts, ","), c.want) {
			t.Errorf("after remount,%s: %q", c.opts, opts)
		}
	}
	opts, _, _ := status(m) // what was not spoken of stays
	for _, word := range []string{"attr_timeout=7", "entry_timeout=8", "create=primary", "minfree=2G"} {
		harness.Contains(t, opts, word)
	}
}

func TestRemountCreatePrimaryIsInForce(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Fallbacks[0]+"/d")
	m.Up()
	harness.Write(t, m.Path("d/before"), "")
	harness.Must(t, "mount", "-o", "remount,create=primary", m.Dir)
	harness.Write(t, m.Path("d/after"), "")
	harness.WantList(t, m.Fallbacks[0]+"/d", "before")
	harness.WantList(t, m.Primary+"/d", "after")
}

func TestRemountAddsAFallbackAtTheEnd(t *testing.T) {
	m := harness.New(t, 2)
	harness.Write(t, m.Fallbacks[0]+"/both", "first")
	harness.Write(t, m.Fallbacks[1]+"/both", "second")
	harness.Write(t, m.Fallbacks[1]+"/new", "n")
	first, second := m.Fallbacks[0], m.Fallbacks[1]
	up(m, "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", "fallback="+first)
	pid := m.Pid()
	harness.WantList(t, m.Dir, "both")
	harness.Must(t, "mount", "-o", "remount,fallback="+first+":"+second, m.Dir)
	one(m, pid)
	harness.Eventually(t, "the new fallback's file is seen", func() bool { return harness.Exists(t, m.Path("new")) })
	harness.WantRead(t, m.Path("both"), "first")
	if _, tiers, _ := status(m); !slices.Equal(tiers, m.Tiers) {
		t.Errorf("tiers %q, want %q", tiers, m.Tiers)
	}
	m.Adopt() // the new tier's lock is held too
}

// TestRemountNamesTheLineOfFstab: a fallback that only a remount has named made
// later remounts fail, which repeat the line of fstab, and nothing said so.
func TestRemountNamesTheLineOfFstab(t *testing.T) {
	m := harness.New(t, 2)
	first, second := m.Fallbacks[0], m.Fallbacks[1]
	m.Fallbacks = m.Fallbacks[:1]
	harness.Fstab(t, m.FstabLine())
	up(m, "mount", m.Dir)
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,fallback="+first+":"+second, m.Dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	both := "fallback=" + first + ":" + second
	harness.OneLine(t, stderr, "/etc/fstab is without fallback="+second, "write "+both+" there")
	_, stderr, code = harness.Run(t, "mount", "-o", "remount,ro", m.Dir)
	if code == 0 {
		t.Error("a fallback was taken away")
	}
	harness.OneLine(t, stderr, both+" is mounted", "the line of /etc/fstab")
	m.Fallbacks = append(m.Fallbacks, second)
	harness.Fstab(t, m.FstabLine())
	harness.Must(t, "mount", "-o", "remount,ro", m.Dir)
	m.Adopt()
}

// TestRemountRefusesAnotherPrimary: it was passed over without a word.
func TestRemountRefusesAnotherPrimary(t *testing.T) {
	m := harness.New(t, 1)
	other := harness.TempDir(t)
	m.Up()
	_, stderr, code := harness.Run(t, "mount", "-t", "fuse.tierfs", "-o", "remount,minfree=5%", other, m.Dir)
	if code != 32 {
		t.Errorf("exit code %d, want 32", code)
	}
	harness.OneLine(t, stderr, m.Primary, other, "unmount first")
	harness.Must(t, "mount", "-t", "fuse.tierfs", "-o", "remount,rw,"+m.Options(), m.Primary+"/", m.Dir)
}

// TestLogOfARemountHasItsFlags: the line had those that the mount began with.
func TestLogOfARemountHasItsFlags(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	for _, flag := range []string{"ro", "noexec"} {
		harness.Must(t, "mount", "-o", "remount,"+flag, m.Dir)
		harness.Eventually(t, "the log has "+flag, func() bool {
			_, options, _ := strings.Cut(m.Log(), "options changed options=")
			return strings.Contains(strings.ReplaceAll(options, "\"", ","), ","+flag+",")
		})
	}
}

// TestRemountGoesOnAfterABadFallback: the good one before it was there already,
// and was refused as given twice from then on.
func TestRemountGoesOnAfterABadFallback(t *testing.T) {
	m := harness.New(t, 3)
	first, second, third := m.Fallbacks[0], m.Fallbacks[1], m.Fallbacks[2]
	up(m, "mount", "-t", "fuse.tierfs", m.Primary, m.Dir, "-o", "fallback="+first)
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,fallback="+first+":"+second+":"+third+"/missing", m.Dir)
	if code == 0 {
		t.Error("a missing directory was taken in")
	}
	harness.OneLine(t, stderr, third+"/missing")
	harness.Must(t, "mount", "-o", "remount,fallback="+first+":"+second+":"+third, m.Dir)
	if _, tiers, _ := status(m); !slices.Equal(tiers, m.Tiers) {
		t.Errorf("tiers %q, want %q", tiers, m.Tiers)
	}
	m.Adopt()
}

// TestRemountTakesNoFallbackOutOfItself: each lookup there would ask itself.
func TestRemountTakesNoFallbackOutOfItself(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Primary+"/sub")
	m.Up()
	for _, inside := range []string{m.Path("sub"), m.Dir} {
		_, stderr, code := harness.Run(t, "mount", "-o", "remount,"+harness.FallbackOption(m.Fallbacks[0], inside), m.Dir)
		if code == 0 {
			t.Fatalf("%s was taken in", inside)
		}
		harness.OneLine(t, stderr, inside, "lies in this mount")
	}
	harness.WantList(t, m.Dir, "sub")
}

// TestRemountTakesNoFallbackThatAMountRefuses: what removes one of two names of a file
// that a tier inside another shows removes the file, and a tier that holds the mount
// has no end. Neither shows by the paths, or by what is at the fallback's own.
func TestRemountTakesNoFallbackThatAMountRefuses(t *testing.T) {
	m := harness.New(t, 1)
	disk := harness.TempDir(t)
	harness.Mkdir(t, disk+"/slow")
	harness.Must(t, "mount", "--bind", disk+"/slow", m.Fallbacks[0])
	t.Cleanup(func() { harness.Unmount(t, m.Fallbacks[0]) })
	m.Dir = harness.TempDir(t) + "/mnt"
	harness.Mkdir(t, m.Dir)
	m.Up()
	_, before, pid := status(m)
	for dir, text := range map[string]string{
		disk:                fmt.Sprintf("tier %q lies inside tier %q by a bind mount", m.Fallbacks[0], disk),
		filepath.Dir(m.Dir): fmt.Sprintf("mount point %q lies inside tier", m.Dir),
	} {
		_, stderr, code := harness.Run(t, "mount", "-o", "remount,"+harness.FallbackOption(m.Fallbacks[0], dir), m.Dir)
		if code != failed {
			t.Errorf("%s: exit code %d, want %d", dir, code, failed)
		}
		harness.OneLine(t, stderr, "mount.tierfs: remount ", text)
		if harness.Exists(t, dir+"/.tierfs") {
			t.Errorf("%s: was joined", dir)
		}
		one(m, pid)
	}
	if _, after, _ := status(m); !slices.Equal(before, after) {
		t.Errorf("tiers are %q, they were %q", after, before)
	}
}

func TestRemountRefusesWhatCannotChange(t *testing.T) {
	m := harness.New(t, 2)
	extra := harness.TempDir(t)
	m.Up()
	pid := m.Pid()
	before, tiers, _ := status(m)
	a, b := m.Fallbacks[0], m.Fallbacks[1]
	for _, opts := range []string{
		"fallback=" + b + ":" + a,
		"fallback=" + a,
		"fallback=" + extra + ":" + a + ":" + b,
		"inodes=32",
		"passthrough=off",
		"noacl",
		"noallow_other",
		"attr_timeout=77,inodes=32",
	} {
		_, stderr, code := harness.Run(t, "mount", "-o", "remount,"+opts, m.Dir)
		if code == ok {
			t.Errorf("remount,%s: exit code 0", opts)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", "unmount")
		one(m, pid)
	}
	after, tiersAfter, _ := status(m)
	if after != before || !slices.Equal(tiers, tiersAfter) {
		t.Errorf("a refused remount changed %q to %q", before, after)
	}
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,nosuch", m.Dir)
	if code != usage {
		t.Errorf("remount,nosuch: exit code %d, want %d", code, usage)
	}
	harness.OneLine(t, stderr, "nosuch")
	one(m, pid)
}

// TestRemountSaysWhatFallbacksCanBe: the list is the whole one, not an addition.
func TestRemountSaysWhatFallbacksCanBe(t *testing.T) {
	m := harness.New(t, 1)
	more := harness.TempDir(t)
	m.Up()
	_, stderr, code := harness.Run(t, "mount", "-o", "remount,fallback="+more, m.Dir)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	line := "fallback=" + m.Fallbacks[0] + ":" + more
	harness.OneLine(t, stderr, "mount.tierfs: ", "fallback="+m.Fallbacks[0]+" is mounted", "write "+line)
	harness.Must(t, "mount", "-o", "remount,"+line, m.Dir)
	m.Adopt()
}

func TestRemountByFstabLineIsANoOp(t *testing.T) {
	m := harness.New(t, 1)
	harness.Fstab(t, m.FstabLine("attr_timeout=3", "nofail"))
	up(m, "mount", m.Dir)
	pid := m.Pid()
	given := func() string {
		stdout, _, _ := harness.Run(t, harness.CLI, "status", m.Dir)
		_, line, _ := strings.Cut(stdout, "  given ")
		line, _, _ = strings.Cut(line, "\n")
		return line
	}
	before, _, _ := status(m)
	givenBefore := given()
	harness.Contains(t, givenBefore, "attr_timeout=3")
	harness.Must(t, "mount", "-o", "remount", m.Dir)
	harness.Must(t, "mount", "-o", "remount,attr_timeout=3", m.Dir)
	one(m, pid)
	if now := given(); now != givenBefore {
		t.Errorf("given %q, was %q", now, givenBefore)
	}
	if after, _, _ := status(m); after != before {
		t.Errorf("options %q, were %q", after, before)
	}
	harness.Must(t, "mount", "-o", "remount,ro", m.Dir)
	one(m, pid)
	if !slices.Contains(flags(m), "ro") {
		t.Error("not read-only in mountinfo")
	}
}

func TestRemountWithFakeChangesNothing(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	before, _, _ := status(m)
	harness.Run(t, "mount", "-f", "-o", "remount,ro,attr_timeout=44", m.Dir)
	if after, _, _ := status(m); after != before || slices.Contains(flags(m), "ro") {
		t.Errorf("options %q, were %q; flags %q", after, before, flags(m))
	}
}

func TestRemountOfWhatIsNotMountedIsRefused(t *testing.T) {
	m := harness.New(t, 0)
	refused(m, helper(m.Primary, m.Dir, "-o", "remount,ro"), failed, "mounted there")
	m.Up()
	unix.Kill(m.Pid(), unix.SIGKILL)
	m.Gone(128 + int(unix.SIGKILL))
	_, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-o", "remount,ro")...)
	if code != failed {
		t.Errorf("a dead mount: exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ")
	harness.Must(t, "umount", m.Dir)
}

func TestControlSocketIsRootsAlone(t *testing.T) {
	m := harness.New(t, 0)
	m.Up()
	path := "/run/tierfs/" + strings.Replace(harness.MountsAt(m.Dir)[0].Dev, ":", "-", 1) + ".sock"
	if st := harness.Stat(t, "/run/tierfs"); st.Mode&0o777 != 0o700 || st.Uid != 0 {
		t.Errorf("/run/tierfs: mode %o of user %d", st.Mode&0o777, st.Uid)
	}
	if st := harness.Stat(t, path); st.Mode&0o777 != 0o600 {
		t.Errorf("socket: mode %o", st.Mode&0o777)
	}
	harness.Chmod(t, "/run/tierfs", 0o755) // what if an administrator opens both
	harness.Chmod(t, path, 0o666)
	_, stderr, code := tryRemount.AsUser(t, harness.UserA, harness.UserA, nil, path)
	if code != 0 {
		t.Errorf("an ordinary user: %s", stderr)
	}
	harness.Chmod(t, "/run/tierfs", 0o700)
	m.Down()
	if harness.Exists(t, path) {
		t.Errorf("%s is left", path)
	}
}

// tryRemount fails unless the daemon answers "forbidden".
var tryRemount = harness.Func("tryRemount", func(args []string) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: dialer(args[0]),
	}}
	resp, err := client.Post("http://tierfs/v1/remount", "application/json", strings.NewReader(`{"options":"ro","set":["ro"]}`))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusForbidden {
		return errors.New("answer " + resp.Status)
	}
	return nil
})
