package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// subject is what is measured: a plain directory, or a filesystem with one set
// of options.
type subject struct {
	name      string
	what      string // for the legend
	fallbacks int
	readOnly  bool   // it is measured only where it is read
	tierfs    string // the binary, of a tierfs

	// command is the foreground daemon, kernel the options of a filesystem
	// that has none. The plain directory has neither.
	command func(s *subject) []string
	kernel  func(s *subject) (fstype, options string)

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

// Without use_ino the numbers that unionfs shows change with each mount, and git
// would read every file again.
const unionfsOptions = "allow_other,use_ino"

// The subjects that others are compared with, or that are.
const (
	native       = "native"
	tierfs       = "tierfs"
	tierfs2      = "tierfs+2"
	mergerfs     = "mergerfs"
	mergerfsF    = "mergerfs-f"
	unionfs      = "unionfs"
	bindfs       = "bindfs"
	overlay      = "overlay"
	overlayExtra = ".work" // beside the primary: overlayfs' own directory
)

// inQuick are the subjects of a quick run: those that the targets name.
var inQuick = []string{native, tierfs, mergerfs, mergerfsF}

func allSubjects(bin string) []*subject {
	withTierfs := func(s *subject) []string {
		return []string{bin, s.tiers[0], s.dir, "-o", "foreground,fallback=" + strings.Join(s.tiers[1:], ":")}
	}
	withMergerfs := func(options string) func(*subject) []string {
		return func(s *subject) []string {
			return []string{"mergerfs", "-f", "-o", options, strings.Join(s.tiers, ":"), s.dir}
		}
	}
	withUnionfs := func(s *subject) []string {
		return []string{"unionfs", "-f", "-o", unionfsOptions, strings.Join(s.tiers, "=RW:") + "=RW", s.dir}
	}
	withBindfs := func(s *subject) []string { return []string{"bindfs", "-f", s.tiers[0], s.dir} }
	withOverlay := func(s *subject) (string, string) {
		return "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", s.tiers[1], s.tiers[0], s.tiers[0]+overlayExtra)
	}
	return []*subject{
		{name: native, what: "the tier's own directory", fallbacks: 1},
		{name: tierfs, what: "one fallback, no other option", fallbacks: 1, tierfs: bin, command: withTierfs},
		{name: tierfs2, what: "two fallbacks, no other option", fallbacks: 2, tierfs: bin, command: withTierfs},
		{name: mergerfs, what: "two branches, " + mergerfsDefault, fallbacks: 1, command: withMergerfs(mergerfsDefault)},
		{name: mergerfsF, what: "two branches, " + mergerfsFast, fallbacks: 1, command: withMergerfs(mergerfsFast)},
		{name: unionfs, what: "two branches, both RW, " + unionfsOptions, fallbacks: 1, command: withUnionfs},
		{name: bindfs, what: "the primary alone, no options", command: withBindfs},
		{name: overlay, what: "upper the primary, lower the fallback; only where it is read", fallbacks: 1, readOnly: true, kernel: withOverlay},
	}
}

// subjects are those that take part. A peer that is not installed is left out,
// and named.
func subjects(bin string, quick bool) (take []*subject, missing []string) {
	for _, s := range allSubjects(bin) {
		if quick && !slices.Contains(inQuick, s.name) {
			continue
		}
		if s.command != nil && s.tierfs == "" {
			program := s.command(&subject{tiers: []string{"", ""}})[0]
			if _, err := exec.LookPath(program); err != nil {
				missing = append(missing, s.name)
				continue
			}
		}
		take = append(take, s)
	}
	return take, missing
}

// optional reports whether a run goes on without it.
func (s *subject) optional() bool { return s.name != native && s.tierfs == "" }

// root is where a client finds what lies on the tier with rank.
func (s *subject) root(rank int) string {
	if s.command == nil && s.kernel == nil {
		return s.tiers[rank]
	}
	return s.dir
}
