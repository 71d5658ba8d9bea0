package stress

import (
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"strings"
)

// node is one file; several names may lead to it.
type node struct{ content []byte }

// book is what a worker knows of its own names. Paths are relative to the
// mount.
type book struct {
	files   map[string]*node
	links   map[string]string // symlinks
	dirs    map[string]bool
	shadows map[string]bool // names that still have their first, shadowed copy
}

func newBook() *book {
	return &book{map[string]*node{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
}

// ledger is a book as a worker hands it over.
type ledger struct {
	Ops     int
	Files   map[string]string // path to the sum of its content
	Links   map[string]string
	Dirs    []string
	Shadows []string
	Peers   [][]string // names of one file each
}

func (b *book) close(ops int) ledger {
	l := ledger{Ops: ops, Files: map[string]string{}, Links: b.links}
	names := map[*node][]string{}
	for path, n := range b.files {
		l.Files[path] = sum(n.content)
		names[n] = append(names[n], path)
	}
	for _, peers := range names {
		if len(peers) > 1 {
			sort.Strings(peers)
			l.Peers = append(l.Peers, peers)
		}
	}
	l.Dirs, l.Shadows = keys(b.dirs), keys(b.shadows)
	return l
}

// move gives a directory and all below it another name.
func (b *book) move(from, to string) {
	b.files, b.links = moved(b.files, from, to), moved(b.links, from, to)
	b.dirs, b.shadows = moved(b.dirs, from, to), moved(b.shadows, from, to)
}

func moved[V any](all map[string]V, from, to string) map[string]V {
	next := map[string]V{}
	for path, v := range all {
		if path == from || strings.HasPrefix(path, from+"/") {
			path = to + path[len(from):]
		}
		next[path] = v
	}
	return next
}

// empty says whether nothing is below a directory.
func (b *book) empty(dir string) bool {
	below := func(path string) bool { return strings.HasPrefix(path, dir+"/") }
	return !some(b.files, below) && !some(b.links, below) && !some(b.dirs, below)
}

func some[V any](all map[string]V, is func(string) bool) bool {
	for path := range all {
		if is(path) {
			return true
		}
	}
	return false
}

// keys are the sorted keys of a map, so that a seed gives the same story.
func keys[V any](all map[string]V) []string {
	var list []string
	for k := range all {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:8])
}
