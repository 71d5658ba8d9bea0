package move

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

func ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// text is content of a size.
func text(name string, size int) string {
	return strings.Repeat(name+"\n", size/(len(name)+1)+1)[:size]
}

// TestFilesInUseStay until they are closed, however they were opened.
func TestFilesInUseStay(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	why := map[string]string{"read": "open", "write": "open", "read-below": "open-out-of-band", "write-below": "open-out-of-band", "linked": "hard-links"}
	for name := range why {
		m.Put(0, "d/"+name, name)
	}
	ok(t, "link", os.Link(m.Tier(0, "d/linked"), m.Tier(0, "d/other")))
	m.Up()
	var open []*os.File
	for path, flags := range map[string]int{
		m.Path("d/read"): os.O_RDONLY, m.Path("d/write"): os.O_WRONLY, m.Tier(0, "d/read-below"): os.O_RDONLY, m.Tier(0, "d/write-below"): os.O_WRONLY,
	} {
		f, err := os.OpenFile(path, flags, 0)
		ok(t, "open", err)
		open = append(open, f)
	}
	time.Sleep(quiet)
	r := m.carry("demote", "d")
	for name, reason := range why {
		r.wantSkip(t, "d/"+name, reason)
		m.wantOn(0, "d/"+name, name)
	}
	for _, f := range open {
		ok(t, "close", f.Close())
	}
	ok(t, "unlink", os.Remove(m.Path("d/other")))
	time.Sleep(quiet)
	m.carry("demote", "d").wantMoved(t, len(why))
	for name := range why {
		m.wantOn(1, "d/"+name, name)
	}
	m.wantTidy()
}

// part is how much of a file is copied at once: what is slower than the rate
// waits after that.
const part = 1 << 20

// TestWhatChangesDuringTheCopyStays, with the change, whoever made it.
func TestWhatChangesDuringTheCopyStays(t *testing.T) {
	t.Parallel()
	m := newMount(t, "mover_rate=4M")
	write := func(flags int) func(path string) error {
		return func(path string) error {
			return opened(path, os.O_WRONLY|flags, func(f *os.File) error {
				_, err := f.WriteString("changed")
				return err
			})
		}
	}
	save := func(path string) error {
		if err := os.WriteFile(path+"#", []byte("changed"), 0o644); err != nil {
			return err
		}
		return os.Rename(path+"#", path)
	}
	chmod := func(path string) error { return os.Chmod(path, 0o600) }
	same := func(old string) string { return old }
	first := func(old string) string { return "changed" + old[7:] }
	last := func(old string) string { return old + "changed" }
	all := func(string) string { return "changed" }
	changes := map[string]struct {
		below  bool
		change func(path string) error
		want   func(old string) string
	}{
		"write":          {false, write(0), first},
		"append":         {false, write(os.O_APPEND), last},
		"rewrite":        {false, write(os.O_TRUNC), all},
		"truncate":       {false, func(path string) error { return os.Truncate(path, 7) }, func(old string) string { return old[:7] }},
		"chmod":          {false, chmod, same},
		"xattr":          {false, func(path string) error { return unix.Setxattr(path, "user.x", []byte("x"), 0) }, same},
		"save":           {false, save, all},
		"link":           {false, func(path string) error { return os.Link(path, path+"~") }, same},
		"write-below":    {true, write(0), first},
		"append-below":   {true, write(os.O_APPEND), last},
		"rewrite-below":  {true, write(os.O_TRUNC), all},
		"truncate-below": {true, func(path string) error { return os.Truncate(path, 7) }, func(old string) string { return old[:7] }},
		"chmod-below":    {true, chmod, same},
		"save-below":     {true, save, all},
	}
	for name := range changes {
		m.Put(0, "d/"+name, text(name, part))
	}
	m.Put(0, "d/unchanged", "unchanged")
	m.Up()
	time.Sleep(quiet)
	job := m.start("demote", "d")
	m.copying()
	for name, c := range changes {
		path := m.Path("d/" + name)
		if c.below {
			path = m.Tier(0, "d/"+name)
		}
		ok(t, name, c.change(path))
	}
	r, err := m.ended(job)
	ok(t, "demote", err)
	for name, c := range changes {
		r.wantSkip(t, "d/"+name, "changed", "in-use") // he opens it before he writes
		m.wantOn(0, "d/"+name, c.want(text(name, part)))
	}
	m.wantOn(1, "d/unchanged", "unchanged")
	for _, name := range []string{"chmod", "chmod-below"} {
		if st := harness.Stat(t, m.Path("d/"+name)); st.Mode&0o777 != 0o600 {
			t.Errorf("%s: mode %o", name, st.Mode)
		}
	}
	m.wantTidy()
}

