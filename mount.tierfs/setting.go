package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// setting is what a remount does about one setting of mountopt; nothing, for
// what has no meaning in one.
type setting struct {
	take  func(o *mountopt.Options, from mountopt.Options) // changes at once
	same  func(now, want mountopt.Options) bool            // what is wanted can be had without unmounting
	why   func(now, want mountopt.Options) string          // else, if there is more to say than that
	flags uintptr                                          // changed with mount(2) by the helper
}

// idle reports that the setting means nothing once the mount is up.
func (s setting) idle() bool { return s.take == nil && s.same == nil && s.flags == 0 }

// timeFlags say when access times are renewed; they exclude each other.
const timeFlags = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// settings are all that mountopt knows, by the names in Options.Set.
var settings = map[string]setting{
	"create":           {take: func(o *mountopt.Options, n mountopt.Options) { o.Create = n.Create }},
	"minfree":          {take: func(o *mountopt.Options, n mountopt.Options) { o.MinFree = n.MinFree }},
	"statfs":           {take: func(o *mountopt.Options, n mountopt.Options) { o.StatfsPrimary = n.StatfsPrimary }},
	"cache":            {same: func(a, b mountopt.Options) bool { return a.Cache == b.Cache }},
	"entry_timeout":    {take: func(o *mountopt.Options, n mountopt.Options) { o.EntryTimeout = n.EntryTimeout }},
	"attr_timeout":     {take: func(o *mountopt.Options, n mountopt.Options) { o.AttrTimeout = n.AttrTimeout }},
	"negative_timeout": {take: func(o *mountopt.Options, n mountopt.Options) { o.NegativeTimeout = n.NegativeTimeout }},
	"tier_timeout":     {take: func(o *mountopt.Options, n mountopt.Options) { o.TierTimeout = n.TierTimeout }},
	"debug":            {take: func(o *mountopt.Options, n mountopt.Options) { o.Debug = n.Debug }},
	"log":              {take: func(o *mountopt.Options, n mountopt.Options) { o.Log = n.Log }},

	"demote":      {take: func(o *mountopt.Options, n mountopt.Options) { o.Demote = n.Demote }},
	"age":         {take: func(o *mountopt.Options, n mountopt.Options) { o.Age = n.Age }},
	"high":        {take: func(o *mountopt.Options, n mountopt.Options) { o.High = n.High }},
	"low":         {take: func(o *mountopt.Options, n mountopt.Options) { o.Low = n.Low }},
	"promote":     {take: func(o *mountopt.Options, n mountopt.Options) { o.Promote = n.Promote }},
	"ignore_comm": {take: func(o *mountopt.Options, n mountopt.Options) { o.IgnoreComm = n.IgnoreComm }},
	"window":      {take: func(o *mountopt.Options, n mountopt.Options) { o.Window = n.Window }},
	"exclude":     {take: func(o *mountopt.Options, n mountopt.Options) { o.Exclude = n.Exclude }},
	"mover_rate":  {take: func(o *mountopt.Options, n mountopt.Options) { o.MoverRate = n.MoverRate }},

	"fallback":    {same: extends, why: whyNot, take: func(o *mountopt.Options, n mountopt.Options) { o.Fallbacks = n.Fallbacks }},
	"rawlinks":    {same: func(a, b mountopt.Options) bool { return a.RawLinks == b.RawLinks }},
	"inodes":      {same: func(a, b mountopt.Options) bool { return a.Inodes32 == b.Inodes32 }},
	"noforget":    {same: func(a, b mountopt.Options) bool { return a.NoForget == b.NoForget }},
	"threads":     {same: func(a, b mountopt.Options) bool { return a.Threads == b.Threads }},
	"passthrough": {same: func(a, b mountopt.Options) bool { return a.Passthrough == b.Passthrough }},
	"acl":         {same: func(a, b mountopt.Options) bool { return a.NoACL == b.NoACL }},
	"max_read":    {same: func(a, b mountopt.Options) bool { return a.MaxRead == b.MaxRead }},
	"context":     {same: sameData},
	"fscontext":   {same: sameData},
	"defcontext":  {same: sameData},
	"rootcontext": {same: sameData},
	"allow_other": {same: func(a, b mountopt.Options) bool {
		return allowsOthers(a, os.Geteuid()) == allowsOthers(b, os.Geteuid())
	}},

	"ro":       {flags: unix.MS_RDONLY},
	"suid":     {flags: unix.MS_NOSUID},
	"dev":      {flags: unix.MS_NODEV},
	"exec":     {flags: unix.MS_NOEXEC},
	"atime":    {flags: timeFlags},
	"diratime": {flags: unix.MS_NODIRATIME},
	"lazytime": {flags: unix.MS_LAZYTIME},
	"sync":     {flags: unix.MS_SYNCHRONOUS, take: takeFlags(unix.MS_SYNCHRONOUS)},
	// The kernel does not change it in a remount (MS_RMT_MASK).
	"dirsync":   {same: func(a, b mountopt.Options) bool { return (a.Flags^b.Flags)&unix.MS_DIRSYNC == 0 }},
	"symfollow": {flags: unix.MS_NOSYMFOLLOW},

	"foreground": {},
	"nofail":     {},
	"remount":    {},
}

