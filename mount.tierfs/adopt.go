package main

import (
	"fmt"

	"github.com/tierfs/tierfs/internal/tier"
)

// adopt takes a directory in as a tier where a mount, by itself, would refuse
// it: in place of a member, or as a new one on the root filesystem. The next
// mount carries it out.
func adopt(f flags, args []string) (err error) {
	dir := ""
	switch {
	case f.replace && len(args) == 2:
		dir, err = args[0], tier.Replace(args[0], args[1])
	case !f.replace && len(args) == 1 && args[0] != "":
		dir, err = args[0], tier.Adopt(args[0])
	default:
		return usage("adopt: want DIR, or --replace NEWDIR MEMBERDIR; see tierfs adopt --help")
	}
	if err == nil {
		fmt.Printf("the next mount that names %s takes it in\n", dir)
	}
	return err
}
