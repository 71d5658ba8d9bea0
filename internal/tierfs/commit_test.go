package tierfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// within fails unless fn returns soon.
func (r *rig) within(what string, fn func()) {
	r.Helper()
	done := make(chan struct{})
	go func() { fn(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		r.Errorf("%s waits", what)
	}
}

// The lower tier may hang in any of the calls that are made of it. Who looks for
// the file, opens it or lists its directory does without that tier, and must not
// wait for the mover.
func TestNobodyWaitsForALowerTierThatAMoveWaitsFor(t *testing.T) {
	for name, c := range map[string]struct {
		from, to int
		point    string
	}{
		"the copy gets its name": {0, 1, "locked"},
		"the source goes":        {1, 0, "checked"},
		"the source has gone":    {1, 0, "aside"},
	} {
		t.Run(name, func(t *testing.T) {
			r, fs := newSettled(t, c.from)
			in := r.admit(fs, "f")
			passed := 0
			atFault = func(p string) {
				if p != c.point {
					return
				}
				passed++
				root := fs.table.Root()
				r.within("a lookup", func() {
					if in, _, err := fs.lookUp(root, "f"); err == nil {
						fs.forget(in.ID, 1)
					}
				})
				r.within("a listing", func() { fs.names.list(root)() })
				r.within("an open", func() {
					in.Mu.Lock()
					defer in.Mu.Unlock()
					_ = in.Opened()
				})
				changed := make(chan struct{})
				go func() { fs.names.use(entryName{root, "f"})(); close(changed) }()
				select {
				case <-changed:
					t.Error("a rename does not wait")
				case <-time.After(20 * time.Millisecond):
				}
			}
			defer func() { atFault = nil }()
			r.wantOutcome(r.move(fs, c.from, c.to, "", "f")[0], mover.Moved)
			if passed != 1 {
				t.Errorf("passed %d times", passed)
			}
			r.wantTidy()
		})
	}
}

// A record is drafted before the directory's path is sure to stay, and counts only when
// it is: by an old one the next mount would look for the files where they are not.
func TestDraftOfARecordHoldsOnlyIfThePathDoes(t *testing.T) {
	for name, to := range map[string]string{"the path stays": "d", "it becomes another": "e"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			names := []string{"1", "2", "3", "4"}
			for _, f := range names {
				r.write(0, "d/"+f, f)
			}
			time.Sleep(settleTime)
			fs := r.open()
			draft, drafts := uint64(0), 0
			atFault = func(point string) {
				switch point {
				case "synced":
					staged, _ := os.ReadDir(r.at(1, ".tierfs/staging"))
					for _, f := range staged {
						at := ".tierfs/staging/" + f.Name()
						if b, _ := os.ReadFile(r.at(1, at)); strings.Contains(string(b), intentMove) {
							draft, drafts = r.ino(1, at), drafts+1
							open, err := os.Open(r.at(1, at)) // no other file gets its number
							if err != nil {
								t.Fatal(err)
							}
							t.Cleanup(func() { open.Close() })
						}
					}
					if to != "d" {
						if err := r.mv(fs, "d", to); err != nil {
							t.Error(err)
						}
					}
				case "recorded":
					record := r.records()
					if len(record) != 1 {
						t.Fatalf("records %q", record)
					}
					d, err := fs.Tiers()[1].Private("journal")
					if err != nil {
						t.Fatal(err)
					}
					defer d.Put()
					in, err := readIntent(d, filepath.Base(record[0]))
					if err != nil || string(in.Relocation.Dir) != to || len(in.Relocation.Files) != len(names) {
						t.Errorf("recorded %+v, %v", in, err)
					}
					if drafted := r.ino(1, ".tierfs/journal/"+filepath.Base(record[0])) == draft; drafted != (to == "d") {
						t.Errorf("the record is the draft: %v", drafted)
					}
				}
			}
			defer func() { atFault = nil }()
			for _, o := range r.move(fs, 0, 1, "d", names...) {
				r.wantOutcome(o, mover.Moved)
			}
			if drafts != 1 {
				t.Errorf("%d drafts", drafts)
			}
			for _, f := range names {
				r.wantContent(1, to+"/"+f, f)
				r.want(0, to+"/"+f, false)
			}
			r.wantTidy()
		})
	}
}

