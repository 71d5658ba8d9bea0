package mover

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is the policy in words.
func (p Policy) String() string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if p.Demote > 0 {
		say("files go down %s after %s", inWords(p.Demote), p.Age)
	}
	if p.High > 0 {
		say("the coldest go down when the primary is over %d %% full, until it is at %d %%", p.High, p.Low)
	}
	if p.Opens > 0 {
		say("%d opens within %s bring a file up", p.Opens, inWords(p.Within))
	}
	if len(parts) == 0 {
		return "nothing moves by itself"
	}
	if p.Window.From != p.Window.To {
		say("between %s and %s only", clock(p.Window.From), clock(p.Window.To))
	}
	if len(p.Exclude) > 0 {
		say("but not %s", strings.Join(p.Exclude, ", "))
	}
	if len(p.Ignore) > 0 {
		say("opens by %s do not count", strings.Join(p.Ignore, ", "))
	}
	if p.Rate > 0 {
		say("at most %d bytes a second", p.Rate)
	}
	return strings.Join(parts, "; ")
}

func (k AgeKind) String() string {
	return [...]string{
		AgeNewest: "their last access or modification", AgeAtime: "their last access",
		AgeMtime: "their last modification", AgeOpened: "their last open through the mount",
	}[k]
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// inWords is a duration in its largest whole unit, or about it if it is none of
// ours.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := d / u.unit; n > 1 || n == 1 && d%u.unit == 0 {
			return plural(int64(n), u.name)
		}
	}
	if d < time.Second {
		return d.String()
	}
	return plural(int64(d/time.Second), "second")
}

func plural(n int64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return strconv.FormatInt(n, 10) + " " + of + "s"
}
