package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// bench is a mount whose tiers are both disks that fail on demand.
type bench struct {
	*harness.Mount
	t     *testing.T
	disks *faultfs.FS
	dirs  int
	opts  []string
	cases []*trial
}

// known is what the ops do, by their names, and made the calls that they make, by the
// mount's options and NoLinks too. Each is found out once.
var (
	known = map[string]*expected{}
	made  = map[string][]faultfs.Call{}
)

// expected is what an op does when nothing fails.
type expected struct {
	err                 error
	before, after       tree
	hidBefore, hidAfter tree
}

// trial is an op that was run under a plan, and what came of it.
type trial struct {
	op      op
	plan    faultfs.Plan
	dir     string
	err     error
	at      faultfs.Call // the call that failed
	outcome outcome
}

// outcome is an answer and the state it was given in, in the words of the table
// in docs/semantics.md.
type outcome string

const (
	outError outcome = "error" // the disk's error, and nothing has changed
	outLate  outcome = "late"  // the disk's error, but all is changed
	outDone  outcome = "done"  // as if nothing had failed
	outHalf  outcome = "half"  // neither before nor after
)

func (c *trial) String() string {
	how := "once"
	if c.plan.Stays {
		how = "from then on"
	}
	return fmt.Sprintf("%s, %v at call %d, %v, %s: answers %v", c.op.name, c.plan.Errno, c.plan.Nth, c.at, how, c.err)
}

// newBench mounts. Nothing is cached by the kernel, so that every op asks the
// tiers, and the disks see every question.
func newBench(t *testing.T, opts ...string) *bench {
	t.Helper()
	b := &bench{t: t, disks: faultfs.New(t, 2), opts: opts}
	b.Mount = harness.NewOn(t, b.disks.Disks, append(opts, "entry_timeout=0", "attr_timeout=0")...)
	b.Up()
	return b
}

// fresh sows a directory for a case.
func (b *bench) fresh() string {
	b.dirs++
	dir := fmt.Sprint("c", b.dirs)
	sow(b.t, b.disks.Roots, dir)
	return dir
}

// expect runs the op where nothing fails.
func (b *bench) expect(o op) *expected {
	if e := known[o.name]; e != nil {
		return e
	}
	e, dir := &expected{}, b.fresh()
	e.before, e.hidBefore = union(b.disks.Roots, dir)
	e.err = o.do(b.Path(dir))
	e.after, e.hidAfter = union(b.disks.Roots, dir)
	if diff := look(b.Path(dir)).diff(e.after); diff != "" {
		b.t.Fatalf("%s: the mount is not the union of its tiers:%s", o.name, diff)
	}
	if errno := unix.Errno(0); e.err != nil && !errors.As(e.err, &errno) {
		b.t.Fatalf("%s, with nothing failing: %v", o.name, e.err)
	}
	known[o.name] = e
	return e
}

// callsOf are the calls of the op that the plan counts.
func (b *bench) callsOf(o op, p faultfs.Plan) []faultfs.Call {
	b.expect(o)
	key := fmt.Sprint(o.name, p.NoLinks, b.opts)
	calls, ok := made[key]
	if !ok { // in a directory that nobody knows yet, as those of the trials
		b.disks.Arm(faultfs.Plan{Disk: -1, Nth: 1 << 30, NoLinks: p.NoLinks})
		o.do(b.Path(b.fresh()))
		calls = b.disks.Disarm().Calls
		made[key] = calls
	}
	return slices.DeleteFunc(slices.Clone(calls), func(c faultfs.Call) bool {
		return p.Disk >= 0 && p.Disk != c.Disk || len(p.Ops) > 0 && !slices.Contains(p.Ops, c.Op)
	})
}

// try runs the op under the plan. It is nil when the op makes fewer calls than
// the plan wants, and when the call was the close of a descriptor: that changes
// nothing, and comes before the answer or after it. The call that fails is to be at.
func (b *bench) try(o op, p faultfs.Plan, at faultfs.Call) *trial {
	e := b.expect(o)
	c := b.once(o, p)
	for n := 0; n < 3 && c != nil && c.at.Op != at.Op && b.records() > 0; n++ {
		// It may have been a call of the chores, who undo what an earlier trial has left.
		harness.Within(100*time.Millisecond, func() bool { return b.records() == 0 })
		c = b.once(o, p)
	}
	if c == nil || c.at.Op == "FLUSH" {
		return nil
	}
	c.outcome = b.judge(c, e)
	b.cases = append(b.cases, c)
	return c
}

