package tierfs

import (
	"slices"
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
// had the name must have been the copy: it was complete, and in place. So it is
// with a file that was renamed over one of a higher tier, which is set aside.
//
// It is remembered and not settled at once: the other daemon may be alive, and
// about to give the file its name again. Who has the locks removes that
// file before, as memory ends with the daemon.
type takings struct {
	left, seen atomic.Uint64 // records that we were left to settle while we serve; up to where none stands any more

	mu    sync.Mutex
	aside map[string]bool    // the files' names in a trash or a staging directory; GUARDED_BY(mu)
	read  map[string]*intent // what stands, as far as it has been read; GUARDED_BY(mu)
}

// taken reports whether clients have taken the name that the file aside would get again.
func (j *journal) taken(aside string) bool {
	j.takings.mu.Lock()
	defer j.takings.mu.Unlock()
	return j.takings.aside[aside]
}

func (j *journal) take(asides []string) {
	j.takings.mu.Lock()
	defer j.takings.mu.Unlock()
	for _, a := range asides {
		j.takings.aside[a] = true
	}
}

// takingOf is called before the file goes that has a name in p, and what it returns
// after it has.
func (j *journal) takingOf(p *inode.Inode, name string) (take func()) {
	records := j.unsettled()
	if len(records) == 0 {
		return func() {}
	}
	asides := j.taking(records, p, name, true)
	return func() { j.take(asides) }
}

// takingsOf is takingOf for both names of a rename.
func (j *journal) takingsOf(x *renaming) (take func()) {
	records := j.unsettled()
	if len(records) == 0 {
		return func() {}
	}
	src, dst := j.taking(records, x.from, x.name, false), j.taking(records, x.to, x.newName, !x.swaps)
	return func() { j.take(slices.Concat(src, dst)) }
}

// taking is for a name in p, and for those below if it is a directory's: the originals
// of the files that have them are removed, and those that are not are returned, to be
// remembered. With removed, the files go for good.
func (j *journal) taking(records []*intent, p *inode.Inode, name string, removed bool) (asides []string) {
	path, ok := j.fs.pathOf(p, name)
	if !ok {
		return nil
	}
	goes := func(at string) bool { return at == path || strings.HasPrefix(at, path+"/") }
	for _, in := range records {
		if in.Kind == intentMove {
			asides = append(asides, j.takingCopies(in.Relocation, goes, removed)...)
		} else if goes(in.To) {
			asides = append(asides, j.takingUnder(in)...)
		}
	}
	return asides
}

// takingCopies is taking for the copies of a move.
func (j *journal) takingCopies(r *relocation, goes func(path string) bool, removed bool) (asides []string) {
	to, err := j.member(r.Target)
	if err != nil {
		return nil
	}
	from, missing := j.member(r.Source) // it may be added later
	for i := range r.Files {
		f := &r.Files[i]
		at := join(string(r.Dir), string(f.Name))
		if !goes(at) {
			continue
		}
		s := settlement{fs: j.fs, from: from, to: to, dir: string(r.Dir), f: f, removed: removed}
		st, err := to.Lstat(at)
		if err == nil && j.fs.isCopy(to, f, &st) && (missing != nil || !s.forgo()) {
			asides = append(asides, f.Aside)
		}
	}
	return asides
}

// takingUnder is taking for the new name of a rename. If the old one has gone, and nothing
// that is replaced is seen under the new one, the rename is finished; else what is out of
// sight already is remembered. A rename that has failed is not finished: the client was told so.
func (j *journal) takingUnder(in *intent) (asides []string) {
	home, err := j.member(in.Moves[0].Member)
	if err != nil || in.Undo {
		return nil
	}
	u := unfinished{j: j, in: in, home: home}
	if u.sd, u.old, err = below(home, in.From); err != nil {
		return nil
	}
	defer putAny(u.sd)
	if u.dd, u.now, err = below(home, in.To); err != nil {
		return nil
	}
	defer putAny(u.dd)
	if !u.is(u.now) {
		return nil
	}
	for i := range in.Replaced {
		if !u.shown(&in.Replaced[i]) {
			asides = append(asides, in.Replaced[i].Aside)
		}
	}
	if u.gone() && len(asides) == len(in.Replaced) && j.fs.alone.Load() && u.finish() == nil {
		return nil
	}
	return asides
}

// keeps reports whether a record that stands has the original of a file out of sight:
// who settles it looks for the file where that is now.
func (j *journal) keeps(p *inode.Inode, name string) bool {
	records := j.unsettled()
	if len(records) == 0 {
		return false
	}
	path, ok := j.fs.pathOf(p, name)
	return ok && slices.ContainsFunc(records, func(in *intent) bool {
		return slices.ContainsFunc(in.originals(), func(o original) bool {
			if o.name != path {
				return false
			}
			t, err := j.member(o.member)
			if err == nil {
				_, err = t.Lstat(o.at)
			}
			return !absent(err) // it may be on a tier that this mount is without, and a later one has
		})
	})
}

// original is a file that a record may give its name again, and where it is on a member.
type original struct{ name, member, at string }

func (in *intent) originals() (all []original) {
	if r := in.Relocation; in.Kind == intentMove {
		for _, f := range r.Files {
			all = append(all, original{join(string(r.Dir), string(f.Name)), r.Source, hiddenName + "/trash/" + f.Aside})
		}
		return all
	}
	for _, m := range in.Replaced {
		all = append(all, original{in.To, m.Member, hiddenName + "/staging/" + m.Aside})
	}
	return all
}

// unsettled are the records that stand and name originals, if they may be settled while
// clients are served: there are a few at most, and most of the time none. A tier
// that cannot be read keeps nobody from a name.
func (j *journal) unsettled() (stand []*intent) {
	if !j.fs.union || j.members.Load() == nil || j.fs.alone.Load() && j.takings.left.Load() == j.takings.seen.Load() {
		return nil
	}
	left := j.takings.left.Load() // one that is left while we read is not counted as read
	j.takings.mu.Lock()
	known := j.takings.read
	j.takings.mu.Unlock()
	read, all := map[string]*intent{}, true
	for _, t := range j.fs.Tiers() {
		if !t.ReadOnly() {
			all = !t.Suspect() && readUnsettled(t, known, read) && all
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

// readUnsettled adds a tier's records that name originals to read, and reports whether it
// has them all. A record does not change, so one that is known is not read again.
func readUnsettled(t *tier.Tier, known, read map[string]*intent) (all bool) {
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
		case err == nil && (in.Kind == intentMove || in.Kind == intentUnder):
			read[name] = in
		case err != nil && err != errNoRecord && !absent(err):
			all = false
		}
	}
	return all
}
