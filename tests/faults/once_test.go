package faults

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// some is how many cases there are for each that is looked at through the mount
// too; the others are looked at on the disks.
const some = 15

// looking are the calls of which an operation makes many, such as those for
// each directory on the way.
var looking = map[string]bool{"LOOKUP": true, "GETATTR": true, "OPENDIR": true, "FLUSH": true, "STATFS": true}

// picker chooses calls, by what they are and by their number.
type picker func(c faultfs.Call, n int) bool

// each picks one call in changes of those that change or move something, and one in
// looks of those that only look.
func each(changes, looks int) picker {
	return func(c faultfs.Call, n int) bool {
		if looking[c.Op] {
			return harness.Takes(n, looks)
		}
		return harness.Takes(n, changes)
	}
}

// changing are the calls that a disk may refuse for want of room, or because it
// has turned read-only.
var changing = []string{"CREATE", "TMPFILE", "MKDIR", "MKNOD", "SYMLINK", "LINK", "UNLINK", "RMDIR", "RENAME2", "WRITE",
	"FALLOCATE", "COPY_FILE_RANGE", "SETATTR", "SETXATTR", "REMOVEXATTR", "FSYNC", "FSYNCDIR"}

// TestOneFailingCallUndoesTheOperation: a disk that fails a single call, in the
// middle of whatever is going on.
func TestOneFailingCallUndoesTheOperation(t *testing.T) {
	b, y := newBench(t), tally{}
	b.run(y, faultfs.Plan{Disk: -1, Errno: unix.EIO}, each(4, 64), some)
	b.run(y, faultfs.Plan{Disk: -1, Errno: unix.EIO, NoLinks: true}, each(2, 24), some, linkless)
	if harness.Soak {
		b.run(y, faultfs.Plan{Disk: -1, Errno: unix.ENOMEM}, each(1, 1), some)
	}
	b.settled(some)
	y.hold(t, "one call fails", len(b.cases))
}

// linkless is the row of which a disk without hard links makes another
// operation, by way of a record.
const linkless = "rename of a file over a higher one"

// TestDiskThatFailsForGoodLosesNothing: from some call on a disk fails whatever
// it is asked, so what was begun cannot be undone there. It is undone, or
// finished, when the disk is well again.
func TestDiskThatFailsForGoodLosesNothing(t *testing.T) {
	y, n := tally{}, 0
	for disk, name := range []string{"primary", "fallback"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.run(y, faultfs.Plan{Disk: disk, Errno: unix.EIO, Stays: true}, each(8, 128), some)
			b.run(y, faultfs.Plan{Disk: disk, Errno: unix.EIO, Stays: true, NoLinks: true}, each(3, 48), some, linkless)
			b.settled(some)
			n += len(b.cases)
		})
	}
	y.hold(t, "the disk fails", n)
}

// TestFullDiskIsPassedOverOrAnswered: ENOSPC and EDQUOT where a call takes up
// room, and from there on.
func TestFullDiskIsPassedOverOrAnswered(t *testing.T) {
	b, y := newBench(t), tally{}
	b.run(y, faultfs.Plan{Disk: -1, Ops: changing, Errno: unix.ENOSPC}, each(4, 1), some)
	if harness.Soak {
		b.run(y, faultfs.Plan{Disk: -1, Ops: changing, Errno: unix.EDQUOT}, each(2, 1), some)
	}
	b.settled(some)
	y.hold(t, "no room", len(b.cases))
}

// TestOneFailingCallWithCreatePrimary: parents are made on the primary for what
// is new in directories of the fallback.
func TestOneFailingCallWithCreatePrimary(t *testing.T) {
	b, y := newBench(t, "create=primary"), tally{}
	rows := []string{"create", "O_TMPFILE", "mkdir, mknod, symlink"}
	b.run(y, faultfs.Plan{Disk: -1, Errno: unix.EIO}, each(3, 48), some, rows...)
	b.run(y, faultfs.Plan{Disk: -1, Ops: changing, Errno: unix.ENOSPC}, each(3, 1), some, rows...)
	b.settled(some)
	y.within(t, "one call fails", len(b.cases))
}

// TestDiskThatTurnsReadOnly: what ext4 does after an error.
func TestDiskThatTurnsReadOnly(t *testing.T) {
	b, y := newBench(t), tally{}
	b.run(y, faultfs.Plan{Disk: -1, Ops: changing, Errno: unix.EROFS}, each(5, 1), some)
	b.settled(some)
	y.hold(t, "read-only", len(b.cases))
}

// TestStaleHandle: what NFS says when its server has forgotten a file. Once is
// looked up anew by the kernel.
func TestStaleHandle(t *testing.T) {
	b, y := newBench(t), tally{}
	b.run(y, faultfs.Plan{Disk: -1, Errno: unix.ESTALE}, each(8, 128), some)
	b.settled(some)
	y.hold(t, "stale", len(b.cases))
}
