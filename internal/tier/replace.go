package tier

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// Replace has the next mount take newDir in place of the member that was at
// memberDir, which may be the same path. It writes the request into newDir
// alone, so it needs neither the old disk nor the other tiers; Join judges it.
//
// A read-only newDir cannot hold a request. It takes the place of the member
// under its own path then, and memberDir is a tier that carries the list.
func Replace(newDir, memberDir string) error {
	if memberDir == "" {
		return errors.New("adopt: no member named; name the directory whose place is taken")
	}
	fd, err := openNew(newDir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if isReadOnly(fd) {
		return forget(listedAs(newDir), memberDir)
	}
	return writeRequest(Root{Path: newDir, FD: fd}, record{Replaces: listPath(listedAs(memberDir))})
}

// listedAs is dir as lists have it. The directory may be gone with its disk.
func listedAs(dir string) string {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		path = dir
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// ListedIn are the paths of the members that can be replaced by the list in
// dir; none if there is no list.
func ListedIn(dir string) (paths []string) {
	fd, err := openNew(dir)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	rec, err := readMark(fd)
	if err != nil || rec == nil {
		return nil
	}
	for _, m := range rec.Members {
		if m.State != stateReplaced {
			paths = append(paths, string(m.Path))
		}
	}
	return paths
}

// Adopt has the next mount take dir in as a new member although it stands on
// the root filesystem or where a former member was.
func Adopt(dir string) error {
	fd, err := openNew(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeRequest(Root{Path: dir, FD: fd}, record{Adopt: true})
}

func openNew(dir string) (int, error) {
	fd, err := sys.Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, fmt.Errorf("adopt: %s: %w; name a directory that may be read", show(dir), err)
	}
	return fd, nil
}

func isReadOnly(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

func (r *record) requested() bool { return r != nil && (r.Adopt || r.Replaces != "") }

// writeRequest writes a candidate with a request. See Join for what becomes of it.
func writeRequest(r Root, req record) error {
	return withLock(r, func(s *seen) (*record, error) {
		if s.listed() {
			return nil, fmt.Errorf("tier %s: it is a member of the set of %s; remove %s first if it shall leave that",
				show(r.Path), memberPaths(s.rec.Members), show(r.Path+"/"+MarkName+"/"+listName))
		}
		req.Format, req.ID = listFormat, newID()
		if s.rec != nil {
			req.ID, req.Set = s.rec.ID, s.rec.Set // a list may name the ID already
		}
		return &req, nil
	})
}

// forget makes a list of the next generation in dir that has the member at
// path replaced.
func forget(path, dir string) error {
	fd, err := openNew(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return withLock(Root{Path: dir, FD: fd}, func(s *seen) (*record, error) {
		if s.listed() {
			for i, m := range s.rec.Members {
				if string(m.Path) == path && m.State == stateServed && m.ID != s.rec.ID {
					s.rec.Members[i].State = stateReplaced
					s.rec.advance()
					return s.rec, nil
				}
			}
		}
		return nil, fmt.Errorf("tier %s: no list there names %s, which is read-only and holds none; name a writable tier of its set", show(dir), show(path))
	})
}

// advance makes it the next generation, which its own tier alone gets.
func (r *record) advance() {
	for i := range r.Members {
		if m := &r.Members[i]; m.ID != r.ID {
			m.Own = owned(m, r.Generation)
		}
	}
	r.Generation++
}

// ServedError says that a daemon serves a tier.
type ServedError struct {
	Path   string
	Holder Holder
}

func (e *ServedError) Error() string {
	return fmt.Sprintf("adopt: tier %s: a tierfs serves it", show(e.Path))
}

// withLock writes the record that change makes of a tier. A daemon that serves
// the tier holds the lock.
func withLock(r Root, change func(*seen) (*record, error)) error {
	lock, holder, err := lockMark(r.FD)
	if err != nil {
		return fmt.Errorf("adopt: %w", cannotWrite(r, err))
	}
	if lock < 0 {
		return &ServedError{r.Path, holder}
	}
	defer unix.Close(lock)
	s := seen{Root: r}
	if err := s.readMark(); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	rec, err := change(&s)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	g := guard{write: writeRecord}
	if err := g.put(r, rec); err != nil {
		return fmt.Errorf("adopt: %w", cannotWrite(r, err))
	}
	return nil
}

// replaceOnRequest gives the places of members to the tiers that a person has
// named for them.
func (j *judgement) replaceOnRequest() error {
	for i, t := range j.tiers {
		if j.first || j.claimed[i] != nil || !t.rec.requested() {
			continue
		}
		if t.rec.Adopt {
			j.notes = append(j.notes, fmt.Sprintf("tier %s: taken in as asked", show(t.Path)))
			continue
		}
		if err := j.replace(t); err != nil {
			return err
		}
	}
	return nil
}

func (j *judgement) replace(t seen) error {
	path := t.rec.Replaces
	for i, m := range j.claimed {
		if m != nil && m.Path == path {
			return fmt.Errorf("tiers %s and %s: the first is to replace the second; leave the second out of the options", show(t.Path), show(j.tiers[i].Path))
		}
	}
	m := j.find(func(m *member) bool { return m.Path == path && m.State != stateReplaced })
	if m == nil {
		return fmt.Errorf("tier %s: it is to replace %s, which is no member of the set of %s; run tierfs adopt --replace %s with one of those",
			show(t.Path), show(string(path)), memberPaths(j.known), show(t.Path))
	}
	m.State = stateReplaced
	j.notes = append(j.notes, fmt.Sprintf("tier %s: took the place of member %s", show(t.Path), m))
	return nil
}

// howToReplaceReadOnly names the command for a read-only tier.
func (j *judgement) howToReplaceReadOnly(t seen) string {
	for _, o := range j.tiers {
		if !o.ReadOnly && o.listed() && o.rec.Generation == j.list.Generation {
			return fmt.Sprintf("run tierfs adopt --replace %s %s if it was replaced on purpose", show(t.Path), show(o.Path))
		}
	}
	return "mount a tier that carries the list writable first"
}