// TestDirectoriesChangeDuringTheCopy: the file is where its directory is.
func TestDirectoriesChangeDuringTheCopy(t *testing.T) {
	t.Parallel()
	m := newMount(t, "mover_rate=4M")
	old := text("old", 2*part)
	for _, name := range []string{"renamed", "above", "replaced", "removed"} {
		m.Put(0, name+"/d/f", old)
	}
	m.Up()
	time.Sleep(quiet)
	for name, change := range map[string]func() error{
		"renamed":  func() error { return os.Rename(m.Path("renamed/d"), m.Path("renamed/e")) },
		"above":    func() error { return os.Rename(m.Path("above"), m.Path("beyond")) },
		"replaced": func() error { return replaceDir(m.Path("replaced/d")) },
		"removed":  func() error { return os.RemoveAll(m.Path("removed")) },
	} {
		job := m.start("demote", name)
		m.copying()
		ok(t, name, change())
		_, err := m.ended(job)
		ok(t, "demote", err)
		m.wantTidy()
	}
	for rel, want := range map[string]string{
		"renamed/d": "", "renamed/e/f": old, "above": "", "beyond/d/f": old, "replaced/d~/f": old, "replaced/d/f": "new", "removed": "",
	} {
		switch ranks := m.on(rel); {
		case want == "" && len(ranks) > 0, want != "" && len(ranks) != 1:
			t.Errorf("%s is on the tiers %v", rel, ranks)
		case want != "":
			m.wantOn(ranks[0], rel, want)
		}
	}
}

// replaceDir puts another directory in the place of one.
func replaceDir(path string) error {
	if err := os.Rename(path, path+"~"); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(path+"/f", []byte("new"), 0o644)
}

// TestTargetFillsUp while a file is copied to it: the file stays, and what was
// copied is no burden on the full disk.
func TestTargetFillsUp(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop")
	m := newMountOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "16M")}, "mover_rate=6M", "minfree=0")
	content := text("f", 7*part)
	m.Put(0, "f", content)
	before := harness.Stat(t, m.Tier(0, "f"))
	m.Up()
	time.Sleep(quiet)
	job := m.start("demote", "f")
	m.copying()
	fill(t, m.Tier(1, "ballast"))
	r, err := m.ended(job)
	ok(t, "demote", err)
	r.wantSkip(t, "f", "no-room")
	m.wantTidy()
	if after := harness.Stat(t, m.Tier(0, "f")); after.Atim != before.Atim {
		t.Errorf("the access time is %v, was %v", after.Atim, before.Atim)
	}
	m.wantOn(0, "f", content)
	time.Sleep(quiet) // it was read
	m.carry("demote", "f").wantSkip(t, "f", "no-room")
	ok(t, "remove", os.Remove(m.Tier(1, "ballast")))
	time.Sleep(quiet)
	m.carry("demote", "f").wantMoved(t, 1)
	m.wantOn(1, "f", content)
}

// fill writes until nothing more can be written.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	ok(t, "create", err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1<<18))
	}
	for err = nil; err == nil; {
		_, err = f.Write(make([]byte, 1<<12))
	}
}

