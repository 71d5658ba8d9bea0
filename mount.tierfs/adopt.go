package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
	"github.com/tierfs/tierfs/internal/tier"
)

// adopt takes a directory in as a tier where a mount, by itself, would refuse
// it: in place of a member, or as a new one on the root filesystem. The next
// mount carries it out.
func adopt(f flags, args []string) (err error) {
	dir := ""
	switch {
	case f.replace && len(args) == 2:
		if err := isMember(args[1]); err != nil {
			return err
		}
		dir, err = args[0], tier.Replace(args[0], args[1])
	case !f.replace && len(args) == 1 && args[0] != "":
		dir, err = args[0], tier.Adopt(args[0])
	default:
		return usage("adopt: want DIR, or --replace NEWDIR MEMBERDIR; see tierfs adopt --help")
	}
	var served *tier.ServedError
	switch {
	case errors.As(err, &served):
		r := meet(served.Holder)
		err = fmt.Errorf("%w%s; %s first", err, r, r.toEnd())
	case err == nil:
		fmt.Printf("the next mount that names %s takes it in\n", dir)
	}
	return err
}

// isMember refuses what cannot be the path of a member, which the next mount
// alone would tell otherwise. A directory that is there may be one: the set may
// be in no fstab. One that has gone with its disk must be in a list.
func isMember(dir string) error {
	if dir == "" || exists(dir) {
		return nil
	}
	known := fstabMembers()
	if abs, err := filepath.Abs(dir); err == nil && slices.Contains(known, abs) {
		return nil
	}
	do := "name the directory of a member"
	if len(known) > 0 {
		do += ": " + strings.Join(known, ", ")
	}
	return fmt.Errorf("adopt: member %q: there is no such directory, and of the tiers in fstab none is or was at that path; %s", dir, do)
}

// fstabMembers are the paths of the tiers that fstab names, and of those that
// their lists name.
func fstabMembers() (all []string) {
	for _, line := range daemon.Fstab() {
		if line.Type != fstype && line.Type != "tierfs" {
			continue
		}
		o := mountopt.Default()
		if o.Parse(line.Options, true) != nil {
			continue
		}
		for _, dir := range cleaned(append([]string{line.Source}, o.Fallbacks...)) {
			all = append(all, dir)
			all = append(all, tier.ListedIn(dir)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
