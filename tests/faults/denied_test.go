package faults

import (
	"os"
	"slices"
	"testing"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// renaming are the calls by which a disk changes names.
var renaming = []string{"CREATE", "MKDIR", "MKNOD", "SYMLINK", "LINK", "UNLINK", "RMDIR", "RENAME", "RENAME2"}

// TestDiskThatDeniesWhatItHasDoneLosesNothing: a call is carried out, and answered with
// an error. The old name of a file was gone then, and the new one was taken back.
func TestDiskThatDeniesWhatItHasDoneLosesNothing(t *testing.T) {
	for what, tt := range map[string]struct {
		calm faultfs.Plan
		rows []string // none for all
		step int      // of so many calls a run takes one
	}{
		"any disk":                  {step: 6},
		"there are no hard links":   {faultfs.Plan{NoLinks: true}, []string{linkless}, 1},
		"inode numbers do not last": {faultfs.Plan{NoNumbers: true}, []string{"unlink", "rmdir", linkless, "rename of a directory"}, 2},
	} {
		t.Run(what, func(t *testing.T) {
			b := &bench{t: t, disks: faultfs.New(t, 2)}
			b.Mount = harness.NewOn(t, b.disks.Disks, "entry_timeout=0", "attr_timeout=0")
			tt.calm.Disk, tt.calm.Nth = -1, 1<<30
			b.disks.Arm(tt.calm)
			b.Up()
			for i, o := range ops {
				switch {
				case len(tt.rows) > 0 && !slices.Contains(tt.rows, o.row):
				case harness.Soak:
					b.deny(o, tt.calm, 1, 1)
				default: // some make no more than three
					b.deny(o, tt.calm, 1+(i+harness.Turn)%min(tt.step, 3), tt.step)
				}
			}
			b.Down()
			b.Up()
			for i, c := range b.cases {
				e := known[c.op.name]
				got, _ := union(b.disks.Roots, c.dir)
				if i%some == 0 {
					b.seen(c)
				}
				if before, after := got.diff(e.before), got.diff(e.after); before != "" && after != "" {
					t.Errorf("%v\nafter a new mount it is neither what it was:%s\nnor what it would be:%s", c, before, after)
				}
			}
			b.tidy()
			if len(b.cases) < 10 {
				t.Errorf("%d cases", len(b.cases))
			}
		})
	}
}

// deny runs the op with a call denied that changes names: the first, and each in step
// from there.
func (b *bench) deny(o op, calm faultfs.Plan, first, step int) {
	b.t.Helper()
	b.expect(o)
	p := calm
	p.Ops, p.Errno, p.Done = renaming, unix.EIO, true
	for p.Nth = first; ; p.Nth += step {
		c := &trial{op: o, plan: p, dir: b.fresh()}
		b.disks.Arm(p)
		c.err = o.do(b.Path(c.dir))
		report := b.disks.Report()
		b.disks.Arm(calm)
		if !report.Hit {
			return
		}
		c.at = report.Calls[p.Nth-1]
		b.kept(c)
		b.cases = append(b.cases, c)
	}
}

// TestReplacedFileOfADiskThatGoesIsNotLost: the disk has set the file aside, and is
// gone before it can say so, or says that it has not. The rename failed then, and the
// file, which nothing had replaced, went with the next mount.
func TestReplacedFileOfADiskThatGoesIsNotLost(t *testing.T) {
	for what, tt := range map[string]struct {
		plan faultfs.Plan
		kill bool // tierfs too
	}{
		"it denies":             {plan: faultfs.Plan{Errno: unix.EIO}},
		"it dies":               {plan: faultfs.Plan{Die: true}},
		"it dies, and so we do": {plan: faultfs.Plan{Die: true}, kill: true},
	} {
		t.Run(what, func(t *testing.T) {
			disk := faultfs.New(t, 1)
			m := harness.NewOn(t, []string{disk.Disks[0], harness.TempDir(t)}, "entry_timeout=0")
			m.Put(0, "d/new", "was there")
			m.Put(1, "d/old", "comes")
			m.Up()
			tt.plan.Ops, tt.plan.Nth, tt.plan.Done = []string{"RENAME", "RENAME2"}, 2, true // the first is of the record
			disk.Arm(tt.plan)
			err := os.Rename(m.Path("d/old"), m.Path("d/new"))
			if !tt.plan.Die && !disk.Disarm().Hit || tt.plan.Die && harness.Exists(t, disk.Roots[0]+"/d/new") {
				t.Fatal("nothing was set aside")
			}
			if tt.kill {
				unix.Kill(m.Pid(), unix.SIGKILL)
				unix.Unmount(m.Dir, unix.MNT_DETACH)
				m.Gone(128 + int(unix.SIGKILL))
			}
			if tt.plan.Die {
				disk.Revive()
			}
			if tt.kill {
				m.Up()
			}
			want := map[string]string{"d/new": "comes"}
			if err != nil {
				want = map[string]string{"d/old": "comes", "d/new": "was there"}
			}
			shows := func() bool {
				for name, text := range want {
					if got, err := os.ReadFile(m.Path(name)); err != nil || string(got) != text {
						return false
					}
				}
				return true
			}
			harness.Eventually(t, "the names show what was answered", shows)
			m.Down()
			m.Up()
			if !shows() {
				t.Errorf("after a new mount, of what was answered with %v: %q", err, harness.List(t, m.Path("d")))
			}
			harness.Must(t, harness.CLI, "check", m.Dir)
		})
	}
}

// TestRenameOverWhatCannotBeSetAsideKeepsTheNewName: another filesystem is mounted where
// the replaced file was, so it could only be removed. If the old name cannot be removed
// then, the new one is not taken back.
func TestRenameOverWhatCannotBeSetAsideKeepsTheNewName(t *testing.T) {
	disk := faultfs.New(t, 1)
	m := harness.NewOn(t, []string{harness.TempDir(t), disk.Disks[0]})
	harness.Mkdir(t, m.Primary+"/d")
	if err := unix.Mount("tmpfs", m.Primary+"/d", "tmpfs", 0, "size=1M"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(m.Primary+"/d", unix.MNT_DETACH) })
	m.Put(0, "d/new", "was there")
	m.Put(1, "d/old", "comes")
	m.Up()
	disk.Arm(faultfs.Plan{Disk: 0, Ops: []string{"UNLINK"}, Nth: 1, Stays: true, Errno: unix.EIO})
	if err := os.Rename(m.Path("d/old"), m.Path("d/new")); err == nil {
		t.Error("renamed")
	}
	harness.WantRead(t, m.Path("d/new"), "comes")
	disk.Disarm()
	harness.Eventually(t, "the record has gone", func() bool {
		return len(harness.List(t, m.Primary+"/.tierfs/journal")) == 0
	})
	harness.WantRead(t, m.Path("d/new"), "comes")
	harness.WantRead(t, m.Path("d/old"), "comes")
	m.Down()
}