// TestOwnersQuotaOnTheTarget: what a user may not have there does not go there.
func TestOwnersQuotaOnTheTarget(t *testing.T) {
	t.Parallel()
	low := harness.QuotaDisk(t)
	m := newMountOn(t, []string{harness.On(t, "ext4", "64M"), low}, "minfree=0")
	for name, size := range map[string]int{"large": 2 * part, "small": part / 4} {
		m.Put(0, name, text(name, size))
		harness.Chown(t, m.Tier(0, name), harness.UserA, harness.UserA)
	}
	harness.Limit(t, low, harness.UserA, 1024)
	m.Up()
	time.Sleep(quiet)
	r := m.carry("demote", "")
	r.wantSkip(t, "large", "quota")
	m.wantOn(0, "large", text("large", 2*part))
	m.wantOn(1, "small", text("small", part/4))
	m.wantTidy()
}

// TestProjectsOnTheTarget: a directory that gives its project to what is made in
// it takes nothing of another project by rename(2).
func TestProjectsOnTheTarget(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "xfs")
	m := newMountOn(t, []string{harness.On(t, "xfs", "320M"), harness.On(t, "xfs", "320M")})
	m.Put(0, "d/f", "content")
	harness.Mkdir(t, m.Tier(1, "d"))
	harness.Must(t, "chattr", "-p", "42", m.Tier(1, "d"))
	harness.Must(t, "chattr", "+P", m.Tier(1, "d"))
	m.Up()
	time.Sleep(quiet)
	m.carry("demote", "").wantMoved(t, 1)
	m.wantOn(1, "d/f", "content")
	if out := harness.Must(t, "lsattr", "-p", m.Tier(1, "d/f")); !strings.HasPrefix(strings.TrimSpace(out), "42 ") {
		t.Errorf("its project: %s, want 42", out)
	}
	m.wantTidy()
}

// TestARevokedACLStaysRevoked: XFS lists an ACL a second time, as an attribute
// trusted.SGI_ACL_FILE. Copied to another filesystem and back it would be the ACL
// of long ago.
func TestARevokedACLStaysRevoked(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "xfs", "ext4")
	m := newMountOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "xfs", "320M")})
	m.Put(1, "d/f", "content")
	harness.Must(t, "setfacl", "-m", "u:1005:r", m.Tier(1, "d"), m.Tier(1, "d/f"))
	m.Up()
	time.Sleep(quiet)
	m.carry("promote", "d/f").wantMoved(t, 1)
	for _, rel := range []string{"d", "d/f"} {
		if out := harness.Must(t, "getfattr", "-h", "-d", "-m", "-", m.Tier(0, rel)); strings.Contains(out, "SGI_ACL") {
			t.Errorf("on ext4: %s", out)
		}
	}
	// What an earlier version has left there does no harm.
	harness.Must(t, "setfattr", "-n", "trusted.SGI_ACL_FILE", "-v", "0x00000000", m.Tier(0, "d/f"))
	harness.Must(t, "setfacl", "-x", "u:1005", m.Path("d/f"))
	time.Sleep(quiet)
	m.carry("demote", "d/f").wantMoved(t, 1)
	m.wantOn(1, "d/f", "content")
	if out := harness.Must(t, "getfacl", "-cnp", m.Path("d/f")); strings.Contains(out, "user:1005") {
		t.Errorf("it is back:\n%s", out)
	}
}

// TestSparseFilesNeedTheRoomOfTheirBlocks, not of their size.
func TestSparseFilesNeedTheRoomOfTheirBlocks(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	m := newMountOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "16M")}, "minfree=0")
	m.Put(0, "f", "content")
	ok(t, "truncate", os.Truncate(m.Tier(0, "f"), 1<<30))
	m.Up()
	time.Sleep(quiet)
	m.carry("demote", "f").wantMoved(t, 1)
	if st := harness.Stat(t, m.Tier(1, "f")); st.Size != 1<<30 || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
	}
}

