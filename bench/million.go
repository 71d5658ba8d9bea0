package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The tree of a run of -scale: a million files in 10,000 directories that both
// tiers have, half of the files on each, and one directory of a million more.
const (
	manyDirs  = 10_000
	manyEach  = 100 // files in each, the first half of them on the primary
	oldEach   = 10  // of these so many are old, a tenth of all, and have content
	bigCount  = 1_000_000
	openCount = 10_000
	someNames = 1_000 // names that are timed one by one in something big
)

const (
	manyName = "many"
	bigName  = "big"
	openName = "open"
)

// cachedCounts are how many inodes the kernel has cached when lookups are timed.
var cachedCounts = []int{10, 1_000, 100_000, 1_000_000}

// scaleDisks take it all.
var scaleDisks = []disk{{6 << 30, 2_300_000}, {3 << 30, 900_000}}

// million is a run of -scale. The subjects share their tiers; only tierfs changes
// them, at the end.
type million struct {
	*lab
	dirs []string // names in manyName
	out  grid
}

// scaleRun measures how figures grow with the number of files.
func scaleRun(ctx context.Context, f flags) error {
	if err := enterNamespace(); err != nil {
		return err
	}
	m := describe(f)
	l := &million{lab: &lab{ctx: ctx, scale: f.scale()}}
	defer l.close()
	if err := l.makeDisks(f.dir, scaleDisks); err != nil {
		return err
	}
	if err := l.furnishMany(f.bin); err != nil {
		return err
	}
	head := []string{""}
	for _, s := range l.subjects {
		head = append(head, s.name)
	}
	l.out = grid{append(head, "of native", "of mergerfs")}
	for _, step := range []func() error{l.walks, l.bigOne, l.lookups, l.opens} {
		if err := errors.Join(step(), ctx.Err()); err != nil {
			return err
		}
	}
	demoted, err := l.demote()
	if err != nil {
		return err
	}
	progress("")
	var text bytes.Buffer
	fmt.Fprintf(&text, "# A million files\n\nMade by `%s`. Each figure is measured once: µs an entry, open or lookup, unless said.\n\n", m.Command)
	m.scaleMarkdown(&text)
	l.out.write(&text)
	fmt.Fprintf(&text, "%s\n", demoted)
	if f.out != "" {
		if err := os.WriteFile(filepath.Join(f.out, "scale.md"), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	_, err = os.Stdout.Write(text.Bytes())
	return err
}

func (m machine) scaleMarkdown(w io.Writer) {
	fmt.Fprintf(w, "- date: %s\n- machine: Linux %s, %d x %s, %d MiB, load %s at the start\n", m.Date, m.Kernel, m.CPUs, m.CPU, m.MemMiB, m.Load)
	fmt.Fprintf(w, "- versions: %s\n- two tiers, loop-mounted ext4 images %s\n", strings.Join(m.Versions, ", "), m.Images)
	fmt.Fprintf(w, "- the tree: %d files in %d directories, half of them on each tier; a directory of %d files\n\n", manyDirs*manyEach, manyDirs, bigCount)
}

// furnishMany makes the tree.
func (l *million) furnishMany(bin string) error {
	copied := base + "/mount.tierfs"
	if err := copyFile(bin, copied); err != nil {
		return err
	}
	tiers := make([]string, len(l.disks))
	for i, disk := range l.disks {
		tiers[i] = disk + "/tier"
		if err := os.MkdirAll(filepath.Join(tiers[i], manyName), 0o755); err != nil {
			return err
		}
	}
	for _, s := range allSubjects(copied) {
		if s.name != native && s.name != tierfs && s.name != mergerfs {
			continue
		}
		s.tiers, s.dir = tiers, base+"/mnt-"+s.name
		if err := os.Mkdir(s.dir, 0o755); err != nil {
			return err
		}
		l.subjects = append(l.subjects, s)
	}
	progress("preparing %d files", manyDirs*manyEach+bigCount)
	long := time.Now().AddDate(0, 0, -100)
	for i := range manyDirs {
		name := fmt.Sprintf("d%05d", i)
		l.dirs = append(l.dirs, name)
		for rank, tier := range tiers {
			at := filepath.Join(tier, manyName, name)
			if err := fillFrom(at, rank*manyEach/2, (rank+1)*manyEach/2); err != nil {
				return err
			}
			for k := range oldEach * (1 - rank) {
				path := filepath.Join(at, entry(k))
				err := errors.Join(os.WriteFile(path, make([]byte, content), 0o644), os.Chtimes(path, long, long))
				if err != nil {
					return err
				}
			}
		}
	}
	if err := fill(filepath.Join(tiers[0], openName), openCount); err != nil {
		return err
	}
	return fill(filepath.Join(tiers[0], bigName), bigCount)
}

// with mounts a subject for one measurement.
func (l *million) with(s *subject, what string, fn func(m *mounted) error) error {
	progress("%s: %s", what, s.name)
	if err := l.settleDisks(); err != nil {
		return err
	}
	m := &mounted{subject: s}
	err := m.start()
	if err == nil {
		err = fn(m)
	}
	if err = errors.Join(err, m.stop()); err != nil {
		return fmt.Errorf("%s on %s: %w", what, s.name, err)
	}
	return nil
}

// add is a line of figures, one of each subject in order; 0 is none.
func (l *million) add(what string, of map[string]float64) {
	line := []string{what}
	for _, s := range l.subjects {
		cell := "-"
		if of[s.name] > 0 {
			cell = figure(of[s.name])
		}
		line = append(line, cell)
	}
	for _, with := range []string{native, mergerfs} {
		cell := "-"
		if of[with] > 0 && of[tierfs] > 0 {
			cell = share(of[tierfs] / of[with])
		}
		line = append(line, cell)
	}
	l.out = append(l.out, line)
}

// roots are where the files of both tiers are seen: in one place, but for native.
func (s *subject) roots() []string {
	if s.root(0) == s.root(1) {
		return []string{s.root(0)}
	}
	return []string{s.root(0), s.root(1)}
}

// walk lists the directories with stat of each entry, dealt out among clients.
func (l *million) walk(s *subject, dirs []string, n int) (us float64, err error) {
	dealt := make([][]string, n)
	for i, dir := range dirs {
		dealt[i%n] = append(dealt[i%n], dir)
	}
	for _, root := range s.roots() {
		one, err := clients{root: filepath.Join(root, manyName), op: listStat}.timed(dealt, len(dirs)*(manyEach+1))
		if err != nil {
			return 0, err
		}
		us += one
	}
	return us, nil
}

func (l *million) walks() error {
	cold, warm, crowd := map[string]float64{}, map[string]float64{}, map[string]float64{}
	memory := map[string]float64{}
	for _, s := range l.subjects {
		err := l.with(s, "walk", func(m *mounted) (err error) {
			rest := m.resident()
			if cold[s.name], err = l.walk(s, l.dirs, 1); err != nil {
				return err
			}
			memory[s.name] = float64(m.resident()-rest) / float64(manyDirs*(manyEach+1))
			warm[s.name], err = l.walk(s, l.dirs, 1)
			return err
		})
		if err != nil {
			return err
		}
		err = l.with(s, "walk by 8", func(*mounted) (err error) {
			crowd[s.name], err = l.walk(s, l.dirs, 8)
			return err
		})
		if err != nil {
			return err
		}
	}
	l.add("walk of a million files, an entry, cold", cold)
	l.add("the same once more", warm)
	l.add("the same cold, by 8 clients", crowd)
	l.add("resident bytes of the daemon, a cached inode", memory)
	return nil
}

// numbered are n names for one client.
func numbered(n int, name func(int) string) [][]string {
	all := make([]string, n)
	for i := range all {
		all[i] = name(i)
	}
	return [][]string{all}
}

// bigOne works in one directory of a million.
func (l *million) bigOne() error {
	lists, stats, creates := map[string]float64{}, map[string]float64{}, map[string]float64{}
	some := numbered(someNames, func(i int) string { return entry(i * (bigCount / someNames)) })
	fresh := numbered(someNames, func(i int) string { return fmt.Sprint("new", i) })
	for _, s := range l.subjects {
		at := filepath.Join(s.root(0), bigName)
		err := l.with(s, "a big directory", func(*mounted) (err error) {
			if stats[s.name], err = (clients{root: at, op: stat}).timed(some, someNames); err != nil {
				return err
			}
			if lists[s.name], err = (clients{root: at, op: list}).timed([][]string{{"."}}, bigCount); err != nil {
				return err
			}
			if creates[s.name], err = (clients{root: at, op: createWriteClose}).timed(fresh, someNames); err != nil {
				return err
			}
			_, err = clients{root: at, op: unlink}.run(fresh)
			return err
		})
		if err != nil {
			return err
		}
	}
	l.add("a directory of a million: stat", stats)
	l.add("the same: list, an entry", lists)
	l.add("the same: create+write+close", creates)
	return nil
}

// lookups times the first stat of names while more and more inodes are cached.
func (l *million) lookups() error {
	const probes = 10 // directories whose files are looked up
	for _, count := range cachedCounts {
		us := map[string]float64{}
		for _, s := range l.subjects {
			if s.name == native {
				continue
			}
			err := l.with(s, fmt.Sprintf("lookups with %d cached", count), func(*mounted) error {
				known := min(max(1, count/manyEach), manyDirs-probes)
				if _, err := l.walk(s, l.dirs[:known], 1); err != nil {
					return err
				}
				for _, dir := range l.dirs[manyDirs-probes:] {
					some := numbered(manyEach, entry)
					one, err := clients{root: filepath.Join(s.root(0), manyName, dir), op: stat}.timed(some, manyEach)
					if err != nil {
						return err
					}
					if us[s.name] == 0 || one < us[s.name] {
						us[s.name] = one
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		l.add(fmt.Sprintf("first stat with %d inodes cached", count), us)
	}
	return nil
}

// opens opens many files and keeps them open.
func (l *million) opens() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	first, last, memory := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, s := range l.subjects {
		err := l.with(s, "opens", func(m *mounted) (err error) {
			var fds []int
			defer func() {
				for _, fd := range fds {
					unix.Close(fd)
				}
			}()
			keep := func(dirfd int, name string) error {
				fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err == nil {
					fds = append(fds, fd)
				}
				return err
			}
			rest := m.resident()
			at := clients{root: filepath.Join(s.root(0), openName), op: keep}
			for i := 0; i < openCount; i += someNames {
				some := numbered(someNames, func(k int) string { return entry(i + k) })
				if last[s.name], err = at.timed(some, someNames); err != nil {
					return err
				}
				if i == 0 {
					first[s.name] = last[s.name]
				}
			}
			memory[s.name] = float64(m.resident()-rest) / openCount
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.add(fmt.Sprintf("open, the first %d", someNames), first)
	l.add(fmt.Sprintf("open, the last of %d that stay open", openCount), last)
	l.add("resident bytes of the daemon, an open file", memory)
	return nil
}

// demote moves the old tenth down, and tells how long it took.
func (l *million) demote() (said string, err error) {
	for _, s := range l.subjects {
		if s.name != tierfs {
			continue
		}
		err = l.with(s, "demote", func(m *mounted) error {
			cmd := exec.CommandContext(l.ctx, s.tierfs)
			cmd.Args = []string{tierfs, "demote", "--older-than", "30d", m.dir}
			begun := time.Now()
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
			}
			took := time.Since(begun)
			moved := manyDirs * oldEach
			if _, err := os.Stat(filepath.Join(s.tiers[1], manyName, l.dirs[0], entry(0))); err != nil {
				return err
			}
			said = fmt.Sprintf("Demoted by age, %d of %d files: %.1f s, %.0f µs a file; the daemon's resident memory was %s MiB at most.\n",
				moved, manyDirs*manyEach+bigCount, took.Seconds(), took.Seconds()*1e6/float64(moved), mib(m.most()))
			return nil
		})
	}
	return said, err
}
