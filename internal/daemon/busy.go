package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Holder is a process that keeps a mount busy.
type Holder struct {
	PID  int
	Name string // /proc/PID/comm
	What string // the first path found: a file, the working directory
}

func (h Holder) String() string {
	if h.Name == "" {
		return strconv.Itoa(h.PID)
	}
	return fmt.Sprintf("%s (%d)", h.Name, h.PID)
}

// Holders returns the processes that have something below dir open, mapped, or
// as their root, program or working directory. The daemon of that very mount
// may ask: links in /proc are read and nothing is ever stated, so that no
// question comes back to it. Maps of a process that waits for the mount may not
// be readable; ctx bounds the search, and what was found by then is returned.
func Holders(ctx context.Context, dir string) []Holder {
	found := make(chan Holder)
	go searchHolders(ctx, "/proc", dir, found)
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
// at most one read of /proc is still under way then.
func searchHolders(ctx context.Context, proc, dir string, found chan<- Holder) {
	defer close(found)
	for _, pid := range processes(proc) {
		if pid == os.Getpid() {
			continue
		}
		base := proc + "/" + strconv.Itoa(pid)
		what, ok := heldBy(base, dir)
		if !ok {
			continue
		}
		name, _ := os.ReadFile(base + "/comm")
		select {
		case found <- Holder{PID: pid, Name: strings.TrimSpace(string(name)), What: what}:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
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

// heldBy returns the first path below dir that the process at base holds.
func heldBy(base, dir string) (what string, ok bool) {
	for _, link := range links(base) {
		if target, err := os.Readlink(base + "/" + link); err == nil && Within(target, dir) {
			return target, true
		}
	}
	maps, _ := os.ReadFile(base + "/maps")
	return mapped(string(maps), dir)
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
