package tier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// verdict is what a judgement wants written and said.
type verdict struct {
	tiers           []seen
	first           bool     // no list has ever been written
	list            record   // for every writable tier, but for ID
	ids             []string // by tier
	fresh           []bool   // the tier needs a mark first
	stale           []bool   // the tier's list is not list
	claimed         []*member
	warnings, notes []string
	held            bool   // another has the lock of a tier
	holder          Holder // who that is, as far as it is known
}

// candidate is the mark for step 1 of Join.
func (v *verdict) candidate(i int) *record {
	c := &record{Format: listFormat, ID: v.ids[i], Set: v.list.Set}
	if old := v.tiers[i].rec; old != nil {
		c.Adopt, c.Replaces = old.Adopt, old.Replaces
	}
	return c
}

// identities is for JoinResult. What was not written is nobody's identity.
func (v *verdict) identities(written bool) (set string, ids []Identity) {
	written = written && slices.ContainsFunc(v.tiers, func(s seen) bool { return !s.ReadOnly })
	if written || !v.first {
		set = v.list.Set
	}
	for i, s := range v.tiers {
		id := Identity{FSID: s.fsid, RootInode: s.inode}
		if written || v.claimed[i] != nil {
			id.ID, id.Set = v.ids[i], set
			id.Marked = s.rec != nil && s.rec.ID == id.ID || written && !s.ReadOnly
		}
		ids = append(ids, id)
	}
	return set, ids
}

// judgement is a verdict in the making. It does no I/O.
type judgement struct {
	verdict
	rootDev uint64
	known   []member // of the newest lists, then as this mount changes them
	split   bool     // newest lists that differ
}

// judge decides whether the tiers are the members that their lists name.
func judge(tiers []seen, rootDev uint64) (*verdict, error) {
	j := &judgement{rootDev: rootDev}
	j.tiers = tiers
	j.claimed = make([]*member, len(tiers))
	steps := []func() error{j.distinct, j.oneSet, j.claimByMark, j.refuseOld, j.claimByFilesystem, j.replaceOnRequest, j.takeIn}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	j.compose()
	return &j.verdict, nil
}

// distinct refuses the same mark in two tiers.
func (j *judgement) distinct() error {
	has := map[string]string{}
	for _, t := range j.tiers {
		if t.rec == nil {
			continue
		}
		if other, ok := has[t.rec.ID]; ok {
			return fmt.Errorf("tiers %s and %s: both carry the mark %s, so one is a copy of the other; remove %s/%s from the copy",
				show(other), show(t.Path), t.rec.ID, MarkName, listName)
		}
		has[t.rec.ID] = t.Path
	}
	return nil
}

// oneSet refuses lists of two sets and reads the newest of the one.
func (j *judgement) oneSet() error {
	bySet := map[string][]seen{}
	most := ""
	for _, t := range j.tiers {
		if !t.listed() {
			continue
		}
		set := t.rec.Set
		bySet[set] = append(bySet[set], t)
		if most == "" || len(bySet[set]) > len(bySet[most]) {
			most = set
		}
	}
	if err := j.noneBelowADisk(bySet); err != nil {
		return err
	}
	for _, t := range j.tiers {
		if !t.listed() || t.rec.Set == most {
			continue
		}
		ours, theirs := bySet[most], bySet[t.rec.Set]
		do := fmt.Sprintf("mount it with those, or remove %s to take its files in here", show(t.Path+"/"+MarkName+"/"+listName))
		if len(ours) > 1 && len(theirs) == 1 {
			return fmt.Errorf("tier %s: its mark is of another set, that of %s; %s", show(t.Path), memberPaths(t.rec.Members), do)
		}
		return twoSets(ours[0], t)
	}
	j.readNewest(bySet[most])
	return nil
}