// TestReadOnlyTiers neither take files nor give them away.
func TestReadOnlyTiers(t *testing.T) {
	t.Parallel()
	for frozen := range 2 {
		tiers := []string{harness.TempDir(t), harness.TempDir(t)}
		harness.Write(t, tiers[0]+"/high", "high")
		harness.Write(t, tiers[1]+"/low", "low")
		harness.Must(t, "mount", "--bind", tiers[frozen], tiers[frozen])
		t.Cleanup(func() { unix.Unmount(tiers[frozen], unix.MNT_DETACH) })
		harness.Must(t, "mount", "-o", "remount,bind,ro", tiers[frozen])
		m := newMountOn(t, tiers)
		m.Up()
		time.Sleep(quiet)
		m.carry("demote", "high").wantSkip(t, "high", "read-only")
		m.carry("promote", "low").wantSkip(t, "low", "read-only")
		m.wantOn(0, "high", "high")
		m.wantOn(1, "low", "low")
		m.Down()
	}
}

// TestTargetThatTakesNoOwner: it says that it does, and the file would be another's.
func TestTargetThatTakesNoOwner(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(t, 1)
	m := newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "minfree=0")
	m.Put(0, "f", "f")
	harness.Chmod(t, m.Tier(0, "f"), 0o600)
	harness.Chown(t, m.Tier(0, "f"), harness.UserA, harness.UserA)
	m.Up()
	time.Sleep(quiet)
	disk.Arm(faultfs.Plan{Nth: 1, Ops: []string{"none"}, NoOwners: true})
	m.carry("demote", "f").wantSkip(t, "f", "attributes")
	m.wantOn(0, "f", "f")
	disk.Disarm()

	// What takes long to copy is not copied to find that out.
	large := text("large", 4<<20)
	m.Put(0, "large", large)
	harness.Chown(t, m.Tier(0, "large"), harness.UserA, harness.UserA)
	time.Sleep(quiet)
	disk.Arm(faultfs.Plan{Nth: 1, Ops: []string{"WRITE"}, NoOwners: true, DelayMS: 1})
	m.carry("demote", "large").wantSkip(t, "large", "attributes")
	if r := disk.Disarm(); len(r.Calls) > 0 {
		t.Errorf("%d writes", len(r.Calls))
	}
	m.wantOn(0, "large", large)
	m.carry("demote", "f").wantMoved(t, 1)
	m.wantOn(1, "f", "f")
	m.Down()
}

// TestTargetThatHasNoXattrs and calls that an I/O error, but of its root: rclone.
func TestTargetThatHasNoXattrs(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(t, 1)
	m := newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "minfree=0")
	m.Put(0, "plain", "plain")
	m.Put(0, "marked", "marked")
	ok(t, "setxattr", unix.Setxattr(m.Tier(0, "marked"), "user.mark", []byte("1"), 0))
	m.Up()
	disk.Arm(faultfs.Plan{Nth: 1, Ops: []string{"none"}, NoXattrs: true})
	time.Sleep(quiet)
	m.carry("demote", "marked").wantSkip(t, "marked", "attributes")
	m.carry("demote", "plain").wantMoved(t, 1)
	m.wantOn(1, "plain", "plain")
	path := m.Path("plain")
	for call, err := range map[string]error{
		"getxattr":    second(unix.Getxattr(path, "user.mark", nil)),
		"setxattr":    unix.Setxattr(path, "user.mark", []byte("1"), 0),
		"removexattr": unix.Removexattr(path, "user.mark"),
	} {
		if err != unix.EOPNOTSUPP {
			t.Errorf("%s: %v", call, err)
		}
	}
	if n, err := unix.Listxattr(path, nil); n != 0 || err != nil {
		t.Errorf("listxattr: %d, %v", n, err)
	}
	if _, errs, code := harness.AsUser(t, harness.UserA, harness.UserA, nil, "cat", path); code != 0 {
		t.Errorf("an ordinary user: %s", errs)
	}
	time.Sleep(quiet)
	m.carry("promote", "plain").wantMoved(t, 1)
	m.wantOn(0, "plain", "plain")
	harness.Must(t, harness.CLI, "status", m.Dir) // 1 for a disk that fails
	disk.Disarm()
	m.Down()
}

