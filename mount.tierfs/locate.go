package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"golang.org/x/sys/unix"
)

// located is a file in a tierfs mount.
type located struct {
	mount daemon.Mount
	rel   string // its path in the filesystem, without a leading slash
}

// shown is the path by which people see what is at rel in the filesystem.
func shown(m daemon.Mount, rel string) string {
	below, ok := strings.CutPrefix("/"+rel, strings.TrimSuffix(m.Root, "/"))
	if !ok || below != "" && below[0] != '/' { // outside of what a bind mount shows
		return "/" + rel
	}
	return strings.TrimSuffix(m.Dir, "/") + strings.TrimSuffix(below, "/")
}

// locate finds the mount that path is in. The last component is not followed
// if it is a link in such a mount; one outside that leads there is.
func locate(path string) (located, error) {
	return patiently(path, func() (located, error) { return locateNow(path) })
}

func locateNow(path string) (located, error) {
	at, err := resolveParent(path)
	if err != nil {
		return located{}, cannotLocate(path, err)
	}
	m, isLink, err := mountOf(at)
	if err == nil && m.Type != fstype && isLink {
		if at, err = filepath.EvalSymlinks(at); err == nil {
			m, _, err = mountOf(at)
		}
	}
	if err != nil {
		return located{}, cannotLocate(path, err)
	}
	if m.Type != fstype {
		return located{}, failure{exitCannot, fmt.Errorf("%q: not in a tierfs mount; see findmnt -t %s", path, fstype)}
	}
	below := strings.TrimPrefix(strings.TrimPrefix(at, m.Dir), "/")
	return located{m, strings.TrimPrefix(filepath.Join(m.Root, below), "/")}, nil
}

// resolveParent is path, absolute and without links in all but its last
// component.
func resolveParent(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil || abs == "/" {
		return abs, err
	}
	if base := filepath.Base(path); base == "." || base == ".." || strings.HasSuffix(path, "/") {
		return filepath.EvalSymlinks(path)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	return filepath.Join(dir, filepath.Base(abs)), err
}

// mountOf is the mount that a path walk to path ends in.
func mountOf(path string) (m daemon.Mount, isLink bool, err error) {
	var st unix.Statx_t
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_TYPE, &st); err != nil {
		return m, false, err
	}
	mounts, err := daemon.Mounts()
	if err != nil {
		return m, false, err
	}
	isLink = st.Mode&unix.S_IFMT == unix.S_IFLNK
	if st.Mask&unix.STATX_MNT_ID != 0 {
		if m, ok := daemon.ByID(mounts, st.Mnt_id); ok {
			return m, isLink, nil
		}
	}
	for at := path; ; at = filepath.Dir(at) { // a kernel before 5.8
		if m, ok := daemon.Top(mounts, at); ok || at == "/" {
			return m, isLink, nil
		}
	}
}

func cannotLocate(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		err = errors.New("no such file; name one that is in the mount")
	case errors.Is(err, unix.ENOTCONN):
		err = errors.New("the daemon of the mount there has died; umount -l it and mount it again")
	}
	return failure{exitCannot, fmt.Errorf("%q: %w", path, err)}
}

// group is the files of one mount.
type group struct {
	mount daemon.Mount
	rels  []string
}

// locateAll finds the mounts of paths and puts together what is in the same.
func locateAll(paths []string) ([]*group, error) {
	var groups []*group
	byDev := map[string]*group{}
	for _, p := range paths {
		l, err := locate(p)
		if err != nil {
			return nil, err
		}
		g := byDev[l.mount.Dev()]
		if g == nil {
			g = &group{mount: l.mount}
			byDev[l.mount.Dev()] = g
			groups = append(groups, g)
		}
		g.rels = append(g.rels, l.rel)
	}
	return groups, nil
}

// oneMount is the mount that args name, or the only one there is.
func oneMount(command string, args []string) (daemon.Mount, error) {
	if len(args) > 1 {
		return daemon.Mount{}, usage("%s: want one mount; see tierfs %[1]s --help", command)
	}
	if len(args) == 1 {
		return mountAt(args[0])
	}
	mounts, err := allMounts()
	switch {
	case err != nil:
		return daemon.Mount{}, err
	case len(mounts) == 0:
		return daemon.Mount{}, failure{exitCannot, errors.New("no tierfs is mounted here; see findmnt -t fuse.tierfs, and mount.tierfs(8) to mount one")}
	case len(mounts) > 1:
		return daemon.Mount{}, usage("%s: several are mounted; name one: tierfs %[1]s %s", command, mounts[0].Dir)
	}
	return mounts[0], nil
}

// cannotAsk says why the daemon of m could not be asked by a command, and what
// to do.
func cannotAsk(command string, m daemon.Mount, err error) error {
	return failure{exitCannot, fmt.Errorf("mount %q: %s", m.Dir, explain(command, m, err))}
}

// mayAsk reports that the daemon of m listens to us.
func mayAsk(m daemon.Mount) bool {
	own := os.Geteuid()
	return own == 0 || own == ownerOf(m)
}

// isTerminal reports whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
