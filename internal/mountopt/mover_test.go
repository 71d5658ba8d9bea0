package mountopt

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestMoverOptionsSetTheirField(t *testing.T) {
	for _, tt := range []struct {
		s      string
		change func(o *Options)
	}{
		{"demote=90d", func(o *Options) { o.Demote = 90 * day }},
		{"demote=2w", func(o *Options) { o.Demote = 14 * day }},
		{"demote=1y", func(o *Options) { o.Demote = 365 * day }},
		{"demote=2s", func(o *Options) { o.Demote = 2 * time.Second }},
		{"demote=90m", func(o *Options) { o.Demote = 90 * time.Minute }},
		{"demote=90d,demote=0", func(*Options) {}},
		{"age=opened", func(o *Options) { o.Age = AgeOpened }},
		{"high=90%", func(o *Options) { o.High = 90 }},
		{"high=90,low=80%", func(o *Options) { o.High, o.Low = 90, 80 }},
		{"low=95,high=97", func(o *Options) { o.High, o.Low = 97, 95 }},
		{"low=80", func(o *Options) { o.Low = 80 }},
		{"high=90%,high=0", func(*Options) {}},
		{"promote=3/1d", func(o *Options) { o.Promote = Promote{3, day} }},
		{"promote=3/1d,promote=0", func(*Options) {}},
		{"ignore_comm=rsync:updatedb.mlocate", func(o *Options) { o.IgnoreComm = []string{"rsync", "updatedb.mlocat"} }},
		{"ignore-comm=rsync,ignore_comm=", func(*Options) {}},
		{"window=01:00-5:30", func(o *Options) { o.Window = Window{60, 330} }},
		{"window=22:00-06:00", func(o *Options) { o.Window = Window{22 * 60, 6 * 60} }},
		{"window=01:00-05:00,window=07:00-07:00", func(*Options) {}},
		{"window=01:00-05:00,window=", func(*Options) {}},
		{`exclude=*.tmp,exclude="a,b/[c-d]"`, func(o *Options) { o.Exclude = []string{"*.tmp", "a,b/[c-d]"} }},
		{"exclude=a,exclude=,exclude=b", func(o *Options) { o.Exclude = []string{"b"} }},
		{`exclude=a:b\:c:\*,exclude=d`, func(o *Options) { o.Exclude = []string{"a", "b:c", `\*`, "d"} }},
		{"exclude=a,exclude=b,remount,exclude=a", func(o *Options) { o.Exclude, o.Remount = []string{"a", "b"}, true }},
		{"mover_rate=50M", func(o *Options) { o.MoverRate = 50 << 20 }},
		{"mover_rate=50M,mover_rate=0", func(*Options) {}},
	} {
		want, got := Default(), parse(t, tt.s)
		tt.change(&want)
		got.Set, got.first = nil, ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", tt.s, got)
		}
		checkRoundTrip(t, got)
	}
}

func TestMoverOptionsRefuse(t *testing.T) {
	for s, want := range map[string]string{
		`demote="3 weeks"`:          `demote "3 weeks": want a duration such as 21d: a whole number with s, m, h, d, w or y`,
		"demote=90":                 `demote "90": want a duration`,
		"demote=1.5d":               `demote "1.5d": want`,
		"demote=-1d":                `demote "-1d": want`,
		"demote=d":                  `demote "d": want`,
		"demote=0d":                 `no time at all; write demote=0 to turn it off`,
		"demote=101y":               `longer than a century`,
		"demote=99999999999999999s": `longer than a century`,
		"age=ctime":                 `age "ctime": want newest or atime or mtime or opened`,
		"high=100%":                 `high "100%": want a percentage from 1% to 99%`,
		"high=-1":                   `want a percentage`,
		"high=80%,low=81%":          `low 81%: more than high, which is 80%; want less than that`,
		"promote=3":                 `promote "3": want a number of opens up to 100 and a time, such as 3/1d`,
		"promote=0/1d":              `such as 3/1d`,
		"promote=101/1d":            `such as 3/1d`,
		"promote=3/1":               `such as 3/1d`,
		"ignore_comm=a::b":          `want names as ps -o comm shows them`,
		"ignore_comm=/bin/ls":       `want names as ps -o comm shows them`,
		"window=25:00-05:00":        `window "25:00-05:00": want two times of the day such as 01:00-05:00`,
		"window=01:00":              `want two times`,
		"window=-":                  `want two times`,
		"window=1-5":                `want two times`,
		"window=01:00-05:0":         `want two times`,
		"exclude=[a":                `exclude "[a": want a pattern`,
		"exclude=a:":                `exclude "": want a pattern`,
		"mover_rate=fast":           `mover_rate "fast": want bytes in a second, such as 50M`,
		"demote":                    `write demote=AGE`,
	} {
		o := Default()
		if err := o.Parse(s, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if err := (&Options{}).Parse(strings.Repeat("exclude=a,", maxExcludes+1), false); err == nil || !strings.Contains(err.Error(), "more than 1000") {
		t.Errorf("too many patterns: %v", err)
	}
}

func TestLowFollowsHigh(t *testing.T) {
	for s, want := range map[string][2]int{"": {0, 0}, "high=90": {90, 80}, "high=5": {5, 0}, "high=90,low=50": {90, 50}, "high=90,low=90": {90, 90}} {
		o := parse(t, s)
		if high, low := o.Watermarks(); high != want[0] || low != want[1] {
			t.Errorf("%s: from %d to %d", s, high, low)
		}
	}
}

func TestAdvice(t *testing.T) {
	for s, want := range map[string]string{
		"demote=1d,promote=1/1d": "option demote: there is no tier to move files to; add fallback=DIR",
		"high=90":                "option high: there is no tier to move files to; add fallback=DIR",
		"fallback=/a,low=80":     "option low: has no effect by itself; add high=PERCENT%, or low=0",
		"fallback=/a,demote=1d":  "",
		"age=opened":             "",
	} {
		o := parse(t, s)
		if got := strings.Join(o.Advice(), "|"); got != want {
			t.Errorf("%s: %q", s, got)
		}
	}
}

func TestAgesAreShownWithoutLoss(t *testing.T) {
	for s, d := range map[string]time.Duration{"90d": 90 * day, "36h": 36 * time.Hour, "61m": 61 * time.Minute, "1s": time.Second, "36500d": maxAge} {
		if got := formatAge(d); got != s {
			t.Errorf("%v: shown as %s", d, got)
		}
		if got, err := ParseAge("x", s); err != nil || got != d {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}
