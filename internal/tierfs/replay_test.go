package tierfs

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/fusedev"
	"golang.org/x/sys/unix"
)

// dirRename is the rename of a/old to b/new: the tiers that have the directory,
// and those that have an empty one under the new name.
type dirRename struct {
	src, dst []int
	to       string
}

// prepare makes what was there before, writes the intent and returns the steps
// that a daemon takes: the lowest tier first, then the empty directories that
// only others have.
func (d dirRename) prepare(r *rig) (steps []func(), inos map[int]uint64) {
	inos = map[int]uint64{}
	var moves, replaced []moved
	for rank := range r.tiers {
		r.mkdir(rank, "a")
		r.mkdir(rank, "b")
	}
	for _, rank := range d.src {
		r.write(rank, fmt.Sprintf("a/old/sub/f%d", rank), fmt.Sprint("content ", rank))
		inos[rank] = r.ino(rank, "a/old")
		moves = append(moves, moved{rank, inos[rank]})
	}
	for _, rank := range d.dst {
		r.mkdir(rank, d.to)
		replaced = append(replaced, moved{rank, r.ino(rank, d.to)})
	}
	for i := len(d.src) - 1; i >= 0; i-- {
		rank := d.src[i]
		steps = append(steps, func() {
			if err := unix.Rename(r.at(rank, "a/old"), r.at(rank, d.to)); err != nil { // over an empty one
				r.Fatal(err)
			}
		})
	}
	for _, rank := range d.dst {
		if _, too := inos[rank]; !too {
			steps = append(steps, func() { r.remove(rank, d.to) })
		}
	}
	r.record(d.src[0], intentRename, "a/old", d.to, moves, replaced)
	return steps, inos
}

// finished wants the rename done on every tier, and nothing else.
func (d dirRename) finished(r *rig, inos map[int]uint64) {
	r.Helper()
	for rank := range r.tiers {
		ino, moved := inos[rank]
		r.want(rank, "a/old", false)
		r.want(rank, d.to, moved)
		if moved && r.has(rank, d.to) {
			r.wantContent(rank, fmt.Sprintf("%s/sub/f%d", d.to, rank), fmt.Sprint("content ", rank))
			if got := r.ino(rank, d.to); got != ino {
				r.Errorf("tier %d: another directory came into place", rank)
			}
		}
	}
}

func TestReplayFinishesADirectoryRenameFromEveryStage(t *testing.T) {
	for _, d := range []dirRename{
		{src: []int{0, 1, 2}},
		{src: []int{0, 1}},
		{src: []int{1, 2}},
		{src: []int{0, 2}, dst: []int{1}},
		{src: []int{1}, dst: []int{0, 2}},
		{src: []int{0, 1, 2}, dst: []int{0, 1, 2}},
		{src: []int{2}, dst: []int{0, 1, 2}},
		{src: []int{0, 1}, to: "b/n\xffw \n"},
	} {
		if d.to == "" {
			d.to = "b/new"
		}
		for k := 0; ; k++ {
			r := newRig(t, 3)
			steps, inos := d.prepare(r)
			if k > len(steps) {
				break
			}
			t.Run(fmt.Sprintf("%v over %v, killed after %d of %d", d.src, d.dst, k, len(steps)), func(t *testing.T) {
				r.T = t
				for _, step := range steps[:k] {
					step()
				}
				fs := r.open()
				fs.Replay()
				d.finished(r, inos)
				r.wantRecords(0)
				after := r.snapshot()
				fs.Replay()
				r.wantSame(after)
			})
		}
	}
}

// A kill during the replay itself: the record stands, and the next replay finds
// some or all of it done.
func TestReplayOfWhatIsDoneChangesNothing(t *testing.T) {
	d := dirRename{src: []int{0, 1, 2}, dst: []int{1}, to: "b/new"}
	r := newRig(t, 3)
	steps, inos := d.prepare(r)
	for _, step := range steps {
		step()
	}
	r.mkdir(0, "a/old") // made since, by a client
	r.write(0, "a/old/new", "mine")
	r.open().Replay()
	r.wantContent(0, "a/old/new", "mine")
	r.wantRecords(0)
	for rank, ino := range inos {
		if r.ino(rank, d.to) != ino {
			t.Errorf("tier %d: another directory has the new name", rank)
		}
	}
}

