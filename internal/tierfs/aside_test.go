package tierfs

import (
	"fmt"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mover"
)

// underRename is the rename of old on tier 2 over d/new, which the tiers above have.
// It has come so far: each step is one more thing done.
func underRename(r *rig, old string, steps int) {
	r.write(2, old, "comes")
	r.mkdir(2, "d")
	var others []moved
	for rank := range 2 {
		r.write(rank, "d/new", fmt.Sprint("was there ", rank))
		r.mkdir(rank, ".tierfs/staging")
		others = append(others, moved{rank, r.ino(rank, "d/new")})
	}
	r.underRecord(old, "d/new", moved{2, r.ino(2, old)}, others)
	for _, step := range []func(){
		func() { r.link(2, old, "d/new") },
		func() { r.rename(1, "d/new", ".tierfs/staging/x-1") },
		func() { r.rename(0, "d/new", ".tierfs/staging/x-0") },
		func() { r.remove(2, old) },
		func() { r.remove(0, ".tierfs/staging/x-0") },
		func() { r.remove(1, ".tierfs/staging/x-1") },
	}[:steps] {
		step()
	}
}

const underSteps = 6

// openLeft mounts with the locks, where a record was left to settle.
func (r *rig) openLeft() *FS {
	r.Helper()
	fs := r.open()
	fs.SetAlone(true)
	fs.journal.takings.left.Add(1)
	return fs
}

// wantNowhere wants no tier to have the name.
func (r *rig) wantNowhere(name string) {
	r.Helper()
	for rank := range r.tiers {
		r.want(rank, name, false)
	}
}

// What was replaced was removed by the next mount, and both names stayed.
func TestReplayUndoesARenameUnderAFileUntilTheOldNameIsGone(t *testing.T) {
	for steps := range underSteps + 1 {
		t.Run(fmt.Sprint("killed after step ", steps), func(t *testing.T) {
			r := newRig(t, 3)
			underRename(r, "d/old", steps)
			fs := r.open()
			fs.Replay()
			if steps < 4 {
				r.wantContent(0, "d/new", "was there 0")
				r.wantContent(1, "d/new", "was there 1")
				r.wantContent(2, "d/old", "comes")
				r.want(2, "d/new", false)
			} else {
				r.want(0, "d/new", false)
				r.want(1, "d/new", false)
				r.want(2, "d/old", false)
				r.wantContent(2, "d/new", "comes")
			}
			r.wantTidy()
			after := r.snapshot()
			fs.Replay()
			r.wantSame(after)
		})
	}
}

// Somebody has given the new name to another file since, or the old one, or has removed
// both: what is aside is not to hide that, and not to go.
func TestWhatIsAsideStaysUntilARepairIfItsNameIsTaken(t *testing.T) {
	for what, tt := range map[string]struct {
		since func(r *rig)
		want  string // what is aside on tier 0
		left  map[string]string
	}{
		"the new name, on the same tier": {func(r *rig) { r.write(0, "d/new", "other") }, "d/new.recovered-by-tierfs-1", map[string]string{"0:d/new": "other", "2:d/old": "comes"}},
		"the new name, below":            {func(r *rig) { r.remove(2, "d/new"); r.write(2, "d/new", "other") }, "d/new.recovered-by-tierfs-1", map[string]string{"2:d/new": "other", "2:d/old": "comes"}},
		"the old name":                   {func(r *rig) { r.remove(2, "d/old"); r.write(2, "d/old", "other") }, "d/new.recovered-by-tierfs-1", map[string]string{"2:d/new": "comes", "2:d/old": "other"}},
		"the directory": {func(r *rig) {
			for rank := range 3 {
				r.rename(rank, "d", "e")
			}
		}, RecoveredDir + "/x-0", map[string]string{"2:e/new": "comes", "2:e/old": "comes"}},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, 3)
			underRename(r, "d/old", 3)
			tt.since(r)
			fs := r.open()
			fs.Replay()
			fs.Replay()
			r.wantContent(0, ".tierfs/staging/x-0", "was there 0")
			r.wantContent(1, ".tierfs/staging/x-1", "was there 1")
			var record mover.Finding
			for _, f := range r.findings(fs) {
				switch f.Kind {
				case mover.Record:
					record = f
				case mover.Staged:
					if err := fs.Remove(t.Context(), f); err == nil {
						t.Errorf("%s is removed", f.Path)
					}
				}
			}
			if of, ok := fs.Interrupted(record); !ok || of != `the rename of "d/old" to "d/new"` {
				t.Errorf("of %s, %v", of, ok)
			}
			if err := fs.End(record); err != nil {
				t.Fatal(err)
			}
			r.wantContent(0, tt.want, "was there 0")
			for at, content := range tt.left {
				r.wantContent(int(at[0]-'0'), at[2:], content)
			}
			r.wantTidy()
		})
	}
}

// Both names are gone, or the new one alone: nothing hides what is put back.
func TestReplayPutsBackWhatNothingReplaces(t *testing.T) {
	for _, gone := range [][]string{{"d/new"}, {"d/new", "d/old"}} {
		r := newRig(t, 3)
		underRename(r, "d/old", 3)
		for _, name := range gone {
			r.remove(2, name)
		}
		r.open().Replay()
		r.wantContent(0, "d/new", "was there 0")
		r.wantTidy()
	}
}

