package faults

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// records counts what stands in the journals.
func (b *bench) records() (n int) {
	for _, root := range b.disks.Roots {
		if names, err := os.ReadDir(root + "/.tierfs/journal"); err == nil {
			n += len(names)
		}
	}
	return n
}

// settles waits until no record stands and the directory shows what it should.
func (b *bench) settles(dir string, want tree) {
	b.t.Helper()
	harness.Eventually(b.t, "the chores have been done", func() bool {
		return b.records() == 0 && look(b.Path(dir)).diff(want) == ""
	})
}

// TestRenameThatCouldNotBeUndoneIsUndoneLater: the primary refuses its part of
// a directory's rename, and the fallback to take back what it has done. When
// the disks are well again nobody has to mount anew.
func TestRenameThatCouldNotBeUndoneIsUndoneLater(t *testing.T) {
	b := newBench(t)
	dir := b.fresh()
	before := look(b.Path(dir))
	// The record, then the fallback's part, are let through.
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"RENAME2"}, Nth: 3, Stays: true, Errno: unix.EIO})
	if err := unix.Rename(b.Path(dir)+"/d", b.Path(dir)+"/new"); !errors.Is(err, unix.EIO) {
		t.Errorf("rename: %v", err)
	}
	if gone := look(b.Path(dir)).lost(before, before); len(gone) > 0 {
		t.Errorf("between: lost %q", gone)
	}
	if b.records() != 1 {
		t.Errorf("%d records stand", b.records())
	}
	b.disks.Disarm()
	b.settles(dir, before)
	if err := unix.Rename(b.Path(dir)+"/d", b.Path(dir)+"/new"); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestRenameIsUndoneLaterWhereNumbersDoNotLast: the new name is an empty directory on the
// tier that failed. It was not known for another than the one that was renamed, and the
// directory stayed in halves until the next mount.
func TestRenameIsUndoneLaterWhereNumbersDoNotLast(t *testing.T) {
	b := &bench{t: t, disks: faultfs.New(t, 2)}
	b.Mount = harness.NewOn(t, b.disks.Disks, "entry_timeout=0", "attr_timeout=0")
	b.disks.Arm(faultfs.Plan{Disk: -1, Nth: 1 << 30, NoNumbers: true})
	b.Up()
	dir := b.fresh()
	before := look(b.Path(dir))
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"RENAME2"}, Nth: 3, Stays: true, Errno: unix.EIO, NoNumbers: true})
	if err := unix.Rename(b.Path(dir)+"/d", b.Path(dir)+"/e"); !errors.Is(err, unix.EIO) {
		t.Errorf("rename: %v", err)
	}
	if b.records() != 1 {
		t.Errorf("%d records stand", b.records())
	}
	b.disks.Arm(faultfs.Plan{Disk: -1, Nth: 1 << 30, NoNumbers: true})
	b.settles(dir, before)
	b.Down()
}

// TestRecordOfADoneRenameGoes: it stays while the disks cannot say that the
// rename is durable, or cannot remove it. A mount that finds it later would
// rename again what has been renamed back.
func TestRecordOfADoneRenameGoes(t *testing.T) {
	for _, p := range []faultfs.Plan{
		{Ops: []string{"FSYNCDIR"}, Nth: 4}, // both new parents and the journal before
		{Ops: []string{"UNLINK"}, Nth: 1},
	} {
		t.Run(p.Ops[0], func(t *testing.T) {
			b := newBench(t)
			dir := b.fresh()
			before := look(b.Path(dir))
			p.Disk, p.Stays, p.Errno = -1, true, unix.EIO
			b.disks.Arm(p)
			harness.Rename(t, b.Path(dir)+"/d", b.Path(dir)+"/new")
			if b.records() != 1 {
				t.Errorf("%d records stand", b.records())
			}
			b.disks.Disarm()
			harness.Rename(t, b.Path(dir)+"/new", b.Path(dir)+"/d")
			b.settles(dir, before)
			b.Down()
			b.Up()
			if diff := look(b.Path(dir)).diff(before); diff != "" {
				t.Errorf("after a new mount:%s", diff)
			}
		})
	}
}

// TestRecordGoesToAnotherTier: where the primary cannot write a record, the
// fallback can hold it.
func TestRecordGoesToAnotherTier(t *testing.T) {
	b := newBench(t)
	dir := b.fresh()
	b.disks.Arm(faultfs.Plan{Disk: 0, Ops: []string{"CREATE"}, Nth: 1, Stays: true, Errno: unix.ENOSPC})
	harness.Rename(t, b.Path(dir)+"/d", b.Path(dir)+"/new")
	if !b.disks.Disarm().Hit {
		t.Error("nothing was written to the primary")
	}
	harness.WantRead(t, b.Path(dir)+"/new/cold", "d cold")
	if harness.Exists(t, b.Path(dir)+"/d") {
		t.Error("the old name is still there")
	}
	b.tidy()
}

