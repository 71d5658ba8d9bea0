package mountopt

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// moverOptions are the rows of what moves by itself. All can change in a
// remount, so each has a value that takes it back.
func moverOptions() []option {
	return group(GroupTierfs,
		age(Entry{Name: "demote", Arg: "AGE",
			Help: "move files of this age one tier down: a number with s, m, h, d, w or y; 0 for none"},
			func(o *Options) *time.Duration { return &o.Demote }),
		choice(Entry{Name: "age", Arg: "newest|atime|mtime|opened", Default: "newest",
			Help: "what the age counts from: the newer of access and modification, one of them, or the last open"},
			func(o *Options) *Age { return &o.Age }, AgeNewest, AgeAtime, AgeMtime, AgeOpened),
		percent(Entry{Name: "high", Arg: "PERCENT%",
			Help: "when the primary is fuller than this, move its coldest files down; 0 for never"},
			func(o *Options) *int { return &o.High }),
		percent(Entry{Name: "low", Arg: "PERCENT%",
			Help: "… until it is no fuller than this; by default ten less than high"},
			func(o *Options) *int { return &o.Low }),
		promote(Entry{Name: "promote", Arg: "NUMBER/AGE",
			Help: "bring a file to the primary that is opened so many times within that time; 0 for none"}),
		names(Entry{Name: "ignore_comm", Arg: "COMMAND[:COMMAND...]",
			Help: "commands whose opens are no use of a file, for promote and age=opened"}),
		window(Entry{Name: "window", Arg: "HH:MM-HH:MM",
			Help: "move files by themselves only at that time of the day; equal times, or none, for all day"}),
		exclude(Entry{Name: "exclude", Arg: "PATTERN[:PATTERN...]",
			Help: "never move what has such a name, or path if there is a slash; lists add up, an empty one begins anew"}),
		rate(Entry{Name: "mover_rate", Arg: "SIZE",
			Help: "copy no more than this in a second; 0 for as fast as it goes"}),
	)
}

// age is an option that takes an age, 0 for unset.
func age(e Entry, field func(*Options) *time.Duration) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			d, err := ParseAge(e.Name, v.text())
			if err == nil {
				*field(o) = d
			}
			return err
		},
		show: func(o *Options) string {
			if *field(o) == 0 {
				return ""
			}
			return e.Name + "=" + formatAge(*field(o))
		},
	}
}

// percent is a share of a tier, 0 for unset. The sign may be left out.
func percent(e Entry, field func(*Options) *int) option {
	return setting(e, field, "want a percentage from 1% to 99%",
		func(s string) (int, bool) { return parseWhole(strings.TrimSuffix(s, "%"), 99) },
		func(n int) string { return strconv.Itoa(n) + "%" })
}

// maxOpens bounds what has to be remembered of each file.
const maxOpens = 100

func promote(e Entry) option {
	return setting(e, func(o *Options) *Promote { return &o.Promote },
		fmt.Sprintf("want a number of opens up to %d and a time, such as 3/1d", maxOpens),
		func(s string) (Promote, bool) {
			if s == "0" {
				return Promote{}, true
			}
			number, period, _ := strings.Cut(s, "/")
			n, ok := parseWhole(number, maxOpens)
			within, err := ParseAge(e.Name, period)
			return Promote{Opens: n, Within: within}, ok && err == nil && n > 0 && within > 0
		},
		func(p Promote) string { return strconv.Itoa(p.Opens) + "/" + formatAge(p.Within) })
}

// maxComm is what the kernel keeps of a command's name (TASK_COMM_LEN).
const maxComm = 15

// names is a list of commands, cut as the kernel cuts them.
func names(e Entry) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			o.IgnoreComm = nil
			if v.text() == "" {
				return nil
			}
			for _, name := range v.list() {
				if name == "" || strings.Contains(name, "/") {
					return &Error{What: e.Name + " " + quote(v.text()), Do: "want names as ps -o comm shows them, with colons between them"}
				}
				o.IgnoreComm = append(o.IgnoreComm, name[:min(len(name), maxComm)])
			}
			return nil
		},
		show: func(o *Options) string {
			if len(o.IgnoreComm) == 0 {
				return ""
			}
			return e.Name + "=" + protectList(o.IgnoreComm)
		},
	}
}

func window(e Entry) option {
	return setting(e, func(o *Options) *Window { return &o.Window },
		"want two times of the day such as 01:00-05:00",
		func(s string) (Window, bool) {
			from, to, _ := strings.Cut(s, "-")
			begin, ok := parseClock(from)
			end, alsoOK := parseClock(to)
			if begin == end { // all day
				return Window{}, s == "" || ok && alsoOK
			}
			return Window{begin, end}, ok && alsoOK
		},
		func(w Window) string { return formatClock(w.From) + "-" + formatClock(w.To) })
}

// maxExcludes bounds what every file is compared with.
const maxExcludes = 1000

func exclude(e Entry) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			if v.text() == "" {
				o.Exclude = nil
				return nil
			}
			for _, pattern := range v.list() {
				if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
					return &Error{What: e.Name + " " + quote(pattern), Do: `want a pattern such as *.tmp or mail/*/cache; \ protects a special character`}
				}
				if len(o.Exclude) == maxExcludes {
					return &Error{What: e.Name + " " + quote(pattern), Why: fmt.Sprintf("more than %d of them", maxExcludes), Do: "pin directories with user.tierfs.pin instead"}
				}
				o.Exclude = append(o.Exclude, pattern)
			}
			return nil
		},
		show: func(o *Options) string {
			if len(o.Exclude) == 0 {
				return ""
			}
			return e.Name + "=" + protectList(o.Exclude)
		},
	}
}

func rate(e Entry) option {
	return setting(e, func(o *Options) *uint64 { return &o.MoverRate },
		"want bytes in a second, such as 50M", parseSize, formatSize)
}

// parseWhole reads a whole number up to most, without a sign.
func parseWhole(s string, most int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && int(n) <= most
}

// parseClock reads HH:MM as minutes since midnight.
func parseClock(s string) (int, bool) {
	hour, minute, _ := strings.Cut(s, ":")
	h, ok := parseWhole(hour, 23)
	m, alsoOK := parseWhole(minute, 59)
	return 60*h + m, ok && alsoOK && len(minute) == 2 && len(hour) <= 2
}

func formatClock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// Watermarks are High and Low, what was not given filled in.
func (o *Options) Watermarks() (high, low int) {
	if o.Low == 0 {
		return o.High, max(o.High-10, 0)
	}
	return o.High, o.Low
}

// Check holds the options to each other. A remount speaks of some of them only,
// so that those of the mount have to be checked with its own.
func (o *Options) Check() error {
	if o.High > 0 && o.Low > o.High {
		return &Error{What: fmt.Sprintf("low %d%%", o.Low), Why: fmt.Sprintf("more than high, which is %d%%", o.High), Do: "want less than that"}
	}
	return nil
}

// Advice is what an administrator may have meant otherwise.
func (o *Options) Advice() (lines []string) {
	warn := func(e Error) { lines = append(lines, e.Error()) }
	set := []string{}
	for name, on := range map[string]bool{"demote": o.Demote > 0, "high": o.High > 0, "promote": o.Promote.Opens > 0} {
		if on {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	if len(o.Fallbacks) == 0 && len(set) > 0 {
		warn(Error{What: "option " + set[0], Why: "there is no tier to move files to", Do: "add fallback=DIR"})
	}
	if o.Low > 0 && o.High == 0 {
		warn(Error{What: "option low", Why: "has no effect by itself", Do: "add high=PERCENT%, or low=0"})
	}
	return lines
}
