package model

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// quiet is for how long a file must not have changed to move.
const quiet = 1100 * time.Millisecond

// A move to another tier is nothing that a client sees: the names, contents and
// attributes stay, of directories too. What changes is the tier.

// ruleDemote moves what lies at a path one tier down, the lowest first.
func ruleDemote(s *state, st step) result {
	for rank := len(s.tiers) - 2; rank >= 0; rank-- {
		to := s.lower(rank)
		if to >= 0 {
			s.carry(st.p, rank, to)
		}
	}
	return result{}
}

// rulePromote moves what lies at a path to the primary.
func rulePromote(s *state, st step) result {
	for rank := 1; rank < len(s.tiers); rank++ {
		if !s.tiers[0].readOnly && !s.tiers[0].short {
			s.carry(st.p, rank, 0)
		}
	}
	return result{}
}

// lower is where files of a tier go, -1 for nowhere.
func (s *state) lower(rank int) int {
	for to := rank + 1; to < len(s.tiers); to++ {
		if t := s.tiers[to]; !t.readOnly && !t.short {
			return to
		}
	}
	return -1
}

// carry moves the files of one tier that may move. Nothing changes but where
// they lie.
func (s *state) carry(path string, from, to int) {
	e, err := s.existing(path, false)
	if err != 0 || s.tiers[from].readOnly {
		return
	}
	if e.node().isFile() {
		s.carryFile(e, from, to)
		return
	}
	s.each(e.dir(), func(d *dir) {
		for _, name := range s.names(d) {
			if e := s.look(d, name); e.node().isFile() {
				s.carryFile(e, from, to)
			}
		}
	})
}

func (s *state) carryFile(e entry, from, to int) {
	n := e.node()
	if e.rank != from || e.count() > 1 || n.links > 1 || s.isOpen(n) || s.hidden(e) || s.fits(e.up, to) != 0 {
		return
	}
	delete(e.up.parts[from].sub, e.name)
	s.part(e.up, to).sub[e.name] = n
	for _, h := range s.handles {
		if h != nil && h.n == n {
			h.rank = to
		}
	}
}

// isOpen reports that somebody has the file open; O_PATH does not count.
func (s *state) isOpen(n *node) bool {
	for _, h := range s.handles {
		if h != nil && h.n == n && !h.path {
			return true
		}
	}
	return false
}

// carries reports that the step moves files to another tier.
func (st step) carries() bool { return st.op == "demote" || st.op == "promote" }

// callCarry has the daemon move what lies at a path, once all is quiet. What
// stays is for the comparison to find.
func callCarry(x *rig, st step) result {
	time.Sleep(quiet)
	stdout, stderr, code := harness.Run(x.t, harness.CLI, st.op, "--older-than", "1s", "--json", x.path(st.p))
	if code > 1 || strings.Contains(stdout, `"skip":"error"`) {
		return result{text: fmt.Sprintf("exit code %d\n%s%s", code, stdout, stderr)}
	}
	return result{}
}

// movable reports that a path is one of a file or a directory, and leads
// through no symbolic link.
func (s *state) movable(path string) bool {
	e, err := s.existing(path, false)
	return err == 0 && e.path() == path && (e.node().typ == unix.S_IFREG || e.node().isDir())
}
