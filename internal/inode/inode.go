// Package inode keeps the identities the kernel holds for tierfs files.
//
// An Inode lives from its first lookup until its lookup count returns to zero;
// in a table that keeps IDs, until its file is gone.
// It knows its names and the tier that is home to the content. Descriptors
// belong to opens, so an Inode costs memory only.
package inode

import (
	"sync"
	"sync/atomic"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// RootID is the kernel's node ID of the root.
const RootID = 1

// Key is a backing inode: its number on one filesystem of one tier. Slot is
// the pair of rank and device, see Table.Key.
type Key struct {
	Slot uint32
	Ino  uint64
}

// Inode is what the kernel holds a node ID for: a file with its names, or a
// directory merged of one copy a tier.
type Inode struct {
	ID   uint64
	Ino  uint64 // st_ino shown; never changes while the kernel holds the inode
	Type uint32 // S_IFMT bits

	// Mappable counts the handles through which a client can change the backing
	// file by a shared mapping, of which the daemon does not hear.
	Mappable atomic.Int32

	// Told is a hash of the owner and mode by which the kernel judges who may
	// use the file, see FS.asTold; 0: it was not told yet.
	Told atomic.Uint32

	// GUARDED_BY(Table.mu)
	key     Key
	life    uint32 // Copy.Life; 0: not known
	since   uint32 // when it was entered, by the table's clock
	lookups uint64
	dead    bool // out of Table.byKey: its last name is gone, or another took its number
	parent  *Inode
	name    string
	more    []dentry   // further names of a hard-linked file
	gone    *tier.File // with O_PATH, see Leave; closed when the kernel forgets the inode
	dir     *dirState

	// Mu is held for reading by ops on the attributes, for writing by what
	// opens and closes. It is taken before Table.mu.
	Mu   sync.RWMutex
	Open *Opened // nil unless handles are open; GUARDED_BY(Mu)
}

type dentry struct {
	parent *Inode
	name   string
}

// Opened is what the handles of one open file share.
type Opened struct {
	File    *tier.File // readable where the daemon may read
	Writes  bool       // File is open for writing too
	Handles int        // GUARDED_BY(Inode.Mu)
	Backing int32      // the kernel's backing ID; 0: data goes through the daemon

	mu sync.Mutex
	rw *tier.File // GUARDED_BY(mu): opened for writing when first needed
}

// Writable is a descriptor open for writing, made at its first use.
func (o *Opened) Writable() (*tier.File, error) {
	if o.Writes {
		return o.File, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rw == nil {
		f, err := o.File.Reopen(unix.O_RDWR)
		if err != nil {
			return nil, err
		}
		o.rw = f
	}
	return o.rw, nil
}

// Close closes what the last handle leaves.
func (o *Opened) Close() {
	o.File.Close()
	if o.rw != nil {
		o.rw.Close()
	}
}

// IsDir reports whether the inode is a directory.
func (in *Inode) IsDir() bool { return in.Type == unix.S_IFDIR }

// dirState is what a directory has beside.
type dirState struct {
	sub    map[string]*Inode // GUARDED_BY(Table.mu): its known subdirectories
	copies []copyState       // by rank; grows with both Table.mu and DirCache.mu held
	last   *unix.Stat_t      // GUARDED_BY(Table.mu): the merged attributes last shown
}

// copyState is a directory's copy on one tier.
type copyState struct {
	key     Key     // GUARDED_BY(Table.mu)
	present bool    // GUARDED_BY(Table.mu)
	ref     *cached // GUARDED_BY(DirCache.mu): its descriptor, if cached
	absent  int64   // GUARDED_BY(DirCache.mu): believed absent until then, ns of the cache's clock
}
