package tierfs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
)

// setAsideBy leaves the record of a move of f from tier 0 to tier 1 that ended
// with the source in the trash.
func (r *rig) setAsideBy(fs *FS) {
	r.Helper()
	r.write(0, ".tierfs/trash/x-1", "content")
	r.write(1, "f", "content")
	of := func(rank int, path string) stamp {
		st, err := fs.Tiers()[rank].Lstat(path)
		if err != nil {
			r.Fatal(err)
		}
		return stampOf(&st)
	}
	b, err := json.Marshal(intent{Kind: intentMove, Relocation: &relocation{Source: member(0), Target: member(1),
		Files: []relocated{{Name: []byte("f"), Source: of(0, ".tierfs/trash/x-1"), Copy: of(1, "f"), Aside: "x-1"}}}})
	if err != nil {
		r.Fatal(err)
	}
	r.rawRecord(1, string(b))
}

// replayInUse replays while somebody has the file in the trash open, until that is closed.
func (r *rig) replayInUse(fs *FS) *os.File {
	r.Helper()
	open, err := os.Open(r.at(0, ".tierfs/trash/x-1"))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { open.Close() })
	fs.Replay()
	fs.SetAlone(true)
	return open
}

// A move that cannot be ended at the mount, as somebody has the file in the trash
// open, is ended later. Who has removed the file by then does not see it again.
func TestMoveEndedLaterBringsNothingBack(t *testing.T) {
	for _, removed := range []bool{true, false} {
		r := newRig(t, 2)
		fs := r.open()
		r.setAsideBy(fs)
		open := r.replayInUse(fs)
		r.wantRecords(1)
		if removed {
			if err := fs.unlink(&fusedev.Request{}, inode.RootID, "f"); err != nil {
				t.Fatal(err)
			}
		} else {
			r.remove(1, "f")
		}
		open.Close()
		if n := fs.journal.tidy(); n != 0 {
			t.Errorf("%d records left", n)
		}
		r.want(0, ".tierfs/trash/x-1", false)
		r.want(0, "f", !removed)
		r.wantTidy()
	}
}

// The source of a file that has moved cannot be removed from the trash. Who removes the
// file before the batch ends does not see it again.
func TestNameIsTakenBeforeTheMoveEnds(t *testing.T) {
	r, fs := newSettled(t, 0)
	fs.SetAlone(true)
	atFault = func(p string) {
		switch p {
		case "home":
			aside := filepath.Base(r.only(0, ".tierfs/trash"))
			r.rename(0, ".tierfs/trash/"+aside, "source")
			r.mkdir(0, ".tierfs/trash/"+aside)
		case "unlinked":
			dir := r.only(0, ".tierfs/trash")
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			r.rename(0, "source", ".tierfs/trash/"+filepath.Base(dir))
		case "moved":
			if err := fs.unlink(&fusedev.Request{}, inode.RootID, "f"); err != nil {
				t.Error(err)
			}
		}
	}
	defer func() { atFault = nil }()
	r.wantOutcome(r.move(fs, 0, 1, "", "f")[0], mover.Moved)
	if n := fs.journal.tidy(); n != 0 {
		t.Errorf("%d records left", n)
	}
	r.want(0, "f", false)
	r.wantTidy()
}

// Once what was left is settled, no name that goes costs a look at the journals.
func TestNamesAreTakenWithoutALookAfterTheLastIsSettled(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	r.setAsideBy(fs)
	open := r.replayInUse(fs)
	if all := fs.journal.unsettled(); len(all) != 1 {
		t.Fatalf("read %v", all)
	}
	open.Close()
	if n := fs.journal.tidy(); n != 0 {
		t.Fatalf("%d records left", n)
	}
	if all := fs.journal.unsettled(); len(all) != 0 {
		t.Errorf("read %v", all)
	}
	r.remove(1, "f")
	r.setAsideBy(fs)
	if all := fs.journal.unsettled(); all != nil {
		t.Errorf("read %v", all)
	}
	fs.journal.takings.left.Add(1)
	r.write(0, ".tierfs/journal/draft", "nothing")
	if all := fs.journal.unsettled(); len(all) != 1 {
		t.Errorf("read %v", all)
	}
}

// A record of our own that ends between the listing of a journal and the reading is no
// failure.
func TestRecordThatEndsDuringAReplayIsNoError(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	d, err := fs.Tiers()[1].Private("journal")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Put()
	fs.journal.replay(d, "1-1")
	if r.log.Len() > 0 || fs.journal.takings.left.Load() != 0 || fs.Replays() != 0 {
		t.Errorf("%d left, log %s", fs.journal.takings.left.Load(), r.log.String())
	}
}

// A mount that is alone and has left nothing does not look at the journal.
func TestNamesAreTakenWithoutALookWhereNothingIsLeft(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	fs.Replay()
	fs.SetAlone(true)
	r.setAsideBy(fs)
	if all := fs.journal.unsettled(); all != nil {
		t.Errorf("read %v", all)
	}
	fs.SetAlone(false)
	for range 2 { // the second time from memory
		if all := fs.journal.unsettled(); len(all) != 1 {
			t.Errorf("read %v", all)
		}
	}
}
