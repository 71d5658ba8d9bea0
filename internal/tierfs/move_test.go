package tierfs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// old makes a file's times those of long ago. Its change time stays, so moves
// wait for that.
func (r *rig) old(rank int, name string) {
	r.Helper()
	at := time.Now().Add(-1000 * time.Hour)
	if err := os.Chtimes(r.at(rank, name), at, at); err != nil {
		r.Fatal(err)
	}
}

// settleTime is when a file counts as quiet.
const settleTime = 50 * time.Millisecond

// newSettled is a filesystem of two tiers, and on one of them a file f, and others, that may
// move.
func newSettled(t *testing.T, rank int, also ...string) (*rig, *FS) {
	t.Helper()
	r := newRig(t, 2)
	for _, name := range append(also, "f") {
		r.write(rank, name, "content")
	}
	time.Sleep(settleTime)
	return r, r.open()
}

// move moves files by their paths, all of one directory.
func (r *rig) move(fs *FS, from, to int, dir string, names ...string) []mover.Outcome {
	r.Helper()
	return outcomes(context.Background(), fs, &mover.Batch{Dir: dir, Names: names, From: from, To: to})
}

// outcomes are what became of a batch.
func outcomes(ctx context.Context, fs *FS, b *mover.Batch) (all []mover.Outcome) {
	fs.Move(ctx, b, func(out []mover.Outcome) { all = append(all, out...) })
	return all
}

func (r *rig) wantOutcome(o mover.Outcome, want ...mover.Reason) {
	r.Helper()
	if !slices.Contains(want, o.Skip) {
		r.Errorf("outcome %q (%v), want %q\n%s", o.Skip, o.Err, want, r.log.String())
	}
}

// wantTidy wants nothing left of a move.
func (r *rig) wantTidy() {
	r.Helper()
	r.wantRecords(0)
	for rank := range r.tiers {
		for _, dir := range []string{"staging", "trash"} {
			if names, _ := os.ReadDir(r.at(rank, ".tierfs/"+dir)); len(names) > 0 {
				r.Errorf("tier %d: %d files left in %s", rank, len(names), dir)
			}
		}
	}
}

// TestLargeFilesAreToldOneByOne: nobody waits for a whole batch of them.
func TestLargeFilesAreToldOneByOne(t *testing.T) {
	r := newRig(t, 2)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		r.write(0, name, name)
		if err := os.Truncate(r.at(0, name), moveAtOnce); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(settleTime)
	fs := r.open()
	told := 0
	fs.Move(t.Context(), &mover.Batch{Names: names, From: 0, To: 1}, func(out []mover.Outcome) {
		for _, o := range out {
			r.wantOutcome(o, mover.Moved)
			r.want(1, names[told], true)
			told++
		}
		if len(out) != 1 || told < 3 && r.has(1, names[told]) {
			t.Errorf("told of %d files, %d so far", len(out), told)
		}
	})
	if told != 3 {
		t.Errorf("told of %d", told)
	}
}

func TestMoveCarriesAFileWithAllItHas(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "a/b/f", "content")
	path := r.at(0, "a/b/f")
	attributes := unix.Setxattr(path, "user.color", []byte("red"), 0) == nil // a tmpfs may have none
	if err := os.Chmod(path, 0o2750); err != nil {
		t.Fatal(err)
	}
	r.old(0, "a/b/f")
	r.old(0, "a/b")
	time.Sleep(settleTime)
	var before, dir, after unix.Stat_t
	_ = unix.Lstat(path, &before)
	_ = unix.Lstat(r.at(0, "a/b"), &dir)

	fs := r.open()
	in := r.admit(fs, "a/b/f")
	number := in.Ino
	r.wantOutcome(r.move(fs, 0, 1, "a/b", "f")[0], mover.Moved)
	r.want(0, "a/b/f", false)
	if err := unix.Lstat(r.at(1, "a/b/f"), &after); err != nil {
		t.Fatal(err)
	}
	r.wantContent(1, "a/b/f", "content")
	r.wantTidy()
	if after.Mode != before.Mode || after.Mtim != before.Mtim || after.Atim != before.Atim || after.Size != before.Size {
		t.Errorf("was %+v, is %+v", before, after)
	}
	value := make([]byte, 8)
	if n, err := unix.Getxattr(r.at(1, "a/b/f"), "user.color", value); attributes && (err != nil || string(value[:n]) != "red") {
		t.Errorf("attribute: %q, %v", value[:max(n, 0)], err)
	}
	var st unix.Stat_t
	if err := fs.stat(nil, in, &st); err != nil || in.Ino != number {
		t.Errorf("the inode after: %v, number %d, was %d", err, in.Ino, number)
	}
	for rank := range 2 {
		if err := unix.Lstat(r.at(rank, "a/b"), &st); err != nil || st.Mtim != dir.Mtim {
			t.Errorf("directory on tier %d: %v, mtime %v, was %v", rank, err, st.Mtim, dir.Mtim)
		}
	}
	time.Sleep(settleTime)
	quiet := &mover.Batch{Dir: "a/b", Names: []string{"f"}, From: 1, To: 0, Quiet: time.Hour}
	r.wantOutcome(outcomes(t.Context(), fs, quiet)[0], mover.Fresh) // the copy is new
	r.wantOutcome(r.move(fs, 1, 0, "a/b", "f")[0], mover.Moved)
	r.wantContent(0, "a/b/f", "content")
	r.want(1, "a/b/f", false)
	r.wantTidy()
	if err := fs.stat(nil, in, &st); err != nil || in.Ino != number {
		t.Errorf("the inode after the way back: %v, number %d, was %d", err, in.Ino, number)
	}
}

