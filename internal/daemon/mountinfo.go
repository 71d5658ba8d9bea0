package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Mount is one line of mountinfo, proc_pid_mountinfo(5).
type Mount struct {
	ID, Parent   int
	Major, Minor uint32 // st_dev of the filesystem
	Root         string // what of the filesystem is mounted
	Dir          string // the mount point
	Options      string // of this mount
	Type, Source string
	Super        string // options of the filesystem
}

// Dev is the filesystem's number as the kernel prints it, 0:45.
func (m Mount) Dev() string { return fmt.Sprintf("%d:%d", m.Major, m.Minor) }

// Has reports whether the option word is in force for this mount.
func (m Mount) Has(word string) bool {
	for _, opts := range []string{m.Options, m.Super} {
		for _, o := range strings.Split(opts, ",") {
			if o == word {
				return true
			}
		}
	}
	return false
}

// Mounts returns the mounts of the calling thread's namespace: a thread that
// has called setns(2) sees others than its process (/proc/self) does.
func Mounts() ([]Mount, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w; mount /proc", err)
	}
	return ParseMounts(string(text)), nil
}

// ParseMounts reads mountinfo. A line that is none is left out.
func ParseMounts(text string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(text) {
		if m, ok := parseMount(strings.TrimSuffix(line, "\n")); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// parseMount reads one line. The optional fields in its middle end at a field
// "-"; an empty source is an empty field (mnt_devname).
func parseMount(line string) (Mount, bool) {
	f := strings.Split(line, " ")
	dash := 6
	for dash < len(f) && f[dash] != "-" {
		dash++
	}
	if len(f) < dash+4 {
		return Mount{}, false
	}
	major, minor, ok := strings.Cut(f[2], ":")
	id, err1 := strconv.Atoi(f[0])
	parent, err2 := strconv.Atoi(f[1])
	maj, err3 := strconv.ParseUint(major, 10, 32)
	min, err4 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return Mount{}, false
	}
	return Mount{
		ID: id, Parent: parent, Major: uint32(maj), Minor: uint32(min),
		Root: unescape(f[3]), Dir: unescape(f[4]), Options: f[5],
		Type: unescape(f[dash+1]), Source: unescape(f[dash+2]), Super: f[dash+3],
	}, true
}

// unescape undoes seq_escape: \ and three octal digits are one byte.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Top returns the topmost mount at dir, a path as mountinfo writes it. Of
// several mounts at one place each lies on the one before, its parent; the
// order of the lines says nothing since mounts can be moved.
func Top(mounts []Mount, dir string) (Mount, bool) {
	covered := map[int]bool{}
	for _, m := range mounts {
		if m.Dir == dir {
			covered[m.Parent] = true
		}
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if m := mounts[i]; m.Dir == dir && !covered[m.ID] {
			return m, true
		}
	}
	return Mount{}, false
}

// ByID returns the mount with an ID as statx(2) gives it.
func ByID(mounts []Mount, id uint64) (Mount, bool) {
	for _, m := range mounts {
		if uint64(m.ID) == id {
			return m, true
		}
	}
	return Mount{}, false
}

// Within reports whether path is dir or lies below it, by their names.
func Within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