func second(_ int, err error) error { return err }

// TestTargetThatCountsNoInodes: rclone has a billion of them, and says that none
// is free.
func TestTargetThatCountsNoInodes(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(t, 1)
	m := newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "minfree=0")
	m.Put(0, "f", "f")
	m.Up()
	disk.Arm(faultfs.Plan{Nth: 1, Ops: []string{"none"}, NoInodes: true})
	time.Sleep(quiet)
	var sum, primary unix.Statfs_t
	ok(t, "statfs", unix.Statfs(m.Dir, &sum))
	ok(t, "statfs", unix.Statfs(m.Tier(0, ""), &primary))
	if sum.Files != primary.Files {
		t.Errorf("%d inodes, of them the primary's %d", sum.Files, primary.Files)
	}
	m.carry("demote", "f").wantMoved(t, 1)
	m.wantOn(1, "f", "f")
	disk.Disarm()
	m.Down()
}

// TestTargetWithoutInodes is full, and it is said of what.
func TestTargetWithoutInodes(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse")
	full := harness.TempDir(t)
	harness.Must(t, "mount", "-t", "tmpfs", "-o", "size=16M,nr_inodes=20", "tmpfs", full)
	t.Cleanup(func() { unix.Unmount(full, unix.MNT_DETACH) })
	m := newMountOn(t, []string{harness.TempDir(t), full}, "minfree=0")
	m.Up("demote=1s")
	for i := 0; ; i++ {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", full, i), nil, 0o644); err != nil {
			break
		}
	}
	m.Put(0, "f", "f")
	time.Sleep(quiet)
	m.carry("demote", "f").wantSkip(t, "f", "no-room")
	harness.Eventually(t, "the log says it", func() bool { return strings.Contains(m.Log(), "no inode left") })
	m.Down()
}

// TestTargetVanishes in the middle of a copy: the file is where it was, and can
// be used all the time. When the disk is back, files move again.
func TestTargetVanishes(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"dies", "hangs"} {
		t.Run(how, func(t *testing.T) {
			disk := faultfs.New(t, 1)
			m := newMountOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "mover_rate=4M", "tier_timeout=1s", "minfree=0")
			content := text("f", 3*part)
			m.Put(0, "f", content)
			m.Put(0, "g", "g")
			m.Up()
			time.Sleep(quiet)
			job := m.start("demote", "f")
			m.copying()
			if how == "dies" {
				disk.Kill()
			} else {
				disk.Arm(faultfs.Plan{Nth: 1, Stays: true, Hang: true})
			}
			harness.WantRead(t, m.Path("f"), content)
			harness.Append(t, m.Path("f"), "more")
			harness.WantRead(t, m.Path("f"), content+"more")
			if how == "dies" {
				disk.Revive()
			} else {
				disk.Disarm()
			}
			r, err := m.ended(job)
			ok(t, "demote", err)
			if r.moved != 0 {
				t.Errorf("%d files have moved", r.moved)
			}
			harness.Eventually(t, "the disk is back", func() bool { return m.carry("demote", "g").moved == 1 })
			time.Sleep(quiet)
			m.carry("demote", "f").wantMoved(t, 1)
			m.wantOn(1, "f", content+"more")
			m.Down()
			m.Up()
			m.wantOn(1, "f", content+"more")
			m.wantTidy()
		})
	}
}

