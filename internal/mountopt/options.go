// Package mountopt reads what mount(8) says to its helper: the command line and
// the -o strings, with defaults, quoting and errors for administrators.
//
// It is pure: it opens nothing, asks for no user and changes no state of the
// process, so it can be fuzzed whole. Every option stands once, in the table
// that the parser, Options.String and Help share.
package mountopt

import (
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the options of one mount. Start from Default: the zero value is
// not the default.
type Options struct {
	Fallbacks []string // in rank order, as given: absolute
	Create    Create
	MinFree   MinFree

	StatfsPrimary bool // statfs=primary
	RawLinks      bool
	Inodes32      bool // inodes=32
	NoForget      bool // for NFS export

	Cache           Cache
	EntryTimeout    time.Duration
	AttrTimeout     time.Duration
	NegativeTimeout time.Duration
	TierTimeout     time.Duration

	Demote     time.Duration // 0: never by age
	Age        Age
	High, Low  int // percent; 0: not given, see Watermarks
	Promote    Promote
	IgnoreComm []string
	Window     Window
	Exclude    []string
	MoverRate  uint64 // bytes a second; 0: unbounded

	Threads     int // 0: as many as the daemon thinks fit
	Passthrough Passthrough
	MaxRead     int // 0: the kernel's own

	// Whether others may use the mount, and whether ACLs are enforced, depends
	// on who mounts when nothing is said. At most one of Private and AllowOther
	// is set, and only by an option.
	NoACL, Private, AllowOther bool

	Foreground, Debug bool
	Log               string // "": the default; "syslog"; or an absolute path

	NoFail, Remount bool
	Flags           uintptr  // MS_* for mount(2)
	said            uintptr  // those that a word asked for
	words           uintptr  // the same, before remount too
	Allowed         uintptr  // those that allow_suid and allow_dev asked to have off, whatever came of it
	first           string   // the first option of all
	Data            []string // key="value" for mount(2), for SELinux

	// FromMountinfo is for a remount: what the kernel shows of the mount is
	// among the options.
	FromMountinfo bool

	// Warnings are lines for the administrator: what -s let pass.
	Warnings []string

	// Set holds Entry.Setting of every option that was given, so that a
	// remount knows which settings the caller speaks of.
	Set map[string]bool
}

// Default returns what holds when no option is given.
func Default() Options {
	return Options{
		MinFree:      MinFree{Percent: 1, Bytes: 1 << 30},
		EntryTimeout: time.Second,
		AttrTimeout:  time.Second,
		TierTimeout:  10 * time.Second,
		Flags:        defaultFlags,
	}
}

const defaultFlags = unix.MS_NOSUID | unix.MS_NODEV

// Parse applies one -o string. Options take effect in order and later ones win,
// but fallbacks add up, and nosuid and nodev win over allow_suid and allow_dev.
// With sloppy (-s) an unknown option is a warning. On an error o is left as it
// was.
func (o *Options) Parse(s string, sloppy bool) error {
	fields, err := splitOptions(s)
	if err != nil {
		return err
	}
	next := o.clone()
	for _, f := range fields {
		if err := next.apply(f, sloppy); err != nil {
			return err
		}
	}
	if next.Remount {
		next.Fallbacks = unique(next.Fallbacks)
		next.Exclude = unique(next.Exclude)
		next.complete()
	}
	if err := next.Check(); err != nil {
		return err
	}
	*o = next
	return nil
}

// apply applies one option as splitOptions returns it.
func (o *Options) apply(field string, sloppy bool) error {
	given, raw, hasValue := strings.Cut(field, "=")
	if given == "" {
		return &Error{What: "option " + quote(field), Why: "no name before the equals sign", Do: "write name=value"}
	}
	opt, known := lookup(given)
	if !known && sloppy {
		o.Warnings = append(o.Warnings, (&Error{What: "unknown option " + quote(given), Why: "ignored because of -s"}).Error())
		return nil
	}
	if !known {
		return unknownOption(given)
	}
	if err := opt.checkArg(raw, hasValue); err != nil {
		return err
	}
	if opt.Setting != "" {
		o.Set[opt.Setting] = true
	}
	if o.first == "" {
		o.first = opt.Name
	}
	return opt.set(o, value{raw: raw, given: hasValue})
}

// complete reads the options of a remount as mount(8) means them. It sends the
// list of what is to hold afterwards: rw or ro first, then the flags of fstab or
// of the running mount with what the command line changes, but never a word that
// only undoes another. After remount,exec there is no noexec, and no exec either
// (seen with util-linux 2.38). So in such a list each flag that it could have
// undone is spoken of. In one from mountinfo that is so of nosuid and nodev too;
// in one from fstab they go without saying.
func (o *Options) complete() {
	if o.first != "rw" && o.first != "ro" {
		return
	}
	for i := range table {
		if opt := &table[i]; opt.undoes {
			o.Set[opt.Setting] = true
		}
	}
	if o.FromMountinfo {
		o.Flags &^= defaultFlags &^ o.words
	}
}

// String returns the options in force in canonical form, defaults that matter
// included. Parsed on top of Default it gives the same options again, but for
// Set and Warnings; two values are equal when their strings are.
func (o Options) String() string {
	var words []string
	for i := range table {
		if table[i].show == nil {
			continue
		}
		if w := table[i].show(&o); w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ",")
}

// Settings returns the value in force of every setting, by the name in Set: what
// stands after the equals sign, or for words "on", "off" or the word that holds.
// One without a value, such as a label that was not given, is not there.
func (o Options) Settings() map[string]string {
	values := map[string]string{}
	for i := range table {
		opt := &table[i]
		if opt.Setting == opt.Name {
			values[opt.Name] = opt.unshown()
		}
	}
	for i := range table {
		opt := &table[i]
		if opt.show == nil || opt.Setting == "" {
			continue
		}
		if shown := opt.show(&o); shown != "" {
			values[opt.Setting] = opt.value(shown)
		}
	}
	maps.DeleteFunc(values, func(_, value string) bool { return value == "" })
	return values
}

// clone copies o so that changes to the copy never reach the original.
func (o *Options) clone() Options {
	c := *o
	c.Fallbacks = slices.Clone(o.Fallbacks)
	c.IgnoreComm = slices.Clone(o.IgnoreComm)
	c.Exclude = slices.Clone(o.Exclude)
	c.Data = slices.Clone(o.Data)
	c.Warnings = slices.Clone(o.Warnings)
	c.Set = maps.Clone(o.Set)
	if c.Set == nil {
		c.Set = map[string]bool{}
	}
	return c
}

// unique drops repeated names, for a remount only: mount(8) puts the options of
// the fstab line before those of the command line, so that a list that was
// lengthened arrives after the list that it replaces (seen with util-linux
// 2.38). In a first mount a name given twice is a mistake, and is kept so that
// the mount is refused.
func unique(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
