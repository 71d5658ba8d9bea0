package model

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// handle is one open(2). It goes on leading to its file whatever becomes of the
// name.
type handle struct {
	n           *node
	rank        int // of the tier where the file lies
	flags       int
	read, write bool
	path        bool // O_PATH
	off         int64
	listed      bool
	stream      *stream // of a directory that is being listed; nil once it was removed
}

// stream is what a listing that is under way may and must still give.
type stream struct {
	got   map[string]bool // so far
	all   map[string]bool // in the directory at any time since it began
	still map[string]bool // in it all the time
}

// gone is what an open directory that was removed says here: each filesystem
// has its own answer.
const gone = unix.Errno(0xffff)

func ruleOpen(s *state, st step) result {
	s.handles[st.h] = nil
	if st.f&unix.O_TMPFILE == unix.O_TMPFILE {
		return s.openUnnamed(st)
	}
	exclusive := st.f&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL
	e, err := s.find(st.p, st.f&unix.O_NOFOLLOW == 0 && !exclusive)
	switch {
	case err != 0:
		return refuse(err)
	case !e.exists():
		return s.openNew(e, st)
	case exclusive:
		return refuse(unix.EEXIST)
	}
	if err := s.mayOpen(e, st.f); err != 0 {
		return refuse(err)
	}
	s.handles[st.h] = newHandle(e.node(), e.rank, st.f)
	if st.f&unix.O_TRUNC != 0 {
		e.node().resize(0)
	}
	return result{}
}

func newHandle(n *node, rank, flags int) *handle {
	h := &handle{n: n, rank: rank, flags: flags, path: flags&unix.O_PATH != 0}
	if !h.path {
		h.read = flags&unix.O_ACCMODE != unix.O_WRONLY
		h.write = flags&unix.O_ACCMODE != unix.O_RDONLY
	}
	return h
}

func (s *state) mayOpen(e entry, flags int) unix.Errno {
	writes := flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
	n := e.node()
	switch {
	case flags&unix.O_CREAT != 0 && n.isDir():
		return unix.EISDIR
	case flags&unix.O_DIRECTORY != 0 && !n.isDir():
		return unix.ENOTDIR
	case flags&unix.O_PATH != 0:
		return 0
	case n.isLink():
		return unix.ELOOP
	case n.isDir() && writes:
		return unix.EISDIR
	case n.typ == unix.S_IFCHR:
		return unix.EACCES // the mount is nodev
	case n.typ == unix.S_IFSOCK, n.typ == unix.S_IFIFO && flags&unix.O_ACCMODE == unix.O_WRONLY && !s.hasReader(n):
		return unix.ENXIO
	case n.isFile() && writes && s.tiers[e.rank].readOnly:
		return unix.EROFS
	}
	return 0
}

// hasReader reports that a fifo is open for reading.
func (s *state) hasReader(n *node) bool {
	for _, h := range s.handles {
		if h != nil && h.n == n && h.read {
			return true
		}
	}
	return false
}

func (s *state) openNew(e entry, st step) result {
	switch {
	case st.f&unix.O_CREAT == 0:
		return refuse(unix.ENOENT)
	case s.hidden(e):
		return refuse(unix.EPERM)
	}
	rank, err := s.place(e.up)
	if err != 0 {
		return refuse(err)
	}
	in := s.part(e.up, rank)
	n := born(newNode(unix.S_IFREG, st.m&^umask), in)
	in.put(e.name, n)
	s.handles[st.h] = newHandle(n, rank, st.f)
	return result{}
}

func (s *state) openUnnamed(st step) result {
	e, err := s.existing(st.p, true)
	switch {
	case err != 0:
		return refuse(err)
	case !e.node().isDir():
		return refuse(unix.ENOTDIR)
	}
	d := e.dir()
	rank, err := s.place(d)
	if err != 0 {
		return refuse(err)
	}
	n := born(newNode(unix.S_IFREG, st.m&^umask), s.part(d, rank))
	n.linkable = st.f&unix.O_EXCL == 0
	s.handles[st.h] = newHandle(n, rank, st.f)
	return result{}
}