// The old name has gone, but the record stands yet. Who takes the new name then does not
// see again what that was before, also after a crash of a daemon that has the locks.
func TestReplayPutsNothingBackWhoseNameWasTaken(t *testing.T) {
	for what, tt := range map[string]struct {
		take func(r *rig, fs *FS, d uint64) error
		want string // where the file is then that was renamed
	}{
		"removed":                        {func(_ *rig, fs *FS, d uint64) error { return fs.unlink(&fusedev.Request{}, d, "new") }, ""},
		"renamed":                        {func(r *rig, fs *FS, _ uint64) error { return r.mv(fs, "d/new", "d/c") }, "d/c"},
		"in a directory that is renamed": {func(r *rig, fs *FS, _ uint64) error { return r.mv(fs, "d", "e") }, "e/new"},
	} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with the locks %v", what, alone), func(t *testing.T) {
				r := newRig(t, 3)
				underRename(r, "d/old", 4)
				fs := r.open()
				fs.SetAlone(alone)
				fs.journal.takings.left.Add(1)
				if alone {
					time.Sleep(settleTime)
					r.wantOutcome(r.move(fs, 2, 0, "d", "new")[0], mover.InUse)
				}
				if err := tt.take(r, fs, r.admit(fs, "d").ID); err != nil {
					t.Fatal(err)
				}
				if alone {
					fs = r.open()
				}
				fs.Replay()
				for rank := range 3 {
					for _, at := range []string{"d/new", "d/old", "d/c", "e/new"} {
						r.want(rank, at, rank == 2 && at == tt.want)
					}
				}
				r.wantTidy()
			})
		}
	}
}

// The daemon was killed before it had set all aside that is replaced, and a client removed
// the old name. Who takes the new name then has what that shows, and it is not removed before;
// what was aside does not come to light.
func TestNameThatStillShowsWhatIsReplacedIsTakenWithThat(t *testing.T) {
	for steps := 1; steps < 3; steps++ {
		r := newRig(t, 3)
		underRename(r, "d/old", steps)
		r.remove(2, "d/old")
		fs := r.openLeft()
		if err := r.mv(fs, "d/new", "d/c"); err != nil {
			t.Fatal(err)
		}
		fs.Replay()
		r.wantContent(0, "d/c", "was there 0")
		r.wantNowhere("d/new")
		r.wantTidy()
	}
}

// The daemon was killed before it had removed the old name, so that both show the file. Who
// removes the new one does not see again what that was to replace.
func TestNewNameIsTakenWhileTheOldOneIsThere(t *testing.T) {
	r := newRig(t, 3)
	underRename(r, "d/old", 3)
	fs := r.openLeft()
	r.unlink(fs, "d", "new")
	fs.Replay()
	r.wantNowhere("d/new")
	r.wantContent(2, "d/old", "comes")
	r.wantTidy()
}

// A tier of what was replaced is not in the mount, and is added when the new name was taken.
func TestNameIsTakenFromARenameBeforeATierIsAdded(t *testing.T) {
	r := newRig(t, 3)
	underRename(r, "d/old", 4)
	fs := r.open(0, 2)
	fs.Replay()
	fs.SetAlone(true)
	r.unlink(fs, "d", "new")
	r.add(fs, 1)
	r.wantNowhere("d/new")
	r.wantTidy()
}

// The directory of the old name has gone, so that whether the rename was done is not known.
// Who removes the new name does not see again what it was to replace, while the daemon lives.
func TestNameIsTakenFromARenameOutOfADirectoryThatIsGone(t *testing.T) {
	r := newRig(t, 3)
	underRename(r, "o/old", 4)
	r.remove(2, "o")
	fs := r.openLeft()
	r.unlink(fs, "d", "new")
	fs.Replay()
	r.wantNowhere("d/new")
	r.wantTidy()
}

// The directory of the old name has another one: whether that has gone is not known.
// Another tier may have a directory of that name.
func TestReplayFinishesNoRenameOutOfADirectoryThatIsNotThere(t *testing.T) {
	for _, other := range []bool{false, true} {
		r := newRig(t, 3)
		underRename(r, "o/old", 3)
		r.rename(2, "o", "p")
		if other {
			r.mkdir(0, "o")
		}
		r.open().Replay()
		r.wantContent(0, ".tierfs/staging/x-0", "was there 0")
		r.wantContent(2, "d/new", "comes")
		r.wantContent(2, "p/old", "comes")
		r.wantRecords(1)
	}
}

// The rename has failed, and what it did could not all be taken back. Then a client removed
// the old name, which looks like the end of it.
func TestReplayFinishesNoRenameThatHasFailed(t *testing.T) {
	for back := range 3 { // files that have been put back
		r := newRig(t, 3)
		underRename(r, "o/old", 3)
		r.fails()
		for rank := range back {
			r.rename(rank, fmt.Sprint(".tierfs/staging/x-", rank), "d/new")
		}
		r.remove(2, "o/old")
		r.open().Replay()
		r.wantContent(0, "d/new", "was there 0")
		r.wantContent(1, "d/new", "was there 1")
		r.wantContent(2, "o/old", "comes")
		r.want(2, "d/new", false)
		r.wantTidy()
	}
}

// A record that cannot be read may name anything.
func TestReplaySweepsNothingThatARecordMayName(t *testing.T) {
	for record, has := range map[string]bool{"broken": true, `{"kind":"replace-file","to":"Yi9kb2M=","moves":[{"member":"elsewhere","ino":1}]}`: false} {
		r := newRig(t, 2)
		r.write(0, ".tierfs/journal/1", record)
		r.write(1, ".tierfs/staging/x-1", "perhaps the only copy")
		r.open().Replay()
		r.want(1, ".tierfs/staging/x-1", has)
	}
}
