package tier

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Fails reports whether a call's error says that its disk or its server has failed to
// answer, rather than what the answer is. EUCLEAN and EBADMSG are what filesystems say of
// what they cannot make sense of (EFSCORRUPTED and EFSBADCRC). A tier that is away gives
// EIO.
func Fails(err error) bool {
	switch err {
	case unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.EREMOTEIO, unix.ETIMEDOUT:
		return true
	}
	return false
}

// failures are the calls that a tier has failed although it answers.
type failures struct {
	mu     sync.Mutex
	n      uint64    // GUARDED_BY(mu)
	last   time.Time // GUARDED_BY(mu)
	logged time.Time // GUARDED_BY(mu)
}

// failureSilence is the time between two lines in the log about a tier that fails.
const failureSilence = time.Hour

// note counts a failure, and logs it if that was not done for a while.
func (f *failures) note(log *slog.Logger, root string, err error) {
	f.mu.Lock()
	f.n++
	f.last = time.Now()
	tell := f.last.Sub(f.logged) >= failureSilence
	if tell {
		f.logged = f.last
	}
	f.mu.Unlock()
	if tell {
		log.Error("tier's disk fails: what only it has gives errors; check the disk, see the kernel's log, and mount anew when it is well", "tier", root, "err", err)
	}
}

// Failures counts the calls that the tier's disk has failed since the mount, and tells
// when it did last. Data that the kernel passes through is not seen.
func (t *Tier) Failures() (n uint64, last time.Time) {
	t.failures.mu.Lock()
	defer t.failures.mu.Unlock()
	return t.failures.n, t.failures.last
}
