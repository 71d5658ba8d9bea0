package mover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Plan emits what the policy would move now, and for each other file of the
// primary why it stays. Of the fallbacks it names what would come up.
func (m *Mover) Plan(ctx context.Context, emit func(Event)) (Totals, error) {
	j := m.newPlan(kindScan, emit)
	room, err := j.foresee(ctx, "")
	if err != nil {
		return Totals{}, err
	}
	h := &haul{job: j, ctx: ctx, judge: room.judge}
	if _, err := h.over("", false, 0); err != nil {
		return j.totals(), err
	}
	from, _ := sources(len(m.tree.Tiers()), true)
	_, err = j.pinned(ctx).over("", true, from...)
	t := j.totals()
	t.Note = m.idle(j.policy)
	return t, err
}

// idle says why nothing moves by itself at this moment, if so.
func (m *Mover) idle(p Policy) string {
	m.mu.Lock()
	why := m.why
	m.mu.Unlock()
	open := p.Window.next(m.now())
	switch {
	case !p.active():
		return "nothing moves by itself: the mount has no demote=, high= or promote="
	case why != nil:
		return fmt.Sprintf("nothing moves by itself: %v", why)
	case open.After(m.now()):
		return fmt.Sprintf("nothing moves by itself before %s (window=)", open.Format("15:04"))
	}
	return ""
}

// foreseen is what makeRoom would move at this moment: all files of one age, and of
// those that are a little younger as many as it comes upon before there is room.
type foreseen struct {
	policy      *Policy
	sure, least time.Duration // 0 for none
	some        int           // of those from least up to sure
	chosen      bool          // the file that was asked for is one of them
}

// foresee goes through what makeRoom does, and tells of the file at path whether it is
// chosen.
func (j *job) foresee(ctx context.Context, path string) (*foreseen, error) {
	r := &foreseen{policy: &j.policy}
	primary := j.m.primary()
	need := j.policy.excess(primary)
	if need == 0 {
		return r, nil
	}
	look := &looker{job: j}
	if err := look.run(ctx); err != nil {
		return nil, err
	}
	trial := j.m.newPlan(kindRoom, nil)
	trial.holders = j.holders
	err := trial.coldest(ctx, look.heat, int64(need), func(age time.Duration) judge {
		r.sure, r.least, r.some = r.least, age, 0
		return func(f facts) (course, Reason) {
			c, why := r.between(f)
			if c == off {
				r.some++
				r.chosen = r.chosen || f.path() == path
			}
			return c, why
		}
	})
	return r, err
}

// between is for the files from least up to sure.
func (r *foreseen) between(f facts) (course, Reason) {
	if r.sure > 0 {
		if c, _ := r.policy.makeRoom(f, r.sure); c == off {
			return stay, Warm // gone by then
		}
	}
	return r.policy.makeRoom(f, r.least)
}

// judge says what becomes of the files of the primary, in the order of a walk: of
// what is not to make room, the age decides.
func (r *foreseen) judge(f facts) (course, Reason) {
	if r.least > 0 {
		if c, why := r.policy.makeRoom(f, r.sure); c == off && r.sure > 0 {
			return c, why
		}
		if c, why := r.between(f); c == off {
			if r.some--; r.some >= 0 {
				return c, why
			}
		}
	}
	return r.policy.judge(f, 0)
}

// plan notes what a move of one batch would come to. It takes of one filesystem
// and gives to the other.
func (h *haul) plan(to berth) {
	tiers := h.m.tree.Tiers()
	var goes []*found
	for _, f := range to.files {
		why, more := h.hindered(f, to.to)
		if why == Moved {
			bytes := f.st.Blocks * BlockSize
			h.planFor(f.rank, load{-bytes, -inodeParts})
			h.gone += bytes
			goes = append(goes, f)
		}
		h.settle(f, to.to, Outcome{Bytes: f.st.Size, Skip: why, Err: more})
	}
	if len(goes) == 0 {
		return
	}
	if len(goes) < len(to.files) {
		to.load = h.room(tiers[to.to], goes).load
	}
	h.planFor(to.to, to.load)
	h.make(tiers[to.to], goes[0].dir)
}

// hindered is what a move would find in the way of a file, as far as that is to be had
// without opening it: whoever has a lease on it hears nothing of a plan. more is what
// is to be said beside the reason.
func (j *job) hindered(f *found, to int) (why Reason, more error) {
	if j.fits == nil {
		return Moved, nil
	}
	if why := j.holders()(f.rank, &f.st, f.number); why != Moved {
		return why, nil
	}
	if !j.holds(f.st.Size, to) {
		return TooLarge, nil
	}
	if misfit := j.fit(f, to); misfit != (AttributesError{}) {
		return Attributes, misfit
	}
	return Moved, nil
}

// holds reports whether a file on the tier can be of so many bytes, which is tried with
// each that is larger than all before.
func (j *job) holds(size int64, to int) bool {
	if size <= max(everywhere, j.largest[to]) {
		return true
	}
	err := j.m.tree.Try(j.m.tree.Tiers()[to], 0, func(dst *tier.File) error { return Holds(dst, size) })
	if err == unix.EFBIG {
		return false
	}
	j.largest[to] = size
	return true
}