// TestNameAppearsOnTheTarget: neither file harms the other.
func TestNameAppearsOnTheTarget(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"demote", "promote"} {
		from, to := 0, 1
		if which == "promote" {
			from, to = 1, 0
		}
		m := newMount(t, "mover_rate=4M", "attr_timeout=0", "entry_timeout=0")
		content := text("f", 2*part)
		m.Put(from, "d/f", content)
		m.Up()
		time.Sleep(quiet)
		job := m.start(which, "d")
		m.copying()
		m.Put(to, "d/f", "another")
		r, err := m.ended(job)
		ok(t, which, err)
		r.wantSkip(t, "d/f", "blocked")
		harness.WantRead(t, m.Tier(from, "d/f"), content)
		harness.WantRead(t, m.Tier(to, "d/f"), "another")
		m.wantTidy()
		ok(t, "remove", os.Remove(m.Tier(to, "d/f")))
		time.Sleep(quiet)
		m.carry(which, "d").wantMoved(t, 1)
		m.wantOn(to, "d/f", content)
		m.Down()
	}
}

// TestSecondDaemonWaits: after umount -l the first daemon serves whoever is in
// its mount. It stops moving at once, and the second one moves files when the
// first has gone, not before.
func TestSecondDaemonWaits(t *testing.T) {
	t.Parallel()
	m := newMount(t, "mover_rate=4M")
	content := text("f", 8*part)
	m.Put(0, "f", content)
	m.Up()
	time.Sleep(quiet)
	first := m.Pid()
	inside, err := os.Open(m.Dir)
	ok(t, "open", err)
	defer inside.Close()
	job := m.start("demote", "f")
	m.copying()
	harness.Must(t, "umount", "-l", m.Dir)
	m.Up()
	if _, err := m.ended(job); err != nil {
		t.Error(err)
	}
	harness.WantRead(t, m.Path("f"), content)
	r := m.carry("demote", "f")
	if r.moved != 0 || r.code == 0 || !strings.Contains(r.said, "another daemon") {
		t.Errorf("the second daemon: %+v", r)
	}
	ok(t, "close", inside.Close())
	harness.Eventually(t, "the first daemon ends", func() bool { return unix.Kill(first, 0) != nil || reaped(first) })
	if !harness.Within(20*time.Second, func() bool { return m.carry("demote", "f").moved == 1 }) {
		t.Error("the second daemon does not move either")
	}
	m.Adopt() // it holds the locks now
	m.wantOn(1, "f", content)
	m.wantTidy()
}

func reaped(pid int) bool {
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return got == pid || err == unix.ECHILD
}

// TestOpensDuringASlowCopyAreServedAtOnce: nobody waits for the copy, and
// nobody for the mover's lease.
func TestOpensDuringASlowCopyAreServedAtOnce(t *testing.T) {
	t.Parallel()
	m := newMount(t, "mover_rate=1M")
	names := []string{"read", "write", "truncate", "read-below", "write-below"}
	for _, name := range names {
		m.Put(0, "d/"+name, text(name, 4*part))
	}
	m.Up()
	time.Sleep(quiet)
	job := m.start("demote", "d") // it would take twenty seconds
	m.copying()
	began := time.Now()
	for name, open := range map[string]func() (*os.File, error){
		"read":        func() (*os.File, error) { return os.Open(m.Path("d/read")) },
		"write":       func() (*os.File, error) { return os.OpenFile(m.Path("d/write"), os.O_RDWR, 0) },
		"truncate":    func() (*os.File, error) { return os.OpenFile(m.Path("d/truncate"), os.O_WRONLY|os.O_TRUNC, 0) },
		"read-below":  func() (*os.File, error) { return os.Open(m.Tier(0, "d/read-below")) },
		"write-below": func() (*os.File, error) { return os.OpenFile(m.Tier(0, "d/write-below"), os.O_RDWR, 0) },
	} {
		f, err := open()
		ok(t, name, err)
		ok(t, name, f.Close())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the opens took %v", took)
	}
	r, err := m.ended(job)
	ok(t, "demote", err)
	for _, name := range names {
		if strings.HasPrefix(name, "truncate") {
			r.wantSkip(t, "d/"+name, "changed", "in-use")
		} else {
			r.wantSkip(t, "d/"+name, "in-use")
		}
	}
	m.wantTidy()
}

