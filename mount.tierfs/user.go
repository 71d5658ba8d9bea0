package main

import (
	"strings"

	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// powerless names the options that have no effect in a mount by an ordinary
// user, or is "". What the kernel or fusermount3 refuses is an error elsewhere;
// without allow_other no NFS server gets in, and root alone may open handles.
// Of access times the daemon tells for each tier.
func powerless(o mountopt.Options, uid int) string {
	if uid == 0 {
		return ""
	}
	var names []string
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"suid", (o.Allowed|^o.Flags)&unix.MS_NOSUID != 0},
		{"dev", (o.Allowed|^o.Flags)&unix.MS_NODEV != 0},
		{"lazytime", o.Flags&unix.MS_LAZYTIME != 0},
		{"acl", o.Set["acl"] && !o.NoACL},
		{"noforget", o.NoForget && !o.AllowOther},
		{"cache=coherent", o.Cache == mountopt.CacheCoherent},
		{"passthrough=on", o.Passthrough == mountopt.PassthroughOn},
	} {
		if c.has {
			names = append(names, c.name)
		}
	}
	if names == nil {
		return ""
	}
	return strings.Join(names, ", ") + ": without effect in a mount by an ordinary user; let root mount, or leave that out"
}
