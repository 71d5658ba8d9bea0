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

// Bytes is what a file's inode takes, about, with a name of 20 bytes.
const Bytes = 170

// Key is a backing inode: its number on one filesystem of one tier. Slot is
// the pair of rank and device, see Table.Key.
type Key struct {
	Slot uint32
	Ino  uint64
}

// Inode is what the kernel holds a node ID for: a file with its names, or a
// directory merged of one copy a tier. There may be millions, so it is laid out
// to fit one of the allocator's sizes, 112 bytes.
type Inode struct {
	ID  uint64
	Ino uint64 // st_ino shown; never changes while the kernel holds the inode

	// Told is a hash of the owner and mode by which the kernel judges who may
	// use the file, see FS.asTold; 0: it was not told yet.
	Told atomic.Uint32

	// Mapped says that a client may have a mapping through which it writes into
	// the backing file when it has closed the file. In passthrough such a mapping
	// keeps the kernel's inode, so this one lives as long; and the daemon hears
	// neither of the writes nor of the end.
	Mapped atomic.Bool

	// GUARDED_BY(Table.mu)
	since   uint32 // when it was entered, by the table's clock
	lookups uint64
	parent  *Inode
	name    string
	extra   *extra // of a directory always
	ino     uint64 // with slot: see key
	slot    uint32
	life    uint32 // Copy.Life; 0: not known
	dead    bool   // out of Table.byKey: its last name is gone, or another took its number

	Type uint16 // S_IFMT bits

	// Mu is held for reading by ops on the attributes, for writing by what
	// opens and closes. It is taken before Table.mu.
	Mu   Lock
	open atomic.Pointer[Opened] // changes with Mu held
}

// extra is what directories have beside, and few of the files.
type extra struct {
	subs  uint32     // how many directories have names in this one; GUARDED_BY(Table.mu)
	kids  uint32     // how many inodes have their first name in this one; GUARDED_BY(Table.mu)
	names []dentry   // further names of a hard-linked file; GUARDED_BY(Table.mu)
	gone  *tier.File // with O_PATH, see Leave; closed when the kernel forgets the inode; GUARDED_BY(Table.mu)

	listed Listed // see there

	copies []copyState  // by rank; grows with both Table.mu and DirCache.mu held
	seen   []Key        // what Table.seen has of it; GUARDED_BY(Table.mu)
	last   *unix.Stat_t // the merged attributes last shown; GUARDED_BY(Table.mu)
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
	Writers int        // of them, those that write in passthrough; GUARDED_BY(Inode.Mu)
	Heard   bool       // the watch has told of it while there are Writers; GUARDED_BY(Inode.Mu)
	Quiet   bool       // the watch leaves out what is written; GUARDED_BY(Inode.Mu)
	Backing int32      // the kernel's backing ID; 0: data goes through the daemon

	// Mappable counts the handles through which a client can change the backing
	// file by a shared mapping, of which the daemon does not hear.
	Mappable atomic.Int32

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

// Opened is what the handles share, nil unless there are any.
//
// LOCKS_REQUIRED(in.Mu) for reading
func (in *Inode) Opened() *Opened { return in.open.Load() }

// SetOpened is told of the first handle, and with nil of the end of the last.
//
// LOCKS_REQUIRED(in.Mu)
func (in *Inode) SetOpened(o *Opened) { in.open.Store(o) }

// Mappable reports whether a client can change the backing file without the
// daemon's hearing of it.
func (in *Inode) Mappable() bool {
	o := in.open.Load()
	return o != nil && o.Mappable.Load() > 0
}

// InUse reports whether a client has the file open, or may have it mapped.
func (in *Inode) InUse() bool { return in.open.Load() != nil || in.Mapped.Load() }

// IsDir reports whether the inode is a directory.
func (in *Inode) IsDir() bool { return in.Type == unix.S_IFDIR }

// Is reports whether mode is of the inode's type. What has its number and is of another
// is another file.
func (in *Inode) Is(mode uint32) bool { return in.Type == uint16(mode&unix.S_IFMT) }

// Listed is what is to be known of a directory's listings when none is kept any more. Who
// keeps them guards it.
type Listed struct {
	Last   uint8  // serial of the last
	Places Places // of the last that was given up
}

// Places are the positions of the rows in a listing: another of the same rows has them as
// well.
type Places struct {
	Sum           uint64 // of what the rows tell
	Rows          int32
	Serial, Older uint8 // serial 0: they are nothing that another would have
	Ended         bool
}

// Listed is a directory's.
func (in *Inode) Listed() *Listed { return &in.extra.listed }

// key is the backing inode.
//
// LOCKS_REQUIRED(Table.mu)
func (in *Inode) key() Key { return Key{in.slot, in.ino} }

// further are the names of a file but one.
//
// LOCKS_REQUIRED(Table.mu)
func (in *Inode) further() []dentry {
	if in.extra == nil {
		return nil
	}
	return in.extra.names
}

// setFurther replaces them.
//
// LOCKS_REQUIRED(Table.mu)
func (in *Inode) setFurther(names []dentry) {
	if len(names) == 0 {
		names = nil
	}
	in.setExtra(func(x *extra) { x.names = names })
}

// setGone replaces the descriptor that outlives the names, and returns the one
// before.
//
// LOCKS_REQUIRED(Table.mu)
func (in *Inode) setGone(file *tier.File) (was *tier.File) {
	in.setExtra(func(x *extra) { was, x.gone = x.gone, file })
	return was
}

// setExtra changes what few files have, and keeps it only while there is
// something. A directory's stays where it is: DirCache reads it with its own lock.
//
// LOCKS_REQUIRED(Table.mu)
func (in *Inode) setExtra(set func(*extra)) {
	if in.IsDir() {
		set(in.extra)
		return
	}
	x := in.extra
	if x == nil {
		x = &extra{}
	}
	set(x)
	if in.extra = x; x.names == nil && x.gone == nil {
		in.extra = nil
	}
}

// copyState is a directory's copy on one tier.
type copyState struct {
	ino     uint64  // GUARDED_BY(Table.mu): with slot its key
	slot    uint32  // GUARDED_BY(Table.mu)
	present bool    // GUARDED_BY(Table.mu)
	asked   bool    // its tier was, whether there is one; GUARDED_BY(Table.mu)
	ref     *cached // GUARDED_BY(DirCache.mu): its descriptor, if cached
	absent  int64   // GUARDED_BY(DirCache.mu): believed absent until then, ns of the cache's clock
}

func (s *copyState) key() Key { return Key{s.slot, s.ino} }

// set makes k the copy.
func (s *copyState) set(k Key) { s.slot, s.ino, s.present, s.asked = k.Slot, k.Ino, true, true }