// TestMovedFilesLookAsBefore: a backup by time stamps (find -newer) finds
// nothing new, and nothing looks as if somebody had read it. The tiers are on ext4: the
// size of a directory counts its names on some filesystems, such as a tmpfs.
func TestMovedFilesLookAsBefore(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	m := newMountOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	for i := range 10 {
		m.Put(0, fmt.Sprintf("a/b%d/c/f", i), fmt.Sprint(i))
	}
	m.Put(0, "top", "top")
	m.Put(0, "moves not", "")
	ok(t, "link", os.Link(m.Tier(0, "moves not"), m.Tier(0, "two names")))
	age(t, m.Primary)
	age(t, m.Fallbacks[0])
	m.Up()
	age(t, m.Primary) // what the mount has made there
	age(t, m.Fallbacks[0])
	times := func() (text string) {
		err := filepath.WalkDir(m.Dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				st := harness.Stat(t, path)
				text += fmt.Sprintln(path, st.Mode, st.Size, st.Mtim, st.Ino)
			}
			return err
		})
		ok(t, "walk", err)
		return text
	}
	read := func() (text string) {
		for _, rel := range []string{"", "a", "a/b1", "a/b1/c", "a/b1/c/f", "moves not"} {
			for rank := range m.Tiers {
				if harness.Exists(t, m.Tier(rank, rel)) {
					text += fmt.Sprintln(rel, harness.Stat(t, m.Tier(rank, rel)).Atim)
					break
				}
			}
		}
		return text
	}
	time.Sleep(quiet)
	atimes := read()
	r := m.carry("demote", "")
	if r.moved != 11 {
		t.Fatalf("%d files have moved\n%s", r.moved, r.said)
	}
	if now := read(); now != atimes {
		t.Errorf("access times were\n%sare\n%s", atimes, now)
	}
	known := times()
	stamp := harness.TempDir(t) + "/stamp"
	harness.Write(t, stamp, "")
	then := time.Now().Add(-time.Hour)
	ok(t, "stamp", os.Chtimes(stamp, then, then))
	newer := func() {
		t.Helper()
		out, err := exec.Command("find", m.Dir, "-newer", stamp).Output()
		ok(t, "find", err)
		if len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("newer than the files' moves:\n%s", out)
		}
	}
	newer()
	time.Sleep(quiet)
	if r := m.carry("promote", ""); r.moved != 11 {
		t.Fatalf("%d files have moved\n%s", r.moved, r.said)
	}
	newer()
	if now := times(); now != known {
		t.Errorf("were\n%sare\n%s", known, now)
	}
}

// age makes all in a tier old.
func age(t *testing.T, root string) {
	t.Helper()
	old := time.Now().Add(-1000 * time.Hour)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == ".tierfs" {
			return filepath.SkipDir
		}
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	ok(t, "walk", err)
}

// TestMappingOutlivesItsDescriptor: who has closed a file may still write into
// it by a mapping, of which the daemon does not hear in passthrough.
func TestMappingOutlivesItsDescriptor(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			m := newMount(t, mode)
			content := text("f", 8192)
			m.Put(0, "f", content)
			m.Up()
			fd, err := unix.Open(m.Path("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
			ok(t, "open", err)
			mem, err := unix.Mmap(fd, 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(t, "mmap", err)
			ok(t, "close", unix.Close(fd))
			time.Sleep(quiet)
			m.carry("demote", "f").wantSkip(t, "f", "open", "open-out-of-band")
			copy(mem, "changed")
			ok(t, "munmap", unix.Munmap(mem))
			time.Sleep(quiet)
			m.carry("demote", "f").wantMoved(t, 1)
			m.wantOn(1, "f", "changed"+content[7:])
		})
	}
}
