package mountopt

import (
	"fmt"
	"strings"
	"time"
)

// maxTimeout bounds every time-out: more than a year is a slip of the pen, and
// the sum with the time of day must not overflow.
const maxTimeout = 365 * 24 * time.Hour

// parseDuration reads plain seconds, as every FUSE file system takes them, or a
// duration with a unit.
func parseDuration(name, s string, least time.Duration) (time.Duration, error) {
	const want = "want seconds such as 1 or 0.5, or a duration such as 500ms"
	text := s
	if isDecimal(s) {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	what := name + " " + quote(s)
	switch {
	case strings.HasPrefix(s, "-"):
		return 0, &Error{What: what, Why: "negative", Do: want}
	// Of a decimal the only thing that can be wrong is its size.
	case isDecimal(s) && err != nil, err == nil && d > maxTimeout:
		return 0, &Error{What: what, Why: "longer than a year", Do: want}
	case err != nil:
		return 0, &Error{What: what, Do: want}
	case d < least:
		return 0, &Error{What: what, Why: "too short", Do: fmt.Sprintf("want %v at least", least)}
	}
	return d, nil
}

// formatDuration writes d in seconds without loss.
func formatDuration(d time.Duration) string {
	s := fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
