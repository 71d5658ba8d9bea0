package coherent

import (
	"encoding/json"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// cache is what tierfs status says of caching.
type cache struct {
	Coherent bool   `json:"coherent"`
	Why      string `json:"why"`
	Events   uint64 `json:"events"`
	Own      uint64 `json:"own"`
	Told     uint64 `json:"told"`
	Sweeps   uint64 `json:"sweeps"`
}

func cacheOf(m *harness.Mount) cache {
	m.T.Helper()
	out := harness.Must(m.T, harness.CLI, "status", "--json", m.Dir)
	var all []struct {
		Cache cache `json:"cache"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		m.T.Fatalf("status: %v\n%s", err, out)
	}
	return all[0].Cache
}

func TestStatusSaysWhatIsInForceAndWhyNot(t *testing.T) {
	m := harness.New(t, 1)
	const noTimeout = "cache   by timeouts: entry_timeout=0 or attr_timeout=0, and no cache=coherent"
	for _, c := range []struct{ opt, line string }{
		{"cache=auto", "cache   coherent: "},
		{"cache=coherent", "cache   coherent: "},
		{"cache=timeout", "cache   by timeouts: cache=timeout"},
		{"entry_timeout=0", noTimeout},
		{"cache=auto,attr_timeout=0", noTimeout},
		{"cache=coherent,attr_timeout=0", "cache   coherent: "},
	} {
		m.Up(c.opt)
		harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), c.line)
		m.Down()
	}
}
