// Package generator tells systemd which disks a tierfs mount needs.
//
// systemd makes a mount unit of each line of fstab and orders it after the mount
// of its source, here the primary; of the fallbacks in the options it knows
// nothing. So beside the unit of each tierfs line goes a drop-in that names all
// tiers, see systemd.generator(7) and RequiresMountsFor= in systemd.unit(5).
package generator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
)

// dropIn is the name of the file in the .d directory of a mount unit.
const dropIn = "50-tierfs.conf"

// Run writes a drop-in under dir for each line of fstab that is a tierfs mount.
// Lines that the mount helper would refuse, and those that systemd does not heed,
// get none; warn is told why, in one line each.
func Run(lines []daemon.FstabLine, dir string, warn func(string)) {
	taken := map[string]bool{}
	for _, line := range lines {
		at := resolve(line.Dir)
		var err error
		switch {
		case line.Type != "fuse.tierfs" && line.Type != "tierfs":
		case taken[at]:
			err = errTaken
		default:
			err = write(line, at, dir)
		}
		if err != nil {
			warn(fmt.Sprintf("/etc/fstab: line of %q ignored: %v", line.Dir, err))
		}
		taken[at] = true
	}
}

// errTaken is for a disk and a tierfs mount over it as well: of two lines for one
// directory systemd makes a unit of the first.
var errTaken = errors.New("systemd takes the line before it that mounts at the same place, and that alone; mount one of them elsewhere")

// write writes the drop-in of one line, whose mount point is at.
func write(line daemon.FstabLine, at, dir string) error {
	text, err := text(line)
	if err != nil {
		return err
	}
	unit, err := unitName(at)
	if err != nil {
		return err
	}
	shelf := filepath.Join(dir, unit+".d")
	if err := os.MkdirAll(shelf, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(shelf, dropIn), []byte(text), 0o644)
}

// text is the drop-in of a line: what systemd would be told by an
// x-systemd.requires-mounts-for= for each tier.
func text(line daemon.FstabLine) (string, error) {
	o := mountopt.Default()
	if err := o.Parse(line.Options, true); err != nil {
		return "", err
	}
	if !filepath.IsAbs(line.Dir) {
		return "", fmt.Errorf("mount point %q is no absolute path; begin it with /", line.Dir)
	}
	var b strings.Builder
	b.WriteString("# Written by tierfs-generator from /etc/fstab.\n[Unit]\n")
	for _, tier := range append([]string{line.Source}, o.Fallbacks...) {
		word, err := quote(tier)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "RequiresMountsFor=%s\n", word)
	}
	return b.String(), nil
}
