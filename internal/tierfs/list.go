package tierfs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// dirHandle is one opendir(3), where the kernel asks for it: a snapshot of the merged
// rows, taken at the first read and anew at every rewind, so that offsets are stable and
// each name comes once whatever happens meanwhile.
type dirHandle struct {
	in       *inode.Inode
	uid      uint32
	released atomic.Bool

	mu   sync.Mutex
	rows *listing // GUARDED_BY(mu)
}

func (fs *FS) openDir(r *fusedev.Request, op *fuseops.OpenDirOp) error {
	if fs.kept.unasked() {
		return unix.ENOSYS
	}
	in, err := fs.getDir(uint64(op.Inode))
	if err != nil {
		return err
	}
	id := fs.lists.add(&dirHandle{in: in, uid: r.UID})
	if !r.Opened(fusedev.Open{Handle: id}) {
		fs.releaseDir(id)
	}
	return nil
}

// knows reports whether the kernel knows most of what is in a directory, so that a
// lookup of each would tell it little.
func (fs *FS) knows(in *inode.Inode, l *listing) bool {
	n := l.len() - 2
	return fs.table.Kids(in) >= n-n/8
}

func (fs *FS) releaseDir(id uint64) {
	if h, ok := fs.lists.remove(id); ok {
		h.released.Store(true)
		fs.dropRows(h)
	}
}

// dropRows gives up the listing of a handle that is released. An op that the
// watchdog has answered for may be at it still; then that does it at its end.
func (fs *FS) dropRows(h *dirHandle) {
	if h.released.Load() && h.mu.TryLock() {
		fs.give(h, nil)
		h.mu.Unlock()
	}
}

// give makes a listing a handle's, in place of another; nil for none.
//
// LOCKS_REQUIRED(h.mu)
func (fs *FS) give(h *dirHandle, l *listing) {
	if old := h.rows; old != nil {
		fs.memory.give(old.uid, old.paid)
		fs.freed(int(old.paid))
	}
	h.rows = l
}

// rows locks a handle and returns its listing for a read at off.
func (fs *FS) rows(id, off uint64) (h *dirHandle, l *listing, done func(), err error) {
	if h, err = fs.lists.get(id, nil); err != nil {
		return nil, nil, nil, err
	}
	h.mu.Lock()
	done = func() {
		h.mu.Unlock()
		fs.dropRows(h)
	}
	if l, err = fs.listingAt(h, off); err != nil {
		done()
		return nil, nil, nil, err
	}
	return h, l, done, nil
}

// listingAt is the handle's listing, taken anew at offset 0.
//
// LOCKS_REQUIRED(h.mu)
func (fs *FS) listingAt(h *dirHandle, off uint64) (*listing, error) {
	if h.rows != nil && off > 0 {
		return h.rows, nil
	}
	fs.give(h, nil)
	defer fs.names.list(h.in)()
	l, err := fs.newListing(h.in, h.uid)
	if err == nil {
		fs.give(h, l)
	}
	return l, err
}

// newListing takes a listing from the tiers, for which uid pays. The names of the
// directory are in use meanwhile.
func (fs *FS) newListing(in *inode.Inode, uid uint32) (*listing, error) {
	l := &listing{uid: uid, taken: fs.names.total(), since: fs.coherence.now(), begun: time.Now()}
	if err := fs.list(in, uid, l); err != nil {
		fs.memory.give(uid, l.paid)
		return nil, err
	}
	return l, nil
}

// list merges the listings of a directory's copies, highest first. A tier that
// is away or fails is left out, and the listing ends in EIO: no backup may take it for
// complete. One that is longer than uid may have memory for is ENOMEM: a tier
// may be a filesystem whose directories never end.
func (fs *FS) list(in *inode.Inode, uid uint32, l *listing) error {
	up := in
	if parent, _, ok := fs.table.Dentry(in); ok {
		up = parent
	}
	l.add(".", in.Ino, 0, unix.DT_DIR)
	l.add("..", up.Ino, 0, unix.DT_DIR)
	m := merger{fs: fs, in: in, uid: uid, l: l}
	tiers := fs.Tiers()
	if err := m.mergeAll(tiers); err != nil {
		return err
	}
	if !fs.alone.Load() { // another daemon may have moved a file up to one that was listed
		if err := m.mergeAll(tiers[:len(tiers)-1]); err != nil {
			return err
		}
	}
	if m.tiers == 0 && l.err == nil {
		return unix.ENOENT
	}
	return nil
}