// left moves f while a rename holds its name from a point to the end, so that
// it has two names then.
func (r *rig) left(fs *FS, from, to int, point string) {
	r.Helper()
	release := func() {}
	atFault = func(p string) {
		if p == point {
			release = fs.names.use(entryName{fs.table.Root(), "f"})
		}
	}
	r.wantOutcome(r.move(fs, from, to, "", "f")[0], mover.InUse)
	atFault = nil
	release()
	r.want(0, "f", true)
	r.want(1, "f", true)
	r.wantRecords(1)
}

// A name that was in use for all of a move's patience is left with two files
// under it. The chores end that; the kernel goes on with the inode it has.
func TestAMoveThatWasLeftIsEndedSoon(t *testing.T) {
	for name, c := range map[string]struct{ from, to int }{"down": {0, 1}, "up": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			r, fs := newSettled(t, c.from)
			in := r.admit(fs, "f")
			r.left(fs, c.from, c.to, "named")

			writer, err := os.OpenFile(r.at(c.from, "f"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if again := fs.journal.tidy(); again != 1 {
				t.Error("it is ended while somebody has the source open")
			}
			r.want(c.from, "f", true)
			writer.Close()

			if again := fs.journal.tidy(); again != 0 {
				t.Errorf("%d to try again\n%s", again, r.log.String())
			}
			r.want(c.from, "f", false)
			r.wantContent(c.to, "f", "content")
			var st unix.Stat_t
			if err := fs.stat(nil, in, &st); err != nil || st.Ino != r.ino(c.to, "f") {
				t.Errorf("the inode leads to %d (%v)", st.Ino, err)
			}
			r.wantTidy()
		})
	}
}

// Two versions are for the administrator, who is told once.
func TestAMoveThatWasLeftKeepsTwoVersions(t *testing.T) {
	r, fs := newSettled(t, 0)
	r.left(fs, 0, 1, "named")
	r.write(0, "f", "one version")
	r.write(1, "f", "another version")
	for range 2 {
		if again := fs.journal.tidy(); again != 1 {
			t.Error("it is taken for ended")
		}
	}
	r.wantContent(0, "f", "one version")
	r.wantContent(1, "f", "another version")
	if n := strings.Count(r.log.String(), errBoth.Error()); n != 1 {
		t.Errorf("said %d times\n%s", n, r.log.String())
	}
}

// A disk that removes no record removes none of the next ones, and each was told of.
func TestRecordsThatStayAreToldOnce(t *testing.T) {
	r, fs := newSettled(t, 0, "g")
	atFault = func(point string) {
		if point != "removed" {
			return
		}
		for _, record := range r.records() { // by what unlink(2) refuses
			if err := errors.Join(os.Remove(record), os.Mkdir(record, 0o700)); err != nil {
				t.Error(err)
			}
		}
	}
	defer func() { atFault = nil }()
	r.wantOutcome(r.move(fs, 0, 1, "", "f")[0], mover.Moved)
	r.wantOutcome(r.move(fs, 0, 1, "", "g")[0], mover.Moved)
	r.wantRecords(2)
	if n := strings.Count(r.log.String(), "cannot remove the record"); n != 1 {
		t.Errorf("said %d times\n%s", n, r.log.String())
	}
}

// The daemon that takes over finds the file open, and ends the move later.
func TestReplayLeavesAFileThatIsOpenToTheChores(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "content")
	time.Sleep(settleTime)
	r.left(r.open(), 0, 1, "named")
	reader, err := os.Open(r.at(0, "f"))
	if err != nil {
		t.Fatal(err)
	}
	fs := r.open()
	fs.Replay()
	r.want(0, "f", true)
	r.wantRecords(1)
	reader.Close()
	if again := fs.journal.tidy(); again != 0 {
		t.Errorf("%d to try again\n%s", again, r.log.String())
	}
	r.want(0, "f", false)
	r.wantContent(1, "f", "content")
	r.wantTidy()
}