// fit is what of a file's attributes the tier cannot hold, if anything, which is tried:
// once for all files that have the same. What else is in the way of the file, the move
// sees.
func (j *job) fit(f *found, to int) (misfit AttributesError) {
	tiers := j.m.tree.Tiers()
	src, err := j.name(f)
	if err != nil {
		return misfit
	}
	defer src.Close()
	all, err := xattrs(src)
	if err != nil {
		return misfit
	}
	class := fmt.Sprint(f.rank, to, f.st.Uid, f.st.Gid, f.st.Mode, all) // maps are printed in order
	misfit, known := j.fits[class]
	if !known {
		c := NewCopier(context.Background(), tiers[f.rank], tiers[to], nil)
		err := j.m.tree.Try(tiers[to], Mode(&f.st), func(dst *tier.File) error { return c.Attributes(src, dst, &f.st) })
		errors.As(err, &misfit)
		j.fits[class] = misfit
	}
	return misfit
}

// whyPatience is how long Why looks which files make room: who asks waits.
const whyPatience = 3 * time.Second

// whyOpen is how old a look for open files is that Why goes by: it is asked for each of
// many files.
const whyOpen = time.Second

// Why says what the policy does with one file, and for which reason.
func (m *Mover) Why(ctx context.Context, path string) (Verdict, error) {
	j := m.newPlan(kindScan, nil)
	j.looks(whyOpen)
	for _, t := range m.tree.Tiers() {
		f := &found{}
		err := (&walk{tier: t, exclude: j.policy.Exclude, alone: true, to: keeper{f}}).run(ctx, path)
		switch {
		case isAbsent(err):
			continue
		case err == unix.EISDIR:
			return Verdict{}, errors.New("a directory; name a file in it")
		case err != nil:
			return Verdict{}, fmt.Errorf("tier %s: %w", t.Root, err)
		}
		return j.verdict(ctx, f)
	}
	return Verdict{}, unix.ENOENT
}

func (j *job) verdict(ctx context.Context, f *found) (Verdict, error) {
	facts := j.m.factsOf(f)
	c, why := j.policy.judge(facts, 0)
	chosen, late := false, false
	if could, _ := j.policy.makeRoom(facts, 1); could == off && f.rank == 0 {
		soon, cancel := context.WithTimeout(ctx, whyPatience)
		defer cancel()
		room, err := j.foresee(soon, f.path())
		late = err != nil && soon.Err() == context.DeadlineExceeded
		if err != nil && !late {
			return Verdict{}, err
		}
		chosen = !late && room.chosen
	}
	if chosen {
		c, why = off, Moved
	}
	v := Verdict{Path: f.path(), Rank: f.rank, Bytes: f.st.Size, Age: j.policy.age(facts), To: f.rank, Skip: why}
	v.Detail = j.policy.detail(facts, c, why)
	if late {
		v.Detail += ", as it is: whether this is one of them takes long to find out, see tierfs plan"
	}
	if why != Moved {
		return v, nil
	}
	var more error
	b := (&haul{job: j}).target([]*found{f}, c)
	if v.To, v.Skip = b.to, b.why; v.Skip == Moved {
		if v.Skip, more = j.hindered(f, v.To); v.Skip != Moved {
			v.To = f.rank
		}
	}
	if v.Skip != Moved {
		v.Detail += "; it stays: " + v.Skip.Text()
	}
	if v.Skip == NoRoom {
		more = b.full
	}
	if more != nil {
		v.Detail += ": " + more.Error()
	}
	return v, nil
}

// detail is a verdict in one sentence.
func (p *Policy) detail(f facts, c course, why Reason) string {
	age := human.About(p.age(f))
	switch {
	case why == Moved && f.pin != pinUnset:
		return "pinned to the " + f.pin.String() + ", and not there yet"
	case c == off:
		return fmt.Sprintf("aged %s by %s, and the primary is over %d %% full: the oldest go down until it is at %d %%", age, p.Age, p.High, p.Low)
	case why == Moved:
		return fmt.Sprintf("aged %s by %s, and files go down after %s", age, p.Age, human.Exactly(p.Demote))
	case why == Pinned && f.pin == pinNone:
		return "pinned to wherever it is (user.tierfs.pin=none)"
	case why == Pinned:
		return fmt.Sprintf("pinned to the %s by user.tierfs.pin, and there", f.pin)
	case why == BadPin:
		return f.badPin
	case why == Linked:
		return fmt.Sprintf("it has %d names (hard links), which would not be one file on two tiers", f.st.Nlink)
	case why == Fresh, why == Arrived:
		what := "changed"
		if why == Arrived {
			what = "moved to its tier, or copied there with its times,"
		}
		changed := f.now.Sub(later(stamp(f.st.Mtim), stamp(f.st.Ctim)))
		return fmt.Sprintf("%s %s ago; it has to be left alone for %s", what, human.About(max(changed, 0)), human.Exactly(quiet(p.Demote)))
	case why == Future:
		latest := later(later(stamp(f.st.Mtim), stamp(f.st.Ctim)), p.since(f))
		return fmt.Sprintf("its time is in the future: %s; it stays until then, unless touch(1) puts that right", latest.Format(time.DateTime))
	case why == Lower && p.Opens > 0:
		return fmt.Sprintf("on a fallback already; %s within %s would bring it up", human.Count(p.Opens, "open"), human.Exactly(p.Within))
	case why == Lower:
		return "on a fallback already; nothing but a pin or a request brings it up"
	case why == Used:
		return fmt.Sprintf("opened within the last %s, so it would come back up", human.Exactly(p.Within))
	case why == Young:
		return fmt.Sprintf("aged %s by %s; files go down after %s", age, p.Age, human.Exactly(p.Demote))
	case why == Warm:
		return fmt.Sprintf("aged %s by %s; the oldest go down when the primary is over %d %% full", age, p.Age, p.High)
	}
	return why.Text()
}