// onHandle is a rule for an open file; without one nothing is done.
func onHandle(rule func(s *state, h *handle, st step) result) func(*state, step) result {
	return func(s *state, st step) result {
		h := s.handles[st.h]
		if h == nil {
			return result{}
		}
		return rule(s, h, st)
	}
}

func ruleClose(s *state, st step) result {
	s.handles[st.h] = nil
	return result{}
}

func ruleRead(s *state, h *handle, st step) result {
	r := h.readAt(h.off, st.n)
	h.off += int64(len(r.text))
	return r
}

func rulePread(s *state, h *handle, st step) result { return h.readAt(st.o, st.n) }

func (h *handle) readAt(off, n int64) result {
	switch {
	case !h.n.isFile() && !h.n.isDir():
		return result{}
	case !h.read:
		return refuse(unix.EBADF)
	case h.n.isDir():
		return refuse(unix.EISDIR)
	}
	size := int64(len(h.n.data))
	off = min(off, size)
	return result{text: string(h.n.data[off:min(off+n, size)])}
}

func ruleWrite(s *state, h *handle, st step) result {
	at, r := h.writeAt(h.off, st)
	if r.errno == 0 {
		h.off = at + st.n
	}
	return r
}

func rulePwrite(s *state, h *handle, st step) result {
	_, r := h.writeAt(st.o, st)
	return r
}

// writeAt writes. With O_APPEND that is at the end, even for pwrite(2) (BUGS).
func (h *handle) writeAt(off int64, st step) (int64, result) {
	switch {
	case !h.n.isFile() && !h.n.isDir():
		return 0, result{}
	case !h.write:
		return 0, refuse(unix.EBADF)
	}
	if h.flags&unix.O_APPEND != 0 {
		off = int64(len(h.n.data))
	}
	h.n.write(off, pattern(st.n, st.m))
	return off, result{}
}

func (n *node) write(off int64, data []byte) {
	n.resize(max(int64(len(n.data)), off+int64(len(data))))
	copy(n.data[off:], data)
}

func (n *node) resize(size int64) {
	if grow := size - int64(len(n.data)); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	n.data = n.data[:size:size]
	n.mtime = 0
}

// pattern is n bytes that differ from those of another seed.
func pattern(n int64, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte((uint32(i)*7+seed)%26)
	}
	return b
}

func ruleSeek(s *state, h *handle, st step) result {
	switch {
	case !h.n.isFile():
	case h.path:
		return refuse(unix.EBADF)
	default:
		h.off = st.o
	}
	return result{}
}

func ruleFtruncate(s *state, h *handle, st step) result {
	switch {
	case h.path:
		return refuse(unix.EBADF)
	case !h.write || !h.n.isFile():
		return refuse(unix.EINVAL)
	}
	h.n.resize(st.n)
	return result{}
}

func ruleFallocate(s *state, h *handle, st step) result {
	switch {
	case !h.write:
		return refuse(unix.EBADF)
	case !h.n.isFile():
		return refuse(unix.ESPIPE)
	}
	size := int64(len(h.n.data))
	switch st.f {
	case 0:
		h.n.resize(max(size, st.o+st.n))
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE:
		clear(h.n.data[min(st.o, size):min(st.o+st.n, size)])
		h.n.mtime = 0
	}
	h.n.mtime = 0
	return result{}
}

func ruleFsync(s *state, h *handle, st step) result {
	switch {
	case h.path:
		return refuse(unix.EBADF)
	case !h.n.isFile() && !h.n.isDir():
		return refuse(unix.EINVAL)
	case h.n.isDir() && s.whereIs(h.n) == nil:
		return refuse(gone)
	}
	return result{}
}

// ruleFstat leaves out the size of a link, which follows from its name.
func ruleFstat(s *state, h *handle, st step) result {
	n := h.n
	if n.isLink() || n.isDir() && s.whereIs(n) == nil {
		return refuse(gone)
	}
	if n.isDir() {
		d := s.whereIs(n)
		n = d.parts[d.top()]
	}
	return result{text: brief(n.typ, n.mode, n.uid, n.gid, n.links, int64(len(n.data)), n.rdev)}
}

func ruleFchmod(s *state, h *handle, st step) result {
	return refuse(s.changeHandle(h, setMode(st.m)))
}

func ruleFchown(s *state, h *handle, st step) result {
	return refuse(s.changeHandle(h, setOwner(int(st.n), int(st.o))))
}

