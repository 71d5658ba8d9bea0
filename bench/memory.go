package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// weight is the resident memory of a daemon, in bytes: before anything was
// looked up, with all inodes in the kernel's cache, and when it was told to
// forget them.
type weight struct {
	Subject string `json:"subject"`
	Inodes  int    `json:"inodes"`
	Rest    int    `json:"rest"`
	Full    int    `json:"full"`
	Dropped int    `json:"dropped"`
}

// memoryRow is the name by which this is asked for.
const memoryRow = "memory"

// heavyDir is how many files share a directory of those that are weighed with.
const (
	heavyName = "heavy"
	heavyDir  = 100
)

// weigh measures each daemon once. They get the same tree, one after the other,
// by rename.
func (l *lab) weigh() ([]weight, error) {
	tree := filepath.Join(l.subjects[0].tiers[0], heavyName)
	dirs := make([]string, l.scale.inodes/heavyDir)
	progress("preparing %d files", l.scale.inodes)
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	for i := range dirs {
		dirs[i] = fmt.Sprintf("d%05d", i)
		if err := fill(filepath.Join(tree, dirs[i]), heavyDir); err != nil {
			return nil, err
		}
	}
	var all []weight
	for _, s := range l.subjects {
		if s.command == nil || l.ctx.Err() != nil || l.scale.quick && s.name != tierfs {
			continue
		}
		progress("memory of %s", s.name)
		own := filepath.Join(s.tiers[0], heavyName)
		if err := os.Rename(tree, own); err != nil {
			return nil, err
		}
		tree = own
		w, err := l.weighOne(&mounted{subject: s}, dirs)
		if err != nil {
			return nil, fmt.Errorf("memory of %s: %w", s.name, err)
		}
		all = append(all, w)
	}
	progress("")
	return all, l.ctx.Err()
}

func (l *lab) weighOne(m *mounted, dirs []string) (w weight, err error) {
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := l.settleDisks(); err != nil {
		return w, err
	}
	if err := m.start(); err != nil {
		return w, err
	}
	w = weight{Subject: m.name, Inodes: len(dirs) * (heavyDir + 1), Rest: m.resident()}
	crowd := clients{root: filepath.Join(m.root(0), heavyName), op: listStat}
	half := len(dirs) / 2
	if _, err := crowd.run([][]string{dirs[:half], dirs[half:]}); err != nil {
		return w, err
	}
	w.Full = m.resident()
	if m.tierfs != "" {
		s, err := m.status(l.ctx)
		if err != nil {
			return w, err
		}
		w.Inodes = s.Inodes // fewer if something made the kernel drop its caches meanwhile
	}
	w.Dropped, err = m.forget(w.Full, l.scale.forget)
	return w, err
}

// resident is VmRSS of the daemon, in bytes.
func (m *mounted) resident() int { return m.memory("VmRSS") }

// most is VmHWM of the daemon, the most that was ever resident, in bytes.
func (m *mounted) most() int { return m.memory("VmHWM") }

// memory is a line of the daemon's status that counts KiB, in bytes; 0 without a
// daemon.
func (m *mounted) memory(line string) int {
	if m.daemon == nil {
		return 0
	}
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(m.daemon.Process.Pid) + "/status")
	_, rest, _ := strings.Cut(string(text), "\n"+line+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(fields[0])
	return kib << 10
}

// forget makes the kernel forget the inodes of the mount, and waits until the
// daemon has given back no more for a while. A reconfiguration drops the
// unused dentries of one filesystem (reconfigure_super), and their inodes.
func (m *mounted) forget(from int, patience time.Duration) (int, error) {
	lowest, since := from, time.Now()
	for ; time.Since(since) < patience; time.Sleep(500 * time.Millisecond) {
		fd, err := unix.Fspick(unix.AT_FDCWD, m.dir, unix.FSPICK_CLOEXEC)
		if err != nil {
			return 0, fmt.Errorf("fspick: %w", err)
		}
		err = unix.FsconfigReconfigure(fd)
		unix.Close(fd)
		if err != nil {
			return 0, fmt.Errorf("reconfigure: %w", err)
		}
		if now := m.resident(); now < lowest-lowest/50 {
			lowest, since = now, time.Now()
		}
	}
	return min(lowest, m.resident()), nil
}
