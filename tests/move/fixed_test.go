package move

import (
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestWhatChattrKeepsIsNotPromised: a source that cannot be removed is not
// copied, and plan, why and a dry run say so before.
func TestWhatChattrKeepsIsNotPromised(t *testing.T) {
	t.Parallel()
	harness.Require(t, "root", "fuse", "loop", "ext4")
	m := newMountOn(t, []string{harness.On(t, "ext4", "16M"), harness.On(t, "ext4", "16M")})
	kept := map[string]string{"immutable": "+i", "log": "+a", "sealed/inside": "+i", "growing/inside": "+a"}
	for rel, flag := range kept {
		m.Put(0, rel, rel)
		harness.Must(t, "touch", "-d", "2001-01-01", m.Tier(0, rel))
		path := m.Tier(0, strings.TrimSuffix(rel, "/inside"))
		harness.Must(t, "chattr", flag, path)
		t.Cleanup(func() { harness.Must(t, "chattr", "-ia", path) })
	}
	m.Put(0, "taken/free", "free")
	harness.Mkdir(t, m.Tier(1, "taken"))
	harness.Must(t, "chattr", "+i", m.Tier(1, "taken"))
	t.Cleanup(func() { harness.Must(t, "chattr", "-i", m.Tier(1, "taken")) })
	m.Up()
	time.Sleep(quiet)
	plan := harness.Must(t, harness.CLI, "plan", "--all", m.Dir)
	dry, _, _ := harness.Run(t, harness.CLI, "demote", "--dry-run", "--all", "--older-than", "1s", m.Dir)
	r := m.carry("demote", "")
	for rel := range kept {
		harness.Contains(t, plan, m.Path(rel)+": stays: immutable or append-only (chattr)")
		harness.Contains(t, dry, m.Path(rel)+": stays: immutable or append-only (chattr)")
		harness.OneLine(t, harness.Must(t, harness.CLI, "why", m.Path(rel)), "stays: immutable or append-only (chattr)")
		r.wantSkip(t, rel, "immutable")
		m.wantOn(0, rel, rel)
	}
	r.wantSkip(t, "taken/free", "immutable")
	m.wantOn(0, "taken/free", "free")
	m.wantTidy()
	if log := m.Log(); strings.Contains(log, "could not be moved") {
		t.Errorf("log %s", log)
	}
}
