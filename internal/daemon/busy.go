package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder is a process that keeps a mount busy.
type Holder struct {
	PID     int
	Name    string // /proc/PID/comm
	Mounted bool   // by a mount in a namespace that it is in, and by nothing else
}

func (h Holder) String() string {
	who := strconv.Itoa(h.PID)
	if h.Mounted {
		who += ", by its mount namespace"
	}
	if h.Name == "" {
		return who
	}
	return fmt.Sprintf("%s (%s)", h.Name, who)
}

// Holders returns the processes that have something below dir open, mapped, or
// as their root, program or working directory. The daemon of that very mount
// may ask: links in /proc are read and nothing is ever stated, so that no
// question comes back to it. Maps of a process that waits for the mount may not
// be readable; ctx bounds the search, and what was found by then is returned.
func Holders(ctx context.Context, dir string) []Holder {
	return search(ctx, "/proc", func(base string) (held, mounted bool) { return heldBy(base, dir), false })
}

// HoldersOf is the same for the filesystem of a type with the minor device number,
// wherever it is mounted, or was: what is open in a mount that was detached has no path
// that tells. Who is in a mount namespace that has it mounted keeps it too; of each such
// namespace the first process is named, but none if the number is another filesystem's
// there. Nothing is asked of the filesystem.
func HoldersOf(ctx context.Context, fstype string, minor uint32) []Holder {
	types := map[string]string{} // what has the number, by namespace
	return search(ctx, "/proc", func(base string) (held, mounted bool) {
		ns, err := os.Readlink(base + "/ns/mnt")
		kind, known := types[ns]
		if err == nil && !known {
			kind = typeIn(base, minor)
			types[ns], mounted = kind, kind == fstype
		}
		return (kind == "" || kind == fstype) && holds(base, minor), mounted
	})
}

// search returns the processes of which held says so, as far as they are known when
// ctx ends.
func search(ctx context.Context, proc string, held func(base string) (held, mounted bool)) []Holder {
	found := make(chan Holder)
	go searchHolders(ctx, proc, held, found)
	var all []Holder
	for {
		select {
		case h, more := <-found:
			if !more {
				return all
			}
			all = append(all, h)
		case <-ctx.Done():
			return all
		}
	}
}

// searchHolders sends what it finds and closes found. It ends soon after ctx:
// at most one look at /proc is still under way then.
func searchHolders(ctx context.Context, proc string, held func(base string) (held, mounted bool), found chan<- Holder) {
	defer close(found)
	for _, pid := range processes(proc) {
		if ctx.Err() != nil {
			return
		}
		if pid == os.Getpid() {
			continue
		}
		base := proc + "/" + strconv.Itoa(pid)
		has, mounted := held(base)
		if !has && !mounted {
			continue
		}
		name, _ := os.ReadFile(base + "/comm")
		select {
		case found <- Holder{PID: pid, Name: strings.TrimSpace(string(name)), Mounted: !has}:
		case <-ctx.Done():
			return
		}
	}
}

func processes(proc string) []int {
	dir, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // names only: nothing is stated
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// heldBy reports whether the process at base holds a path below dir.
func heldBy(base, dir string) bool {
	for _, link := range links(base) {
		if target, err := os.Readlink(base + "/" + link); err == nil && Within(target, dir) {
			return true
		}
	}
	maps, _ := os.ReadFile(base + "/maps")
	_, ok := mapped(string(maps), dir)
	return ok
}

// holds reports whether the process at base holds something of the filesystem with
// the minor device number. No attribute is wanted, so that no filesystem is asked
// for one.
func holds(base string, minor uint32) bool {
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	for _, link := range links(base) {
		var st unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, base+"/"+link, flags, 0, &st) == nil && st.Dev_major == 0 && st.Dev_minor == minor {
			return true
		}
	}
	maps, _ := os.ReadFile(base + "/maps")
	return strings.Contains(string(maps), fmt.Sprintf(" 00:%02x ", minor))
}

// typeIn is the type of the filesystem with the minor device number in the mount
// namespace of the process at base, "" if none is mounted there.
func typeIn(base string, minor uint32) string {
	text, _ := os.ReadFile(base + "/mountinfo")
	for _, m := range ParseMounts(string(text)) {
		if m.Major == 0 && m.Minor == minor {
			return m.Type
		}
	}
	return ""
}

// links are the magic links of a process, descriptors last.
func links(base string) []string {
	all := []string{"cwd", "root", "exe"}
	dir, err := os.Open(base + "/fd")
	if err != nil {
		return all
	}
	defer dir.Close()
	fds, _ := dir.Readdirnames(-1)
	for _, fd := range fds {
		all = append(all, "fd/"+fd)
	}
	return all
}

// mapped finds a path below dir in the text of /proc/PID/maps: five fields and,
// after blanks, the path, in which a newline is \012.
func mapped(maps, dir string) (what string, ok bool) {
	for line := range strings.Lines(maps) {
		i := strings.IndexByte(line, '/')
		if i < 0 {
			continue
		}
		if p := unescapeNewline(strings.TrimSuffix(line[i:], "\n")); Within(p, dir) {
			return p, true
		}
	}
	return "", false
}

func unescapeNewline(s string) string { return strings.ReplaceAll(s, `\012`, "\n") }
