package model

import (
	"strings"

	"golang.org/x/sys/unix"
)

// hiddenName belongs to tierfs, at the top of a mount with fallbacks.
const hiddenName = ".tierfs"

func (s *state) hidden(e entry) bool {
	return s.union() && e.up != nil && e.up.up == nil && e.name == hiddenName
}

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

// find is where a path leads. The last name need not exist; a symbolic link
// there is followed if asked for.
func (s *state) find(path string, follow bool) (entry, unix.Errno) {
	left := maxLinks
	return s.walk(s.root(), path, follow, &left)
}

func (s *state) walk(d *dir, path string, follow bool, left *int) (entry, unix.Errno) {
	e := s.here(d)
	for path != "" {
		name, rest, more := strings.Cut(path, "/")
		if e = s.step(d, name); !more && (!follow || !e.exists() || !e.node().isLink()) {
			return e, 0
		}
		if !e.exists() {
			return e, unix.ENOENT
		}
		if e.node().isLink() {
			if *left--; *left < 0 {
				return e, unix.ELOOP
			}
			var err unix.Errno
			if e, err = s.walk(d, s.shown(e), true, left); err != 0 {
				return e, err
			}
			if !more {
				return e, 0
			}
			if !e.exists() {
				return e, unix.ENOENT
			}
		}
		if !e.node().isDir() {
			return e, unix.ENOTDIR
		}
		d, path = e.dir(), rest
	}
	return e, 0
}

// step is one name of a path.
func (s *state) step(d *dir, name string) entry {
	if name == ".." && d.up != nil {
		return s.here(d.up)
	}
	e := s.look(d, name)
	if s.hidden(e) {
		e.rank = -1
	}
	return e
}

// here is a directory as an entry of the one above it.
func (s *state) here(d *dir) entry {
	if d.up == nil {
		return entry{copies: d.parts, rank: 0}
	}
	return s.look(d.up, d.name)
}

// existing is find for what has to be there.
func (s *state) existing(path string, follow bool) (entry, unix.Errno) {
	e, err := s.find(path, follow)
	if err == 0 && !e.exists() {
		err = unix.ENOENT
	}
	return e, err
}

// vacant is where something new may be made.
func (s *state) vacant(path string) (entry, unix.Errno) {
	e, err := s.find(path, false)
	switch {
	case err != 0:
		return e, err
	case e.exists():
		return e, unix.EEXIST
	}
	return e, 0
}

// shown is the target of a symbolic link in the mount. One inside a tier,
// written @/path in programs, is shown relative to the link: up from the link's
// directory as far as the two ways differ, then down.
func (s *state) shown(e entry) string {
	inside, ok := strings.CutPrefix(e.node().target, "@/")
	if !ok {
		return e.node().target
	}
	var up []string
	if e.up.path() != "" {
		up = strings.Split(e.up.path(), "/")
	}
	down := strings.Split(inside, "/")
	for len(up) > 0 && len(down) > 1 && up[0] == down[0] {
		up, down = up[1:], down[1:]
	}
	return strings.Repeat("../", len(up)) + strings.Join(down, "/")
}
