package main

import "github.com/tierfs/tierfs/internal/tier"

// adopt takes a directory in as a tier where a mount, by itself, would refuse
// it: in place of a member, or as a new one on the root filesystem. The next
// mount carries it out.
func adopt(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "--replace":
		return tier.Replace(args[1], args[2])
	case len(args) == 1 && args[0] != "" && args[0][0] != '-':
		return tier.Adopt(args[0])
	}
	return usage("adopt: want [--replace NEWDIR] DIR; see tierfs help")
}
