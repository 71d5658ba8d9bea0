package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// remount changes the mount at point: the daemon takes its options or refuses
// them, then the kernel is given the flags. Nothing is ever mounted.
func remount(cmd mountopt.Command, point daemon.MountPoint) error {
	switch {
	case !point.Taken || point.Top.Type != fstype:
		return fmt.Errorf("remount %q: no tierfs is mounted there; mount it without remount", point.Path)
	case point.Dead():
		return fmt.Errorf("remount %q: its daemon is gone; umount -l it and mount it anew", point.Path)
	}
	if given, has := filepath.Clean(cmd.Spec), filepath.Clean(point.Top.Source); given != has {
		return fmt.Errorf("remount %q: the primary is %q and cannot change to %q while mounted; name the mount point alone, or unmount first", point.Path, has, given)
	}
	opts := cmd.Options
	opts.Fallbacks = cleaned(opts.Fallbacks)
	opts.Remount = false
	opts.Flags = mergeFlags(flagsOf(point.Top), opts)
	set := slices.Sorted(maps.Keys(opts.Set))
	if cmd.Fake {
		if err := checkLog(opts, point); err != nil {
			return failure{exitUsage, err}
		}
		return nil
	}
	c := clientFor(point.Top)
	before, err := c.Status()
	if err == nil {
		err = c.Remount(control.Remount{Options: opts.String(), Set: set})
	}
	if errors.Is(err, control.ErrNoDaemon) {
		return fmt.Errorf("remount %q: its daemon has no control socket; unmount first", point.Path)
	}
	if err != nil {
		return fmt.Errorf("remount %q: %w", point.Path, err)
	}
	if err := applyFlags(cmd, point, opts.Flags); err != nil {
		return takeBack(c, before.Options, opts, set, err)
	}
	if opts.Set["log"] {
		warnUnheard(opts)
	}
	for _, text := range advice(before.Options, opts, set) {
		say(helperName, fmt.Sprintf("remount %q: %s", point.Path, text))
	}
	if text := forgotten(point.Path, before.Options, opts.Fallbacks); text != "" {
		say(helperName, text)
	}
	return nil
}

// takeBack gives the daemon its options from before again, as the kernel has refused the
// flags: all or nothing, but for fallbacks that were added, which cannot be taken away.
func takeBack(c *control.Client, before string, opts mountopt.Options, set []string, why error) error {
	rest := slices.DeleteFunc(slices.Clone(set), func(name string) bool { return name == "fallback" })
	_ = c.Remount(control.Remount{Options: before, Set: rest})
	if added := addedTo(before, opts.Fallbacks); len(added) > 0 {
		return fmt.Errorf("%w; nothing has changed, but that %s is in the mount all the same", why, strings.Join(added, ", "))
	}
	return why
}

// addedTo are the fallbacks that the options from before are without.
func addedTo(before string, fallbacks []string) []string {
	was := mountopt.Default()
	if was.Parse(before, true) != nil {
		return nil
	}
	return without(fallbacks, was.Fallbacks)
}

// advice is that of a mount with all options that hold after a remount.
func advice(before string, opts mountopt.Options, set []string) []string {
	was := mountopt.Default()
	if was.Parse(before, true) != nil {
		return nil
	}
	now, err := merge(was, opts, set)
	if err != nil {
		return nil // the daemon has taken them all the same
	}
	return now.Advice()
}

// forgotten names the fallbacks that a remount has added and that the line of
// fstab lacks, or is "". The next mount would be without them, and the next
// remount by that line be refused.
func forgotten(dir, before string, fallbacks []string) string {
	added := addedTo(before, fallbacks)
	for _, line := range daemon.Fstab() {
		o := mountopt.Default()
		if filepath.Clean(line.Dir) != dir || o.Parse(line.Options, true) != nil {
			continue
		}
		if lacks := without(added, cleaned(o.Fallbacks)); len(lacks) > 0 {
			return fmt.Sprintf("remount %q: the line in /etc/fstab is without %s, so that the next mount would be too; write %s there", dir, mountopt.Fallback(lacks), mountopt.Fallback(fallbacks))
		}
	}
	return ""
}

// applyFlags changes the kernel's side of the mount, if anything changes.
func applyFlags(cmd mountopt.Command, point daemon.MountPoint, flags uintptr) error {
	now := flagsOf(point.Top)
	if flags != now {
		err := fusedev.Remount(point.Path, flags)
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("remount %q: only root may change flags such as ro, noexec and sync; leave them out, or unmount and mount anew", point.Path)
		}
		if err != nil {
			return err
		}
	}
	if (flags^now)&(timeFlags|unix.MS_NODIRATIME) != 0 {
		say(helperName, fmt.Sprintf("remount %q: access times go on as when it was mounted, whatever the mount table says now; unmount it and mount it anew to change them", point.Path))
	}
	if cmd.Verbose {
		fmt.Printf("%s: %s remounted\n", helperName, point.Path)
	}
	return nil
}

// flagWords are the flags of mount(2) as mountinfo writes them. Without one of
// the two words about access times they are strict.
var flagWords = map[string]uintptr{
	"ro":          unix.MS_RDONLY,
	"nosuid":      unix.MS_NOSUID,
	"nodev":       unix.MS_NODEV,
	"noexec":      unix.MS_NOEXEC,
	"noatime":     unix.MS_NOATIME,
	"relatime":    unix.MS_RELATIME,
	"nodiratime":  unix.MS_NODIRATIME,
	"lazytime":    unix.MS_LAZYTIME,
	"sync":        unix.MS_SYNCHRONOUS,
	"dirsync":     unix.MS_DIRSYNC,
	"nosymfollow": unix.MS_NOSYMFOLLOW,
}

// flagsOf are the flags that a mount has.
func flagsOf(m daemon.Mount) uintptr {
	var flags uintptr
	for word, flag := range flagWords {
		if m.Has(word) {
			flags |= flag
		}
	}
	if flags&(unix.MS_NOATIME|unix.MS_RELATIME) == 0 {
		flags |= unix.MS_STRICTATIME
	}
	return flags
}

// clientFor returns the client of the daemon that serves m.
func clientFor(m daemon.Mount) *control.Client {
	owner := ownerOf(m)
	return control.NewClient(control.Path(control.Dir(owner), m.Major, m.Minor), owner)
}

// ownerOf is the user who mounted, as the kernel shows it: user_id=.
func ownerOf(m daemon.Mount) int {
	for _, o := range strings.Split(m.Super, ",") {
		if text, ok := strings.CutPrefix(o, "user_id="); ok {
			if uid, err := strconv.Atoi(text); err == nil {
				return uid
			}
		}
	}
	return 0
}
