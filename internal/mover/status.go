package mover

import (
	"maps"
	"time"
)

// Status is what the mover says of itself, as the control protocol has it.
type Status struct {
	Policy       string    `json:"policy"`  // in words
	Enabled      bool      `json:"enabled"` // this daemon may move files
	Why          string    `json:"why,omitempty"`
	Running      *Report   `json:"running,omitempty"`
	Last         *Report   `json:"last,omitempty"` // the last job that has ended
	Next         time.Time `json:"next,omitzero"`  // of the next scan by the policy or try to make room, unless that is due
	FailingSince time.Time `json:"failing_since,omitzero"`
	Sum          Tally     `json:"sum"` // since the daemon began, without what the policy leaves in place
}

// Kinds of jobs.
const (
	kindScan    = "scan"      // by age and pins
	kindRoom    = "make-room" // above high=
	kindOpened  = "opened"    // by promote=
	kindDemote  = "demote"    // asked for
	kindPromote = "promote"   // asked for
)

// Report is one job.
type Report struct {
	Kind  string    `json:"kind"`
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end,omitzero"`
	Error string    `json:"error,omitempty"` // why it ended early
	Tally
	Full []Full `json:"full,omitempty"` // tiers that had no room
}

// Tally counts what has become of files.
type Tally struct {
	FilesDown int            `json:"files_down"`
	BytesDown int64          `json:"bytes_down"`
	FilesUp   int            `json:"files_up"`
	BytesUp   int64          `json:"bytes_up"`
	Skipped   map[Reason]int `json:"skipped"`
}

// moved counts a file that has moved.
func (t *Tally) moved(from, to int, bytes int64) {
	if to < from {
		t.FilesUp++
		t.BytesUp += bytes
		return
	}
	t.FilesDown++
	t.BytesDown += bytes
}

func (t *Tally) skip(why Reason, n int) {
	if t.Skipped == nil {
		t.Skipped = map[Reason]int{}
	}
	t.Skipped[why] += n
}

// add takes in another tally but for what the policy has left in place: each
// scan comes upon all of that anew.
func (t *Tally) add(of Tally) {
	t.FilesDown += of.FilesDown
	t.BytesDown += of.BytesDown
	t.FilesUp += of.FilesUp
	t.BytesUp += of.BytesUp
	for why, n := range of.Skipped {
		if !why.chosen() {
			t.skip(why, n)
		}
	}
}

// clone is a copy with a map of its own, which is never nil: it goes out as
// JSON.
func (t Tally) clone() Tally {
	t.Skipped = maps.Clone(t.Skipped)
	if t.Skipped == nil {
		t.Skipped = map[Reason]int{}
	}
	return t
}

// fails reports that nothing has moved although something was to, and could not
// for a cause that does not go away by itself.
func (t *Tally) fails() bool {
	return t.FilesDown+t.FilesUp == 0 && t.Skipped[Failed]+t.Skipped[NoRoom]+t.Skipped[Quota]+t.Skipped[Away]+t.Skipped[ReadOnly] > 0
}

// Status is the state of this moment.
func (m *Mover) Status() Status {
	s, why := m.state()
	if why != nil {
		s.Why = why.Error()
	}
	return s
}

// state is the same without the text of why nothing may move.
func (m *Mover) state() (s Status, why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s = Status{
		Policy: m.policy.String(), Enabled: m.why == nil,
		FailingSince: m.failing, Sum: m.sum.clone(),
	}
	if m.next.After(m.now()) { // else it runs, or does as soon as it may
		s.Next = m.next
	}
	if m.running != nil {
		r := m.running.report()
		s.Running = &r
	}
	if m.last != nil {
		r := *m.last
		s.Last = &r
	}
	return s, m.why
}