// The tiers are found by their members' IDs, whatever their order is by now.
func TestReplayKnowsTiersByTheirID(t *testing.T) {
	d := dirRename{src: []int{0, 1, 2}, to: "b/new"}
	r := newRig(t, 3)
	steps, inos := d.prepare(r)
	steps[0]()
	r.open(2, 0, 1).Replay()
	d.finished(r, inos)
	r.wantRecords(0)
}

// The parent was made on a tier, and a power cut came before that was on disk.
func TestReplayMakesAMissingParentAgain(t *testing.T) {
	d := dirRename{src: []int{0, 1}, to: "b/new"}
	r := newRig(t, 2)
	steps, inos := d.prepare(r)
	if err := os.Chmod(r.at(1, "b"), 0751); err != nil {
		t.Fatal(err)
	}
	steps[0]()
	r.remove(0, "b")
	r.open().Replay()
	d.finished(r, inos)
	r.wantRecords(0)
	if st, err := os.Stat(r.at(0, "b")); err != nil || st.Mode().Perm() != 0751 {
		t.Errorf("the parent is not like the other tier's: %v, %v", st, err)
	}
}

// Somebody has put something into the new place behind the mount: nothing of
// it is touched, and the record waits for an administrator.
func TestReplayOverSomethingElseLeavesBoth(t *testing.T) {
	d := dirRename{src: []int{0, 1}, to: "b/new"}
	r := newRig(t, 2)
	d.prepare(r)
	r.write(1, "b/new/stranger", "keep")
	before := r.snapshot()
	r.open().Replay()
	r.wantSame(before)
	r.wantRecords(1)
	if !strings.Contains(r.log.String(), "cannot be finished") || !strings.Contains(r.log.String(), r.at(1, "")) {
		t.Errorf("the log does not say so:\n%s", r.log.String())
	}
}

func TestReplayLeavesAnotherDirectoryOfTheOldNameAlone(t *testing.T) {
	d := dirRename{src: []int{0, 1}, to: "b/new"}
	r := newRig(t, 2)
	d.prepare(r)
	r.rename(1, "a/old", "a/taken")
	r.write(1, "a/old/stranger", "keep")
	r.open().Replay()
	r.wantContent(1, "a/old/stranger", "keep")
	r.wantContent(1, "a/taken/sub/f1", "content 1")
	r.want(1, "b/new", false)
	r.want(0, "b/new", true)
}

// What the rename replaced was empty. It is not by now, so it is not that.
func TestReplayRemovesNoDirectoryWithContent(t *testing.T) {
	d := dirRename{src: []int{0}, dst: []int{1}, to: "b/new"}
	r := newRig(t, 2)
	steps, _ := d.prepare(r)
	steps[0]()
	r.write(1, "b/new/stranger", "keep")
	r.open().Replay()
	r.wantContent(1, "b/new/stranger", "keep")
	r.wantContent(0, "b/new/sub/f0", "content 0")
	r.wantRecords(0)
}

// fileReplace is the rename of b/tmp on tier 1, which has no hard links, to
// b/doc, which the tiers above and below have.
type fileReplace struct{ others []int }

func (f fileReplace) prepare(r *rig) (steps []func()) {
	var replaced []moved
	r.write(1, "b/tmp", "new")
	for _, rank := range f.others {
		r.write(rank, "b/doc", fmt.Sprint("old ", rank))
		replaced = append(replaced, moved{rank, r.ino(rank, "b/doc")})
	}
	r.record(1, intentReplace, "", "b/doc", []moved{{1, r.ino(1, "b/tmp")}}, replaced)
	steps = append(steps, func() { r.rename(1, "b/tmp", "b/doc") })
	for i := len(f.others) - 1; i >= 0; i-- {
		steps = append(steps, func() { r.remove(f.others[i], "b/doc") })
	}
	return steps
}

