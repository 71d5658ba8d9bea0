package tierfs

import (
	"sync"

	"github.com/jacobsa/fuse/fuseops"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// dirHandle is one opendir(3): a snapshot of the merged rows, taken at the
// first read and anew at every rewind, so that offsets are stable and each
// name comes once whatever happens meanwhile.
type dirHandle struct {
	in *inode.Inode

	mu   sync.Mutex
	rows *listing // GUARDED_BY(mu)
}

// listing is merged rows. Names lie in one piece of memory: a row costs 24
// bytes and its name.
type listing struct {
	names []byte
	rows  []row
	err   error // what ends it: a tier that did not answer
}

// row is one name. Its tier is the winner's; a directory may be merged of more.
type row struct {
	ino  uint64 // as shown
	at   uint32 // where the name begins
	len  uint16
	rank uint8
	typ  uint8
}

func (l *listing) name(i int) string {
	r := l.rows[i]
	return string(l.names[r.at : r.at+uint32(r.len)])
}

func (l *listing) add(name string, ino uint64, rank int, typ uint8) {
	l.rows = append(l.rows, row{ino: ino, at: uint32(len(l.names)), len: uint16(len(name)), rank: uint8(rank), typ: typ})
	l.names = append(l.names, name...)
}

func (fs *FS) openDir(r *fusedev.Request, op *fuseops.OpenDirOp) error {
	in, err := fs.getDir(uint64(op.Inode))
	if err != nil {
		return err
	}
	id := fs.lists.add(&dirHandle{in: in})
	if !r.Opened(fusedev.Open{Handle: id}) {
		fs.lists.remove(id)
	}
	return nil
}

// rows is the handle's listing, taken anew at offset 0.
//
// LOCKS_REQUIRED(h.mu)
func (fs *FS) listingAt(h *dirHandle, off uint64) (*listing, error) {
	if h.rows != nil && off > 0 {
		return h.rows, nil
	}
	l, err := fs.list(h.in)
	if err != nil {
		return nil, err
	}
	h.rows = l
	return l, nil
}

// list merges the listings of a directory's copies, highest first. A tier that
// is away is left out, and the listing ends in EIO: no backup may take it for
// complete.
func (fs *FS) list(in *inode.Inode) (*listing, error) {
	l := &listing{}
	up := in
	if parent, _, ok := fs.table.Dentry(in); ok {
		up = parent
	}
	l.add(".", in.Ino, 0, unix.DT_DIR)
	l.add("..", up.Ino, 0, unix.DT_DIR)
	m := merger{fs: fs, in: in, l: l}
	for rank, t := range fs.tiers() {
		if err := m.merge(rank); err != nil {
			if !t.Away() {
				return nil, err
			}
			l.err = unix.EIO
		}
	}
	if m.tiers == 0 && l.err == nil {
		return nil, unix.ENOENT
	}
	return l, nil
}

// merger adds one tier's rows after another's.
type merger struct {
	fs    *FS
	in    *inode.Inode
	l     *listing
	tiers int
	seen  map[string]struct{} // from the second tier on
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
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		return err
	}
	f, err := d.List()
	if err != nil {
		return err
	}
	defer f.Close()
	if m.tiers++; m.tiers == 2 {
		m.index()
	}
	before := len(m.l.rows)
	err = f.ReadDir(func(e sys.Dirent) error {
		m.row(d, rank, st.Dev, e)
		return nil
	})
	if m.seen != nil {
		for i := before; i < len(m.l.rows); i++ {
			m.seen[m.l.name(i)] = struct{}{}
		}
	}
	return err
}

// index makes the set of names seen, which one tier alone does not need.
func (m *merger) index() {
	m.seen = make(map[string]struct{}, 2*len(m.l.rows))
	for i := range m.l.rows {
		m.seen[m.l.name(i)] = struct{}{}
	}
}

// row adds one of a tier's rows unless a higher tier has the name.
func (m *merger) row(d *tier.Dir, rank int, dev uint64, e sys.Dirent) {
	if m.fs.hidden(m.in, e.Name) {
		return
	}
	if _, seen := m.seen[e.Name]; seen {
		return
	}
	if e.Type == unix.DT_UNKNOWN || e.Type == unix.DT_DIR {
		// The row of a mount point has the number of what it covers.
		var st unix.Stat_t
		if d.Stat(e.Name, &st) != nil {
			return
		}
		e.Type, e.Ino, dev = fusedev.DirentType(st.Mode), st.Ino, st.Dev
	}
	m.l.add(e.Name, m.fs.table.Shown(m.fs.table.Key(rank, dev, e.Ino)), rank, e.Type)
}

func (fs *FS) readDir(r *fusedev.Request, op *fuseops.ReadDirOp) error {
	h, err := fs.lists.get(uint64(op.Handle), nil)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := fs.listingAt(h, uint64(op.Offset))
	if err != nil {
		return err
	}
	dst := op.Dst[:min(len(op.Dst), fusedev.MaxListing)]
	n := 0
	for i := int(op.Offset); i >= 0 && i < len(l.rows); i++ {
		row := &l.rows[i]
		size := fusedev.PutDirent(dst[n:], row.ino, uint64(i+1), l.name(i), row.typ)
		if size == 0 {
			break
		}
		n += size
	}
	if n == 0 && l.err != nil {
		return l.err
	}
	op.BytesRead = n
	return nil
}

// readDirPlus lists rows with what a lookup of each would say.
func (fs *FS) readDirPlus(r *fusedev.Request, op *fuseops.ReadDirPlusOp) error {
	h, err := fs.lists.get(uint64(op.Handle), nil)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := fs.listingAt(h, uint64(op.Offset))
	if err != nil {
		return err
	}
	dst, n := op.Dst[:min(len(op.Dst), fusedev.MaxListing)], 0
	var looked []*inode.Inode
	for i := int(op.Offset); i >= 0 && i < len(l.rows); i++ {
		name := l.name(i)
		if len(dst)-n < fusedev.DirentPlusSize(name) {
			break
		}
		e, in := fs.rowEntry(h.in, l.rows[i], name)
		if in != nil {
			looked = append(looked, in)
			l.rows[i].ino = in.Ino
		}
		n += fusedev.PutDirentPlus(dst[n:], e, l.rows[i].ino, uint64(i+1), name, l.rows[i].typ)
	}
	if n == 0 && l.err != nil {
		return l.err
	}
	if !r.Data(dst[:n]) {
		for _, in := range looked {
			fs.forget(in.ID, 1)
		}
	}
	return nil
}

// rowEntry looks a row up. A row that is gone meanwhile, or that cannot be
// looked up, is listed without an inode.
func (fs *FS) rowEntry(dir *inode.Inode, row row, name string) (*fusedev.Entry, *inode.Inode) {
	if name == "." || name == ".." {
		return &fusedev.Entry{}, nil
	}
	var f found
	var err error
	if row.typ == unix.DT_DIR {
		err = fs.resolve(dir, name, &f, nil)
	} else {
		err = fs.resolveAt(dir, name, int(row.rank), &f)
	}
	if err != nil {
		return &fusedev.Entry{}, nil
	}
	in := fs.admit(dir, name, &f)
	return fs.entry(in, &f.st), in
}

// resolveAt is resolve for a name whose winner a listing has just told: the
// other tiers need not be asked. If it has become a directory since, they do.
func (fs *FS) resolveAt(p *inode.Inode, name string, rank int, f *found) error {
	f.rank, f.partial, f.copies = -1, false, f.buf[:0]
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
