package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// dirSize is how many names share a directory, smallDir how many entries a
// directory has that is one of many to be listed.
const (
	dirSize  = 50
	smallDir = 10
)

// treeName is the directory of a tier in which one trial works.
const treeName = "tree"

// plan is the tree that a trial finds: names for each client, in directories of
// the client's own, so that clients do not wait for one another's directory
// locks.
type plan struct {
	files bool // the names exist, as files of content bytes
	dirs  bool // the names are directories of smallDir empty files
}

// names are the relative paths that n clients work on, from the from-th to the
// to-th of each.
func names(n, from, to int) [][]string {
	all := make([][]string, n)
	for c := range all {
		for i := from; i < to; i++ {
			all[c] = append(all[c], fmt.Sprintf("c%d/d%03d/f%05d", c, i/dirSize, i))
		}
	}
	return all
}

// grow makes the tree of so many names for each client at top, out of band: the
// disk's own caches are warm then, and the mount has seen nothing.
func (p plan) grow(top string, clients, each int) error {
	var text [content]byte
	for _, own := range names(clients, 0, each) {
		for i, name := range own {
			path := filepath.Join(top, name)
			if i%dirSize == 0 {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return err
				}
			}
			if err := p.put(path, text[:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p plan) put(path string, text []byte) error {
	switch {
	case p.files:
		return os.WriteFile(path, text, 0o644)
	case p.dirs:
		return fill(path, smallDir)
	}
	return nil
}

// fill makes a directory of n empty files.
func fill(dir string, n int) error { return fillFrom(dir, 0, n) }

// fillFrom makes a directory of the empty files from the from-th to the to-th.
func fillFrom(dir string, from, to int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := from; i < to; i++ {
		f, err := os.Create(filepath.Join(dir, entry(i)))
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func entry(i int) string { return fmt.Sprintf("entry%06d", i) }

// clear removes what a trial left, on every tier.
func (s *subject) clear() error {
	for _, tier := range s.tiers {
		if err := os.RemoveAll(tier + "/" + treeName); err != nil {
			return err
		}
	}
	return nil
}