// merger adds one tier's rows after another's.
type merger struct {
	fs    *FS
	in    *inode.Inode
	uid   uint32
	l     *listing
	tiers int
	seen  nameSet // the names of the tiers before, from the second on
}

func (m *merger) mergeAll(tiers []*tier.Tier) error {
	for rank := range tiers {
		err := m.merge(rank)
		if err != nil && !tier.Fails(err) {
			return err
		}
		if err != nil {
			m.l.err = unix.EIO
		}
	}
	return nil
}

func (m *merger) merge(rank int) error {
	d, err := m.fs.dir(m.in, rank)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Put()
	dev, err := d.Dev()
	if err != nil {
		return err
	}
	f, err := d.List()
	if absent(err) {
		return gone(d)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if m.tiers++; m.tiers > 1 {
		m.seen.extend(m.l)
	}
	err = f.ReadDir(func(e sys.Dirent) error {
		m.row(d, rank, dev, e)
		return m.pay()
	})
	if absent(err) {
		return gone(d)
	}
	return err
}

// gone explains ENOENT from listing an open copy of a directory. One that was
// removed out of band has no rows, and is no error: the other tiers' rows are to
// be listed, and readdir(3) takes ENOENT for the end. A tier that says so of a
// directory that is there fails.
func gone(d *tier.Dir) error {
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		return err
	}
	if st.Nlink > 0 {
		return unix.EIO
	}
	return nil
}

// pay takes the memory for the rows so far.
func (m *merger) pay() error {
	l := m.l
	need := int64(l.len()*rowCost + l.text)
	if need <= l.paid {
		return nil
	}
	step := max(4096, l.paid/8)
	if len(l.names) > maxPieces {
		return unix.ENOMEM
	}
	for !m.fs.memory.take(m.uid, step) {
		if !m.fs.kept.relieve(m.uid, m.in) {
			return unix.ENOMEM
		}
	}
	l.paid += step
	return nil
}

// row adds one of a tier's rows unless a higher tier has the name. One that
// cannot be looked at is listed as the tier listed it: who wants more of it gets
// the error, and a listing without it would look complete.
func (m *merger) row(d *tier.Dir, rank int, dev uint64, e sys.Dirent) {
	if m.fs.hidden(m.in, e.Name) {
		return
	}
	if m.seen.has(m.l, e.Name) {
		return
	}
	if e.Type == unix.DT_UNKNOWN || e.Type == unix.DT_DIR {
		// The row of a mount point has the number of what it covers.
		var st unix.Stat_t
		switch err := d.Stat(e.Name, &st); {
		case absent(err):
			return
		case err == nil:
			m.l.mounts = m.l.mounts || st.Dev != dev
			e.Type, e.Ino, dev = fusedev.DirentType(st.Mode), st.Ino, st.Dev
		}
	}
	m.l.add(e.Name, m.fs.table.Shown(m.fs.table.Key(rank, dev, e.Ino)), rank, e.Type)
}

// readDir lists rows; op has a handle if the kernel asked to open the directory.
func (fs *FS) readDir(r *fusedev.Request, op *fusedev.ReaddirOp) error {
	if op.Handle > 0 {
		h, l, done, err := fs.rows(op.Handle, op.Offset)
		if err != nil {
			return err
		}
		defer done()
		return fs.tellRows(r, op, h.in, l, l.after(op.Offset))
	}
	in, err := fs.getDir(op.Node)
	if err != nil {
		return err
	}
	l, at, err := fs.kept.read(in, r.UID, op.Offset)
	if err != nil {
		return err
	}
	return fs.tellRows(r, op, in, l, at)
}

