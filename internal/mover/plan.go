package mover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierfs/tierfs/internal/human"
	"golang.org/x/sys/unix"
)

// Plan emits what the policy would move now, and for each other file of the
// primary why it stays. Of the fallbacks it names what would come up.
func (m *Mover) Plan(ctx context.Context, emit func(Event)) (Totals, error) {
	j := m.newJob(kindScan, 0, emit)
	j.dry = true
	coldest, err := j.coldest(ctx)
	if err != nil {
		return Totals{}, err
	}
	h := &haul{job: j, ctx: ctx, judge: func(f facts) (course, Reason) { return j.policy.judge(f, coldest) }}
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
		why = "the mount has no demote=, high= or promote="
	case why == "" && open.After(m.now()):
		return fmt.Sprintf("nothing moves by itself before %s (window=)", open.Format("15:04"))
	}
	if why != "" {
		why = "nothing moves by itself: " + why
	}
	return why
}

// coldest is the age from which the policy would make room, 0 if there is
// enough.
func (j *job) coldest(ctx context.Context) (age time.Duration, err error) {
	need := j.policy.excess(j.m.primary())
	if need == 0 {
		return 0, nil
	}
	look := &looker{job: j}
	if err := look.run(ctx); err != nil {
		return 0, err
	}
	if ages := look.heat.cutoffs(int64(need)); len(ages) > 0 {
		age = ages[len(ages)-1]
	}
	return age, nil
}

// Why says what the policy does with one file, and for which reason.
func (m *Mover) Why(ctx context.Context, path string) (Verdict, error) {
	p := m.currentPolicy()
	for _, t := range m.tree.Tiers() {
		f := &found{}
		err := (&walk{tier: t, exclude: p.Exclude, alone: true, to: keeper{f}}).run(ctx, path)
		switch {
		case isAbsent(err):
			continue
		case err == unix.EISDIR:
			return Verdict{}, errors.New("a directory; name a file in it")
		case err != nil:
			return Verdict{}, fmt.Errorf("tier %s: %w", t.Root, err)
		}
		return m.verdict(p, f), nil
	}
	return Verdict{}, unix.ENOENT
}

func (m *Mover) verdict(p Policy, f *found) Verdict {
	facts := m.factsOf(f)
	c, why := p.judge(facts, 0)
	v := Verdict{Path: f.path(), Rank: f.rank, Bytes: f.st.Size, Age: p.age(facts), To: f.rank, Skip: why}
	v.Detail = p.detail(facts, c, why)
	if why == Moved {
		var full *Full
		h := &haul{job: &job{m: m, policy: p}}
		if v.To, v.Skip, full = h.target(f.rank, c, uint64(f.st.Blocks*BlockSize)); v.Skip != Moved {
			v.Detail += "; it stays: " + v.Skip.Text()
		}
		if v.Skip == NoRoom {
			v.Detail += ": " + full.Error()
		}
	}
	return v
}

// detail is a verdict in one sentence.
func (p *Policy) detail(f facts, c course, why Reason) string {
	age := human.About(p.age(f))
	switch {
	case why == Moved && f.pin != pinUnset:
		return "pinned to the " + f.pin.String() + ", and not there yet"
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
		return fmt.Sprintf("on a fallback already; %d opens within %s would bring it up", p.Opens, human.Exactly(p.Within))
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
