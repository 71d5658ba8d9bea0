package mover

import (
	"fmt"
	"strings"

	"github.com/tierfs/tierfs/internal/human"
)

// String is the policy in words.
func (p Policy) String() string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if p.Demote > 0 {
		say("files go down %s after %s", human.Exactly(p.Demote), p.Age)
	}
	if p.High > 0 {
		say("the coldest go down when the primary is over %d %% full, until it is at %d %%", p.High, p.Low)
	}
	if p.Opens > 0 {
		verb := "bring"
		if p.Opens == 1 {
			verb = "brings"
		}
		say("%s within %s %s a file up", human.Count(p.Opens, "open"), human.Exactly(p.Within), verb)
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
		say("at most %s a second", human.Bytes(p.Rate))
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
