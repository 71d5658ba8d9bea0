package tierfs

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
)

// takings are files whose move is not settled, and whose names clients have taken
// from them through this mount. A mount without the members' locks serves while
// records of another daemon stand:
//
//	the other daemon: the copy of f is in place, f goes to the trash; killed
//	client: unlink f, which is the copy
//	this daemon has the locks, and settles
//
// To whoever settles, the copy is lost, and the file in the trash the last there
// is. That it was removed, renamed or replaced, only we know. For it to count, what
// had the name must have been the copy: it was complete, and in place.
//
// It is remembered and not settled at once: the other daemon may be alive, and
// about to give the file in the trash its name again.
type takings struct {
	left, seen atomic.Uint64 // records of moves that we were left to settle while we serve; up to where none stands any more

	mu    sync.Mutex
	aside map[string]bool        // the files' names in a trash; GUARDED_BY(mu)
	read  map[string]*relocation // what stands, as far as it has been read; GUARDED_BY(mu)
}

// taken reports whether clients have taken the name from the copy of a file.
func (j *journal) taken(f *relocated) bool {
	j.takings.mu.Lock()
	defer j.takings.mu.Unlock()
	return j.takings.aside[f.Aside]
}

func (j *journal) take(asides []string) {
	j.takings.mu.Lock()
	defer j.takings.mu.Unlock()
	for _, a := range asides {
		j.takings.aside[a] = true
	}
}

// takingOf is called before the copies all of a name in p go, and what it returns
// after they have.
func (j *journal) takingOf(p *inode.Inode, name string, all []copyAt) (take func()) {
	var asides []string
	if records := j.unsettled(); len(records) > 0 {
		dir, ok := j.fs.table.Path(p)
		for _, r := range records {
			if !ok || string(r.Dir) != dir {
				continue
			}
			for i := range r.Files {
				if f := &r.Files[i]; string(f.Name) == name && j.isCopy(r, f, all) {
					asides = append(asides, f.Aside)
				}
			}
		}
	}
	return func() { j.take(asides) }
}

// isCopy reports whether one of the copies of a name is that of the record.
func (j *journal) isCopy(r *relocation, f *relocated, all []copyAt) bool {
	t, err := j.member(r.Target)
	if err != nil {
		return false
	}
	for i := range all {
		if c := &all[i]; c.rank == t.Rank && j.fs.isCopy(t, f, &c.st) {
			return true
		}
	}
	return false
}

// takingsOf is takingOf for both names of a rename.
func (j *journal) takingsOf(x *renaming) (take func()) {
	records := j.unsettled()
	if len(records) == 0 {
		return func() {}
	}
	from, ok1 := j.fs.pathOf(x.from, x.name)
	to, ok2 := j.fs.pathOf(x.to, x.newName)
	both := ok1 && ok2
	src, dst := j.takingOf(x.from, x.name, x.src), j.takingOf(x.to, x.newName, x.dst)
	return func() {
		src()
		dst()
		if both && x.src[0].isDir() {
			j.takeBelow(records, from, to)
		}
		if both && x.swaps && x.dst[0].isDir() {
			j.takeBelow(records, to, from)
		}
	}
}

// takeBelow is for the files below a directory that has been renamed.
func (j *journal) takeBelow(records []*relocation, from, to string) {
	for _, r := range records {
		below, ok := strings.CutPrefix(string(r.Dir)+"/", from+"/")
		t, err := j.member(r.Target)
		if !ok || err != nil {
			continue
		}
		for i := range r.Files {
			f := &r.Files[i]
			st, err := t.Lstat(join(to, below+string(f.Name)))
			if err == nil && j.fs.isCopy(t, f, &st) {
				j.take([]string{f.Aside})
			}
		}
	}
}

// unsettled are the records of moves that stand, if they may be settled while
// clients are served: there are a few at most, and most of the time none. A tier
// that cannot be read keeps nobody from a name.
func (j *journal) unsettled() (stand []*relocation) {
	if !j.fs.union || j.members.Load() == nil || j.fs.alone.Load() && j.takings.left.Load() == j.takings.seen.Load() {
		return nil
	}
	left := j.takings.left.Load() // one that is left while we read is not counted as read
	j.takings.mu.Lock()
	known := j.takings.read
	j.takings.mu.Unlock()
	read, all := map[string]*relocation{}, true
	for _, t := range j.fs.Tiers() {
		if !t.ReadOnly() {
			all = !t.Suspect() && readMoves(t, known, read) && all
		}
	}
	if all && len(read) == 0 {
		j.takings.seen.Store(left)
	}
	for _, r := range read {
		stand = append(stand, r)
	}
	j.takings.mu.Lock()
	j.takings.read = read // what was known is never written to
	j.takings.mu.Unlock()
	return stand
}

// readMoves adds a tier's records of moves to read, and reports whether it has them all. A
// record does not change, so one that is known is not read again.
func readMoves(t *tier.Tier, known, read map[string]*relocation) (all bool) {
	d, names, err := listed(t, "journal")
	if err != nil {
		return false
	}
	defer d.Put()
	all = len(names) < maxRecords
	for _, name := range names {
		if r := known[name]; r != nil {
			read[name] = r
			continue
		}
		switch in, err := readIntent(d, name); {
		case err == nil && in.Kind == intentMove:
			read[name] = in.Relocation
		case err != nil && err != errNoRecord && !absent(err):
			all = false
		}
	}
	return all
}
