package tierfs

import (
	"path"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// tangled is EBUSY if the copies of a name are not of one kind: a hidden one
// would come to light. The client cannot see it, so the log says what it is.
func (fs *FS) tangled(p *inode.Inode, name string, all []copyAt) error {
	if sameKind(all) {
		return nil
	}
	for i := range all {
		if c := &all[i]; c.isDir() != all[0].isDir() {
			what := "a directory"
			if !c.isDir() {
				what = "a file"
			}
			fs.sayBusy(p, name, fs.Tiers()[c.rank],
				"a name cannot be removed or renamed, because "+what+" of that name on a lower tier would come to light; move that away, in the tier itself")
			break
		}
	}
	return unix.EBUSY
}

// sayBusy logs the reason of an EBUSY, which lies in what t has under a name,
// unless it has been said.
func (fs *FS) sayBusy(p *inode.Inode, name string, t *tier.Tier, why string) {
	dir, ok := fs.table.Path(p)
	rel := path.Join(dir, name)
	if ok {
		fs.warnOnce(rel, why, "name", rel, "tier", t.Root)
	}
}

// warnOnce logs why, unless that was said of the same thing within the hour.
func (fs *FS) warnOnce(of, why string, args ...any) {
	if fs.said.first(why+of, time.Now()) {
		fs.log.Warn(why, args...)
	}
}

// Clients decide how often there is something to say, not how much is logged:
// each line once an hour, and so many different ones.
const (
	saidTime = time.Hour
	maxSaid  = 100
)

// said is what was logged of late.
type said struct {
	mu    sync.Mutex
	since time.Time       // GUARDED_BY(mu)
	lines map[string]bool // GUARDED_BY(mu)
}

// first reports whether line is to be logged.
func (s *said) first(line string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) > saidTime {
		s.since, s.lines = now, map[string]bool{}
	}
	if s.lines[line] || len(s.lines) >= maxSaid {
		return false
	}
	s.lines[line] = true
	return true
}
