package model

import (
	"strings"

	"golang.org/x/sys/unix"
)

// ruleUnlink removes a name from every tier.
func ruleUnlink(s *state, st step) result {
	e, err := s.existing(st.p, false)
	switch {
	case err != 0:
		return refuse(err)
	case e.node().isDir():
		return refuse(unix.EISDIR)
	case e.mixed():
		return refuse(unix.EBUSY)
	case s.frozen(e):
		return refuse(unix.EROFS)
	}
	e.remove()
	return result{}
}

// ruleRmdir removes a directory that shows nothing from every tier.
func ruleRmdir(s *state, st step) result {
	e, err := s.existing(st.p, false)
	switch {
	case err != 0:
		return refuse(err)
	case !e.node().isDir():
		return refuse(unix.ENOTDIR)
	case e.mixed():
		return refuse(unix.EBUSY)
	case s.frozen(e):
		return refuse(unix.EROFS)
	case !s.empty(e.dir()):
		return refuse(unix.ENOTEMPTY)
	}
	e.remove()
	return result{}
}

func ruleRename(s *state, st step) result {
	noReplace, exchange := st.f&unix.RENAME_NOREPLACE != 0, st.f&unix.RENAME_EXCHANGE != 0
	if noReplace && exchange {
		return refuse(unix.EINVAL)
	}
	from, err := s.find(st.p, false)
	if err != 0 {
		return refuse(err)
	}
	to, err := s.find(st.q, false)
	if err != 0 {
		return refuse(err)
	}
	switch err := s.kernelAllows(from, to, noReplace, exchange); {
	case err != 0:
		return refuse(err)
	case to.exists() && from.node() == to.node():
		return result{} // two names of one file, or one name
	case s.hidden(to):
		return refuse(unix.EPERM)
	}
	if err := s.unionAllows(from, to); err != 0 {
		return refuse(err)
	}
	switch {
	case exchange:
		return refuse(s.exchange(from, to))
	case from.node().isDir():
		return refuse(s.renameDir(from, to))
	}
	return refuse(s.renameFile(from, to))
}

// kernelAllows is what rename(2) says of any filesystem, in the kernel's order.
func (s *state) kernelAllows(from, to entry, noReplace, exchange bool) unix.Errno {
	switch {
	case !from.exists():
		return unix.ENOENT
	case noReplace && to.exists():
		return unix.EEXIST
	case exchange && !to.exists():
		return unix.ENOENT
	case from.node().isDir() && below(to.up.path(), from.path()):
		return unix.EINVAL
	case to.exists() && to.node().isDir() && below(from.up.path(), to.path()):
		if exchange {
			return unix.EINVAL
		}
		return unix.ENOTEMPTY
	case !to.exists() || exchange || from.node() == to.node():
		return 0
	case from.node().isDir() && !to.node().isDir():
		return unix.ENOTDIR
	case !from.node().isDir() && to.node().isDir():
		return unix.EISDIR
	}
	return 0
}

// below reports whether path is dir or in it.
func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// unionAllows refuses what would bring something hidden to light.
func (s *state) unionAllows(from, to entry) unix.Errno {
	for _, e := range []entry{from, to} {
		switch {
		case !e.exists():
		case e.mixed():
			return unix.EBUSY
		case s.frozen(e):
			return unix.EROFS
		}
	}
	return 0
}

// renameFile keeps the file on its home tier. No other copy of either name
// stays.
func (s *state) renameFile(from, to entry) unix.Errno {
	if err := s.fits(to.up, from.rank); err != 0 {
		return err
	}
	n, home := from.node(), from.rank
	n.links++ // it is nowhere for a moment
	from.remove()
	to.remove()
	s.part(to.up, home).put(to.name, n)
	n.links--
	return 0
}

// renameDir renames on every tier that has the directory.
func (s *state) renameDir(from, to entry) unix.Errno {
	if to.exists() && !s.empty(to.dir()) {
		return unix.ENOTEMPTY
	}
	for rank, n := range from.copies {
		if n == nil {
			continue
		}
		if err := s.fits(to.up, rank); err != 0 {
			return err
		}
	}
	to.remove()
	for rank, n := range from.copies {
		if n != nil {
			from.up.parts[rank].drop(from.name)
			s.part(to.up, rank).put(to.name, n)
		}
	}
	return 0
}

// exchange swaps two names that are shown from one tier. With a directory among
// them no other tier may have either.
func (s *state) exchange(a, b entry) unix.Errno {
	if a.rank != b.rank || (a.node().isDir() || b.node().isDir()) && a.count()+b.count() > 2 {
		return unix.EINVAL
	}
	x, y := a.node(), b.node()
	a.up.parts[a.rank].drop(a.name)
	b.up.parts[b.rank].drop(b.name)
	a.up.parts[a.rank].put(a.name, y)
	b.up.parts[b.rank].put(b.name, x)
	return 0
}
