package generator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxName is the longest name that a unit may have; of a longer one systemd
// takes a hash since version 249, and none before (unit_name_path_escape).
const maxName = 255

// unitName is the name of the mount unit of a directory, as by
// systemd-escape --path --suffix=mount.
func unitName(path string) (string, error) {
	name := escape(path) + ".mount"
	if len(name) > maxName {
		return "", fmt.Errorf("the name of its unit would have %d bytes, and may have %d; give x-systemd.requires-mounts-for= for each fallback", len(name), maxName)
	}
	return name, nil
}

func escape(path string) string {
	path = strings.Trim(filepath.Clean(path), "/")
	if path == "" {
		return "-"
	}
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/':
			b.WriteByte('-')
		case c == '.' && i == 0, !plain(c):
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// plain reports whether a byte stands for itself in the name of a unit.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(":_.", c) >= 0
}

// quote writes a path as one word of a unit file: in double quotes, where a
// backslash protects the next character, and with % doubled, for that begins a
// specifier.
func quote(path string) (string, error) {
	switch {
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("tier %q is no absolute path; begin it with /", path)
	case strings.ContainsAny(path, "\n\r\x00"), !utf8.ValidString(path):
		return "", fmt.Errorf("tier %q cannot be written in a unit file; mount it under another name", path)
	}
	return `"` + wordProtector.Replace(filepath.Clean(path)) + `"`, nil
}

var wordProtector = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`)

// maxLinks bounds how many symbolic links a path may lead through, as the
// kernel does.
const maxLinks = 40

// resolve follows the symbolic links of a mount point, as systemd does before
// it names the unit; what does not exist stays as it is. It asks nothing but
// readlink(2), which a directory refuses without a word to its filesystem: the
// mount may be up, and its daemon may hang.
func resolve(path string) string {
	done, rest := "/", filepath.Clean(path)
	for links := 0; ; {
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if name == "" {
			return done
		}
		rest = after
		at := filepath.Join(done, name)
		target, err := os.Readlink(at)
		if err != nil {
			done = at
			continue
		}
		if links++; links > maxLinks {
			return path
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = target + "/" + rest
	}
}
