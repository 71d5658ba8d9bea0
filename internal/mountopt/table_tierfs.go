package mountopt

import (
	"math"
	"strings"
	"time"
)

// tierfsOptions are the rows of what tierfs does itself.
func tierfsOptions() []option {
	return group(GroupTierfs,
		fallbacks(Entry{Name: "fallback", Arg: "DIR[:DIR...]",
			Help: `add fallback directories in order of rank; \: is a colon, double quotes protect commas`}),
		choice(Entry{Name: "create", Arg: "parent|primary", Default: "parent",
			Help: "put new entries where their parent directory is, or on the primary"},
			func(o *Options) *Create { return &o.Create }, CreateParent, CreatePrimary),
		minFree(Entry{Name: "minfree", Arg: "PERCENT%|SIZE|PERCENT%:SIZE", Default: "1%:1G",
			Help: "create nothing on a tier with less room than this share, this size, or this share up to this size"}),
		choice(Entry{Name: "statfs", Arg: "sum|primary", Default: "sum",
			Help: "show df the sum of all tiers, or the primary alone"},
			func(o *Options) *bool { return &o.StatfsPrimary }, false, true),
		word(Entry{Name: "rawlinks",
			Help: "show symbolic links as stored, also those that lead into a tier"},
			func(o *Options) *bool { return &o.RawLinks }, true),
		choice(Entry{Name: "inodes", Arg: "64|32", Default: "64",
			Help: "width of inode numbers; 32 for old programs"},
			func(o *Options) *bool { return &o.Inodes32 }, false, true),
		word(Entry{Name: "noforget",
			Help: "keep the identity of every file that was looked up, so that NFS can export the mount"},
			func(o *Options) *bool { return &o.NoForget }, true),

		choice(Entry{Name: "cache", Arg: "auto|coherent|timeout", Default: "auto",
			Help: "let the kernel trust names and attributes until a tier is seen to change, or for the timeouts"},
			func(o *Options) *Cache { return &o.Cache }, CacheAuto, CacheCoherent, CacheTimeout),
		timeout(Entry{Name: "entry_timeout", Arg: "SECONDS", Default: "1",
			Help: "how long the kernel trusts a name"},
			func(o *Options) *time.Duration { return &o.EntryTimeout }, 0),
		timeout(Entry{Name: "attr_timeout", Arg: "SECONDS", Default: "1",
			Help: "how long the kernel trusts the attributes of a file"},
			func(o *Options) *time.Duration { return &o.AttrTimeout }, 0),
		timeout(Entry{Name: "negative_timeout", Arg: "SECONDS", Default: "0",
			Help: "how long the kernel trusts that a name does not exist"},
			func(o *Options) *time.Duration { return &o.NegativeTimeout }, 0),
		// 0 would call every tier away at once.
		timeout(Entry{Name: "tier_timeout", Arg: "SECONDS", Default: "10",
			Help: "how long a tier may fail to answer before it counts as away"},
			func(o *Options) *time.Duration { return &o.TierTimeout }, time.Millisecond),

		number(Entry{Name: "threads", Arg: "NUMBER",
			Help: "workers at most, 1 to 1024; by default 256, fewer if few files may be open"},
			func(o *Options) *int { return &o.Threads }, 1, 1024),
		passthrough(Entry{Name: "passthrough", Arg: "[auto|on|off]", Default: "auto",
			Help: "let the kernel read and write the files itself; without a value: on"}),
		unsaid(choice(Entry{Name: "nopassthrough", Setting: "passthrough",
			Help: "same as passthrough=off"},
			func(o *Options) *Passthrough { return &o.Passthrough }, PassthroughOff)),

		word(Entry{Name: "acl", Default: "on", Setting: "acl",
			Help: "enforce POSIX ACLs, for mounts by root"},
			func(o *Options) *bool { return &o.NoACL }, false),
		word(Entry{Name: "noacl", Setting: "acl",
			Help: "do not enforce POSIX ACLs: a user whom one denies can read through the mount"},
			func(o *Options) *bool { return &o.NoACL }, true),
		access(Entry{Name: "allow_other", Setting: "allow_other",
			Help: "let other users use the mount; the default for mounts by root"}, true),
		// mount(8) keeps the word private for itself: it makes the mount's
		// propagation private and the helper never sees it (seen with
		// util-linux 2.38). Hence a second name.
		access(Entry{Name: "noallow_other", Setting: "allow_other",
			Help: "keep other users out; the default for mounts by users"}, false),
		unsaid(access(Entry{Name: "private", Setting: "allow_other",
			Help: "same as noallow_other; mount(8) and fstab take this word for mount propagation"}, false)),

		word(Entry{Name: "foreground",
			Help: "stay in the foreground"},
			func(o *Options) *bool { return &o.Foreground }, true),
		word(Entry{Name: "debug",
			Help: "log every operation"},
			func(o *Options) *bool { return &o.Debug }, true),
		unsaid(word(Entry{Name: "nodebug", Default: "on", Setting: "debug",
			Help: "log no operations: ends debug in a remount"},
			func(o *Options) *bool { return &o.Debug }, false)),
		logTo(Entry{Name: "log", Arg: "syslog|FILE", Default: "syslog",
			Help: "where the log goes; a file by its absolute path"}),
		number(Entry{Name: "max_read", Arg: "BYTES",
			Help: "largest read that the kernel asks for"},
			func(o *Options) *int { return &o.MaxRead }, 0, math.MaxInt32),
	)
}

