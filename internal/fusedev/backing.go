package fusedev

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Passthrough registers files for kernel passthrough and steps down, feature
// by feature, when it is refused.
//
// The kernel allows one backing ID an inode: a second open under another ID
// gets EIO. So the caller registers at an inode's first open and drops the ID
// at its last release.
type Passthrough struct {
	s    *Server
	said sync.Map // errno by reason, said once
	off  sync.Once
	dead bool // GUARDED_BY(mu)
	mu   sync.RWMutex
}

// NewPassthrough is for the server's connection.
func (s *Server) NewPassthrough() *Passthrough { return &Passthrough{s: s, dead: !s.Passthrough()} }

// Enabled reports whether files can be registered at all.
func (p *Passthrough) Enabled() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return !p.dead
}

// Register gives the file behind fd a backing ID, or 0 if its data has to go
// through the daemon. where names its filesystem for the log.
//
// The kernel does the I/O with the credentials of the calling thread, see
// sys.Nobody.
func (p *Passthrough) Register(fd int, where string) int32 {
	if !p.Enabled() {
		return 0
	}
	id, err := sys.FuseBackingOpen(p.s.dev, fd)
	if err == nil {
		return id
	}
	p.refused(err, where)
	return 0
}

// refused judges an error of Register. EPERM, ENOTTY and EOPNOTSUPP hold for
// the whole mount; ELOOP (a stacked filesystem) and the like for that tier.
func (p *Passthrough) refused(err error, where string) {
	level := slog.LevelInfo
	if p.s.cfg.Insists {
		level = slog.LevelWarn
	}
	switch err {
	case unix.EPERM, unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOSYS:
		p.off.Do(func() {
			p.s.cfg.Log.Log(context.Background(), level, "passthrough is off for this mount, data goes through the daemon; it takes root and Linux 6.9 with CONFIG_FUSE_PASSTHROUGH", "err", err)
			p.mu.Lock()
			p.dead = true
			p.mu.Unlock()
		})
	default:
		if err == unix.ELOOP {
			err = errStacked
		}
		if _, said := p.said.LoadOrStore(where, true); !said {
			p.s.cfg.Log.Log(context.Background(), level, "no passthrough on this tier, its data goes through the daemon; name a directory on another filesystem to have it", "tier", where, "err", err)
		}
	}
}

var errStacked = errors.New("it is a stacked filesystem, such as overlayfs")

// Drop gives a backing ID back.
func (p *Passthrough) Drop(id int32) {
	if err := sys.FuseBackingClose(p.s.dev, id); err != nil {
		p.s.cfg.Log.Error("kernel refused to drop a backing ID; please report it", "id", id, "err", err)
	}
}