// noneBelowADisk refuses a tier with a mark of its own set in the place of a
// member of another: the tiers were mounted once while that member's disk was
// not, and it is not now. Which of the two is the disk is known if the other
// is on the root filesystem, or else by the number of tiers that agree.
func (j *judgement) noneBelowADisk(bySet map[string][]seen) error {
	for _, t := range j.tiers {
		for _, o := range j.tiers {
			if !t.listed() || !o.listed() || t.rec.Set == o.rec.Set || !o.rec.serves(t.Path) {
				continue
			}
			below, above := t.dev == j.rootDev, o.dev == j.rootDev
			if below && !above || below == above && len(bySet[o.rec.Set]) > len(bySet[t.rec.Set]) {
				return &MissingError{fmt.Sprintf("tier %s: its disk is probably not mounted: the list in %s has another member at this path, and the mark here is of a set that was made without that disk; mount it",
					show(t.Path), show(o.Path+"/"+MarkName))}
			}
		}
	}
	return nil
}

// serves reports whether the list serves a member at path.
func (r *record) serves(path string) bool {
	return slices.ContainsFunc(r.Members, func(m member) bool { return m.State == stateServed && string(m.Path) == path })
}

// twoSets is the error of two tiers whose lists know nothing of each other.
func twoSets(a, b seen) error {
	ours, theirs := memberPaths(a.rec.Members), memberPaths(b.rec.Members)
	markA, markB := show(a.Path+"/"+MarkName), show(b.Path+"/"+MarkName)
	if ours == theirs {
		return fmt.Errorf("tiers %s and %s: two sets meet: the marks in %s and %s are of two sets of the same directories, %s, one of them made while a disk was not mounted; see with findmnt -T which directory is not on its disk, and mount that; if each is, and one was restored from a backup, remove %s from that one and run tierfs adopt --replace DIR DIR with its path twice",
			show(a.Path), show(b.Path), markA, markB, ours, MarkName+"/"+listName)
	}
	return fmt.Errorf("tiers %s and %s: two sets meet: the mark in %s is of the set of %s, the one in %s of that of %s; see that the disk of each is mounted, and name tiers of one set, or remove %s from the one that is to leave its set and join the other",
		show(a.Path), show(b.Path), markA, ours, markB, theirs, MarkName+"/"+listName)
}

// listed reports whether the tier carries a list, not just a candidate.
func (s *seen) listed() bool { return s.rec != nil && s.rec.Generation > 0 }

// memberPaths names the members that a list serves.
func memberPaths(members []member) string {
	var names []string
	for _, m := range members {
		if m.State == stateServed {
			names = append(names, show(string(m.Path)))
		}
	}
	return strings.Join(names, ", ")
}

// readNewest takes the list of the highest generation for known. No crash makes
// two that differ, but a set whose tiers were mounted in two halves has them;
// then a member that only one of them names is known as well.
func (j *judgement) readNewest(tiers []seen) {
	j.first = len(tiers) == 0
	j.list = record{Format: listFormat, Set: newID()}
	for _, t := range j.tiers {
		if j.first && t.rec != nil && t.rec.Set != "" {
			j.list.Set = t.rec.Set // of a first mount that a crash ended
			return
		}
	}
	for _, t := range tiers {
		j.list.Set = t.rec.Set
		j.list.Generation = max(j.list.Generation, t.rec.Generation)
	}
	for _, t := range tiers {
		if t.rec.Generation != j.list.Generation {
			continue
		}
		members := inOrder(t.rec.Members)
		j.split = j.split || j.known != nil && !slices.Equal(inOrder(j.known), members)
		for _, m := range members {
			if !slices.ContainsFunc(j.known, func(k member) bool { return k.ID == m.ID }) {
				j.known = append(j.known, m)
			}
		}
	}
	j.list.Members = inOrder(j.known)
}

// inOrder sorts members as lists hold them: served ones by rank, then others.
func inOrder(members []member) []member {
	return slices.SortedFunc(slices.Values(members), func(a, b member) int {
		if a.State != stateServed || b.State != stateServed {
			return cmp.Or(cmp.Compare(listOrder(a), listOrder(b)), cmp.Compare(a.ID, b.ID))
		}
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID))
	})
}

