package tierfs

import (
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/mover"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// moving is a file on its way to another tier.
type moving struct {
	name string
	out  *mover.Outcome
	in   *inode.Inode

	src    *tier.File  // the only descriptor that the daemon has on the source
	st     unix.Stat_t // the source
	copied *tier.File  // the copy, until it is synced
	held   *tier.File  // … and from then on where its number may change; O_PATH
	copy   unix.Stat_t // the copy as it was when it was complete
	staged string      // its name in the staging directory; "" once it is in place
	aside  string      // the source's name in the trash; "" until it is in a record

	mu     sync.Mutex
	leased bool // we have a lease on the source; GUARDED_BY(mu)
	given  bool // somebody else wants the file; GUARDED_BY(mu)
}

// lease takes a lease on the source, which nobody else can have open then.
// Where its filesystem gives none, the file moves without. EAGAIN says that
// somebody has it open.
func (m *moving) lease() (leased bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.given {
		return false, unix.EAGAIN
	}
	err = m.src.Lease()
	m.leased = err == nil
	if err == unix.EAGAIN {
		return false, err
	}
	return m.leased, nil
}

// mapped reports whether a client may have a mapping of the source.
func (m *moving) mapped() bool { return m.in.Mapped.Load() }

// giveWay ends the move in favour of somebody who opens or cuts the file.
// Without, he would wait for our lease.
func (m *moving) giveWay() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given = true
	m.unlease()
}

// LOCKS_REQUIRED(m.mu)
func (m *moving) unlease() {
	if m.leased {
		m.src.Unlease()
		m.leased = false
	}
}

// asked reports whether somebody else is known to want the file. Who opens it out
// of band is known of when watch has looked.
func (m *moving) asked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.given
}

// wanted reports whether somebody else wants the file, in the mount or out of
// band.
func (m *moving) wanted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leased && !m.src.Leased() {
		m.given = true
		m.unlease()
	}
	return m.given
}

// altered reports whether who wanted the source has changed it already.
func (m *moving) altered() bool {
	var st unix.Stat_t
	return m.src != nil && m.src.Stat(&st) == nil && !sameFile(&st, &m.st)
}

// close gives up the descriptors, and with the source's the lease
// (locks_remove_file).
func (m *moving) close() {
	for _, f := range []**tier.File{&m.copied, &m.held} {
		if *f != nil {
			(*f).Close()
			*f = nil
		}
	}
	if m.src != nil {
		m.mu.Lock()
		m.leased = false
		m.mu.Unlock()
		m.src.Close()
		m.src = nil
	}
}

// movings are the files under way, for those who want one.
type movings struct {
	n  atomic.Int32
	mu sync.Mutex
	m  map[*inode.Inode]*moving // GUARDED_BY(mu)
}

// add enters a file that nobody has open.
//
// LOCKS_REQUIRED(m.in.Mu) for reading: who opens the file from now on is told
func (a *movings) add(m *moving) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = map[*inode.Inode]*moving{}
	}
	if a.m[m.in] != nil {
		return false
	}
	a.m[m.in] = m
	a.n.Add(1)
	return true
}

func (a *movings) remove(m *moving) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m[m.in] == m {
		delete(a.m, m.in)
		a.n.Add(-1)
	}
}

// giveWay ends the move of a file, if there is one.
//
// LOCKS_REQUIRED(in.Mu) for reading
func (a *movings) giveWay(in *inode.Inode) {
	if a.n.Load() == 0 {
		return
	}
	a.mu.Lock()
	m := a.m[in]
	a.mu.Unlock()
	if m != nil {
		m.giveWay()
	}
}

// leaseLook is how often the leases are looked at even if no signal tells to: that
// goes to the thread which took the lease, and is lost if it has ended since.
const leaseLook = 200 * time.Millisecond

// leaseRest is the least time between two looks: who opens many files that move, one
// after the other, has us look at all leases for each.
const leaseRest = 5 * time.Millisecond

// watchLeases gives way for the files until stop. Who opens one out of band waits for
// our lease, and the kernel sends SIGIO for it (fcntl(2), F_SETLEASE). It does not say
// for which.
func watchLeases(files []*moving) (stop func()) {
	wanted := make(chan os.Signal, 1)
	signal.Notify(wanted, unix.SIGIO)
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(leaseLook)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-wanted:
			case <-tick.C:
			}
			for _, m := range files {
				m.wanted()
			}
			time.Sleep(leaseRest)
		}
	}()
	return func() {
		signal.Stop(wanted)
		close(ended)
	}
}
