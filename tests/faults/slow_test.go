package faults

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// oneOfEachRow is enough where the number of calls does not matter; the soak
// takes all.
func oneOfEachRow() (some []op) {
	rows := map[string]bool{}
	for _, o := range ops {
		if harness.Soak || !rows[o.row] {
			some = append(some, o)
		}
		rows[o.row] = true
	}
	return some
}

// TestSlowDisksServeEveryOperation: each call takes 50 ms, as on a server far
// away, and every op goes on at once.
func TestSlowDisksServeEveryOperation(t *testing.T) {
	b := newBench(t)
	dirs, some := map[string]string{}, oneOfEachRow()
	for _, o := range some {
		b.expect(o)
		dirs[o.name] = b.fresh()
	}
	b.disks.Arm(faultfs.Plan{Disk: -1, Nth: 1, Stays: true, DelayMS: 50})
	var all sync.WaitGroup
	for _, o := range some {
		all.Go(func() {
			if err := o.do(b.Path(dirs[o.name])); err != known[o.name].err {
				t.Errorf("%s: %v", o.name, err)
			}
		})
	}
	all.Wait()
	b.disks.Disarm()
	for _, o := range some {
		if diff := look(b.Path(dirs[o.name])).diff(known[o.name].after); diff != "" {
			t.Errorf("%s:%s", o.name, diff)
		}
	}
	b.tidy()
}

// TestShortReadsAndWritesAreContinued: a disk that reads or writes half of what
// it is asked for, as it may.
func TestShortReadsAndWritesAreContinued(t *testing.T) {
	b := newBench(t)
	want := bytes.Repeat([]byte("all of it, "), 100_000)
	for rank, root := range b.disks.Roots {
		dir := "/" + []string{"primary", "fallback"}[rank]
		harness.Mkdir(t, root+dir)
		b.disks.Arm(faultfs.Plan{Disk: -1, Ops: []string{"READ", "WRITE"}, Nth: 1, Stays: true, Short: true})
		harness.Write(t, b.Path(dir)+"/f", string(want))
		harness.Append(t, b.Path(dir)+"/f", "and more")
		got := harness.Read(t, b.Path(dir)+"/f")
		if !b.disks.Disarm().Hit {
			t.Error("nothing came up short")
		}
		if got != string(want)+"and more" {
			t.Errorf("%s: %d bytes are read, not what was written", dir, len(got))
		}
		harness.WantRead(t, root+dir+"/f", string(want)+"and more")
	}
}

// TestStuckOperationEndsWhole: who waits for a disk that hangs in the middle of
// a change gets EIO at tier_timeout. The call cannot be taken back; when the
// disk is well again the operation is done, or not.
func TestStuckOperationEndsWhole(t *testing.T) {
	b := newBench(t, "tier_timeout=1")
	var some []op
	dirs := map[string]string{}
	for _, o := range ops {
		if slices.ContainsFunc(b.callsOf(o, faultfs.Plan{Disk: -1, Ops: changing}), func(faultfs.Call) bool { return true }) {
			some = append(some, o)
			dirs[o.name] = b.fresh()
		}
	}
	b.disks.Arm(faultfs.Plan{Disk: -1, Ops: changing, Nth: 1, Stays: true, Hang: true})
	var all sync.WaitGroup
	for _, o := range some {
		all.Go(func() { o.do(b.Path(dirs[o.name])) })
	}
	harness.Eventually(t, "calls hang", func() bool { return b.disks.Report().Stuck > 0 })
	// A disk that takes no change, but answers, is waited for; one that answers
	// nothing is not.
	b.disks.Arm(faultfs.Plan{Disk: -1, Nth: 1, Stays: true, Hang: true})
	all.Wait()
	b.disks.Disarm()
	b.wellAgain()
	harness.Eventually(t, "no call hangs", func() bool { return b.disks.Report().Stuck == 0 })
	for _, o := range some {
		e := known[o.name]
		harness.Eventually(t, o.name+" is done or not", func() bool {
			got := look(b.Path(dirs[o.name]))
			return got.diff(e.before) == "" || got.diff(e.after) == ""
		})
	}
	b.Down()
	b.Up()
	b.tidy()
}

// wellAgain waits until both tiers serve.
func (b *bench) wellAgain() {
	b.t.Helper()
	dir := b.fresh()
	harness.Eventually(b.t, "the tiers are back", func() bool {
		return stat("hot")(b.Path(dir)) == nil && stat("cold")(b.Path(dir)) == nil
	})
}

// TestAnswersWhileTheFallbackIsAway: what needs only the primary is done, all
// else is EIO and changes nothing.
func TestAnswersWhileTheFallbackIsAway(t *testing.T) {
	b, y := newBench(t, "tier_timeout=1"), tally{}
	p := faultfs.Plan{Disk: 1, Nth: 1, Stays: true, Hang: true, Errno: unix.EIO}
	for _, o := range ops {
		b.expect(o)
		b.cases = append(b.cases, &trial{op: o, plan: p, dir: b.fresh()})
	}
	b.disks.Arm(p)
	for _, c := range b.cases {
		c.err = c.op.do(b.Path(c.dir)) // the first waits until the tier is away
	}
	for _, c := range b.cases {
		c.outcome = b.judge(c, known[c.op.name])
		y.add(c)
	}
	b.disks.Disarm()
	b.wellAgain()
	b.settled(1)
	y.hold(t, "fallback away", len(b.cases))
}
