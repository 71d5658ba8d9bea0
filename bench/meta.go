package main

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// metaCase is one metadata operation. Names are cold: the mount has never seen
// them, the disk has.
type metaCase struct {
	name string
	plan plan
	op   op
	list bool // counts entries, not names
}

// content is what the small files hold.
const content = 4096

var metaCases = []metaCase{
	{"stat", plan{files: true}, stat, false},
	{"stat, in the fallback", plan{files: true, rank: 1}, stat, false},
	{"open+read+close", plan{files: true, bytes: content}, openReadClose, false},
	{"create+write+close", plan{}, createWriteClose, false},
	{"mkdir", plan{}, mkdir, false},
	{"rename", plan{files: true}, rename, false},
	{"unlink", plan{files: true, bytes: content}, unlink, false},
	{"readdir, an entry", plan{dirs: true}, list, true},
	{"readdir+stat, an entry", plan{dirs: true}, listStat, true},
}

// crowds are how many clients each case is done with.
var crowds = []int{1, 8}

func metaRows() []row {
	var rows []row
	for _, n := range crowds {
		for _, c := range metaCases {
			rows = append(rows, row{name: c.name, clients: n, run: func(l *lab, m *mounted) ([]float64, error) {
				return c.run(l, m, n)
			}})
		}
	}
	return rows
}

// run makes the tree, mounts, and does the case in several passes, each with
// names of its own: the shorter a measurement, the likelier that nothing
// disturbs one of them.
func (c *metaCase) run(l *lab, m *mounted, n int) ([]float64, error) {
	share, warm, passes, unit := l.scale.files/n, l.scale.warm, l.scale.passes, 1
	if c.list {
		share, warm, passes, unit = max(1, l.scale.listings/n), 0, 1, listSize
	}
	defer m.clear()
	all := warm + passes*share
	if err := c.plan.grow(m.tiers[c.plan.rank], n, all); err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	if err := l.settleDisks(); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		return nil, err
	}
	crowd := clients{root: path.Join(m.root(c.plan.rank), treeName), op: c.op}
	for i := range n {
		crowd.names = append(crowd.names, names(i, all))
	}
	if _, err := crowd.run(0, warm); err != nil {
		return nil, err
	}
	var figures []float64
	for pass := range passes {
		took, err := crowd.run(warm+pass*share, warm+(pass+1)*share)
		if err != nil {
			return nil, err
		}
		figures = append(figures, took.Seconds()*1e6/float64(n*share*unit))
	}
	return figures, m.stop()
}

func stat(dirfd int, name string) error {
	var st unix.Stat_t
	return unix.Fstatat(dirfd, name, &st, 0)
}

func openReadClose(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var buf [content]byte
	n, err := unix.Read(fd, buf[:])
	if err == nil && n != content {
		err = unix.EIO
	}
	unix.Close(fd)
	return err
}

func createWriteClose(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	var buf [content]byte
	if _, err = unix.Write(fd, buf[:]); err != nil {
		unix.Close(fd)
		return err
	}
	return unix.Close(fd)
}

func mkdir(dirfd int, name string) error { return unix.Mkdirat(dirfd, name, 0o755) }

func rename(dirfd int, name string) error { return unix.Renameat(dirfd, name, dirfd, name+"r") }

func unlink(dirfd int, name string) error { return unix.Unlinkat(dirfd, name, 0) }

// list reads the names of a directory, as ls does.
func list(dirfd int, name string) error {
	fd, _, err := entries(dirfd, name)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// listStat reads a directory as ls -l does: all names, then stat(2) of each.
func listStat(dirfd int, name string) error {
	fd, all, err := entries(dirfd, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, e := range all {
		if err := stat(fd, e); err != nil {
			return err
		}
	}
	return nil
}

// entries opens a directory and reads its names.
func entries(dirfd int, name string) (fd int, all []string, err error) {
	fd, err = unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	var buf [32 << 10]byte // as glibc's opendir
	all = make([]string, 0, listSize)
	n := 0
	for n, err = unix.ReadDirent(fd, buf[:]); n > 0; n, err = unix.ReadDirent(fd, buf[:]) {
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
	}
	if err == nil && len(all) != listSize {
		err = fmt.Errorf("%d entries, want %d", len(all), listSize)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, all, nil
}
