package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
)

// fstype is the type of our mounts in mountinfo.
const fstype = "fuse.tierfs"

// helper is what mount(8) calls. It is inside if it is in the namespace of -N already.
func helper(args []string, inside bool) error {
	daemon.SetPath()
	cmd, err := mountopt.ParseCommand(args[1:])
	switch {
	case errors.Is(err, mountopt.ErrHelp):
		return printHelperHelp(os.Stdout)
	case errors.Is(err, mountopt.ErrVersion):
		return printVersion(os.Stdout)
	case err != nil:
		return err
	}
	if cmd.Namespace != "" && !inside {
		if err := daemon.EnterNamespace(cmd.Namespace); err != nil {
			return err
		}
		return execStage(stageInside)
	}
	for _, w := range cmd.Options.Warnings {
		say(helperName, w)
	}
	if !cmd.Options.Remount { // which need not say all
		for _, w := range cmd.Options.Advice() {
			say(helperName, w)
		}
	}
	point, err := daemon.FindMountPoint(cmd.Dir)
	if err != nil {
		return err
	}
	if err := cutOff(cmd, args[1:], daemon.Fstab()); err != nil {
		return failure{exitUsage, err}
	}
	if cmd.Options.Remount {
		return remount(cmd, point)
	}
	return mount(cmd, point)
}

// cutOff is the error of options that mount(8) has cut off at a double quote in the line
// of fstab: mounted without the rest it could be writable, or without its fallbacks. If
// args have that quote, they are whole.
func cutOff(cmd mountopt.Command, args []string, fstab []daemon.FstabLine) error {
	quotes := strings.Count(strings.Join(args, " "), `"`) - strings.Count(cmd.Spec+cmd.Dir, `"`)
	if quotes%2 != 0 {
		return nil
	}
	for _, line := range fstab {
		ours := (line.Type == fstype || line.Type == "tierfs") && filepath.Clean(line.Source) == filepath.Clean(cmd.Spec) && filepath.Clean(line.Dir) == filepath.Clean(cmd.Dir)
		if ours && line.Unbalanced() {
			return fmt.Errorf("/etc/fstab: line of %q: a double quote in its options has no other, so mount(8) does not hand on what follows; take it out, and if it is part of a name, rename that directory", line.Dir)
		}
	}
	return nil
}

// mount mounts, or rehearses it with -f. As with any filesystem, what is mounted
// already can be rehearsed: its line of fstab may have been changed.
func mount(cmd mountopt.Command, point daemon.MountPoint) error {
	up := isUp(cmd, point)
	if err := vacant(point); err != nil && !(cmd.Fake && up) {
		return err
	}
	if text := powerless(cmd.Options, os.Geteuid()); text != "" {
		say(helperName, text)
	}
	switch {
	case cmd.Fake:
		return rehearse(cmd, point, up)
	case cmd.Options.Foreground:
		warnUnheard(cmd.Options)
		return execStage(stageEnter)
	}
	return start(cmd, point)
}

// isUp reports whether the mount of cmd is there, and alive.
func isUp(cmd mountopt.Command, point daemon.MountPoint) bool {
	return point.Taken && point.Top.Type == fstype && point.Top.Source == cmd.Spec && !point.Dead()
}

// vacant reports why nothing can be mounted at point. Any other filesystem may
// be there, a disk or an automount point, but not tierfs: mount -a would put
// one mount upon the other.
func vacant(point daemon.MountPoint) error {
	if !point.Taken || point.Top.Type != fstype {
		return point.Check()
	}
	if point.Dead() {
		return fmt.Errorf("mount point %q: the daemon of the mount there is gone; umount -l it first", point.Path)
	}
	by := ""
	if pid, err := clientFor(point.Top).PID(); err == nil && pid > 0 {
		by = fmt.Sprintf(" by daemon %d", pid)
	}
	return fmt.Errorf("mount point %q: already mounted: %s%s; unmount it first, or mount -o remount to change options", point.Path, point.Top.Source, by)
}

// rehearse does what a mount does up to the point where it changes anything. A
// mount that is up hides the tiers below it: their paths lead into it.
func rehearse(cmd mountopt.Command, point daemon.MountPoint, up bool) error {
	if err := checkLog(cmd.Options, point); err != nil {
		return failure{exitUsage, err}
	}
	roots, err := tierPaths(cmd)
	if err != nil {
		return err
	}
	if up && slices.ContainsFunc(roots, func(root string) bool { return daemon.Within(root, point.Path) }) {
		if cmd.Verbose {
			fmt.Printf("%s: %s is mounted on %s and hides a tier; the options are right, the tiers were not looked at\n", helperName, cmd.Spec, point.Path)
		}
		return nil
	}
	notes, err := checkTiers(roots, point.Path, cmd.Options)
	if err != nil {
		return forgive(cmd, err)
	}
	for _, n := range notes {
		say(helperName, n)
	}
	warnUnheard(cmd.Options)
	if cmd.Verbose {
		fmt.Printf("%s: %s can be mounted on %s\n", helperName, cmd.Spec, point.Path)
	}
	return nil
}

// forgive makes a warning of a missing tier if nofail was given.
func forgive(cmd mountopt.Command, err error) error {
	if !cmd.Options.NoFail || !isMissing(err) {
		return err
	}
	say(helperName, forgiven(err))
	return nil
}

func forgiven(err error) string { return err.Error() + " (nothing is mounted, because of nofail)" }

// tierPaths are the tiers of a command, absolute, the primary first. The
// source given to mount(2) stays as it was: it must equal the line of fstab.
func tierPaths(cmd mountopt.Command) ([]string, error) {
	primary, err := filepath.Abs(cmd.Spec)
	if err != nil {
		return nil, fmt.Errorf("primary %q: %w; give an absolute path", cmd.Spec, err)
	}
	return append([]string{primary}, cleaned(cmd.Options.Fallbacks)...), nil
}

// cleaned are paths without what does not change where they lead.
func cleaned(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Clean(p)
	}
	return out
}
