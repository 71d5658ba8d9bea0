package main

import "strings"

// subject is what is measured: a plain directory, or a filesystem with one set
// of options.
type subject struct {
	name      string
	what      string // for the legend
	fallbacks int
	tierfs    string // the binary, of a tierfs

	// command is the foreground daemon; nil for the plain directory.
	command func(s *subject) []string

	tiers []string
	dir   string // mount point
}

// The options mergerfs is given. Both sets come from its manual of release
// 2.33; minfreespace=0 because its 4 GiB exceed the images.
const (
	// BASIC SETUP, "You need mmap".
	mergerfsDefault = "allow_other,use_ino,cache.files=partial,dropcacheonclose=true,category.create=mfs,minfreespace=0"
	// PERFORMANCE: what it says may help, where it helps. The page cache is
	// kept across opens and written back late, extended attributes are off.
	mergerfsFast = "allow_other,use_ino,cache.files=full,cache.writeback=true,category.create=mfs,minfreespace=0," +
		"xattr=nosys,cache.open=60,cache.statfs=60,cache.symlinks=true,cache.readdir=true"
)

// Positions in subjects, for the ratios.
const (
	atNative = iota
	atTierfs
	atTierfs2
	atMergerfs
	atMergerfsFast
)

func subjects(bin string) []*subject {
	tierfs := func(s *subject) []string {
		o := "foreground,fallback=" + strings.Join(s.tiers[1:], ":")
		return []string{bin, s.tiers[0], s.dir, "-o", o}
	}
	mergerfs := func(options string) func(*subject) []string {
		return func(s *subject) []string {
			return []string{"mergerfs", "-f", "-o", options, strings.Join(s.tiers, ":"), s.dir}
		}
	}
	return []*subject{
		atNative:       {name: "native", what: "the tier's own directory", fallbacks: 1},
		atTierfs:       {name: "tierfs", what: "one fallback, no other option", fallbacks: 1, tierfs: bin, command: tierfs},
		atTierfs2:      {name: "tierfs+2", what: "two fallbacks, no other option", fallbacks: 2, tierfs: bin, command: tierfs},
		atMergerfs:     {name: "mergerfs", what: "two branches, " + mergerfsDefault, fallbacks: 1, command: mergerfs(mergerfsDefault)},
		atMergerfsFast: {name: "mergerfs-f", what: "two branches, " + mergerfsFast, fallbacks: 1, command: mergerfs(mergerfsFast)},
	}
}

// root is where a client finds what lies on the tier with rank.
func (s *subject) root(rank int) string {
	if s.command == nil {
		return s.tiers[rank]
	}
	return s.dir
}