// tellRows answers with the rows of l from row at on.
func (fs *FS) tellRows(r *fusedev.Request, op *fusedev.ReaddirOp, in *inode.Inode, l *listing, at int) error {
	if at == l.len() && l.err != nil {
		return l.err
	}
	if op.Plus {
		fs.tellLooked(r, op, in, l, at)
		return nil
	}
	dst, n := r.Room(op.Size), 0
	for i := at; i < l.len(); i++ {
		row := l.row(i)
		size := fusedev.PutDirent(dst[n:], row.ino, l.offset(i), l.name(row), row.typ)
		if size == 0 {
			break
		}
		n += size
	}
	r.Data(dst[:n])
	return nil
}

// aheadFor is how old a listing may be whose directories are looked up though the client
// goes by names. Who goes down the tree is spared a lookup of each; who does not shall not
// wait for them on a slow tier, or on one that was not asked for the listing.
const aheadFor = 10 * time.Millisecond

// tellLooked is tellRows with what a lookup of each would say, unless the client is
// better off without.
func (fs *FS) tellLooked(r *fusedev.Request, op *fusedev.ReaddirOp, dir *inode.Inode, l *listing, at int) {
	dst, n := r.Room(op.Size), 0
	known := l.firm && fs.knows(dir, l)
	plain := known || fs.habits.plain(r.PID, dir, l.len(), op.Offset == 0)
	var f found
	var looked []told
	for i := at; i < l.len(); i++ {
		row := l.row(i)
		name := l.name(row)
		if len(dst)-n < fusedev.DirentPlusSize(name) {
			break
		}
		var e fusedev.Entry // lists a row without an inode
		var in *inode.Inode
		ino := row.ino
		if !plain || row.typ == unix.DT_DIR && !known && time.Since(l.begun) < aheadFor {
			e, in = fs.rowEntry(dir, l, row, name, &f)
		}
		if in != nil {
			looked = append(looked, told{in, name, e.EntryTTL, e.AttrTTL})
			ino = in.Ino
		}
		n += fusedev.PutDirentPlus(dst[n:], &e, ino, l.offset(i), name, row.typ)
	}
	taken := r.Data(dst[:n])
	for _, t := range looked {
		if !taken {
			fs.forget(t.in.ID, 1)
		}
		fs.coherence.confirm(fusedev.Entry{EntryTTL: t.entryTTL, AttrTTL: t.attrTTL}, t.in, entryName{dir, t.name}, l.since)
	}
}

// told is a row that the kernel is told of as by a lookup.
type told struct {
	in   *inode.Inode
	name string

	entryTTL, attrTTL time.Duration
}

// rowEntry looks a row up, with room in f for what it finds. A row that is gone
// meanwhile, or that cannot be looked up, is listed without an inode.
func (fs *FS) rowEntry(dir *inode.Inode, l *listing, row *row, name string, f *found) (fusedev.Entry, *inode.Inode) {
	if name == "." || name == ".." {
		return fusedev.Entry{}, nil
	}
	in, err := fs.look(dir, name, f, func(uint64) error {
		// A file that comes up is on both tiers for a while, and a tier that was left out may
		// have the name.
		if row.typ == unix.DT_DIR || row.rank > 0 && (l.err != nil || fs.names.total() != l.taken) {
			return fs.resolve(dir, name, f, nil)
		}
		return fs.resolveAt(dir, name, int(row.rank), f)
	})
	if err != nil {
		return fusedev.Entry{}, nil
	}
	return fs.entry(in, &f.st, entryName{dir, name}, f.holds(l.since)), in
}

// resolveAt is resolve for a name whose winner a listing has just told: the
// other tiers need not be asked. If it has become a directory since, they do.
func (fs *FS) resolveAt(p *inode.Inode, name string, rank int, f *found) error {
	f.rank, f.partial, f.copies = -1, false, nil
	var st unix.Stat_t
	if err := fs.statAt(p, rank, name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fs.resolve(p, name, f, nil)
	}
	f.add(fs.table, rank, &st)
	return nil
}
