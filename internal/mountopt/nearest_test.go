package mountopt

import "testing"

func TestNearestNamesOnlyWhatIsNear(t *testing.T) {
	for given, want := range map[string]string{
		"falback": "fallback", "fallbacks": "fallback", "fallbakc": "fallback", "Fallback": "fallback",
		"min_free": "minfree", "attr-timout": "attr_timeout", "rox": "ro", "allowother": "allow_other",
		"netdev": "_netdev", "raw_links": "rawlinks", "no_acl": "noacl", "demot": "demote", "mover-rat": "mover_rate",
		"": "", "r": "", "xx": "", "quota": "", "allow_root": "", "move": "", "fall": "",
		"fallback/srv/slow/a/long/way/down/x": "",
	} {
		if got := nearest(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1},
		{"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