func listOrder(m member) int {
	if m.State == stateServed {
		return 0
	}
	return 1
}

// claimByMark finds the members that carry their marks.
func (j *judgement) claimByMark() error {
	for i, t := range j.tiers {
		if t.rec == nil {
			continue
		}
		k := slices.IndexFunc(j.known, func(m member) bool { return m.ID == t.rec.ID })
		list := show(t.Path + "/" + MarkName + "/" + listName)
		switch {
		case k < 0 && t.listed():
			return fmt.Errorf("tier %s: it is of this set, but the newest list (generation %d) does not name it; remove %s and run tierfs adopt %s to take it in as new",
				show(t.Path), j.list.Generation, list, show(t.Path))
		case k < 0:
		case j.known[k].State == stateReplaced:
			return fmt.Errorf("tier %s: another tier took its place, so its files are old; take it out of the options, or remove %s and run tierfs adopt %s to take it in as new",
				show(t.Path), list, show(t.Path))
		default:
			j.claimed[i] = &j.known[k]
		}
	}
	return nil
}

// owned is the generation of the list that a member of newest got, 0 if that is not
// known. Whoever is served gets each list, if it can be written.
func owned(m *member, newest uint64) uint64 {
	if m.State != stateServed || m.ReadOnly || m.Own != 0 {
		return m.Own
	}
	return newest
}

// refuseOld refuses a member with a list older than the one that it got: so it is an
// old copy, and what was changed since was changed elsewhere. A member that was left
// out meanwhile has the list that it got last.
//
// A crash while the lists are written, or a tier that did not take its own, leaves an
// older list too. But then the newest knows the very place of the tier.
func (j *judgement) refuseOld() error {
	for i, t := range j.tiers {
		m := j.claimed[i]
		if m == nil || !t.listed() || t.rec.Generation >= owned(m, j.list.Generation) {
			continue
		}
		was := show(string(m.Path))
		why := fmt.Sprintf("its list of members has generation %d, and the member got %d", t.rec.Generation, owned(m, j.list.Generation))
		if string(m.Path) == t.Path && m.FSID == t.fsid && m.RootInode == t.inode {
			j.warnings = append(j.warnings, fmt.Sprintf("tier %s: it may be an old copy: %s; see that its files are not old ones; there is nothing to do if it had no room for the list, or the machine failed while the lists were written", show(t.Path), why))
			continue
		}
		right := "name that"
		if string(m.Path) == t.Path {
			right = "mount the right disk"
		}
		return fmt.Errorf("tier %s: it is an old copy of the member that was last at %s, and its files are as old: %s; %s, or remove %s and run tierfs adopt --replace %s %s if this is to take its place",
			show(t.Path), was, why, right, show(t.Path+"/"+MarkName+"/"+listName), show(t.Path), was)
	}
	return nil
}

// claimByFilesystem finds the read-only members, which carry no mark: first
// those under the path they had, because two filesystems may be alike in what
// is recorded of them.
func (j *judgement) claimByFilesystem() error {
	for _, samePath := range []bool{true, false} {
		for i, t := range j.tiers {
			if t.rec != nil || j.claimed[i] != nil {
				continue
			}
			j.claimed[i] = j.find(func(m *member) bool {
				return (string(m.Path) == t.Path) == samePath && m.State != stateReplaced && j.isDirectory(t, m)
			})
		}
	}
	return nil
}

// isDirectory reports whether m's directory was recorded as that of t. The
// inode alone says so only under the same path, and never on the root
// filesystem, where a mount point may happen to have that number.
func (j *judgement) isDirectory(t seen, m *member) bool {
	switch {
	case t.fsid != m.FSID || t.inode != m.RootInode:
		return false
	case t.fsid != "":
		return t.ReadOnly || m.ReadOnly
	}
	return m.ReadOnly && string(m.Path) == t.Path && (t.ReadOnly || t.dev != j.rootDev)
}

