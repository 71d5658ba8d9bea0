package main

import (
	"fmt"

	"github.com/tierfs/tierfs/internal/tier"
)

// adopt takes a directory in as a tier where a mount, by itself, would refuse
// it: in place of a member, or as a new one on the root filesystem. The next
// mount carries it out.
func adopt(args []string) (err error) {
	dir := ""
	switch {
	case len(args) == 3 && args[0] == "--replace":
		dir, err = args[1], tier.Replace(args[1], args[2])
	case len(args) == 1 && args[0] != "" && args[0][0] != '-':
		dir, err = args[0], tier.Adopt(args[0])
	default:
		return usage("adopt: want DIR, or --replace NEWDIR MEMBERDIR; see tierfs adopt --help")
	}
	if err == nil {
		fmt.Printf("the next mount that names %s takes it in\n", dir)
	}
	return err
}
