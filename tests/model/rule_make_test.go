package model

import (
	"maps"

	"golang.org/x/sys/unix"
)

// umask of the process that runs the programs.
const umask = 0o022

// born gives a new node the owner that its directory on its tier makes it have.
func born(n, in *node) *node {
	if in.mode&unix.S_ISGID != 0 {
		n.gid = in.gid
		if n.isDir() {
			n.mode |= unix.S_ISGID
		}
	}
	return n
}

// make puts a new node where new names go.
func (s *state) make(path string, n *node) unix.Errno {
	e, err := s.vacant(path)
	if err != 0 {
		return err
	}
	if s.hidden(e) {
		return unix.EPERM
	}
	rank, err := s.place(e.up)
	if err != 0 {
		return err
	}
	in := s.part(e.up, rank)
	in.put(e.name, born(n, in))
	return 0
}

func ruleMkdir(s *state, st step) result {
	return refuse(s.make(st.p, newNode(unix.S_IFDIR, st.m&^umask)))
}

func ruleMknod(s *state, st step) result {
	n := newNode(st.m&unix.S_IFMT, st.m&0o7777&^umask)
	if n.typ == unix.S_IFCHR {
		n.rdev = unix.Mkdev(1, 3)
	}
	return refuse(s.make(st.p, n))
}

func ruleSymlink(s *state, st step) result {
	n := newNode(unix.S_IFLNK, 0o777)
	n.target = st.v
	return refuse(s.make(st.p, n))
}

// ruleLink makes another name for a file on its home tier.
func ruleLink(s *state, st step) result {
	from, err := s.existing(st.p, false)
	if err != 0 {
		return refuse(err)
	}
	return refuse(s.link(from.node(), from.rank, st.q))
}

func (s *state) link(n *node, home int, path string) unix.Errno {
	to, err := s.vacant(path)
	switch {
	case err != 0:
		return err
	case n.isDir():
		return unix.EPERM
	case n.links == 0 && !n.linkable:
		return unix.ENOENT
	case s.hidden(to):
		return unix.EPERM
	}
	if err := s.fits(to.up, home); err != 0 {
		return err
	}
	if s.tiers[home].readOnly {
		return unix.EROFS
	}
	s.part(to.up, home).put(to.name, n)
	n.linkable = false
	return 0
}

// ruleLinkHandle names an open file.
func ruleLinkHandle(s *state, h *handle, st step) result {
	return refuse(s.link(h.n, h.rank, st.p))
}

// ruleOutPut is somebody else who makes something in a tier's directory, in
// place of what was there.
func ruleOutPut(s *state, st step) result {
	up, err := s.inTier(st.r, st.p)
	if err != 0 {
		return refuse(err)
	}
	name := base(st.p)
	if up.sub[name] != nil {
		up.fell(name)
	}
	n := newNode(st.m&unix.S_IFMT, st.m&0o7777)
	n.data, n.target = []byte(st.v), st.v
	up.put(name, born(n, up))
	return result{}
}

// ruleOutRemove removes a name in a tier's directory, and all below it.
func ruleOutRemove(s *state, st step) result {
	up, err := s.inTier(st.r, st.p)
	if err != 0 || up.sub[base(st.p)] == nil {
		return refuse(cmpOr(err, unix.ENOENT))
	}
	up.fell(base(st.p))
	return result{}
}

// ruleOutRename renames within a tier's directory, over what was there.
func ruleOutRename(s *state, st step) result {
	from, err := s.inTier(st.r, st.p)
	if err != 0 {
		return refuse(err)
	}
	to, err := s.inTier(st.r, st.q)
	if err != 0 {
		return refuse(err)
	}
	n := from.sub[base(st.p)]
	if n == nil || within(n, to) || to.sub[base(st.q)] != nil && within(to.sub[base(st.q)], from) || n == to.sub[base(st.q)] {
		return refuse(unix.EINVAL)
	}
	if to.sub[base(st.q)] != nil {
		to.fell(base(st.q))
	}
	from.drop(base(st.p))
	to.put(base(st.q), n)
	n.lose()
	return result{}
}

// ruleOutWrite writes into a file in place.
func ruleOutWrite(s *state, st step) result {
	up, err := s.inTier(st.r, st.p)
	if err != 0 {
		return refuse(err)
	}
	n := up.sub[base(st.p)]
	if n == nil || !n.isFile() {
		return refuse(unix.EINVAL)
	}
	n.write(st.o, pattern(st.n, st.m))
	return result{}
}

// inTier is the directory on one tier that has the last name of path.
func (s *state) inTier(rank int, path string) (*node, unix.Errno) {
	n := s.tiers[rank].root
	for _, name := range above(path) {
		if n = n.sub[name]; n == nil || !n.isDir() {
			return nil, unix.ENOENT
		}
	}
	return n, 0
}

// lose notes that handles of what is no regular file lead nowhere from now on:
// the daemon has only those open, and what it knows by name is gone from there.
func (n *node) lose() {
	n.lost = !n.isFile()
	for _, child := range n.sub {
		child.lose()
	}
}

// fell removes a name and all below it.
func (n *node) fell(name string) {
	n.sub[name].lose()
	for child := range maps.Clone(n.sub[name].sub) {
		n.sub[name].fell(child)
	}
	n.drop(name)
}

// within reports whether n is tree or below it.
func within(tree, n *node) bool {
	if tree == n {
		return true
	}
	for _, child := range tree.sub {
		if within(child, n) {
			return true
		}
	}
	return false
}