// TestReplacedFileStaysIfItsSuccessorIsGivenUp: a rename has failed, and what it left cannot
// be removed at once. A client removes the file that was to be renamed, as programs do
// then. The rename was taken for one that was to be finished, and the file that it had not
// replaced went.
func TestReplacedFileStaysIfItsSuccessorIsGivenUp(t *testing.T) {
	for what, remount := range map[string]bool{"in the same mount": false, "in the next": true} {
		t.Run(what, func(t *testing.T) {
			disk := faultfs.New(t, 1)
			m := harness.NewOn(t, []string{harness.TempDir(t), disk.Disks[0]}, "entry_timeout=0")
			m.Put(0, "d/new", "was there")
			m.Put(1, "d/old", "comes")
			m.Up()
			disk.Arm(faultfs.Plan{Disk: 0, Ops: []string{"UNLINK"}, Nth: 1, Stays: true, Errno: unix.EIO})
			if err := os.Rename(m.Path("d/old"), m.Path("d/new")); err == nil {
				t.Fatal("renamed")
			}
			disk.Disarm()
			harness.WantRead(t, m.Path("d/new"), "was there")
			harness.Remove(t, m.Path("d/old"))
			if remount {
				m.Down()
				m.Up()
			}
			harness.Eventually(t, "the record has gone", func() bool {
				return len(harness.List(t, m.Primary+"/.tierfs/journal")) == 0
			})
			harness.WantRead(t, m.Path("d/new"), "was there")
			harness.WantRead(t, m.Path("d/old"), "comes") // who has removed it is not known
			m.Down()
		})
	}
}