// TestMoveKeepsModesFromAnInheritedACL: what the tier's directories give to new
// files is not for copies, and most modes need no chmod(2).
func TestMoveKeepsModesFromAnInheritedACL(t *testing.T) {
	r := newRig(t, 2)
	modes := map[string]os.FileMode{"plain": 0o644, "secret": 0o600, "none": 0, "all": 0o777, "setuid": 0o755 | os.ModeSetuid}
	for name, mode := range modes {
		r.write(0, name, name)
		if err := os.Chmod(r.at(0, name), mode); err != nil {
			t.Fatal(err)
		}
		r.old(0, name)
	}
	time.Sleep(settleTime)
	fs := r.open()
	for _, acl := range []bool{false, true} {
		if acl && unix.Setxattr(r.at(1, ".tierfs/staging"), "system.posix_acl_default", everybody, 0) != nil {
			t.Skip("the filesystem has no ACLs")
		}
		for name, mode := range modes {
			r.wantOutcome(r.move(fs, 0, 1, "", name)[0], mover.Moved)
			if st, err := os.Lstat(r.at(1, name)); err != nil || st.Mode() != mode {
				t.Errorf("%s: %v, mode %v, want %v", name, err, st.Mode(), mode)
			}
			if _, err := unix.Getxattr(r.at(1, name), "system.posix_acl_access", nil); err != unix.ENODATA && err != unix.EOPNOTSUPP {
				t.Errorf("%s has an ACL of the directory: %v", name, err)
			}
			time.Sleep(settleTime)
			r.wantOutcome(r.move(fs, 1, 0, "", name)[0], mover.Moved)
		}
		time.Sleep(settleTime)
	}
}

// everybody is the ACL u::rwx,u:1:rw-,g::r-x,m::rwx,o::rwx as an attribute
// (linux/posix_acl_xattr.h).
var everybody = []byte{2, 0, 0, 0,
	1, 0, 7, 0, 255, 255, 255, 255,
	2, 0, 6, 0, 1, 0, 0, 0,
	4, 0, 5, 0, 255, 255, 255, 255,
	16, 0, 7, 0, 255, 255, 255, 255,
	32, 0, 7, 0, 255, 255, 255, 255}