func TestReplayFinishesAFileReplacementFromEveryStage(t *testing.T) {
	for _, f := range []fileReplace{{[]int{0, 2}}, {[]int{0}}} {
		for k := 1; ; k++ {
			r := newRig(t, 3)
			steps := f.prepare(r)
			if k > len(steps) {
				break
			}
			t.Run(fmt.Sprintf("over %v, killed after %d of %d", f.others, k, len(steps)), func(t *testing.T) {
				r.T = t
				for _, step := range steps[:k] {
					step()
				}
				fs := r.open()
				fs.Replay()
				r.wantContent(1, "b/doc", "new")
				r.want(0, "b/doc", false)
				r.want(2, "b/doc", false)
				r.want(1, "b/tmp", false)
				r.wantRecords(0)
				after := r.snapshot()
				fs.Replay()
				r.wantSame(after)
			})
		}
	}
}

// The new content has not come into place: what it was to replace is all that
// there is.
func TestReplayOfAReplacementThatDidNotBeginKeepsTheOld(t *testing.T) {
	r := newRig(t, 3)
	fileReplace{[]int{0, 2}}.prepare(r)
	before := r.snapshot()
	r.open().Replay()
	r.wantSame(before)
	r.wantRecords(0)
}

// Something else has the new name on that tier, as a file hidden below another.
func TestReplayOfAReplacementByAnotherFileKeepsTheOld(t *testing.T) {
	r := newRig(t, 3)
	fileReplace{[]int{0, 2}}.prepare(r)
	r.write(1, "b/doc", "hidden")
	before := r.snapshot()
	r.open().Replay()
	r.wantSame(before)
}

func TestReplayOfAReplacementWithoutItsDirectoryKeepsTheOld(t *testing.T) {
	r := newRig(t, 3)
	fileReplace{[]int{0, 2}}.prepare(r)
	r.rename(1, "b", "c")
	before := r.snapshot()
	r.open().Replay()
	r.wantSame(before)
}

func TestReplayLeavesAFileThatCameLaterAlone(t *testing.T) {
	r := newRig(t, 3)
	steps := fileReplace{[]int{0, 2}}.prepare(r)
	steps[0]()
	r.rename(0, "b/doc", "b/kept") // keeps its number busy
	r.write(0, "b/doc", "later")
	r.open().Replay()
	r.wantContent(0, "b/doc", "later")
	r.wantContent(0, "b/kept", "old 0")
	r.want(2, "b/doc", false)
}

// One tier is not here: it may hold the only copy of something.
func TestRecordOfAnAbsentMemberStays(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 2}} {
		r := newRig(t, 3)
		dirRename{src: []int{0, 1, 2}, to: "b/new"}.prepare(r)
		r.record(1, intentReplace, "", "b/doc", []moved{{7, 1}}, nil)
		r.open(order...).Replay()
		r.wantRecords(2)
		for rank := range 3 {
			r.wantContent(rank, fmt.Sprintf("a/old/sub/f%d", rank), fmt.Sprint("content ", rank))
		}
	}
}

// Whoever can write there is root; but a record may be half written, of a later
// release, or not a record at all.
func TestRecordThatIsNoneStaysAndHarmsNothing(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "b/doc", "keep")
	good := `{"kind":"replace-file","to":"Yi9kb2M=","moves":[{"member":"m0","ino":1}]}`
	for _, content := range []string{
		"", "{", "null", "[]", good[:40], strings.Replace(good, "replace-file", "of-a-later-release", 1), strings.Repeat(" ", maxIntent) + good,
		`{"kind":"replace-file","to":"Yi9kb2M=","moves":[]}`, `{"kind":"rename-directory","to":"Yi9kb2M=","moves":[{"member":"m0","ino":1}]}`,
	} {
		r.rawRecord(0, content)
	}
	n := len(r.records())
	for i, content := range []string{"", "\x00\x00\x00\x00", "{"} { // go: what a power cut may leave of one that was not synced
		r.write(0, fmt.Sprintf(".tierfs/journal/%s%d", briefPrefix, i), content)
	}
	if err := os.Symlink(r.at(0, "b/doc"), r.at(0, ".tierfs/journal/link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(r.at(0, ".tierfs/journal/fifo"), 0600); err != nil {
		t.Fatal(err)
	}
	r.mkdir(0, ".tierfs/journal/dir")
	before := r.snapshot()
	r.open().Replay()
	r.wantSame(before)
	r.wantRecords(n + 3)
	if got := strings.Count(r.log.String(), "cannot be finished"); got != n+3 {
		t.Errorf("%d of %d are reported:\n%s", got, n+3, r.log.String())
	}
}

