package mountopt

import (
	"strings"
	"testing"
)

func TestTableRowsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, opt := range table {
		e := opt.Entry
		if opt.set == nil || e.Help == "" || strings.ContainsAny(e.Help, "\n\t") || strings.HasSuffix(e.Help, ".") || len(e.Help) > 110 {
			t.Errorf("%s: incomplete or untidy: %+v", e.Name, e)
		}
		if seen[e.Name] || !opt.isPrefix() && e.Name != canonical(e.Name) {
			t.Errorf("%s: twice, or cannot be found", e.Name)
		}
		seen[e.Name] = true
		if (e.Group == GroupIgnored) != (e.Setting == "") {
			t.Errorf("%s: group %s with setting %q", e.Name, e.Group, e.Setting)
		}
	}
	if len(Help()) != len(table) {
		t.Errorf("Help has %d entries of %d", len(Help()), len(table))
	}
}

// sample is a valid value for each option that wants one, other than the default.
var sample = map[string]string{
	"fallback": "/a", "create": "primary", "minfree": "7%", "statfs": "primary", "inodes": "32", "cache": "timeout",
	"entry_timeout": "7", "attr_timeout": "7", "negative_timeout": "7", "tier_timeout": "7",
	"demote": "7d", "age": "mtime", "high": "90%", "low": "70%", "promote": "3/1d", "ignore_comm": "rsync:updatedb",
	"window": "01:00-05:30", "exclude": "*.tmp", "mover_rate": "7M",
	"threads": "7", "passthrough": "off", "log": "/x", "max_read": "7", "user": "joe",
	"uhelper": "x", "helper": "x", "comment": "x", "user_id": "0", "group_id": "0", "rootmode": "40000", "blksize": "4096",
	"context": "x", "fscontext": "x", "defcontext": "x", "rootcontext": "x",
}

func TestDefaultsOfTableAreThoseOfDefault(t *testing.T) {
	for _, e := range Help() {
		if e.Name == "log" {
			continue // its default is the daemon's
		}
		s := e.Name
		if e.Default != "" && e.Default != "on" {
			s += "=" + e.Default
		}
		if e.Arg != "" && e.Default == "" {
			continue
		}
		changes := !equal(parse(t, s), Default())
		if wants := e.Default == "" && e.Group != GroupIgnored; changes != wants {
			t.Errorf("%s: changes options: %v, default %q", s, changes, e.Default)
		}
	}
}

func TestEveryOptionTakesItsValueAndIsShown(t *testing.T) {
	for _, e := range Help() {
		s := strings.TrimSuffix(e.Name, "*") + "y"
		if !strings.HasSuffix(e.Name, "*") {
			s = e.Name
		}
		if e.Arg != "" && !strings.HasSuffix(e.Name, "*") {
			if sample[e.Name] == "" {
				t.Fatalf("%s: no sample", e.Name)
			}
			s += "=" + sample[e.Name]
		}
		o := parse(t, s)
		if o.Set[e.Setting] != (e.Setting != "") {
			t.Errorf("%s: not recorded as %s", s, e.Setting)
		}
		checkRoundTrip(t, o)
		opt, _ := lookup(e.Name)
		if opt.show != nil && opt.show(&o) != s {
			t.Errorf("%s: shown as %q", s, opt.show(&o))
		}
	}
}

func TestNamesOfPoliciesAreThoseOfTable(t *testing.T) {
	for s, got := range map[string]string{
		"parent": CreateParent.String(), "primary": CreatePrimary.String(), "Create(9)": Create(9).String(),
		"auto": PassthroughAuto.String(), "on": PassthroughOn.String(), "off": PassthroughOff.String(),
		"Passthrough(-1)": Passthrough(-1).String(),
	} {
		if got != s {
			t.Errorf("got %s, want %s", got, s)
		}
	}
	for _, c := range []Create{CreateParent, CreatePrimary} {
		if got := parse(t, "create="+c.String()).Create; got != c {
			t.Errorf("%s: read as %s", c, got)
		}
	}
	for _, p := range []Passthrough{PassthroughAuto, PassthroughOn, PassthroughOff} {
		if got := parse(t, "passthrough="+p.String()).Passthrough; got != p {
			t.Errorf("%s: read as %s", p, got)
		}
	}
}
