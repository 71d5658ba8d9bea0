package mover

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Config is what a Mover needs beside its tree.
type Config struct {
	Log     *slog.Logger
	Policy  Policy
	MinFree func(total uint64) uint64 // bytes that a filesystem of that size keeps free
	Look    Look                      // looks which files are open, for plans
}

// Holders says of the file of a tier whether it is Open or OpenBeneath; Moved if it is
// not, as far as is known. Its filesystem shows it with the number, which /proc has too.
type Holders func(rank int, st *unix.Stat_t, number uint64) Reason

// Look tells which files are open, by a look that has ended no longer ago than the age.
type Look func(age time.Duration) Holders

// Mover moves files by policy and on request, one job at a time.
type Mover struct {
	tree    Tree
	log     *slog.Logger
	minFree func(total uint64) uint64
	look    Look
	pace    *Pace
	opens   *opens
	turn    chan struct{} // holds one element while a job runs
	wake    chan struct{} // the schedule is to be looked at anew
	now     func() time.Time

	mu      sync.Mutex
	policy  Policy                  // GUARDED_BY(mu)
	allowed context.Context         // GUARDED_BY(mu): ended while moving is not
	forbid  context.CancelCauseFunc // GUARDED_BY(mu)
	why     error                   // GUARDED_BY(mu): it is not allowed, else nil
	ended   bool                    // GUARDED_BY(mu): Run is over, and nobody allows it again
	asked   int                     // GUARDED_BY(mu): jobs asked for that wait for their turn
	running *job                    // GUARDED_BY(mu)
	preempt context.CancelCauseFunc // GUARDED_BY(mu): ends the running job, if it is one by policy
	last    *Report                 // GUARDED_BY(mu)
	next    time.Time               // GUARDED_BY(mu)
	failing time.Time               // GUARDED_BY(mu)
	told    map[string]time.Time    // GUARDED_BY(mu): trouble in the log, and since when
	sum     Tally                   // GUARDED_BY(mu)
}

// New makes a mover that may not move yet: see Permit.
func New(tree Tree, cfg Config) *Mover {
	m := &Mover{
		tree: tree, log: cfg.Log, minFree: cfg.MinFree, look: cfg.Look, pace: NewPace(0), opens: newOpens(),
		told: map[string]time.Time{}, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), forbid: func(error) {}, now: time.Now,
	}
	m.Permit(errors.New("not yet begun"))
	m.SetPolicy(cfg.Policy)
	return m
}

// SetPolicy puts a policy into force. The job under way, if any, ends by the one
// with which it began.
func (m *Mover) SetPolicy(p Policy) {
	m.mu.Lock()
	m.policy = p
	m.mu.Unlock()
	m.pace.SetRate(p.Rate)
	m.opens.setPolicy(p)
	m.warn(p)
	m.rouse()
}

// warn tells of a policy that cannot mean what it says.
func (m *Mover) warn(p Policy) {
	if p.Demote == 0 && p.High == 0 || p.Age != AgeNewest && p.Age != AgeAtime {
		return
	}
	t := m.tree.Tiers()[0]
	var st unix.Statfs_t
	if t.Statfs(&st) == nil && st.Flags&unix.ST_NOATIME != 0 {
		m.log.Warn("the primary is mounted noatime, so reading does not keep a file there; use age=opened, or mount it relatime", "tier", t.Root)
	}
}

var errEnded = errors.New("the mount was unmounted")

// Permit says why this daemon may not move, nil if it may. It ends the job under
// way if it may not. The error can be compared, and is asked for its text without
// a lock of ours, when somebody wants to know.
func (m *Mover) Permit(why error) {
	m.mu.Lock()
	if why == nil && m.ended {
		why = errEnded
	}
	if m.allowed == nil || why != m.why {
		m.forbid(why)
		m.allowed, m.forbid = context.WithCancelCause(context.Background())
		if why != nil {
			m.forbid(why)
		}
	}
	m.why = why
	m.mu.Unlock()
	m.rouse()
}

// Halt is Permit(why), and waits until nothing moves any more.
func (m *Mover) Halt(why error) {
	m.Permit(why)
	m.turn <- struct{}{} // the job under way gives it back
	<-m.turn
}

// Opened is told of every open of a file through the mount; path is asked for
// if it matters.
func (m *Mover) Opened(rank int, dev, ino uint64, pid uint32, path func() string) {
	if m.opens.on.Load() {
		m.opens.opened(fileKey{rank, dev, ino}, pid, time.Now(), path)
	}
}

func (m *Mover) currentPolicy() Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.policy
}

// rouse makes Run look at the schedule.
func (m *Mover) rouse() {
	select {
	case m.wake <- struct{}{}:
	default: // it has been told
	}
}

// factsOf are what f is judged by at this moment.
func (m *Mover) factsOf(f *found) facts {
	return facts{found: f, now: m.now(), opened: m.opens.last(fileKey{f.rank, f.st.Dev, f.st.Ino})}
}

// isAbsent reports that a tier does not have a path.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// primary is the tier of rank 0.
func (m *Mover) primary() *tier.Tier { return m.tree.Tiers()[0] }