// find returns the first known member that no tier is and that fits.
func (j *judgement) find(fits func(*member) bool) *member {
	for i := range j.known {
		if m := &j.known[i]; !slices.Contains(j.claimed, m) && fits(m) {
			return m
		}
	}
	return nil
}

// takeIn judges the tiers that no list names. Replace and Adopt have spoken
// for theirs; of the others none may stand where a member was.
func (j *judgement) takeIn() error {
	for i, t := range j.tiers {
		if j.first || j.claimed[i] != nil || t.rec.requested() {
			continue
		}
		if err := j.refuseUnmounted(t); err != nil {
			return err
		}
		if t.dev == j.rootDev && j.onRoot() == "" {
			return fmt.Errorf("tier %s: it is new and, unlike the others, on the root filesystem, so its disk is probably not mounted; mount it, or run tierfs adopt %s if it is meant",
				show(t.Path), show(t.Path))
		}
		j.notes = append(j.notes, fmt.Sprintf("tier %s: new, taken in", show(t.Path)))
	}
	return nil
}

// refuseUnmounted refuses t, which has no mark, in the place of a member.
func (j *judgement) refuseUnmounted(t seen) error {
	at := func(states ...string) *member {
		return j.find(func(m *member) bool { return string(m.Path) == t.Path && slices.Contains(states, m.State) })
	}
	if t.ReadOnly {
		// A directory whose disk is not mounted is as writable as its parent, so
		// this is a filesystem, and if no member was here, it is the one meant.
		if m := at(stateServed); m != nil {
			return fmt.Errorf("tier %s: it is read-only and not the filesystem that was member %s; mount the right one, or %s",
				show(t.Path), m, j.howToReplaceReadOnly(t))
		}
		return nil
	}
	m := at(stateServed, stateLeft)
	if m == nil {
		m = j.find(func(m *member) bool { return m.State == stateServed && m.Rank == t.Rank })
	}
	if on := j.onRoot(); m != nil && t.dev != j.rootDev && on != "" {
		return &MissingError{fmt.Sprintf("tier %s: it stands for member %s but carries no mark, and the list that says so is on the root filesystem, in %s; mount the disk of that one too if the list was made without the disks, or run tierfs adopt --replace %s %s if %s was replaced on purpose",
			show(t.Path), m, show(on+"/"+MarkName), show(t.Path), show(string(m.Path)), show(t.Path))}
	}
	if m != nil {
		return &MissingError{fmt.Sprintf("tier %s: it stands for member %s but carries no mark, so its disk is probably not mounted; mount it, or run tierfs adopt --replace %s %s if it was replaced on purpose",
			show(t.Path), m, show(t.Path), show(string(m.Path)))}
	}
	if m := at(stateReplaced); m != nil {
		return fmt.Errorf("tier %s: it was a member until another took its place, and carries no mark; mount its disk, or run tierfs adopt %s to take it in as new", show(t.Path), show(t.Path))
	}
	return nil
}

// String names a member in an error.
func (m *member) String() string { return fmt.Sprintf("%s (rank %d)", show(string(m.Path)), m.Rank) }

// onRoot is the path of the first member on the root filesystem, or "".
func (j *judgement) onRoot() string {
	for i, t := range j.tiers {
		if j.claimed[i] != nil && t.dev == j.rootDev {
			return t.Path
		}
	}
	return ""
}

// compose makes the list of this mount and decides what is written.
func (j *judgement) compose() {
	var next []member
	for i, t := range j.tiers {
		m := member{ID: newID(), State: stateServed}
		if t.rec != nil {
			m.ID = t.rec.ID
		}
		if was := j.claimed[i]; was != nil {
			m.ID = was.ID
			j.noteMove(t, was)
		}
		m.Path, m.Rank, m.FSID, m.RootInode, m.ReadOnly = listPath(t.Path), t.Rank, t.fsid, t.inode, t.ReadOnly
		next = append(next, m)
		j.ids = append(j.ids, m.ID)
		j.fresh = append(j.fresh, !t.ReadOnly && (t.rec == nil || j.claimed[i] == nil))
	}
	for i := range j.known {
		if m := &j.known[i]; !slices.Contains(j.claimed, m) {
			j.leave(m)
			next = append(next, *m)
		}
	}
	j.warnOrder()
	next = inOrder(next)
	if j.first || j.split || !slices.Equal(next, j.list.Members) {
		j.list.Generation++
	}
	j.list.Members = next
	for _, t := range j.tiers {
		j.stale = append(j.stale, t.rec == nil || t.rec.Generation != j.list.Generation)
	}
	j.warnRoot()
}

