package mountopt

import (
	"fmt"
	"strconv"
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

// ageUnits are those of ages, the longest first.
var ageUnits = []struct {
	letter string
	unit   time.Duration
}{
	{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
}

// maxAge bounds every age: more than a century is a slip of the pen.
const maxAge = 100 * 365 * 24 * time.Hour

// ParseAge reads a whole number with a unit, or 0. A number alone might be
// meant in days or in seconds.
func ParseAge(name, s string) (time.Duration, error) {
	const want = "want a duration such as 21d: a whole number with s, m, h, d, w or y"
	what := name + " " + quote(s)
	if s == "0" {
		return 0, nil
	}
	for _, u := range ageUnits {
		number, ok := strings.CutSuffix(s, u.letter)
		if !ok || !isDigits(number) {
			continue
		}
		n, ok := parseWhole(number, int(maxAge/u.unit))
		switch {
		case !ok:
			return 0, &Error{What: what, Why: "longer than a century", Do: want}
		case n == 0:
			return 0, &Error{What: what, Why: "no time at all", Do: "write " + name + "=0 to turn it off"}
		}
		return time.Duration(n) * u.unit, nil
	}
	return 0, &Error{What: what, Do: want}
}

// formatAge writes d in days, hours, minutes or seconds, whichever is whole.
func formatAge(d time.Duration) string {
	for _, u := range ageUnits[2:] {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.letter
		}
	}
	return d.String()
}
