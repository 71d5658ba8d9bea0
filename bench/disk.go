package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is an image of a tier's disk; it has as many inodes as mkfs gives it, if
// none are named.
type disk struct {
	size   int64
	inodes int
}

// disks are the primary's image and the fallbacks'. mergerfs' policy mfs creates
// where most room is: that is to be the primary, as for the others. Its inodes are
// for the million that memory is measured with, and the rest.
var disks = []disk{{3 << 30, 1_500_000}, {size: 1 << 30}, {size: 1 << 30}}

// mkfsOptions keep ext4 from initialising itself in the background while we
// measure.
var mkfsOptions = []string{"-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"}

// makeDisks mounts a fresh ext4 for each tier. The images lie in dir, or in
// memory: then the disk is as fast as can be, and what a filesystem above it
// costs shows most.
func (l *lab) makeDisks(dir string, disks []disk) error {
	var total int64
	for _, d := range disks {
		total += d.size
	}
	if err := unix.Mount("bench", "/run", "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", total+total/8)); err != nil {
		return fmt.Errorf("mount tmpfs on /run: %w", err)
	}
	if err := os.Mkdir(base, 0o755); err != nil {
		return err
	}
	if dir == "" {
		dir = base
		if free := memAvailable(); free < total {
			return fmt.Errorf("%d MiB of memory are free, images need %d; name a directory with -dir", free>>20, total>>20)
		}
	}
	for i, d := range disks {
		at := fmt.Sprintf("%s/disk%d", base, i)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := d.make(dir, at); err != nil {
			return err
		}
		l.disks = append(l.disks, at)
	}
	return nil
}

// make mounts a new image at a directory. The image has no name once it is
// mounted, and the loop device clears itself (mount(8)): both end with the
// mount.
func (d disk) make(dir, at string) error {
	f, err := os.CreateTemp(dir, "tierfs-bench-*.img")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(d.size); err != nil {
		return err
	}
	options := slices.Clone(mkfsOptions)
	if d.inodes > 0 {
		options = append(options, "-N", strconv.Itoa(d.inodes))
	}
	if err := command("mkfs.ext4", append(options, f.Name())...); err != nil {
		return err
	}
	return command("mount", "-o", "loop", f.Name(), at)
}

// touchMemory uses size bytes of memory and gives them back. Memory that a
// virtual machine has never touched is slow the first time, which would tell
// against whoever writes first.
func touchMemory(size int64) error {
	name := base + "/touch"
	defer os.Remove(name)
	return writeFile(name, size)
}

// command runs a tool that is silent when all is well.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// unmount unmounts dir, lazily if it is busy.
func unmount(dir string) {
	if unix.Unmount(dir, 0) != nil {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
}

// settleDisks writes back what preparing left dirty, so that it is not written
// while something is timed.
func (l *lab) settleDisks() error {
	for _, disk := range l.disks {
		f, err := os.Open(disk)
		if err != nil {
			return err
		}
		err = unix.Syncfs(int(f.Fd()))
		f.Close()
		if err != nil {
			return fmt.Errorf("syncfs %s: %w", disk, err)
		}
	}
	return nil
}

// memAvailable is MemAvailable of /proc/meminfo in bytes.
func memAvailable() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}
