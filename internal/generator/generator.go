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
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
)

// dropIn is the name of the file in the .d directory of a mount unit.
const dropIn = "50-tierfs.conf"

// Run writes a drop-in under dir for each line of fstab that is a tierfs mount.
// Lines that the mount helper would refuse get none; warn is told why, in one
// line each.
func Run(lines []daemon.FstabLine, dir string, warn func(string)) {
	for _, line := range lines {
		if line.Type != "fuse.tierfs" && line.Type != "tierfs" {
			continue
		}
		if err := write(line, dir); err != nil {
			warn(fmt.Sprintf("/etc/fstab: line of %q ignored: %v", line.Dir, err))
		}
	}
}

// write writes the drop-in of one line. Of two lines for one directory systemd
// takes the first, and so does this.
func write(line daemon.FstabLine, dir string) error {
	text, err := text(line)
	if err != nil {
		return err
	}
	unit, err := unitName(resolve(line.Dir))
	if err != nil {
		return err
	}
	shelf := filepath.Join(dir, unit+".d")
	if err := os.MkdirAll(shelf, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(shelf, dropIn), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("there is another one before it")
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// text is the drop-in of a line: what systemd would be told by an
// x-systemd.requires-mounts-for= for each tier.
func text(line daemon.FstabLine) (string, error) {
	o := mountopt.Default()
	if err := o.Parse(line.Options, true); err != nil {
		return "", err
	}
	if !filepath.IsAbs(line.Dir) {
		return "", fmt.Errorf("mount point %q is no absolute path", line.Dir)
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
