package harness

import (
	"os"
	"strings"
	"testing"
)

// MountLine is one line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type MountLine struct {
	ID, Parent   string
	Dev          string // major:minor
	Root, Dir    string
	Flags        []string // of the mount: ro, nosuid, …
	FSType       string
	Source       string
	SuperOptions []string
}

// Mountinfo is the mount table of the test's namespace, in the kernel's order.
func Mountinfo() []MountLine {
	return parseMountinfo("/proc/self/mountinfo")
}

func parseMountinfo(path string) []MountLine {
	text, err := os.ReadFile(path)
	if err != nil {
		panic("harness: " + err.Error())
	}
	var lines []MountLine
	for row := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(strings.TrimSuffix(row, "\n"), " - ")
		f, s := strings.Split(before, " "), strings.Split(after, " ")
		lines = append(lines, MountLine{
			ID: f[0], Parent: f[1], Dev: f[2], Root: unescape(f[3]), Dir: unescape(f[4]), Flags: strings.Split(f[5], ","),
			FSType: s[0], Source: unescape(s[1]), SuperOptions: strings.Split(s[2], ","),
		})
	}
	return lines
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")

func unescape(s string) string { return mountEscapes.Replace(s) }

// MountsAt are the lines of one mount point, topmost last.
func MountsAt(dir string) []MountLine {
	var at []MountLine
	for _, line := range Mountinfo() {
		if line.Dir == dir {
			at = append(at, line)
		}
	}
	return at
}

// NotMounted fails the test if anything is mounted at dir.
func NotMounted(t testing.TB, dir string) {
	t.Helper()
	if at := MountsAt(dir); len(at) != 0 {
		t.Errorf("mounted at %s: %+v", dir, at)
	}
}
