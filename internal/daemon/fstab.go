package daemon

import (
	"os"
	"strings"
)

// FstabLine is what a line of fstab(5) says of a mount.
type FstabLine struct{ Source, Dir, Type, Options string }

// Fstab returns the lines of /etc/fstab; none if it cannot be read.
func Fstab() []FstabLine {
	text, _ := os.ReadFile("/etc/fstab")
	return parseFstab(string(text))
}

// parseFstab reads lines of at least four fields, as getmntent(3) does.
func parseFstab(text string) (all []FstabLine) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || strings.HasPrefix(f[0], "#") {
			continue
		}
		all = append(all, FstabLine{unescape(f[0]), unescape(f[1]), unescape(f[2]), unescape(f[3])})
	}
	return all
}

// Unbalanced reports whether the options have a double quote without its other. To
// libmount (2.38) a backslash before it changes nothing: it takes the rest of the line
// for quoted, finds no end, and hands on what comes before that option.
func (l FstabLine) Unbalanced() bool { return strings.Count(l.Options, `"`)%2 != 0 }