// once is the op under the plan, nil if no call failed.
func (b *bench) once(o op, p faultfs.Plan) *trial {
	c := &trial{op: o, plan: p, dir: b.fresh()}
	b.disks.Arm(p)
	c.err = o.do(b.Path(c.dir))
	report := b.disks.Disarm()
	if !report.Hit {
		return nil
	}
	c.at = report.Calls[p.Nth-1]
	return c
}

// judge finds the word for an answer and the state after it.
func (b *bench) judge(c *trial, e *expected) outcome {
	shown, _ := union(b.disks.Roots, c.dir)
	before, after := shown.diff(e.before), shown.diff(e.after)
	errno := unix.Errno(0)
	switch {
	case errors.Is(c.err, e.err) || c.err == e.err:
		if after != "" {
			b.t.Errorf("%v\nyet:%s", c, after)
			return outHalf
		}
		return outDone
	case !errors.As(c.err, &errno):
		b.t.Errorf("%v", c)
		return outHalf
	case before != "" && after != "":
		if !c.plan.Stays {
			b.t.Errorf("%v\nthan it was:%s\nthan it would be:%s", c, before, after)
		}
		return outHalf
	case errno == unix.EEXIST && after == "":
		return outLate // the kernel tries a create that was ESTALE once more
	case errno != c.plan.Errno:
		return outcome(unix.ErrnoName(errno))
	case before == "" || c.atClose():
		return outError
	}
	return outLate
}

// atClose reports whether the error came from close(2), after the op.
func (c *trial) atClose() bool { return errors.As(c.err, &atClose{}) }

// seen fails the test unless the mount shows what the tiers hold.
func (b *bench) seen(c *trial) {
	b.t.Helper()
	shown, _ := union(b.disks.Roots, c.dir)
	if diff := look(b.Path(c.dir)).diff(shown); diff != "" {
		b.t.Errorf("%v\nthe mount is not the union of its tiers:%s", c, diff)
	}
}

// kept fails the test if a document that the op leaves in being has no name.
func (b *bench) kept(c *trial) {
	b.t.Helper()
	e := known[c.op.name]
	shown, _ := union(b.disks.Roots, c.dir)
	if gone := shown.lost(e.before, e.after); len(gone) > 0 {
		b.t.Errorf("%v\nlost: %q", c, gone)
	}
}

// settled looks at every case again after a new mount: it has happened or not,
// as was answered, and nothing hidden or half done is left. What could not be
// undone may be finished by then.
func (b *bench) settled(look int) {
	b.t.Helper()
	b.Down()
	b.Up()
	for i, c := range b.cases {
		e := known[c.op.name]
		want, hid := e.before, e.hidBefore
		got, hidden := union(b.disks.Roots, c.dir)
		if i%look == 0 {
			b.seen(c)
		}
		if c.outcome == outDone || c.outcome == outLate || (c.plan.Stays || c.atClose()) && got.diff(want) != "" {
			want, hid = e.after, e.hidAfter
		}
		if diff := got.diff(want); diff != "" {
			b.t.Errorf("%v\nafter a new mount:%s", c, diff)
			continue
		}
		for path, is := range hidden {
			if hid[path] != is {
				b.t.Errorf("%v\nafter a new mount %s is hidden: %q", c, path, is)
			}
		}
	}
	b.tidy()
}

// tidy fails the test if something that has no end is left in .tierfs.
func (b *bench) tidy() {
	b.t.Helper()
	for _, root := range b.disks.Roots {
		for _, dir := range []string{"staging", "journal"} {
			if names, err := os.ReadDir(root + "/.tierfs/" + dir); err == nil && len(names) > 0 {
				b.t.Errorf("%d left behind in %s/.tierfs/%s, such as %s", len(names), root, dir, names[0])
			}
		}
	}
}

// run tries each op under the plan, at each of the calls that pick chooses, in
// a subtest of its own. One case in look is looked at through the mount.
func (b *bench) run(y tally, p faultfs.Plan, pick picker, look int, only ...string) {
	t := b.t
	defer func() { b.t = t }()
	for _, o := range ops {
		if len(only) > 0 && !slices.Contains(only, o.row) {
			continue
		}
		t.Run(strings.ReplaceAll(o.name, " ", "_"), func(t *testing.T) {
			b.t = t
			p.Nth = 0
			for _, call := range b.callsOf(o, p) {
				if p.Nth++; !pick(call, p.Nth) {
					continue
				}
				c := b.try(o, p, call)
				if c == nil {
					continue
				}
				y.add(c)
				b.kept(c)
				if len(b.cases)%look == 0 {
					b.seen(c)
				}
			}
		})
	}
}
