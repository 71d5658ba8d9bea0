package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What lies in every subject's tiers from the start: a tree of source on the
// primary and on the fallback, git's directory for the one on the primary, and
// directories of very many entries.
var (
	sourceNames = [2]string{"src", "old"}
	bigNames    = [2]string{"big0", "big1"}
)

const gitDir = "git"

// quickSource is the part of Go's source that a quick run takes.
var quickSource = []string{"go", "net", "runtime"}

// source is Go's source, packed once.
type source struct {
	tar     string
	dirs    []string // relative to its top
	entries int
}

// pack makes the tar of the source that the Go toolchain brings.
func pack(quick bool) (source, error) {
	s := source{tar: base + "/go.tar"}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return s, fmt.Errorf("go env GOROOT: %w", err)
	}
	args := []string{"-cf", s.tar, "-C", strings.TrimSpace(string(root)) + "/src"}
	if quick {
		args = append(args, quickSource...)
	} else {
		args = append(args, ".")
	}
	return s, command("tar", args...)
}

// count takes stock of the source where it was unpacked.
func (s *source) count(top string) error {
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != top {
			s.entries++
		}
		if d.IsDir() {
			rel, _ := filepath.Rel(top, path)
			s.dirs = append(s.dirs, rel)
		}
		return nil
	})
}

// settle gives a subject its tiers and what lies in them: the first one new
// files, the others hard links to these.
func (l *lab) settle(s *subject, i int) error {
	for rank := range s.fallbacks + 1 {
		tier := fmt.Sprintf("%s/%d", l.disks[rank], i)
		if err := os.Mkdir(tier, 0o755); err != nil {
			return err
		}
		s.tiers = append(s.tiers, tier)
	}
	s.dir = fmt.Sprintf("%s/mnt/%d", base, i)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if s.kernel != nil {
		if err := os.Mkdir(s.tiers[0]+overlayExtra, 0o755); err != nil {
			return err
		}
	}
	if i == 0 {
		return l.furnish(s)
	}
	return l.link(s, l.subjects[0])
}

func (l *lab) furnish(s *subject) error {
	progress("preparing the source")
	if err := makeData(s.tiers[0], "", l.scale.fileSize); err != nil {
		return err
	}
	for rank, name := range sourceNames {
		top := filepath.Join(s.tiers[rank], name)
		if err := os.Mkdir(top, 0o755); err != nil {
			return err
		}
		if err := command("tar", "-xf", l.source.tar, "-C", top); err != nil {
			return err
		}
	}
	if err := l.source.count(filepath.Join(s.tiers[0], sourceNames[0])); err != nil {
		return err
	}
	for _, name := range bigNames {
		if err := fill(filepath.Join(s.tiers[0], name), l.scale.bigDir); err != nil {
			return err
		}
	}
	return commitSource(s.tiers[0])
}

func (l *lab) link(s, first *subject) error {
	progress("preparing %s", s.name)
	if err := makeData(s.tiers[0], first.tiers[0], 0); err != nil {
		return err
	}
	for _, name := range []string{sourceNames[0], gitDir, bigNames[0], bigNames[1]} {
		if err := command("cp", "-al", filepath.Join(first.tiers[0], name), s.tiers[0]); err != nil {
			return err
		}
	}
	if s.fallbacks == 0 {
		return nil
	}
	return command("cp", "-al", filepath.Join(first.tiers[1], sourceNames[1]), s.tiers[1])
}

// git is a git command on the source at root. A low threshold for big files
// lets it store all in one pack, rather than in as many files as it is given.
func git(root string, args ...string) []string {
	return append([]string{"git", "--git-dir=" + filepath.Join(root, gitDir), "--work-tree=" + filepath.Join(root, sourceNames[0]),
		"-c", "core.bigFileThreshold=1", "-c", "core.compression=0", "-c", "user.name=bench", "-c", "user.email=bench@localhost"}, args...)
}

func commitSource(root string) error {
	for _, args := range [][]string{{"init", "-q"}, {"add", "--force", "."}, {"commit", "-q", "-m", "source"}} {
		argv := git(root, args...)
		if err := command(argv[0], argv[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// indexSource lets git take note of the files as the subject shows them. It
// comes when nothing is linked any more, which would change their times.
func indexSource(s *subject) error {
	m := &mounted{subject: s}
	defer m.stop()
	if err := m.start(); err != nil {
		return err
	}
	argv := git(m.root(0), "update-index", "-q", "--refresh")
	if err := command(argv[0], argv[1:]...); err != nil {
		return err
	}
	return m.stop()
}