func TestMoveKeepsHoles(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "")
	if err := os.Truncate(r.at(0, "f"), 64<<20); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(r.at(0, "f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteAt([]byte("middle"), 32<<20)
	f.Close()
	r.old(0, "f")
	time.Sleep(settleTime)
	fs := r.open()
	r.wantOutcome(r.move(fs, 0, 1, "", "f")[0], mover.Moved)
	var st unix.Stat_t
	if err := unix.Lstat(r.at(1, "f"), &st); err != nil || st.Size != 64<<20 || st.Blocks > 1024 {
		t.Errorf("%v: %d bytes in %d blocks", err, st.Size, st.Blocks)
	}
	b, err := os.ReadFile(r.at(1, "f"))
	if err != nil || b[0] != 0 || string(b[32<<20:32<<20+6]) != "middle" {
		t.Error("the content is another", err)
	}
}

func TestMoveLeavesWhatMayNotMove(t *testing.T) {
	r := newRig(t, 3)
	for _, name := range []string{"linked", "shadow", "open", "leased", "cut", "good"} {
		r.write(0, name, name)
	}
	r.write(1, "low", "low")
	r.write(2, "shadow", "other")
	r.write(1, "hidden", "hidden")
	r.write(0, "hidden", "above")
	if err := os.Link(r.at(0, "linked"), r.at(0, "linked2")); err != nil {
		t.Fatal(err)
	}
	r.mkdir(0, "dir")
	if err := os.Symlink("good", r.at(0, "link")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(settleTime)
	fs := r.open()
	outside, err := os.Open(r.at(0, "leased"))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	for name, want := range map[string]mover.Reason{
		"linked": mover.Linked, "shadow": mover.Blocked, "leased": mover.OpenBeneath,
		"dir": mover.Special, "link": mover.Special, "none": mover.Gone, "low": mover.Gone, ".tierfs": mover.Special, "good": mover.Moved,
	} {
		before := r.snapshot()
		r.wantOutcome(r.move(fs, 0, 1, "", name)[0], want)
		if want != mover.Moved {
			r.wantSame(before)
		}
		r.wantTidy()
	}
	r.wantOutcome(r.move(fs, 1, 2, "", "hidden")[0], mover.Shadowed)
	r.wantOutcome(r.move(fs, 0, 1, "none", "f")[0], mover.Gone)
	full := &mover.Batch{Names: []string{"cut"}, From: 0, To: 1, MinFree: func(total uint64) uint64 { return total }}
	r.wantOutcome(outcomes(t.Context(), fs, full)[0], mover.NoRoom)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.wantOutcome(outcomes(ended, fs, &mover.Batch{Names: []string{"cut"}, From: 0, To: 1})[0], mover.Stopped)
	r.wantTidy()
}

// moveWith runs fn at a point of a move and returns the outcome.
func (r *rig) moveWith(fs *FS, point string, fn func()) mover.Outcome {
	r.Helper()
	atFault = func(p string) {
		if p == point {
			fn()
		}
	}
	defer func() { atFault = nil }()
	return r.move(fs, 0, 1, "", "f")[0]
}

// What happens out of band during a move must not be lost: an editor's new
// version above all.
func TestMoveYieldsToWhatHappensMeanwhile(t *testing.T) {
	save := func(r *rig) {
		if err := os.WriteFile(r.at(0, "new"), []byte("saved"), 0600); err != nil {
			r.Fatal(err)
		}
		r.rename(0, "new", "f")
	}
	for _, point := range []string{"leased", "copied", "synced", "recorded", "locked", "placed", "named", "checked"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, 2)
			r.write(0, "f", "old")
			time.Sleep(settleTime)
			fs := r.open()
			o := r.moveWith(fs, point, func() { save(r) })
			if o.Skip == mover.Moved {
				t.Error("it moved")
			}
			r.wantContent(0, "f", "saved")
			r.want(1, "f", false)
			r.wantTidy()
		})
	}
}

func TestMoveLeavesANameThatAppearsOnTheTarget(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "mine")
	time.Sleep(settleTime)
	fs := r.open()
	o := r.moveWith(fs, "recorded", func() { r.write(1, "f", "other") })
	r.wantOutcome(o, mover.Blocked)
	r.wantContent(0, "f", "mine")
	r.wantContent(1, "f", "other")
	r.wantTidy()
}

// Whoever opens the file out of band waits for our lease, for milliseconds, and
// gets the file that stays.
func TestMoveGivesWayToAnOpenOutOfBand(t *testing.T) {
	for _, point := range []string{"leased", "copied", "recorded", "placed", "checked", "aside"} {
		t.Run(point, func(t *testing.T) {
			r, fs := newSettled(t, 0)
			opened := make(chan error, 1)
			o := r.moveWith(fs, point, func() {
				path := r.at(0, "f")
				if point == "aside" { // his open has found the name a moment before
					path = r.only(0, ".tierfs/trash")
				}
				go func() {
					f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
					if err == nil {
						_, err = f.WriteString(" and more")
						f.Close()
					}
					opened <- err
				}()
				time.Sleep(100 * time.Millisecond)
			})
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
			r.wantOutcome(o, mover.Changed, mover.InUse)
			r.wantContent(0, "f", "content and more")
			r.want(1, "f", false)
			r.wantTidy()
		})
	}
}