// noteMove tells what is new about a member.
func (j *judgement) noteMove(t seen, was *member) {
	var what []string
	if was.State == stateLeft {
		what = append(what, "a member again")
	}
	if string(was.Path) != t.Path {
		what = append(what, "was at "+show(string(was.Path)))
	}
	if was.State == stateServed && was.Rank != t.Rank {
		what = append(what, fmt.Sprintf("rank %d, was %d", t.Rank, was.Rank))
	}
	if what != nil {
		j.notes = append(j.notes, fmt.Sprintf("tier %s: %s", show(t.Path), strings.Join(what, "; ")))
	}
}

// warnOrder tells of members that have changed places: a primary that is slow
// takes new files as well as one that is fast, and nobody would notice. The list
// has the new order from now on, so it is told once.
func (j *judgement) warnOrder() {
	var now []*member
	var paths []string
	for i, t := range j.tiers {
		if was := j.claimed[i]; was != nil && was.State == stateServed {
			now, paths = append(now, was), append(paths, t.Path)
		}
	}
	before := slices.SortedFunc(slices.Values(now), func(a, b *member) int { return cmp.Compare(a.Rank, b.Rank) })
	if slices.Equal(now, before) {
		return
	}
	what := fmt.Sprintf("%s now, %s before", show(strings.Join(paths, ":")), pathsOf(before))
	if now[0] != before[0] && now[0] == j.claimed[0] {
		what = fmt.Sprintf("the primary was %s and is %s now, so new files go there", show(string(before[0].Path)), show(paths[0]))
	}
	j.warnings = append(j.warnings, "tiers in another order: "+what+"; if that is not meant, unmount and put the options in the old order; else there is nothing to do, and it is not told again")
}

// pathsOf are the paths of members in an option.
func pathsOf(members []*member) string {
	var paths []string
	for _, m := range members {
		paths = append(paths, string(m.Path))
	}
	return show(strings.Join(paths, ":"))
}

// leave keeps a member in the list that is not among the tiers. That it left is
// a warning once and a note from then on.
func (j *judgement) leave(m *member) {
	text := fmt.Sprintf("member %s: not in the options, its files are not shown; add fallback=%s to show them", m, show(string(m.Path)))
	switch m.State {
	case stateServed:
		j.warnings = append(j.warnings, text)
		m.Own, m.State = owned(m, j.list.Generation), stateLeft
	case stateLeft:
		j.notes = append(j.notes, text)
	}
}

// warnRoot names the tiers on the root filesystem that a list is about to name
// for the first time without a reason to think that their disks are mounted.
func (j *judgement) warnRoot() {
	var names []string
	writable := false
	for i, t := range j.tiers {
		writable = writable || !t.ReadOnly
		if t.dev == j.rootDev && (j.first || j.claimed[i] == nil && t.rec.requested()) {
			names = append(names, show(t.Path))
		}
	}
	switch {
	case !writable:
		j.notes = append(j.notes, "all tiers are read-only: no list of members can be written, so a disk that is not mounted will not be noticed; mount them writable once to have one")
	case len(names) == 1:
		j.warnings = append(j.warnings, fmt.Sprintf("tier %s: on the root filesystem; if a disk belongs there, unmount tierfs, mount the disk and remove what is below it", names[0]))
	case len(names) > 1:
		j.warnings = append(j.warnings, fmt.Sprintf("tiers %s: on the root filesystem; if disks belong there, unmount tierfs, mount the disks and start anew", strings.Join(names, ", ")))
	}
}
