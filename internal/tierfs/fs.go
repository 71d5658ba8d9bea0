// Package tierfs is the filesystem: the union of the tiers, one file an op
// family.
//
// An op is two hops: the inode table (memory), then the tier (system calls).
// Ops read alike: find the inode, lock, call, fill the reply, return the errno.
package tierfs

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// Options are the rules that a remount can change.
type Options struct {
	CreatePrimary bool                      // new files go to the primary, not to where their directory is
	MinFree       func(total uint64) uint64 // bytes a tier must have free to be given new files
	StatfsPrimary bool                      // statfs shows the primary alone
	Sync          bool                      // what was answered is durable
	DirSync       bool                      // … of changes in directories; implied by Sync
	EntryTTL      time.Duration             // how long the kernel may believe a name
	AttrTTL       time.Duration             // … attributes
	NegativeTTL   time.Duration             // … that a name does not exist
}

// Config is what stays for the life of the mount.
type Config struct {
	Options
	Log         *slog.Logger
	RawLinks    bool // symlink targets are shown as they are stored
	Inodes32    bool
	Export      bool // IDs are good for as long as the file is there (noforget)
	Passthrough bool
	Cache       Cache
	MaxDirs     int             // directory descriptors to keep
	MaxFiles    int64           // descriptors for all that clients open
	MaxListings int64           // bytes for all their listings
	Freed       func(bytes int) // told what is of no use any more; may be nil
	Used        Used            // may be nil
}

// FS serves the union of a set of tiers.
//
// LOCK ORDER: names → Inode.Mu → moves → Table.mu → DirCache.mu; journal.calm
// before all; journal.mu, takings.mu and movings.mu are leaves. No lock that others need is
// held while a tier is waited for, but Inode.Mu and a name, by ops on that very
// file.
type FS struct {
	log                   *slog.Logger
	set                   *tier.Set
	table                 *inode.Table
	dirs                  *inode.DirCache
	options               atomic.Pointer[Options]
	rawLinks, union, root bool
	group                 uint32 // the daemon's own
	freed                 func(bytes int)
	used                  Used
	export                bool
	alone                 atomic.Bool // no other daemon moves files of these tiers
	generation            uint32      // of every ID; a handle of an earlier daemon has another

	srv      *fusedev.Server
	pass     *fusedev.Passthrough
	wantPass bool
	cache    Cache

	files    handles[*fileHandle]
	lists    handles[*dirHandle]
	habits   habits
	kept     *kept
	journal  *journal
	moves    *moves
	times    timekeeper
	names    *names
	movings  movings
	unsynced unsynced

	leftovers leftovers
	coherence *coherence

	descriptors *shares
	memory      *shares // of listings, in bytes
	said        said    // of what clients asked for and could not have
	heldMu      sync.Mutex
	held        map[*tier.File]uint32 // GUARDED_BY(heldMu): whose debt the descriptors from leave are
}

// New makes the filesystem of the opened tiers.
func New(set *tier.Set, cfg Config) (*FS, error) {
	tiers := set.Tiers()
	fs := &FS{
		log: cfg.Log, set: set, dirs: inode.NewDirCache(cfg.MaxDirs),
		union: len(tiers) > 1, root: os.Geteuid() == 0, group: uint32(os.Getegid()), wantPass: cfg.Passthrough, cache: cfg.Cache,
		freed: cfg.Freed, used: cfg.Used, export: cfg.Export, generation: rand.Uint32(),
	}
	fs.journal = newJournal(fs)
	roots := make([]unix.Stat_t, len(tiers))
	for rank, t := range tiers {
		if err := fs.lookAt(t, fs.union, &roots[rank]); err != nil {
			return nil, err
		}
	}
	fs.table = inode.NewTable(roots, cfg.Inodes32, cfg.Export)
	for _, t := range tiers {
		fs.tellByName(t)
	}
	if fs.freed == nil {
		fs.freed = func(int) {}
	}
	fs.rawLinks = cfg.RawLinks || !fs.union
	fs.times.idle = !fs.union
	fs.options.Store(&cfg.Options)
	fs.moves = newMoves(fs.table)
	fs.names = newNames()
	fs.kept = &kept{fs: fs, begun: time.Now(), page: os.Getpagesize(), long: keptBytes / 4, dirs: map[*inode.Inode]*keptDir{}}
	fs.coherence = newCoherence(fs)
	fs.descriptors, fs.memory = newShares(cfg.MaxFiles), newShares(cfg.MaxListings)
	fs.held = map[*tier.File]uint32{}
	return fs, nil
}

// lookAt is fstat(2) of a tier's root, once it is known what tells its files apart. In
// a tier without others, and in one that cannot be written to, nothing is made to find out.
func (fs *FS) lookAt(t *tier.Tier, union bool, st *unix.Stat_t) error {
	if union && !t.ReadOnly() && !fs.NumbersLast(t) && t.TellByNode() && fs.export {
		fs.log.Warn("noforget: files do not keep their inode numbers on this tier, so file handles end when the kernel drops its inode there; do not export the mount by NFS", "tier", t.Root)
	}
	root := t.RootDir()
	defer root.Put()
	return root.StatSelf(st)
}

// tellByName has the table tell a tier's directories by their names, if their numbers
// change.
func (fs *FS) tellByName(t *tier.Tier) {
	if t.ByNode() {
		fs.table.ByName(t.Rank)
	}
}

