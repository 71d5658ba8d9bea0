package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// change changes what an entry shows: a file at home, a directory on every tier
// that has it, from the highest, which decides the answer.
func (s *state) change(path string, follow bool, fn func(n *node) unix.Errno) unix.Errno {
	e, err := s.existing(path, follow)
	if err != 0 {
		return err
	}
	if !e.node().isDir() {
		return s.changeOn(e.rank, e.node(), fn)
	}
	return s.changeDir(e.dir(), fn)
}

func (s *state) changeDir(d *dir, fn func(n *node) unix.Errno) (answer unix.Errno) {
	for rank, n := range d.parts {
		if n == nil {
			continue
		}
		err := s.changeOn(rank, n, fn)
		if rank == d.top() {
			if answer = err; err != 0 {
				return answer
			}
		}
	}
	return answer
}

func (s *state) changeOn(rank int, n *node, fn func(n *node) unix.Errno) unix.Errno {
	if s.tiers[rank].readOnly {
		return unix.EROFS
	}
	return fn(n)
}

// changeHandle is change for an open file or directory.
func (s *state) changeHandle(h *handle, fn func(n *node) unix.Errno) unix.Errno {
	if h.path {
		return unix.EBADF
	}
	if !h.n.isDir() {
		return s.changeOn(h.rank, h.n, fn)
	}
	if d := s.whereIs(h.n); d != nil {
		return s.changeDir(d, fn)
	}
	return gone
}

func setMode(m uint32) func(*node) unix.Errno {
	return func(n *node) unix.Errno { n.mode = m; return 0 }
}

func setOwner(uid, gid int) func(*node) unix.Errno {
	return func(n *node) unix.Errno { n.uid, n.gid = uid, gid; return 0 }
}

func setMtime(ns int64) func(*node) unix.Errno {
	return func(n *node) unix.Errno { n.mtime = ns; return 0 }
}

func setSize(size int64) func(*node) unix.Errno {
	return func(n *node) unix.Errno { n.resize(size); return 0 }
}

func ruleChmod(s *state, st step) result { return refuse(s.change(st.p, true, setMode(st.m))) }
func ruleLchown(s *state, st step) result {
	return refuse(s.change(st.p, false, setOwner(int(st.n), int(st.o))))
}
func ruleUtimens(s *state, st step) result {
	return refuse(s.change(st.p, false, setMtime(st.n)))
}

func ruleTruncate(s *state, st step) result {
	e, err := s.existing(st.p, true)
	switch {
	case err != 0:
		return refuse(err)
	case e.node().isDir():
		return refuse(unix.EISDIR)
	case !e.node().isFile():
		return refuse(unix.EINVAL)
	}
	return refuse(s.changeOn(e.rank, e.node(), setSize(st.n)))
}

func ruleSetxattr(s *state, st step) result {
	e, err := s.existing(st.p, false)
	if err == 0 && userOnly(st.k, e.node()) {
		err = unix.EPERM
	}
	if err != 0 {
		return refuse(err)
	}
	return refuse(s.change(st.p, false, s.setAttr(st)))
}

// setAttr is setxattr(2) on one node.
func (s *state) setAttr(st step) func(n *node) unix.Errno {
	return func(n *node) unix.Errno {
		_, has := n.attrs[st.k]
		switch {
		case st.f == unix.XATTR_CREATE && has:
			return unix.EEXIST
		case st.f == unix.XATTR_REPLACE && !has:
			return unix.ENODATA
		}
		n.attrs[st.k] = st.v
		return 0
	}
}

func ruleRemovexattr(s *state, st step) result {
	e, err := s.existing(st.p, false)
	if err == 0 && userOnly(st.k, e.node()) {
		err = unix.EPERM
	}
	if err != 0 {
		return refuse(err)
	}
	return refuse(s.change(st.p, false, func(n *node) unix.Errno {
		if _, has := n.attrs[st.k]; !has {
			return unix.ENODATA
		}
		delete(n.attrs, st.k)
		return 0
	}))
}

// userOnly reports that a file of this type cannot have the attribute: user.*
// is for what users own the content of (xattr(7)).
func userOnly(name string, n *node) bool {
	return strings.HasPrefix(name, "user.") && !n.isDir() && !n.isFile()
}

func ruleGetxattr(s *state, st step) result {
	e, err := s.existing(st.p, false)
	if err != 0 {
		return refuse(err)
	}
	return e.node().attr(st)
}

// attr is getxattr(2) with a buffer of st.n bytes.
func (n *node) attr(st step) result {
	value, has := n.attrs[st.k]
	switch {
	case !has:
		return refuse(unix.ENODATA)
	case st.n == 0:
		return result{text: fmt.Sprint(len(value), " bytes")}
	case int64(len(value)) > st.n:
		return refuse(unix.ERANGE)
	}
	return result{text: value}
}

func ruleListxattr(s *state, st step) result {
	e, err := s.existing(st.p, false)
	if err != 0 {
		return refuse(err)
	}
	return result{text: fmt.Sprint(slices.Sorted(maps.Keys(e.node().attrs)))}
}

func ruleStat(s *state, st step) result {
	e, err := s.existing(st.p, st.f != 0)
	if err != 0 {
		return refuse(err)
	}
	return result{text: s.describe(e)}
}

// describe is what stat(2) says of an entry, and the tier that it lies on.
func (s *state) describe(e entry) string {
	n := e.node()
	size := int64(len(n.data))
	if n.isLink() {
		size = int64(len(s.shown(e)))
	}
	text := brief(n.typ, n.mode, n.uid, n.gid, n.links, size, n.rdev)
	if s.union() && (n.isDir() || n.isFile()) {
		text += fmt.Sprint(" tier ", e.rank)
	}
	return text
}

// brief is the part of stat(2) that follows from the operations alone. The size
// and the links of a directory are the filesystem's affair.
func brief(typ, mode uint32, uid, gid, links int, size int64, rdev uint64) string {
	text := fmt.Sprintf("%06o %04o owner %d:%d", typ, mode, uid, gid)
	if typ != unix.S_IFDIR {
		text += fmt.Sprintf(" links %d size %d dev %#x", links, size, rdev)
	}
	return text
}

func ruleReadlink(s *state, st step) result {
	e, err := s.existing(st.p, false)
	switch {
	case err != 0:
		return refuse(err)
	case !e.node().isLink():
		return refuse(unix.EINVAL)
	}
	return result{text: s.shown(e)}
}

func ruleList(s *state, st step) result {
	e, err := s.existing(st.p, true)
	switch {
	case err != 0:
		return refuse(err)
	case !e.node().isDir():
		return refuse(unix.ENOTDIR)
	}
	return result{text: s.rows(e.dir())}
}

// rows are the names in a directory with their types.
func (s *state) rows(d *dir) string {
	var rows []row
	for _, name := range s.names(d) {
		if e := s.look(d, name); !s.hidden(e) {
			rows = append(rows, row{name: name, typ: e.node().typ})
		}
	}
	return rowsText(rows)
}

// row is one name of a listing.
type row struct {
	name string
	typ  uint32
	ino  uint64
}

func rowsText(rows []row) string {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	var text strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&text, "%q %06o\n", r.name, r.typ)
	}
	return text.String()
}