// takeFlags is for flags of mount(2) that mean something to the daemon too.
func takeFlags(mask uintptr) func(o *mountopt.Options, n mountopt.Options) {
	return func(o *mountopt.Options, n mountopt.Options) { o.Flags = o.Flags&^mask | n.Flags&mask }
}

// extends reports whether want has the fallbacks of now, and perhaps more at
// the end. A mount without any does not become a union while it is used.
func extends(now, want mountopt.Options) bool {
	n := len(now.Fallbacks)
	return slices.Equal(now.Fallbacks, want.Fallbacks) ||
		n > 0 && len(want.Fallbacks) > n && slices.Equal(now.Fallbacks, want.Fallbacks[:n])
}

// whyNot says why the fallbacks cannot be what is wanted, and what they can be.
func whyNot(now, want mountopt.Options) string {
	if len(now.Fallbacks) == 0 {
		return "the mount has none, and a single directory does not become one of several while it is in use; unmount first"
	}
	more := without(want.Fallbacks, now.Fallbacks)
	has := mountopt.Fallback(now.Fallbacks)
	switch {
	case len(more) > 0:
	case len(without(now.Fallbacks, want.Fallbacks)) > 0:
		// Those that a remount has added, mostly.
		return has + " is mounted, and none can be taken away; write that, and if it comes from the line of /etc/fstab, which a remount repeats, write it there; or unmount first"
	default:
		return has + " is mounted, and none can change its place; write that, or unmount first"
	}
	return fmt.Sprintf("%s is mounted, and others can only come after it; write %s, or unmount first",
		has, mountopt.Fallback(append(slices.Clone(now.Fallbacks), more...)))
}

// without are the names of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return slices.Contains(b, name) })
}

func sameData(a, b mountopt.Options) bool { return slices.Equal(a.Data, b.Data) }

// merge returns the options after a remount: now with the settings named in set
// from want. It refuses all if one of them cannot change. A setting that is
// named with the value that it has is fine: mount(8) sends the whole fstab line.
// The flags of mount(2) are the helper's business.
func merge(now, want mountopt.Options, set []string) (mountopt.Options, error) {
	next := now
	for _, name := range set {
		s, known := settings[name]
		if !known {
			return now, fmt.Errorf("option %q: this daemon does not know it; unmount first", name)
		}
		if s.same != nil && !s.same(now, want) {
			why := "cannot change while mounted; unmount first"
			if s.why != nil {
				why = s.why(now, want)
			}
			return now, fmt.Errorf("option %s: %s", name, why)
		}
		if s.take != nil {
			s.take(&next, want)
		}
	}
	if err := next.Check(); err != nil {
		return now, err
	}
	return next, nil
}

// mergeFlags takes the mount(2) flags that want speaks of from there and leaves
// the others as they are now. Of the rules for access times one always holds:
// given none, the kernel would keep the one that is to go. Mountinfo has no word
// for strictatime, so that a list made of it without any says strictatime, or
// that the other was undone.
func mergeFlags(now uintptr, want mountopt.Options) uintptr {
	var mask uintptr
	for name := range want.Set {
		mask |= settings[name].flags
	}
	if want.FromMountinfo && want.Flags&timeFlags == 0 && now&unix.MS_STRICTATIME != 0 {
		mask &^= timeFlags
	}
	next := now&^mask | want.Flags&mask
	if next&timeFlags == 0 {
		next |= unix.MS_RELATIME
	}
	return next
}