// ruleFutimens goes by AT_EMPTY_PATH, which O_PATH is good for.
func ruleFutimens(s *state, h *handle, st step) result {
	named := *h
	named.path = false
	return refuse(s.changeHandle(&named, setMtime(st.n)))
}

func ruleFsetxattr(s *state, h *handle, st step) result {
	if !h.path && userOnly(st.k, h.n) {
		return refuse(unix.EPERM)
	}
	return refuse(s.changeHandle(h, s.setAttr(st)))
}

func ruleFgetxattr(s *state, h *handle, st step) result {
	switch {
	case h.path:
		return refuse(unix.EBADF)
	case !h.n.isDir():
		return h.n.attr(st)
	}
	d := s.whereIs(h.n)
	if d == nil {
		return refuse(gone)
	}
	return d.parts[d.top()].attr(st)
}

func ruleCopyRange(s *state, h *handle, st step) result {
	to := s.handles[st.h2]
	switch {
	case to == nil:
		return result{}
	case h.path || to.path:
		return refuse(unix.EBADF)
	case h.n.isDir() || to.n.isDir():
		return refuse(unix.EISDIR)
	case !h.n.isFile() || !to.n.isFile():
		return refuse(unix.EINVAL)
	case !h.read || !to.write || to.flags&unix.O_APPEND != 0:
		return refuse(unix.EBADF)
	}
	n := max(0, min(st.n, int64(len(h.n.data))-st.o))
	if h.n == to.n && st.o2+n > st.o && st.o2 < st.o+n {
		return refuse(unix.EINVAL)
	}
	if n > 0 {
		to.n.write(st.o2, append([]byte(nil), h.n.data[st.o:st.o+n]...))
	}
	return result{text: fmt.Sprint(n)}
}

// whereIs is the directory that a part belongs to, nil when it is not in the
// tree any more.
func (s *state) whereIs(part *node) *dir {
	var found *dir
	s.each(s.root(), func(d *dir) {
		for _, p := range d.parts {
			if p == part {
				found = d
			}
		}
	})
	return found
}

// each calls fn for d and all directories below it.
func (s *state) each(d *dir, fn func(d *dir)) {
	fn(d)
	for _, name := range s.names(d) {
		if e := s.look(d, name); e.node().isDir() && !s.hidden(e) {
			s.each(e.dir(), fn)
		}
	}
}

// ruleRows begins or goes on with a listing: rows is what it gave, ended that
// there was nothing more. The order is the filesystem's affair, and so is
// whether it shows what came or went meanwhile (readdir(3)); what was there all
// the time has to come, and that once; what went and came again may be told of again.
func (s *state) ruleRows(h *handle, rows []row, ended bool) error {
	d := s.whereIs(h.n)
	if d == nil {
		return nil
	}
	if h.stream == nil {
		h.stream = &stream{got: map[string]bool{}, all: s.nameSet(d), still: s.nameSet(d)}
	}
	for _, r := range rows {
		if h.stream.got[r.name] && h.stream.still[r.name] {
			return fmt.Errorf("lists %q twice", r.name)
		}
		if !h.stream.all[r.name] {
			return fmt.Errorf("lists %q, which was not there since the listing began", r.name)
		}
		h.stream.got[r.name] = true
	}
	if !ended {
		return nil
	}
	for name := range h.stream.still {
		if !h.stream.got[name] {
			return fmt.Errorf("does not list %q, which was there all the time", name)
		}
	}
	return nil
}

func (s *state) nameSet(d *dir) map[string]bool {
	set := map[string]bool{}
	for _, name := range s.names(d) {
		if !s.hidden(s.look(d, name)) {
			set[name] = true
		}
	}
	return set
}

// follow keeps the listings that are under way up to date. Called after every
// step.
func (s *state) follow() {
	for _, h := range s.handles {
		if h == nil || h.stream == nil {
			continue
		}
		d := s.whereIs(h.n)
		if d == nil {
			h.stream = nil
			continue
		}
		now := s.nameSet(d)
		for name := range now {
			h.stream.all[name] = true
		}
		for name := range h.stream.still {
			if !now[name] {
				delete(h.stream.still, name)
			}
		}
	}
}
