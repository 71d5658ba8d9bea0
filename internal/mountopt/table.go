package mountopt

import (
	"slices"
	"strings"
)

// Entry describes one option to people: --help, the man page and the shell
// completion are held to it.
type Entry struct {
	Name string // as Options.String writes it; _ and - are one to the parser

	// Arg is the form of the value: "" for none, in brackets if it may be left
	// out. Lower-case words between bars are the values themselves, capitals
	// stand for something.
	Arg string

	Default string // what holds when nothing is said; "on" for a word
	Help    string // one line
	Group   Group

	// Setting is the name under which Options.Set records the option: options
	// that undo each other share one. Empty if nothing is recorded.
	Setting string
}

// Group is the part of a listing that an option belongs to.
type Group string

const (
	GroupTierfs  Group = "tierfs"  // the options that are ours
	GroupMount   Group = "mount"   // those of any mount
	GroupIgnored Group = "ignored" // accepted, without effect
)

// Help returns all options in the order of a listing.
func Help() []Entry {
	entries := make([]Entry, len(table))
	for i := range table {
		entries[i] = table[i].Entry
	}
	return entries
}

// option is one row of the table.
type option struct {
	Entry

	// set applies the option to o, the form of the value checked.
	set func(o *Options, v value) error

	// undoes says that the option only turns a flag of mount(2) off.
	undoes bool

	// show returns the option as String writes it, or "" if it is not in force
	// or goes without saying. Nil for another name of the same setting.
	show func(o *Options) string
}

var table = slices.Concat(tierfsOptions(), moverOptions(), mountOptions(), ignoredOptions())

// lookup finds an option by the name that was given.
func lookup(given string) (*option, bool) {
	name := canonical(given)
	for i := range table {
		opt := &table[i]
		if opt.Name == name {
			return opt, true
		}
		if opt.isPrefix() && strings.HasPrefix(name, canonical(strings.TrimSuffix(opt.Name, "*"))) {
			return opt, true
		}
	}
	return nil, false
}

// canonical makes _ and - one, as mount(8) helpers of other file systems do.
func canonical(name string) string {
	return strings.ReplaceAll(name, "-", "_")
}

// isPrefix reports whether the row stands for all names that begin so: x-*.
func (opt *option) isPrefix() bool {
	return strings.HasSuffix(opt.Name, "*")
}

// checkArg holds the value to the form that the table gives.
func (opt *option) checkArg(raw string, given bool) error {
	switch {
	case opt.Arg == "" && given:
		return &Error{What: "option " + quote(opt.Name), Why: "takes no value", Do: "remove =" + quote(raw)}
	case opt.Arg != "" && !strings.HasPrefix(opt.Arg, "[") && !given:
		return &Error{What: "option " + quote(opt.Name), Why: "has no value", Do: "write " + opt.Name + "=" + opt.Arg}
	}
	return nil
}

// value is what the option, shown so, says of its setting.
func (opt *option) value(shown string) string {
	_, value, has := strings.Cut(shown, "=")
	switch {
	case has:
		return value
	case opt.Name == opt.Setting:
		return "on"
	case opt.Name == "no"+opt.Setting, opt.Default == "on":
		return "off"
	}
	return opt.Name
}

// unshown is the value of the option's setting when no option of it is shown.
func (opt *option) unshown() string {
	if opt.Arg == "" && opt.Default == "" {
		return "off"
	}
	return opt.Default
}
