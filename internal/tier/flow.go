package tier

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// flow knows the calls that are under way on a tier, and since when: a call
// into a filesystem that hangs cannot be given up, only noticed.
//
// Each call holds a slot with the time it began; calls that may rightly take
// long (fsync, a copy) hold it with the time negated.
type flow struct {
	begun time.Time
	gen   uint32 // of the tier, when it began
	rotor atomic.Uint32
	slots [flowSlots]atomic.Int64
}

// flowSlots bounds the calls under way on one tier. It exceeds the number of
// workers, so only calls left behind by a tier that hung can use it up.
const flowSlots = 2048

func newFlow() *flow { return &flow{begun: time.Now()} }

// enter takes a slot. EIO when all are stuck.
func (f *flow) enter(long bool) (*atomic.Int64, error) {
	now := int64(time.Since(f.begun)) + 1
	if long {
		now = -now
	}
	for range flowSlots {
		s := &f.slots[f.rotor.Add(1)%flowSlots]
		if s.Load() == 0 && s.CompareAndSwap(0, now) {
			return s, nil
		}
	}
	return nil, unix.EIO
}

// oldest is how long the oldest call is under way, of the short ones and of all.
func (f *flow) oldest() (short, any time.Duration) {
	now := time.Since(f.begun)
	for i := range f.slots {
		v := time.Duration(f.slots[i].Load())
		switch {
		case v > 0:
			short = max(short, now-v)
			any = max(any, now-v)
		case v < 0:
			any = max(any, now+v)
		}
	}
	return short, any
}

// do runs one short call on the tier as it is now.
func (t *Tier) do(call func() error) error { return t.run(t.gen.Load(), false, call) }

// run runs one call on the tier of generation gen. An away tier answers EIO at
// once, and so does what was opened before it came back as another mount of its
// disk. A short call is one that only reads names and attributes; one that
// changes something may take long on a tier that is well.
func (t *Tier) run(gen uint32, long bool, call func() error) error {
	if t.away.Load() || gen != t.gen.Load() {
		return unix.EIO
	}
	slot, err := t.flow.Load().enter(long)
	if err != nil {
		return err
	}
	err = holding(slot, call)
	switch err {
	case nil:
		return nil
	case unix.ENOTCONN, unix.ECONNABORTED, unix.ESHUTDOWN, unix.EHOSTDOWN:
		// The tier is a FUSE or network filesystem whose server is gone, or just
		// going (fuse_abort_conn: the calls under way).
		if gen == t.gen.Load() {
			t.lose(err)
		}
		return unix.EIO
	}
	if Fails(err) {
		t.failures.note(t.log, t.Root, err)
	}
	return err
}

// holding frees the slot when call is over, by a panic too.
func holding(slot *atomic.Int64, call func() error) error {
	defer slot.Store(0)
	return call()
}

// hangs reports whether a call is under way that began at or after the time at.
func (f *flow) hangs(at time.Duration) bool {
	origin := f.begun.Sub(begun)
	for i := range f.slots {
		if v := time.Duration(f.slots[i].Load()); v != 0 && origin+max(v, -v) >= at {
			return true
		}
	}
	return false
}
