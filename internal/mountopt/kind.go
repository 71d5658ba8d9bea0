package mountopt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The functions here make rows of the table, one for each kind of value. What
// is read and what is shown stand together, so that they cannot part.

// word is an option without a value that turns a field on or off.
func word(e Entry, field func(*Options) *bool, turns bool) option {
	return option{
		Entry: e,
		set: func(o *Options, _ value) error {
			*field(o) = turns
			return nil
		},
		show: func(o *Options) string {
			if *field(o) != turns {
				return ""
			}
			return e.Name
		},
	}
}

// flag is an option without a value that turns some MS_ bits on and others off.
// It is in force while all of them are so.
func flag(e Entry, on, off uintptr) option {
	return option{
		Entry:  e,
		undoes: on == 0,
		set: func(o *Options, _ value) error {
			o.Flags = o.Flags&^off | on
			o.said = o.said&^off | on
			o.words = o.words&^off | on
			return nil
		},
		show: func(o *Options) string {
			if o.Flags&on != on || o.Flags&off != 0 {
				return ""
			}
			return e.Name
		},
	}
}

// allow is an option that turns off an MS_ bit that is on by default, but not
// one that was asked for. mount(8) passes its own words on before all others,
// so that "allow_suid" of fstab comes after "nosuid" of the command line
// (seen with util-linux 2.38).
func allow(e Entry, off uintptr) option {
	return option{Entry: e, set: func(o *Options, _ value) error {
		o.Flags &^= off &^ o.said
		o.Allowed |= off
		return nil
	}}
}

// remount is the word for one. What mount(8) has from fstab or from the
// running mount comes before it, and says nothing of what is asked for.
func remount(e Entry) option {
	opt := word(e, func(o *Options) *bool { return &o.Remount }, true)
	set := opt.set
	opt.set = func(o *Options, v value) error {
		o.said = 0
		return set(o, v)
	}
	return opt
}

// unsaid makes String silent about an option: it has another name there, or
// goes without saying as in /proc/mounts.
func unsaid(opt option) option {
	opt.show = nil
	return opt
}

// choice is an option whose values are the words of e.Arg, in the order of
// values.
func choice[T comparable](e Entry, field func(*Options) *T, values ...T) option {
	words := strings.Split(strings.Trim(e.Arg, "[]"), "|")
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			i := slices.Index(words, v.text())
			if i < 0 {
				return &Error{What: e.Name + " " + quote(v.text()), Do: "want " + strings.Join(words, " or ")}
			}
			*field(o) = values[i]
			return nil
		},
		show: func(o *Options) string {
			if i := slices.Index(values, *field(o)); i >= 0 {
				return e.Name + "=" + words[i]
			}
			return ""
		},
	}
}

// timeout is an option that takes a duration of at least least.
func timeout(e Entry, field func(*Options) *time.Duration, least time.Duration) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			d, err := parseDuration(e.Name, v.text(), least)
			if err == nil {
				*field(o) = d
			}
			return err
		},
		show: func(o *Options) string { return e.Name + "=" + formatDuration(*field(o)) },
	}
}

// setting is an option whose value is read by parse and written by format; the
// zero value stands for unset. want is what to say of anything else.
func setting[T comparable](e Entry, field func(*Options) *T, want string, parse func(string) (T, bool), format func(T) string) option {
	var unset T
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			got, ok := parse(v.text())
			if !ok {
				return &Error{What: e.Name + " " + quote(v.text()), Do: want}
			}
			*field(o) = got
			return nil
		},
		show: func(o *Options) string {
			if *field(o) == unset {
				return ""
			}
			return e.Name + "=" + format(*field(o))
		},
	}
}

// number is an option that takes a whole number; 0 stands for unset.
func number(e Entry, field func(*Options) *int, least, most int) option {
	return setting(e, field, fmt.Sprintf("want a whole number from %d to %d", least, most),
		func(s string) (int, bool) {
			n, ok := parseWhole(s, most)
			return n, ok && n >= least
		}, strconv.Itoa)
}

// label is an SELinux context, handed to mount(2) in quotes: the kernel takes
// the quotes off and knows no escapes (selinux_sb_eat_lsm_opts).
func label(e Entry) option {
	prefix := e.Name + `="`
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			text := v.text()
			if text == "" || strings.Contains(text, `"`) {
				return &Error{What: e.Name + " " + quote(text), Do: "want a security context without quotes in it"}
			}
			o.Data = slices.DeleteFunc(o.Data, func(s string) bool { return strings.HasPrefix(s, prefix) })
			o.Data = append(o.Data, prefix+text+`"`)
			return nil
		},
		show: func(o *Options) string {
			for _, s := range o.Data {
				if text, ok := strings.CutPrefix(s, prefix); ok {
					return e.Name + "=" + protectText(strings.TrimSuffix(text, `"`))
				}
			}
			return ""
		},
	}
}

// ignored is an option without effect.
func ignored(e Entry) option {
	e.Group = GroupIgnored
	return option{Entry: e, set: func(*Options, value) error { return nil }}
}

// fromMountinfo is an option that mount(8) has from the running mount: what the
// kernel shows of a FUSE mount, and nobody writes.
func fromMountinfo(e Entry) option {
	opt := ignored(e)
	opt.set = func(o *Options, _ value) error {
		o.FromMountinfo = true
		return nil
	}
	return opt
}

// group puts rows under one heading, and lets those that name no setting be
// recorded under their own name.
func group(g Group, rows ...option) []option {
	for i := range rows {
		rows[i].Group = g
		if rows[i].Setting == "" {
			rows[i].Setting = rows[i].Name
		}
	}
	return rows
}
