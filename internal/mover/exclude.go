package mover

import (
	"path"
	"strings"
)

// matches reports whether one of the patterns means the last name of the path,
// or the path as a whole if there is a slash in the pattern. What lies below an
// excluded directory is excluded too: who asks goes down name by name.
func matches(patterns []string, at string) bool {
	for _, p := range patterns {
		p = strings.TrimSuffix(p, "/")
		what := path.Base(at)
		if strings.Contains(p, "/") {
			p, what = strings.TrimPrefix(p, "/"), at
		}
		// The options have refused what is no pattern.
		if ok, err := path.Match(p, what); ok && err == nil {
			return true
		}
	}
	return false
}

// split cuts a path in the mount into its names.
func split(at string) []string {
	if at = strings.Trim(path.Clean("/"+at), "/"); at == "" {
		return nil
	}
	return strings.Split(at, "/")
}