// Who opens a file out of band does not wait for the next look at the leases, 20 ms at
// each open of a backup once, but for a signal.
func TestALeaseIsGivenUpAtOnce(t *testing.T) {
	least := leaseLook
	for range 5 { // the machine may be busy
		r, fs := newSettled(t, 0)
		d := fs.Tiers()[0].RootDir()
		src, err := openSource(d, "f")
		if err != nil {
			t.Fatal(err)
		}
		m := &moving{src: src}
		stop := watchLeases([]*moving{m})
		if leased, err := m.lease(); !leased || err != nil {
			t.Fatal(leased, err)
		}
		begun := time.Now()
		if _, err := os.ReadFile(r.at(0, "f")); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(begun))
		stop()
		m.close()
		d.Put()
	}
	if least > leaseLook/4 {
		t.Errorf("the open waited for %v", least)
	}
}

// only is the one file in a directory of a tier.
func (r *rig) only(rank int, dir string) string {
	r.Helper()
	names, err := os.ReadDir(r.at(rank, dir))
	if err != nil || len(names) != 1 {
		r.Fatalf("%s: %v, %v", dir, names, err)
	}
	return r.at(rank, dir+"/"+names[0].Name())
}

// crashed stops the move of f at a point, as a kill would leave it, and gives
// the tiers to a new daemon.
func (r *rig) crashed(from, to int, point string) (fs *FS) {
	r.Helper()
	old := r.open()
	atFault = func(p string) {
		if p == point {
			panic(r)
		}
	}
	func() {
		defer func() {
			if atFault = nil; recover() == nil {
				r.Fatalf("the move does not come to %s", point)
			}
		}()
		r.move(old, from, to, "", "f")
	}()
	defer func(mine string) { stagingPrefix = mine }(stagingPrefix)
	stagingPrefix = "another process " // by which a daemon knows what it must not sweep
	fs = r.open()
	fs.Replay()
	return fs
}

var points = []string{"leased", "copied", "synced", "parents", "recorded", "locked", "placed", "named", "checked", "aside", "known", "home", "unlinked", "moved", "removed", "forgotten"}

func TestReplayFinishesAMoveOrTakesItBack(t *testing.T) {
	for _, point := range points {
		for _, up := range []bool{false, true} {
			name := "down/" + point
			from, to := 0, 1
			if up {
				name, from, to = "up/"+point, 1, 0
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, 2)
				r.write(from, "f", "content")
				time.Sleep(settleTime)
				r.crashed(from, to, point)
				if r.has(0, "f") == r.has(1, "f") {
					t.Errorf("on tier 0: %v, on tier 1: %v", r.has(0, "f"), r.has(1, "f"))
				} else if r.has(0, "f") {
					r.wantContent(0, "f", "content")
				} else {
					r.wantContent(1, "f", "content")
				}
				r.wantTidy()
			})
		}
	}
}