// Attach gives the filesystem its connection.
func (fs *FS) Attach(s *fusedev.Server) {
	fs.srv = s
	fs.pass = s.NewPassthrough()
	fs.startCache(s)
}

// Tiers are the tiers in rank order.
func (fs *FS) Tiers() []*tier.Tier { return fs.set.Tiers() }

// Extend takes in a tier below all others; ids are the member IDs from now on.
func (fs *FS) Extend(t *tier.Tier, ids []string) error {
	var st unix.Stat_t
	if err := fs.lookAt(t, true, &st); err != nil {
		return err
	}
	fs.SetMembers(ids)
	fs.journal.takings.left.Add(1) // what its journal has, no replay has seen
	fs.table.Extend(&st, fs.dirs)
	fs.tellByName(t)
	fs.set.Append(t)
	fs.journal.takings.left.Add(1) // and of those read meanwhile some may be of this tier
	fs.coherence.include(t)
	return nil
}

// SetAlone says whether no other daemon moves files of these tiers: that is so
// for the one that has the members' locks.
func (fs *FS) SetAlone(alone bool) {
	if fs.alone.Swap(alone) && !alone {
		fs.listAnew()
	}
}

// TierLost is told that a tier is away: what lists its directories ends in an error now.
func (fs *FS) TierLost() { fs.listAnew() }

// listAnew makes the kernel ask for every listing.
func (fs *FS) listAnew() { fs.coherence.orders.lists(fs.kept.clear()) }

// SetOptions puts changed rules into force.
func (fs *FS) SetOptions(o Options) { fs.options.Store(&o) }

// Options are the rules in force.
func (fs *FS) Options() Options { return *fs.options.Load() }

// Inodes counts the inodes in the table, Handles the opens of files and
// directories.
func (fs *FS) Inodes() int  { return fs.table.Len() }
func (fs *FS) Handles() int { return fs.files.len() + fs.lists.len() }

// TierReturned drops what is cached of a tier that was away, and wakes the
// chores. Its root may be that of another mount of its disk now.
func (fs *FS) TierReturned(t *tier.Tier) {
	fs.dirs.DropTier(t.Rank)
	var st unix.Stat_t
	if t.StatRoot(&st) == nil {
		fs.table.AddCopy(fs.table.Root(), inode.Copy{Rank: t.Rank, Key: fs.table.Key(t.Rank, st.Dev, st.Ino)})
	}
	fs.coherence.include(t)
	fs.journal.tell()
}

// Close closes the descriptors that the filesystem holds.
func (fs *FS) Close() {
	fs.coherence.close()
	fs.dirs.DropTier(-1)
}

// get is the inode that the kernel names. It names none that it was not told
// of; ESTALE makes it look again.
func (fs *FS) get(id uint64) (*inode.Inode, error) {
	if in := fs.table.Get(id); in != nil {
		return in, nil
	}
	return nil, unix.ESTALE
}

// getDir is get for a directory.
func (fs *FS) getDir(id uint64) (*inode.Inode, error) {
	in, err := fs.get(id)
	if err == nil && !in.IsDir() {
		return nil, unix.ENOTDIR
	}
	return in, err
}

// hiddenName is where a tier keeps its own records (design: membership,
// journal). Through the mount it does not exist and cannot be made.
const hiddenName = ".tierfs"

func (fs *FS) hidden(parent *inode.Inode, name string) bool {
	return fs.union && parent.ID == inode.RootID && name == hiddenName
}

// as runs fn, which does not call it again, as uid and gid on the filesystem. An
// ordinary user's daemon is who it is, and root's is root: for root's clients
// nothing is to be set.
func (fs *FS) as(uid, gid uint32, fn func() error) error {
	if !fs.root || uid == 0 && gid == fs.group {
		return fn()
	}
	return sys.AsUser(int(uid), int(gid), fn)
}

// onNetwork runs fn as the caller where a server checks permissions itself,
// which may not trust root (NFS root_squash), and as the daemon elsewhere.
func (fs *FS) onNetwork(t *tier.Tier, r *fusedev.Request, fn func() error) error {
	if !t.Network {
		return fn()
	}
	return fs.as(r.UID, r.GID, fn)
}

// asWriter runs fn, by which r's client takes up space or writes, as somebody
// who may not use what the filesystem reserves for root; on a network
// filesystem as the file's owner. The group only matters to a set-group-ID bit.
func (fs *FS) asWriter(r *fusedev.Request, t *tier.Tier, st *unix.Stat_t, fn func() error) error {
	switch {
	case !fs.root:
		return fn()
	case t.Network:
		return fs.as(st.Uid, st.Gid, fn)
	case keepsMark(r, st):
		return sys.AsUser(sys.Nobody, int(st.Gid), fn)
	case st.Mode&unix.S_ISGID != 0:
		return sys.AsUser(sys.Nobody, sys.Nobody, fn)
	}
	return sys.AsNobody(fn)
}

// keepsMark reports whether a set-group-ID bit stays when r's client changes
// the file: one without the group's right to execute (mandatory locking, once)
// does for root and the group's members (setattr_should_drop_sgid). Being in
// the group is what keeps it for the daemon too.
func keepsMark(r *fusedev.Request, st *unix.Stat_t) bool {
	return st.Mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID && (r.UID == 0 || r.GID == st.Gid)
}

// absent reports that a tier does not have a name.
func absent(err error) bool { return err == unix.ENOENT || err == unix.ENOTDIR }

// full reports that a tier has no room.
func full(err error) bool { return err == unix.ENOSPC || err == unix.EDQUOT }
