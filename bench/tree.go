package main

import (
	"fmt"
	"os"
)

// dirSize is how many names share a directory, listSize how many a directory
// that is listed has.
const (
	dirSize  = 100
	listSize = 1000
)

// treeName is the directory of a tier in which one run works.
const treeName = "tree"

// plan is the tree that a run finds: names for each client, in directories of
// the client's own, so that clients do not wait for one another's directory
// locks.
type plan struct {
	rank  int  // the tier on which the tree lies
	files bool // the names exist, as files of content bytes
	dirs  bool // the names are directories of listSize empty files
	bytes int
}

// names are the relative paths that one client works on.
func names(client, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("c%d/d%03d/f%05d", client, i/dirSize, i)
	}
	return all
}

// grow makes the tree beneath the tier's directory, out of band: the disk's own
// caches are warm then, and the mount has seen nothing.
func (p plan) grow(tier string, clients, n int) error {
	content := make([]byte, p.bytes)
	for c := range clients {
		for i, name := range names(c, n) {
			path := tier + "/" + treeName + "/" + name
			if i%dirSize == 0 {
				if err := os.MkdirAll(path[:len(path)-len("/f00000")], 0o755); err != nil {
					return err
				}
			}
			if err := p.put(path, content); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p plan) put(path string, content []byte) error {
	if p.files {
		return os.WriteFile(path, content, 0o644)
	}
	if !p.dirs {
		return nil
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	for i := range listSize {
		if err := os.WriteFile(fmt.Sprintf("%s/entry%04d", path, i), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// clear removes what a run left, on every tier.
func (s *subject) clear() error {
	for _, tier := range s.tiers {
		if err := os.RemoveAll(tier + "/" + treeName); err != nil {
			return err
		}
	}
	return nil
}
