package tierfs

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/mover"
	"golang.org/x/sys/unix"
)

// findings are what a check of the mount finds.
func (r *rig) findings(fs *FS) (all []mover.Finding) {
	r.Helper()
	c := &mover.Check{Tiers: fs.Tiers(), Owned: fs.Owned, NumbersLast: fs.NumbersLast, Made: fs.Made, Emit: func(f mover.Finding) { all = append(all, f) }}
	if err := c.Run(r.Context()); err != nil {
		r.Fatal(err)
	}
	return all
}

// finding is the only one.
func (r *rig) finding(fs *FS, kind mover.Kind) mover.Finding {
	r.Helper()
	all := r.findings(fs)
	if len(all) != 1 || all[0].Kind != kind {
		r.Fatalf("found %+v, want one %s", all, kind)
	}
	return all[0]
}

func TestRemoveTakesAHiddenCopyWithTheSameContent(t *testing.T) {
	r := newRig(t, 3)
	r.write(0, "d/f", "same")
	r.write(2, "d/f", "same")
	fs := r.open()
	if err := fs.Remove(t.Context(), r.finding(fs, mover.SameCopy)); err != nil {
		t.Fatal(err)
	}
	r.wantContent(0, "d/f", "same")
	r.want(2, "d/f", false)
	if all := r.findings(fs); len(all) > 0 {
		t.Errorf("left: %+v", all)
	}
}

// Between the finding and the repair the world goes on. Whatever has changed by
// then is nobody's to remove.
func TestRepairTouchesOnlyWhatIsAsItWasFound(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"the shown one is gone":     func(r *rig) { r.remove(0, "f") },
		"the shown one has changed": func(r *rig) { r.write(0, "f", "more than that") },
		"the shown one is another":  func(r *rig) { r.write(0, "g", "same"); r.rename(0, "g", "f") },
		"the hidden one has changed": func(r *rig) {
			r.write(1, "f", "same")
			at := time.Now().Add(time.Hour)
			if err := os.Chtimes(r.at(1, "f"), at, at); err != nil {
				r.Fatal(err)
			}
		},
		"the hidden one is another": func(r *rig) { r.write(1, "g", "mine"); r.rename(1, "g", "f") },
		"the hidden one is gone":    func(r *rig) { r.remove(1, "f") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			r.write(0, "f", "same")
			r.write(1, "f", "same")
			fs := r.open()
			f := r.finding(fs, mover.SameCopy)
			change(r)
			before := r.snapshot()
			if err := fs.Remove(t.Context(), f); err == nil {
				t.Error("removed")
			}
			if _, err := fs.Unhide(f); err == nil {
				t.Error("renamed")
			}
			r.wantSame(before)
		})
	}
}

// What is set between the finding and the repair would go with the copy.
func TestRepairLooksAtMetadataAgain(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "same")
	r.write(1, "f", "same")
	fs := r.open()
	f := r.finding(fs, mover.SameCopy)
	if err := unix.Setxattr(r.at(1, "f"), "user.important", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(t.Context(), f); err != errChanged {
		t.Errorf("removed: %v", err)
	}
	r.wantContent(1, "f", "same")
	r.finding(fs, mover.OtherCopy)
}

// A client that renames over the name in the middle of a repair puts its file
// on the hidden copy's tier, in its very place.
func TestRepairWaitsForAClientThatUsesTheName(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "same")
	r.write(1, "f", "same")
	fs := r.open()
	f := r.finding(fs, mover.SameCopy)
	release := fs.names.use(entryName{fs.table.Root(), "f"})
	done := make(chan error, 1)
	go func() { done <- fs.Remove(t.Context(), f) }()
	if err := <-done; err != errUsed {
		t.Errorf("with the name in use: %v", err)
	}
	release()
	r.want(1, "f", true)
	if err := fs.Remove(t.Context(), f); err != nil {
		t.Error(err)
	}
	r.want(1, "f", false)
}

// While a file moves there are two copies of it for a while.
func TestRepairLeavesAMovingFileAlone(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "f", "same")
	r.write(1, "f", "same")
	fs := r.open()
	f := r.finding(fs, mover.SameCopy)
	m := &moving{in: r.admit(fs, "f")}
	if !fs.movings.add(m) {
		t.Fatal("not added")
	}
	if err := fs.Remove(t.Context(), f); err != errUsed {
		t.Errorf("while it moves: %v", err)
	}
	fs.movings.remove(m)
	if err := fs.Remove(t.Context(), f); err != nil {
		t.Error(err)
	}
}

func TestUnhideShowsAHiddenFile(t *testing.T) {
	r := newRig(t, 2)
	r.write(0, "d/f", "new")
	r.write(1, "d/f", "old")
	r.write(0, "d/f.shadowed-by-tierfs-1", "taken")
	fs := r.open()
	name, err := fs.Unhide(r.finding(fs, mover.OtherCopy))
	if err != nil || name != "f.shadowed-by-tierfs-2" {
		t.Fatalf("%q, %v", name, err)
	}
	r.wantContent(0, "d/f", "new")
	r.wantContent(1, "d/f.shadowed-by-tierfs-2", "old")
	r.want(1, "d/f", false)
	if in := r.admit(fs, "d/"+name); in == nil {
		t.Error("the mount does not show it")
	}
}

// A name that is as long as one can be had no room for what tells the copy, and the
// file stayed hidden.
func TestUnhideShortensALongName(t *testing.T) {
	for name, want := range map[string]string{
		strings.Repeat("x", 255):           strings.Repeat("x", 234),
		strings.Repeat("x", 234):           strings.Repeat("x", 234),
		"x" + strings.Repeat("\u20ac", 84): "x" + strings.Repeat("\u20ac", 77),
		strings.Repeat("\x80", 255):        strings.Repeat("\x80", 234),
	} {
		r := newRig(t, 2)
		r.write(0, name, "new")
		r.write(1, name, "old")
		fs := r.open()
		got, err := fs.Unhide(r.finding(fs, mover.OtherCopy))
		if want += ".shadowed-by-tierfs-1"; err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
			continue
		}
		r.wantContent(0, name, "new")
		r.wantContent(1, got, "old")
	}
}

func TestRemoveTakesWhatNeverCameIntoPlace(t *testing.T) {
	r := newRig(t, 2)
	for _, name := range []string{"staging/f", "trash/x"} {
		r.write(1, ".tierfs/"+name, "left")
	}
	r.write(1, ".tierfs/journal/y", `{"kind":"replace-file","to":"Yi9kb2M=","moves":[{"member":"elsewhere","ino":1}]}`)
	r.mkdir(1, ".tierfs/staging/d")
	r.write(1, ".tierfs/staging/"+stagingPrefix+"1", "our own")
	fs := r.open()
	kinds := map[mover.Kind]int{}
	for _, f := range r.findings(fs) {
		kinds[f.Kind]++
		if f.Kind == mover.Staged {
			if err := fs.Remove(t.Context(), f); err != nil {
				t.Errorf("%s: %v", f.Path, err)
			}
		}
	}
	if kinds[mover.Staged] != 2 || kinds[mover.Trash] != 1 || kinds[mover.Record] != 1 || len(kinds) != 3 {
		t.Errorf("found %v", kinds)
	}
	r.want(1, ".tierfs/staging/f", false)
	r.want(1, ".tierfs/staging/d", false)
	r.want(1, ".tierfs/staging/"+stagingPrefix+"1", true)
	r.want(1, ".tierfs/trash/x", true)
	r.want(1, ".tierfs/journal/y", true)
}
