package mountopt

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parse parses s on top of Default.
func parse(t *testing.T, s string) Options {
	t.Helper()
	o := Default()
	if err := o.Parse(s, false); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return o
}

func TestOptionsDefault(t *testing.T) {
	const want = "create=parent,minfree=1%:1G,statfs=sum,inodes=64," +
		"cache=auto,entry_timeout=1,attr_timeout=1,negative_timeout=0,tier_timeout=10,passthrough=auto,acl,age=newest,rw,nosuid,nodev"
	if got := Default().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Each row is one option string and the fields that differ from Default.
func TestOptionsSetTheirField(t *testing.T) {
	const def = unix.MS_NOSUID | unix.MS_NODEV
	for _, tt := range []struct {
		s      string
		change func(o *Options)
	}{
		{"fallback=/a", func(o *Options) { o.Fallbacks = []string{"/a"} }},
		{"fallback=/a:/b/c/", func(o *Options) { o.Fallbacks = []string{"/a", "/b/c/"} }},
		{"fallback=/a,ro,rw,fallback=/b:/c", func(o *Options) { o.Fallbacks = []string{"/a", "/b", "/c"} }},
		{"fallback=/a:/a", func(o *Options) { o.Fallbacks = []string{"/a", "/a"} }},
		{"fallback=/a=b", func(o *Options) { o.Fallbacks = []string{"/a=b"} }},
		{`fallback="/a,b:/c"`, func(o *Options) { o.Fallbacks = []string{"/a,b", "/c"} }},
		{`"fallback=/a,b"`, func(o *Options) { o.Fallbacks = []string{"/a,b"} }},
		{`fallback=/a\,b:/c\:d:/e\"f:/g\\`, func(o *Options) { o.Fallbacks = []string{"/a,b", "/c:d", `/e"f`, `/g\`} }},
		{`fallback=/a\b\`, func(o *Options) { o.Fallbacks = []string{`/a\b\`} }},
		{"fallback=/\xff\n\x1b", func(o *Options) { o.Fallbacks = []string{"/\xff\n\x1b"} }},
		{"create=primary", func(o *Options) { o.Create = CreatePrimary }},
		{"create=primary,create=parent", func(*Options) {}},
		{"minfree=5%", func(o *Options) { o.MinFree = MinFree{Percent: 5} }},
		{"minfree=2G", func(o *Options) { o.MinFree = MinFree{Bytes: 2 << 30} }},
		{"minfree=5%:2g", func(o *Options) { o.MinFree = MinFree{Percent: 5, Bytes: 2 << 30} }},
		{"minfree=0", func(o *Options) { o.MinFree = MinFree{} }},
		{"statfs=primary", func(o *Options) { o.StatfsPrimary = true }},
		{"statfs=primary,statfs=sum", func(*Options) {}},
		{"rawlinks", func(o *Options) { o.RawLinks = true }},
		{"inodes=32", func(o *Options) { o.Inodes32 = true }},
		{"noforget", func(o *Options) { o.NoForget = true }},
		{"entry_timeout=0.5", func(o *Options) { o.EntryTimeout = time.Second / 2 }},
		{"entry-timeout=2s", func(o *Options) { o.EntryTimeout = 2 * time.Second }},
		{"attr_timeout=500ms", func(o *Options) { o.AttrTimeout = time.Second / 2 }},
		{"negative_timeout=3", func(o *Options) { o.NegativeTimeout = 3 * time.Second }},
		{"tier_timeout=1m", func(o *Options) { o.TierTimeout = time.Minute }},
		{"threads=1024", func(o *Options) { o.Threads = 1024 }},
		{"cache=auto", func(*Options) {}},
		{"cache=coherent", func(o *Options) { o.Cache = CacheCoherent }},
		{"cache=timeout", func(o *Options) { o.Cache = CacheTimeout }},
		{"passthrough", func(o *Options) { o.Passthrough = PassthroughOn }},
		{"passthrough=on", func(o *Options) { o.Passthrough = PassthroughOn }},
		{"passthrough=off", func(o *Options) { o.Passthrough = PassthroughOff }},
		{"nopassthrough", func(o *Options) { o.Passthrough = PassthroughOff }},
		{"nopassthrough,passthrough=auto", func(*Options) {}},
		{"max_read=131072", func(o *Options) { o.MaxRead = 131072 }},
		{"max-read=1,max_read=0", func(*Options) {}},
		{"noacl", func(o *Options) { o.NoACL = true }},
		{"noacl,acl", func(*Options) {}},
		{"private", func(o *Options) { o.Private = true }},
		{"noallow_other", func(o *Options) { o.Private = true }},
		{"allow_other", func(o *Options) { o.AllowOther = true }},
		{"allow-other,private", func(o *Options) { o.Private = true }},
		{"private,allow_other", func(o *Options) { o.AllowOther = true }},
		{"foreground,debug", func(o *Options) { o.Foreground, o.Debug = true, true }},
		{"log=syslog", func(o *Options) { o.Log = "syslog" }},
		{"log=/var/log/tier fs", func(o *Options) { o.Log = "/var/log/tier fs" }},
		{"nofail", func(o *Options) { o.NoFail = true }},
		{"remount", func(o *Options) { o.Remount = true }},
		{"ro", func(o *Options) { o.Flags = def | unix.MS_RDONLY }},
		{"ro,rw", func(*Options) {}},
		{"suid,dev", func(o *Options) { o.Flags = 0 }},
		{"allow_suid,allow-dev", func(o *Options) { o.Flags = 0 }},
		{"suid,dev,nosuid,nodev", func(*Options) {}},
		{"nosuid,allow_suid,allow_dev,nodev", func(*Options) {}},
		{"nosuid,nodev,suid,allow_suid,allow_dev", func(o *Options) { o.Flags = unix.MS_NODEV }},
		{"nosuid,nodev,remount,allow_suid", func(o *Options) { o.Flags, o.Remount = unix.MS_NODEV, true }},
		{"remount,nosuid,allow_suid", func(o *Options) { o.Remount = true }},
		{"noexec", func(o *Options) { o.Flags = def | unix.MS_NOEXEC }},
		{"noexec,exec", func(*Options) {}},
		{"noatime", func(o *Options) { o.Flags = def | unix.MS_NOATIME }},
		{"noatime,atime", func(*Options) {}},
		{"relatime", func(o *Options) { o.Flags = def | unix.MS_RELATIME }},
		{"strictatime", func(o *Options) { o.Flags = def | unix.MS_STRICTATIME }},
		{"noatime,strictatime", func(o *Options) { o.Flags = def | unix.MS_STRICTATIME }},
		{"strictatime,noatime", func(o *Options) { o.Flags = def | unix.MS_NOATIME }},
		{"strictatime,nostrictatime", func(*Options) {}},
		{"nodiratime", func(o *Options) { o.Flags = def | unix.MS_NODIRATIME }},
		{"nodiratime,diratime", func(*Options) {}},
		{"lazytime", func(o *Options) { o.Flags = def | unix.MS_LAZYTIME }},
		{"lazytime,nolazytime", func(*Options) {}},
		{"sync,dirsync", func(o *Options) { o.Flags = def | unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC }},
		{"sync,async", func(*Options) {}},
		{"nosymfollow", func(o *Options) { o.Flags = def | unix.MS_NOSYMFOLLOW }},
		{"nosymfollow,symfollow", func(*Options) {}},
		{`context="u:r:t:s0:c1,c2"`, func(o *Options) { o.Data = []string{`context="u:r:t:s0:c1,c2"`} }},
		{"fscontext=a,defcontext=b,rootcontext=c,fscontext=d", func(o *Options) {
			o.Data = []string{`defcontext="b"`, `rootcontext="c"`, `fscontext="d"`}
		}},
		{"default_permissions,_netdev,-netdev,user,user=joe,nouser,users,nousers,owner,noowner,group,nogroup", func(*Options) {}},
		{"uhelper=x,helper=y,norelatime,mand,nomand,bg,silent,loud,iversion,noiversion", func(*Options) {}},
		{"auto,noauto,defaults,comment=a b,x-systemd.automount,x-foo=1,x_,X-bar=2", func(*Options) {}},
		{"", func(*Options) {}},
		{",,", func(*Options) {}},
		{`,"",`, func(*Options) {}},
	} {
		got, want := parse(t, tt.s), Default()
		tt.change(&want)
		got.Set = nil
		if !equal(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.s, got, want)
		}
		checkRoundTrip(t, got)
	}
}

// equal compares all but how it was said; an empty slice is as good as none.
func equal(a, b Options) bool {
	for _, o := range []*Options{&a, &b} {
		o.Set, o.said, o.words, o.Allowed, o.first, o.FromMountinfo = nil, 0, 0, 0, "", false
		for _, s := range []*[]string{&o.Fallbacks, &o.Data, &o.Warnings} {
			if len(*s) == 0 {
				*s = nil
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

func checkRoundTrip(t *testing.T, o Options) {
	t.Helper()
	again := Default()
	if err := again.Parse(o.String(), false); err != nil {
		t.Fatalf("%q, as String wrote it: %v", o.String(), err)
	}
	o.Warnings = nil
	// String writes labels in the order of the table.
	if o.String() != again.String() || len(o.Data) != len(again.Data) {
		t.Fatalf("round trip:\n got %s\nwant %s", again.String(), o.String())
	}
	o.Data, again.Data = nil, nil
	if !equal(o, again) {
		t.Fatalf("round trip:\n got %+v\nwant %+v", again, o)
	}
}

func TestOptionErrorsSayWhatToDo(t *testing.T) {
	const (
		seconds = "want seconds such as 1 or 0.5, or a duration such as 500ms"
		room    = "want a percentage such as 1% or a size such as 2G"
	)
	for s, want := range map[string]string{
		"falback=/a":       `unknown option "falback": did you mean "fallback"?`,
		"noalc":            `unknown option "noalc": did you mean "noacl"?`,
		"entrytimeout=1":   `unknown option "entrytimeout": did you mean "entry_timeout"?`,
		"dropcache=90d":    `unknown option "dropcache": tierfs has none of that name; see mount.tierfs --help`,
		"qq":               `unknown option "qq": tierfs has none of that name; see mount.tierfs --help`,
		"\x1b[31m\xff\n":   `unknown option "\x1b[31m\xff\n": tierfs has none of that name; see mount.tierfs --help`,
		"fallback=/a,/b":   `unknown option "/b": looks like a directory; separate fallbacks by colons, and put a value that has a comma in double quotes`,
		"=x":               `option "=x": no name before the equals sign; write name=value`,
		"ro=1":             `option "ro": takes no value; remove ="1"`,
		"defaults=":        `option "defaults": takes no value; remove =""`,
		"create":           `option "create": has no value; write create=parent|primary`,
		"fallback":         `option "fallback": has no value; write fallback=DIR[:DIR...]`,
		"fallback=":        `fallback "": a directory without a name; write fallback=DIR[:DIR...]`,
		"fallback=/a:":     `fallback "/a:": a directory without a name; write fallback=DIR[:DIR...]`,
		"fallback=:/a":     `fallback ":/a": a directory without a name; write fallback=DIR[:DIR...]`,
		"fallback=/a::/b":  `fallback "/a::/b": a directory without a name; write fallback=DIR[:DIR...]`,
		"fallback=/a:b":    `fallback "b": not an absolute path, so it would depend on where mount is called; begin it with /, or write \: if the colon before it is part of a name`,
		`fallback="/a`:     `options "fallback=\"/a": a quote is not closed; write \" for a quote that is part of a name`,
		"fallback=/a\x00b": `options "fallback=/a\x00b": a zero byte cannot be part of a name; remove it`,
		"create=any":       `create "any": want parent or primary`,
		"create=":          `create "": want parent or primary`,
		"statfs=all":       `statfs "all": want sum or primary`,
		"inodes=16":        `inodes "16": want 64 or 32`,
		"passthrough=":     `passthrough "": want auto or on or off`,
		"nopassthrough=on": `option "nopassthrough": takes no value; remove ="on"`,
		"minfree=":         `minfree "": ` + room,
		"minfree=x":        `minfree "x": ` + room,
		"entry_timeout=":   `entry_timeout "": ` + seconds,
		"entry_timeout=-1": `entry_timeout "-1": negative; ` + seconds,
		"attr_timeout=-1s": `attr_timeout "-1s": negative; ` + seconds,
		"attr_timeout=NaN": `attr_timeout "NaN": ` + seconds,
		"attr_timeout=inf": `attr_timeout "inf": ` + seconds,
		"attr_timeout=1e3": `attr_timeout "1e3": ` + seconds,
		"attr_timeout=0x1": `attr_timeout "0x1": ` + seconds,
		"attr_timeout=9e9": `attr_timeout "9e9": ` + seconds,
		"tier_timeout=0":   `tier_timeout "0": too short; want 1ms at least`,

		"negative_timeout=31536001":                `negative_timeout "31536001": longer than a year; ` + seconds,
		"negative_timeout=99999999999999999999":    `negative_timeout "99999999999999999999": longer than a year; ` + seconds,
		"negative_timeout=99999999999999999999.25": `negative_timeout "99999999999999999999.25": longer than a year; ` + seconds,

		"threads=0":           `threads "0": want a whole number from 1 to 1024`,
		"threads=1025":        `threads "1025": want a whole number from 1 to 1024`,
		"threads=-1":          `threads "-1": want a whole number from 1 to 1024`,
		"threads=+1":          `threads "+1": want a whole number from 1 to 1024`,
		"max_read=1M":         `max_read "1M": want a whole number from 0 to 2147483647`,
		"max_read=9999999999": `max_read "9999999999": want a whole number from 0 to 2147483647`,
		"log=":                `log "": want syslog or the absolute path of a file`,
		"log=tierfs.log":      `log "tierfs.log": want syslog or the absolute path of a file`,
		"context=":            `context "": want a security context without quotes in it`,
		`context=a\"b`:        `context "a\"b": want a security context without quotes in it`,
	} {
		o := Default()
		err := o.Parse("create=primary,"+s, false)
		switch {
		case err == nil:
			t.Errorf("%q: no error", s)
		case strings.HasPrefix(want, "options "):
			want = strings.Replace(want, `"`, `"create=primary,`, 1)
			fallthrough
		default:
			if err.Error() != want {
				t.Errorf("%q:\n got %s\nwant %s", s, err, want)
			}
		}
		if !reflect.DeepEqual(o, Default()) {
			t.Errorf("%q: the error left options changed", s)
		}
	}
}

func TestLongInputGivesShortError(t *testing.T) {
	o := Default()
	err := o.Parse(strings.Repeat("x", 1<<20), false)
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("got %.500v", err)
	}
}

func TestSloppyTurnsUnknownOptionsIntoWarnings(t *testing.T) {
	o := Default()
	if err := o.Parse("quota,ro,wsize=\x1b", true); err != nil {
		t.Fatal(err)
	}
	want := []string{`unknown option "quota": ignored because of -s`, `unknown option "wsize": ignored because of -s`}
	if !reflect.DeepEqual(o.Warnings, want) || o.Flags&unix.MS_RDONLY == 0 {
		t.Errorf("got %q, flags %x", o.Warnings, o.Flags)
	}
	for _, s := range []string{"threads=x", "=x", `fallback="`} {
		if err := o.Parse(s, true); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func TestSetRecordsSettingsThatWereGiven(t *testing.T) {
	o := parse(t, "rw,noacl,entry-timeout=1,private,nopassthrough,noatime,dev,_netdev,x-foo,context=a")
	want := map[string]bool{"ro": true, "acl": true, "entry_timeout": true, "allow_other": true,
		"passthrough": true, "atime": true, "dev": true, "context": true}
	if !reflect.DeepEqual(o.Set, want) {
		t.Errorf("got %v", o.Set)
	}
}

// mount -o remount,fallback=/a:/b:/c on a line with fallback=/a:/b arrives as both.
func TestRemountForgivesRepeatedFallbacks(t *testing.T) {
	o := parse(t, "rw,remount,fallback=/a:/b,fallback=/a:/b:/c")
	if want := []string{"/a", "/b", "/c"}; !reflect.DeepEqual(o.Fallbacks, want) {
		t.Errorf("got %q", o.Fallbacks)
	}
}

// What mount(8) sends is the list of what is to hold: a word that undid another
// has gone with it.
func TestRemountByMount8SpeaksOfEveryFlag(t *testing.T) {
	const mountinfo = ",user_id=0,group_id=0,default_permissions"
	for _, tt := range []struct {
		s     string
		all   bool
		flags uintptr
	}{
		{"rw,sync,remount,fallback=/b", true, defaultFlags | unix.MS_SYNCHRONOUS},    // fstab
		{"rw,remount,allow_dev", true, unix.MS_NOSUID},                               // source and directory
		{"rw,nodev,remount" + mountinfo, true, unix.MS_NODEV},                        // suid
		{"ro,nosuid,nodev,remount" + mountinfo, true, defaultFlags | unix.MS_RDONLY}, // ro
		{"rw,nosuid,nodev,remount" + mountinfo + ",allow_suid", true, unix.MS_NODEV}, //
		{"rw,remount,nosuid" + mountinfo, true, unix.MS_NOSUID},                      //
		{"remount,ro", false, defaultFlags | unix.MS_RDONLY},                         // by hand
		{"remount,exec", false, defaultFlags},                                        //
		{"rw,noexec", false, defaultFlags | unix.MS_NOEXEC},                          // no remount
	} {
		o := parse(t, tt.s)
		if o.Flags != tt.flags {
			t.Errorf("%s: flags %#x, want %#x", tt.s, o.Flags, tt.flags)
		}
		for _, setting := range []string{"suid", "dev", "exec", "atime", "diratime", "lazytime", "sync", "symfollow"} {
			if tt.all && !o.Set[setting] {
				t.Errorf("%s: silent about %s", tt.s, setting)
			}
		}
		if o.Set["lazytime"] != tt.all || o.Set["dirsync"] { // no word undoes dirsync
			t.Errorf("%s: speaks of %v", tt.s, o.Set)
		}
	}
}

func TestParseLeavesCopiesAlone(t *testing.T) {
	o := parse(t, "fallback=/a,context=x,create=primary")
	kept, before := o, o.String()
	if err := o.Parse("fallback=/b,context=y,ro", false); err != nil {
		t.Fatal(err)
	}
	if kept.String() != before || kept.Set["ro"] || kept.Data[0] != `context="x"` {
		t.Errorf("a copy changed to %s, %v", kept, kept.Set)
	}
}

func TestZeroOptionsCanBeParsed(t *testing.T) {
	var o Options
	if err := o.Parse("fallback=/a", false); err != nil || !o.Set["fallback"] {
		t.Errorf("got %v, %v", o.Set, err)
	}
}

func TestSettingsAreValuesInForce(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"": {
			"create": "parent", "minfree": "1%:1G", "statfs": "sum", "tier_timeout": "10", "negative_timeout": "0",
			"passthrough": "auto", "log": "syslog", "acl": "on", "rawlinks": "off", "ro": "off", "suid": "off", "dev": "off",
			"exec": "on", "sync": "off", "lazytime": "off", "symfollow": "on", "fallback": "", "threads": "", "context": "",
		},
		"fallback=/a:/b,minfree=5%,noacl,nopassthrough,ro,noexec,noatime,allow_suid,log=/x,threads=3,rawlinks,context=c": {
			"fallback": "/a:/b", "minfree": "5%", "acl": "off", "passthrough": "off", "ro": "on", "exec": "off", "atime": "off",
			"suid": "on", "log": "/x", "threads": "3", "rawlinks": "on", "context": "c", "create": "parent",
		},
		"relatime,lazytime,private": {"atime": "relatime", "lazytime": "on", "allow_other": "off"},
	} {
		got := parse(t, text).Settings()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%q: %s is %q, want %q", text, name, got[name], value)
			}
		}
	}
}