// The administrator works in the tiers while nothing is mounted. A copy that has
// changed beside the source is also what a power cut leaves that has brought the
// source back: a client had synced what he wrote to the file in its new place.
func TestReplayKeepsWhatWasChangedWhileUnmounted(t *testing.T) {
	change := func(r *rig, rank int, to string) {
		if err := os.WriteFile(r.at(rank, "f"), []byte(to), 0600); err != nil {
			r.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change  func(r *rig)
		want    [2]string // what is on each tier after
		records int
	}{
		"the source":  {func(r *rig) { change(r, 0, "newer") }, [2]string{"newer", ""}, 0},
		"the copy":    {func(r *rig) { change(r, 1, "newer") }, [2]string{"", "newer"}, 0},
		"both":        {func(r *rig) { change(r, 0, "one"); change(r, 1, "two") }, [2]string{"one", "two"}, 1},
		"no source":   {func(r *rig) { r.remove(0, "f") }, [2]string{"", "content"}, 0},
		"no copy":     {func(r *rig) { r.remove(1, "f") }, [2]string{"content", ""}, 0},
		"another one": {func(r *rig) { r.write(1, "x", "another"); r.remove(1, "f"); r.rename(1, "x", "f") }, [2]string{"content", "another"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			r.write(0, "f", "content")
			time.Sleep(settleTime)
			old := r.open()
			atFault = func(p string) {
				if p == "named" {
					panic(r)
				}
			}
			func() {
				defer func() { atFault = nil; recover() }()
				r.move(old, 0, 1, "", "f")
			}()
			c.change(r)
			r.open().Replay()
			for rank, want := range c.want {
				if want == "" {
					r.want(rank, "f", false)
				} else {
					r.wantContent(rank, "f", want)
				}
			}
			r.wantRecords(c.records)
			if c.records > 0 && !strings.Contains(r.log.String(), "both tiers have a version") {
				t.Errorf("the log: %s", r.log.String())
			}
		})
	}
}

// A client has replaced the file, on a third tier, when the daemon was killed and nothing
// of that was known to the next: the old version in the trash would hide the new one.
func TestReplayHidesNoFileByAnOlderOne(t *testing.T) {
	r := newRig(t, 3)
	r.write(0, "f", "older")
	time.Sleep(settleTime)
	old := r.open()
	atFault = func(p string) {
		if p == "aside" {
			panic(r)
		}
	}
	func() {
		defer func() { atFault = nil; recover() }()
		r.move(old, 0, 1, "", "f")
	}()
	r.remove(1, "f")
	r.write(2, "f", "newer")
	fs := r.open()
	fs.Replay()
	r.want(0, "f", false)
	r.wantContent(2, "f", "newer")
	r.wantRecords(1)
	if !strings.Contains(r.log.String(), "its name is taken") {
		t.Errorf("the log: %s", r.log.String())
	}
	for _, f := range r.findings(fs) {
		if err := fs.End(f); err != nil {
			t.Errorf("%v: %v", f.Path, err)
		}
	}
	r.wantContent(0, "f.recovered-by-tierfs-1", "older")
	r.wantContent(2, "f", "newer")
	r.wantTidy()
}

func TestRelocationStaysInItsPlace(t *testing.T) {
	good := relocation{Dir: []byte("a/b"), Files: []relocated{{Name: []byte("f"), Aside: "x"}}}
	if !good.valid() {
		t.Error("a good one is refused")
	}
	root := relocation{Files: []relocated{{Name: []byte("f"), Aside: "x"}}}
	if !root.valid() {
		t.Error("one in the root is refused")
	}
	for name, r := range map[string]relocation{
		"no files":   {Dir: []byte("a")},
		"dir":        {Dir: []byte("../a"), Files: good.Files},
		"own dir":    {Dir: []byte(".tierfs/journal"), Files: good.Files},
		"name":       {Files: []relocated{{Name: []byte("a/b"), Aside: "x"}}},
		"dots":       {Dir: []byte("a"), Files: []relocated{{Name: []byte(".."), Aside: "x"}}},
		"own name":   {Files: []relocated{{Name: []byte(".tierfs"), Aside: "x"}}},
		"empty name": {Dir: []byte("a"), Files: []relocated{{Name: nil, Aside: "x"}}},
		"aside":      {Files: []relocated{{Name: []byte("f"), Aside: "../members"}}},
		"no aside":   {Files: []relocated{{Name: []byte("f")}}},
		"NUL":        {Files: []relocated{{Name: []byte("f\x00"), Aside: "x"}}},
	} {
		if r.valid() {
			t.Errorf("%s: taken", name)
		}
	}
	var none *relocation
	if none.valid() {
		t.Error("none is taken")
	}
}

// Where a server would have to give the lease, EAGAIN says nothing. But who has
// closed a file may still write into it by a mapping.
func TestMoveWithoutLeases(t *testing.T) {
	r, fs := newSettled(t, 0)
	fs.Tiers()[0].Remote = true
	outside, err := os.Open(r.at(0, "f")) // the kernel says EAGAIN
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	in := r.admit(fs, "f")
	in.Mapped.Store(true)
	r.wantOutcome(r.move(fs, 0, 1, "", "f")[0], mover.Open)
	r.wantContent(0, "f", "content")
	in.Mapped.Store(false)
	r.wantOutcome(r.move(fs, 0, 1, "", "f")[0], mover.Moved)
	r.wantContent(1, "f", "content")
	r.wantTidy()
}

// is there until the move ends.
func TestListingFromBeforeAMoveLeadsToTheSameInode(t *testing.T) {
	r, fs := newSettled(t, 1)
	in := r.admit(fs, "f")
	l := &listing{taken: fs.names.total()}
	if err := fs.list(fs.table.Root(), 0, l); err != nil || l.len() != 3 {
		t.Fatal(err, l.len())
	}
	looked := 0
	atFault = func(p string) {
		if p == "placed" || p == "named" {
			looked++
			if _, now := fs.rowEntry(fs.table.Root(), l, l.row(2), "f", &found{}); now != in {
				t.Errorf("%s: another inode", p)
			}
		}
	}
	defer func() { atFault = nil }()
	r.wantOutcome(r.move(fs, 1, 0, "", "f")[0], mover.Moved)
	if looked != 2 {
		t.Errorf("looked %d times", looked)
	}
	r.wantTidy()
}

// then the copy is all there is to see.
func TestMoveKeepsTheCopyWhenTheSourceCannotComeBack(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "d/f", "content")
	time.Sleep(settleTime)
	fs := r.open()
	in := r.admit(fs, "d/f")
	atFault = func(p string) {
		if p == "aside" {
			if err := os.Chmod(r.only(0, ".tierfs/trash"), 0640); err != nil {
				t.Fatal(err)
			}
			r.remove(0, "d")
		}
	}
	r.move(fs, 0, 1, "d", "f")
	atFault = nil
	r.wantContent(1, "d/f", "content")
	var st unix.Stat_t
	if err := fs.stat(nil, in, &st); err != nil {
		t.Errorf("the inode after: %v", err)
	}
	r.wantRecords(1)
	r.mkdir(0, "d")
	r.open().Replay() // the source is the newer one
	r.wantContent(0, "d/f", "content")
	r.want(1, "d/f", false)
	r.wantTidy()
}