// fallbacks is the list that grows with each fallback= given.
func fallbacks(e Entry) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			dirs := v.list()
			for _, dir := range dirs {
				switch {
				case dir == "":
					return &Error{What: e.Name + " " + quote(v.text()), Why: "a directory without a name", Do: "write " + e.Name + "=" + e.Arg}
				case dir[0] != '/':
					return &Error{What: e.Name + " " + quote(dir), Why: "not an absolute path, so it would depend on where mount is called", Do: `begin it with /, or write \: if the colon before it is part of a name`}
				}
			}
			o.Fallbacks = append(o.Fallbacks, dirs...)
			return nil
		},
		show: func(o *Options) string {
			if len(o.Fallbacks) == 0 {
				return ""
			}
			return Fallback(o.Fallbacks)
		},
	}
}

// Fallback is the option that names dirs, as it is written.
func Fallback(dirs []string) string { return "fallback=" + protectList(dirs) }

func minFree(e Entry) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			m, ok := parseMinFree(v.text())
			if !ok {
				return &Error{What: e.Name + " " + quote(v.text()), Do: "want a percentage such as 1% or a size such as 2G"}
			}
			o.MinFree = m
			return nil
		},
		show: func(o *Options) string { return e.Name + "=" + o.MinFree.String() },
	}
}

// passthrough is a choice whose value may be left out.
func passthrough(e Entry) option {
	opt := choice(e, func(o *Options) *Passthrough { return &o.Passthrough },
		PassthroughAuto, PassthroughOn, PassthroughOff)
	choose := opt.set
	opt.set = func(o *Options, v value) error {
		if !v.given {
			v.raw = PassthroughOn.String()
		}
		return choose(o, v)
	}
	return opt
}

// access says whether other users may use the mount. Nothing said, it depends
// on who mounts, so that there are two fields for three states.
func access(e Entry, others bool) option {
	return option{
		Entry: e,
		set: func(o *Options, _ value) error {
			o.AllowOther, o.Private = others, !others
			return nil
		},
		show: func(o *Options) string {
			if others && o.AllowOther || !others && o.Private {
				return e.Name
			}
			return ""
		},
	}
}

func logTo(e Entry) option {
	return option{
		Entry: e,
		set: func(o *Options, v value) error {
			text := v.text()
			if text != "syslog" && !strings.HasPrefix(text, "/") {
				return &Error{What: e.Name + " " + quote(text), Do: "want syslog or the absolute path of a file"}
			}
			o.Log = text
			return nil
		},
		show: func(o *Options) string {
			if o.Log == "" {
				return ""
			}
			return e.Name + "=" + protectText(o.Log)
		},
	}
}
