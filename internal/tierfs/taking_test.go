package tierfs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
)

// setAsideBy leaves the record of a move of d/f from tier 0 to tier 1 that ended
// with the source in the trash.
func (r *rig) setAsideBy(fs *FS) {
	r.Helper()
	r.write(0, ".tierfs/trash/x-1", "content")
	r.mkdir(0, "d")
	r.write(1, "d/f", "content")
	of := func(rank int, path string) stamp {
		st, err := fs.Tiers()[rank].Lstat(path)
		if err != nil {
			r.Fatal(err)
		}
		return stampOf(&st)
	}
	b, err := json.Marshal(intent{Kind: intentMove, Relocation: &relocation{Source: member(0), Target: member(1), Dir: []byte("d"),
		Files: []relocated{{Name: []byte("f"), Source: of(0, ".tierfs/trash/x-1"), Copy: of(1, "d/f"), Aside: "x-1"}}}})
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

// wantSettled has the chores settle what is left.
func (r *rig) wantSettled(fs *FS) {
	r.Helper()
	if n := fs.journal.tidy(); n != 0 {
		r.Errorf("%d records left", n)
	}
}

// A move that cannot be ended at the mount, as somebody has the file in the trash
// open, is ended later, or at the next mount. Who has taken the file's name by then does
// not see it again.
func TestMoveEndedLaterBringsNothingBack(t *testing.T) {
	rename := func(from, to string) func(*rig, *FS, *os.File) error {
		return func(r *rig, fs *FS, open *os.File) error {
			open.Close()
			return r.mv(fs, from, to)
		}
	}
	for what, tt := range map[string]struct {
		take func(r *rig, fs *FS, open *os.File) error
		want string // where there is a file then
	}{
		"removed": {func(r *rig, fs *FS, _ *os.File) error { return fs.unlink(&fusedev.Request{}, r.admit(fs, "d").ID, "f") }, ""},
		"renamed": {rename("d/f", "d/g"), "1:d/g"},
		"replaced": {func(r *rig, fs *FS, open *os.File) error {
			r.write(1, "d/g", "content")
			return rename("d/g", "d/f")(r, fs, open)
		}, "1:d/f"},
		"in a directory that is renamed":    {rename("d", "e"), "1:e/f"},
		"removed behind the mount, or lost": {func(r *rig, _ *FS, _ *os.File) error { r.remove(1, "d/f"); return nil }, "0:d/f"},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed %v", what, killed), func(t *testing.T) {
				r := newRig(t, 2)
				fs := r.open()
				r.setAsideBy(fs)
				open := r.replayInUse(fs)
				r.wantRecords(1)
				if err := tt.take(r, fs, open); err != nil {
					t.Fatal(err)
				}
				open.Close()
				if killed {
					r.open().Replay()
				} else {
					r.wantSettled(fs)
				}
				for _, at := range []string{"0:d/f", "0:e/f", "1:d/f", "1:d/g", "1:e/f"} {
					r.want(int(at[0]-'0'), at[2:], at == tt.want)
				}
				r.wantTidy()
			})
		}
	}
}

// A rename takes the copy along, not what is written into the original meanwhile.
func TestOriginalStaysWhileItIsOpenAndTheCopyIsRenamed(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	r.setAsideBy(fs)
	open := r.replayInUse(fs)
	if err := r.mv(fs, "d/f", "d/g"); err != nil {
		t.Fatal(err)
	}
	r.write(0, ".tierfs/trash/x-1", "written")
	open.Close()
	r.wantSettled(fs)
	r.wantContent(0, "d/f", "written")
	r.wantContent(1, "d/g", "content")
	r.wantTidy()
}

// Once more on its way, the file would not be where who settles looks for it.
func TestFileWhoseMoveIsNotEndedStays(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	r.setAsideBy(fs)
	open := r.replayInUse(fs)
	time.Sleep(settleTime)
	r.wantOutcome(r.move(fs, 1, 0, "d", "f")[0], mover.InUse)
	open.Close()
	r.wantSettled(fs)
	r.wantOutcome(r.move(fs, 1, 0, "d", "f")[0], mover.Moved)
	r.wantTidy()
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
	r.wantSettled(fs)
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
	r.remove(1, "d/f")
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

// The tier with the original is not in the mount, and is added when the name was taken.
func TestNameIsTakenFromACopyBeforeATierIsAdded(t *testing.T) {
	r := newRig(t, 3)
	r.setAsideBy(r.open())
	fs := r.open(1, 2)
	fs.Replay()
	fs.SetAlone(true)
	r.unlink(fs, "d", "f")
	r.add(fs, 0)
	r.want(0, "d/f", false)
	r.wantTidy()
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
	fs.journal.replay(d, "1-1", nil)
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

// A journal that could not be read may have records.
func TestNamesAreTakenWithALookWhereAJournalWasNotRead(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	r.write(1, ".tierfs/journal", "no directory")
	fs.Replay()
	fs.SetAlone(true)
	r.remove(1, ".tierfs/journal")
	r.setAsideBy(fs)
	if all := fs.journal.unsettled(); len(all) != 1 {
		t.Errorf("read %v", all)
	}
}