// A record's paths lead through a tier by names alone.
func TestReplayFollowsNoLink(t *testing.T) {
	r := newRig(t, 2)
	out := t.TempDir()
	if err := os.WriteFile(out+"/doc", []byte("keep"), 0600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(out+"/old", 0700); err != nil {
		t.Fatal(err)
	}
	for rank := range 2 {
		if err := os.Symlink(out, r.at(rank, "b")); err != nil {
			t.Fatal(err)
		}
	}
	r.record(0, intentReplace, "", "b/doc", []moved{{0, r.ino(0, "b/doc")}}, []moved{{1, r.ino(1, "b/doc")}})
	r.record(0, intentRename, "b/old", "b/new", []moved{{0, r.ino(0, "b/old")}}, []moved{{1, r.ino(1, "b/doc")}})
	r.open().Replay()
	r.wantContent(1, "b/doc", "keep")
	r.want(0, "b/old", true)
	r.want(0, "b/new", false)
}

func TestReplayFinishesEveryRecord(t *testing.T) {
	r := newRig(t, 3)
	dirRename{src: []int{0, 1}, to: "b/new"}.prepare(r)
	fileReplace{[]int{0, 2}}.prepare(r)
	r.rawRecord(2, "broken")
	r.rename(1, "b/tmp", "b/doc")
	r.open().Replay()
	r.wantContent(0, "b/new/sub/f0", "content 0")
	r.wantContent(1, "b/doc", "new")
	r.want(0, "b/doc", false)
	r.wantRecords(1)
}

func TestMountOfOneTierHasNoJournal(t *testing.T) {
	r := newRig(t, 1)
	r.open().Replay()
	r.want(0, hiddenName, false)
}

// Directories that were prepared and never came into place.
func TestReplaySweepsTheStaging(t *testing.T) {
	r := newRig(t, 2)
	r.mkdir(1, ".tierfs/staging/dir-1")
	r.write(1, ".tierfs/staging/dir-2/kept", "somebody's")
	r.open().Replay()
	r.want(1, ".tierfs/staging/dir-1", false)
	r.wantContent(1, ".tierfs/staging/dir-2/kept", "somebody's")
}

// A record goes by numbers, which are given out again: what is not as old as it says is
// another file. Records of before say nothing of that.
func TestReplayLeavesALaterFileWithTheNumber(t *testing.T) {
	for _, age := range []int64{-1, 0, 1} {
		r := newRig(t, 2)
		r.write(1, "f", "new")
		r.write(0, "f", "replaced")
		fs := r.open()
		all, err := fs.survey(fs.table.Root(), "f")
		if err != nil {
			t.Fatal(err)
		}
		in := intent{Kind: intentReplace, ToRaw: []byte("f"), Moves: []move{fs.moveOf(fs.table.Root(), "f", &all[1])},
			Replaced: []move{fs.moveOf(fs.table.Root(), "f", &all[0])}}
		if in.Replaced[0].Born == 0 {
			t.Skip("missing btime: this filesystem does not tell when a file was made")
		}
		switch age {
		case -1:
			in.Replaced[0].Born -= 1
		case 0:
			in.Replaced[0].Born = 0
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		r.rawRecord(1, string(b))
		fs.Replay()
		r.want(0, "f", age == -1)
		r.wantContent(1, "f", "new")
	}
}

// A remount adds tier 2. A mount without the locks may be in the midst of what else there is.
func TestReplayOfAnAddedTierLeavesTheRecordsOfOthers(t *testing.T) {
	for on := range 2 { // where the record is of what was to be done on tier 2
		r := newRig(t, 3)
		for rank := range 3 {
			r.write(rank, fmt.Sprint("old", rank, "/f"), "content")
			r.write(rank, ".tierfs/staging/x", "prepared")
		}
		others := r.record(0, intentRename, "old0", "new0", []moved{{0, r.ino(0, "old0")}}, nil)
		r.record(on, intentRename, "old2", "new2", []moved{{2, r.ino(2, "old2")}}, nil)
		r.record(2, intentRename, "old1", "new1", []moved{{1, r.ino(1, "old1")}}, nil)
		r.open().ReplayTiers(t.Context(), 2, 3)
		for at, has := range map[string]bool{"0:old0": true, "1:new1": true, "2:new2": true, "0:" + others: true,
			"0:.tierfs/staging/x": true, "1:.tierfs/staging/x": true, "2:.tierfs/staging/x": false} {
			r.want(int(at[0]-'0'), at[2:], has)
		}
		r.wantRecords(1)
	}
}

// A remount that adds a tier tells its ID before it is there.
func TestMemberThatIsBeingAddedIsNotThereYet(t *testing.T) {
	fs := newRig(t, 2).open()
	fs.SetMembers([]string{member(0), member(1), member(2)})
	if _, err := fs.journal.member(member(2)); err == nil {
		t.Error("it is there")
	}
}

// underWay is a rename of temp on tier 1 over f of tier 0, with the file under both names
// and the other aside.
func (r *rig) underWay(fs *FS) *under {
	r.Helper()
	r.write(0, "f", "replaced")
	r.write(1, "temp", "saved")
	root := fs.table.Root()
	u := &under{fs: fs, x: &renaming{r: &fusedev.Request{}, from: root, to: root, name: "temp", newName: "f"}}
	step := func(err error) {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
	}
	var err error
	u.x.src, err = fs.survey(root, u.x.name)
	step(err)
	u.higher, err = fs.survey(root, u.x.newName)
	step(err)
	u.sd, err = fs.dir(root, 1)
	step(err)
	r.Cleanup(u.sd.Put)
	u.dd = u.sd
	u.record, err = fs.intendUnder(u.x, u.higher)
	step(err)
	step(u.sd.Link(u.x.name, u.dd, u.x.newName))
	step(u.setAside())
	return u
}

// end ends what is under way.
func (r *rig) end(u *under) {
	r.Helper()
	if err := u.dropOld(); err != nil {
		r.Fatal(err)
	}
	u.end()
}

// A daemon without the locks is in the midst of a rename when another that has them replays.
func TestReplayLeavesAnOperationUnderWay(t *testing.T) {
	for _, killed := range []bool{false, true} {
		r := newRig(t, 2)
		fs, other := r.open(), r.beside()
		u := r.underWay(other)
		before := r.snapshot()
		fs.ReplayTiers(t.Context(), 1, 2)
		r.wantSame(before)
		r.wantRecords(1)
		if killed {
			other.journal.unlockAll()
		} else {
			r.end(u)
		}
		if left := fs.journal.tidy(); left > 0 {
			t.Errorf("killed %v: %d records left to do", killed, left)
		}
		r.wantTidy()
		r.want(0, "f", killed)
		r.want(1, "temp", killed)
		r.want(1, "f", !killed)
	}
}

// Behind the mount, or through another, the old name is given to another file while the
// visible one is synced.
func TestRenameLeavesWhatHasTheOldName(t *testing.T) {
	r := newRig(t, 2)
	u := r.underWay(r.open())
	r.write(1, "next", "theirs")
	r.rename(1, "next", "temp")
	r.end(u)
	r.wantContent(1, "temp", "theirs")
	r.wantContent(1, "f", "saved")
	r.wantTidy()
}