// write into one that goes.
func TestMoveUpGivesWayToAnOpenOutOfBand(t *testing.T) {
	for _, point := range []string{"leased", "recorded", "placed", "named", "checked", "aside"} {
		t.Run(point, func(t *testing.T) {
			r, fs := newSettled(t, 1)
			opened := make(chan error, 1)
			atFault = func(p string) {
				if p != point {
					return
				}
				path := r.at(1, "f")
				if point == "aside" {
					path = r.only(1, ".tierfs/trash")
				}
				go func() {
					f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
					if err == nil {
						_, err = f.WriteString(" and more")
						f.Close()
					}
					opened <- err
				}()
				if time.Sleep(100 * time.Millisecond); point != "named" {
					return
				}
				select {
				case err := <-opened:
					opened <- err
				case <-time.After(20 * time.Second): // the kernel takes the lease away after 45
					t.Error("he waits for the end of the move")
				}
			}
			o := r.move(fs, 1, 0, "", "f")[0]
			atFault = nil
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
			r.wantOutcome(o, mover.Changed, mover.InUse)
			r.wantContent(1, "f", "content and more")
			r.want(0, "f", false)
			r.wantTidy()
		})
	}
}

// A client may have mapped the copy and closed it by the time that the source
// turns out to have changed.
func TestMoveKeepsACopyThatIsMapped(t *testing.T) {
	r, fs := newSettled(t, 1)
	in := r.admit(fs, "f")
	atFault = func(p string) {
		if p == "named" {
			in.Mapped.Store(true)
			if err := os.Chmod(r.at(1, "f"), 0640); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer func() { atFault = nil }()
	r.wantOutcome(r.move(fs, 1, 0, "", "f")[0], mover.Changed)
	r.wantContent(0, "f", "content")
	r.wantRecords(1)
}

// A directory that is listed for long costs a batch one wait, not one for each
// file: it cannot be renamed meanwhile.
func TestMoveWaitsOnceForAListing(t *testing.T) {
	r := newRig(t, 2)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprint(i))
		r.write(0, names[i], "content")
	}
	time.Sleep(settleTime)
	fs := r.open()
	done := func() {}
	atFault = func(p string) {
		if p == "recorded" {
			done = fs.names.list(fs.table.Root())
		}
	}
	defer func() { atFault = nil }()
	begin := time.Now()
	for _, o := range r.move(fs, 0, 1, "", names...) {
		r.wantOutcome(o, mover.InUse)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it waited for %v", took)
	}
	done()
	r.wantTidy()
}

// A server that has lost its first answer says that the copy is not there, when
// it has renamed it: the record must stay.
func TestMoveKeepsTheRecordOfACopyThatIsGone(t *testing.T) {
	r, fs := newSettled(t, 0)
	o := r.moveWith(fs, "locked", func() {
		if err := os.Rename(r.only(1, ".tierfs/staging"), r.at(1, "f")); err != nil {
			t.Fatal(err)
		}
	})
	if o.Skip == mover.Moved {
		t.Error("it moved")
	}
	r.wantContent(0, "f", "content")
	r.wantRecords(1)
	r.open().Replay()
	r.wantContent(1, "f", "content")
	r.want(0, "f", false)
	r.wantTidy()
}