// TestRecordOutlastsWhatIsTakenBack: a disk may have written what was done, and not yet that it
// was taken back. The record had gone by then, so that a power cut could leave a directory in
// halves, or a file below the one that it was to replace.
func TestRecordOutlastsWhatIsTakenBack(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		plan           faultfs.Plan // what the primary refuses
		back           faultfs.Call // what is taken back on the fallback
	}{
		{"directory", "d", "new", faultfs.Plan{Nth: 6}, faultfs.Call{Disk: 1, Op: "RENAME2", Name: "new d"}},
		{"file", "cold", "hot", faultfs.Plan{Nth: 5}, faultfs.Call{Disk: 1, Op: "UNLINK", Name: "hot"}},
		{"file without links", "cold", "hot", faultfs.Plan{Nth: 10, NoLinks: true}, faultfs.Call{Disk: 1, Op: "RENAME2", Name: "hot cold"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			dir := b.fresh()
			before := look(b.Path(dir))
			p := c.plan
			p.Disk, p.Ops, p.Errno = -1, []string{"RENAME2", "LINK", "UNLINK", "FSYNCDIR"}, unix.EIO
			b.disks.Arm(p)
			if err := unix.Rename(b.Path(dir)+"/"+c.from, b.Path(dir)+"/"+c.to); !errors.Is(err, unix.EIO) {
				t.Errorf("rename: %v", err)
			}
			calls := b.disks.Disarm().Calls
			back := slices.Index(calls, c.back)
			if back < 0 {
				t.Fatalf("nothing is taken back: %v", calls)
			}
			after := calls[back+1:]
			synced := slices.Index(after, faultfs.Call{Disk: 1, Op: "FSYNCDIR"})
			ends := slices.IndexFunc(after, func(c faultfs.Call) bool { return c.Op == "UNLINK" })
			if synced < 0 || ends < synced {
				t.Errorf("the record goes before what was taken back is durable: %v", calls)
			}
			b.settles(dir, before)
		})
	}
}

// TestRecordOutlastsWhatWasDoneBeforeACrash: the tiers have the new name, but may not have
// written it, so the next mount does not just drop the record.
func TestRecordOutlastsWhatWasDoneBeforeACrash(t *testing.T) {
	b := newBench(t)
	dir := b.fresh()
	// Both new parents and the journal are synced before.
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"FSYNCDIR"}, Nth: 4, Stays: true, Errno: unix.EIO})
	harness.Rename(t, b.Path(dir)+"/d", b.Path(dir)+"/new")
	want := look(b.Path(dir))
	records, err := os.ReadDir(b.disks.Roots[0] + "/.tierfs/journal")
	if err != nil || len(records) != 1 {
		t.Fatalf("the journal has %v, %v", records, err)
	}
	unix.Kill(b.Pid(), unix.SIGKILL)
	harness.Unmount(t, b.Dir)
	b.Gone(128 + int(unix.SIGKILL))
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"FSYNCDIR", "UNLINK"}, Nth: 1 << 30})
	b.Up()
	calls := b.disks.Disarm().Calls
	ends := slices.Index(calls, faultfs.Call{Disk: 0, Op: "UNLINK", Name: records[0].Name()})
	for rank := range 2 {
		synced := slices.Index(calls, faultfs.Call{Disk: rank, Op: "FSYNCDIR"})
		if synced < 0 || ends < synced {
			t.Errorf("tier %d: the record goes before the rename is durable: %v", rank, calls)
		}
	}
	b.settles(dir, want)
}

// TestVisibleCopyIsDurableBeforeAHiddenOneGoes: on its way up a file has its name on the primary
// before that is synced. A file of the fallback that was renamed over it took away the other copy, all
// that a power cut would have left of it.
func TestVisibleCopyIsDurableBeforeAHiddenOneGoes(t *testing.T) {
	b := newBench(t)
	dir := b.fresh()
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"FSYNCDIR", "UNLINK"}, Nth: 1 << 30})
	harness.Rename(t, b.Path(dir)+"/cold", b.Path(dir)+"/dup")
	calls := b.disks.Disarm().Calls
	synced := slices.Index(calls, faultfs.Call{Disk: 0, Op: "FSYNCDIR"})
	goes := slices.Index(calls, faultfs.Call{Disk: 1, Op: "UNLINK", Name: "dup"})
	if goes < 0 || synced < 0 || goes < synced {
		t.Errorf("the hidden copy goes first: %v", calls)
	}
}
