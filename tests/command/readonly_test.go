package command

import (
	"os"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// TestATierThatTurnsReadOnlyTakesNothing: as by mount -o remount,ro, or an error of the
// disk. Nothing goes there and nothing comes from there, until it is writable again.
func TestATierThatTurnsReadOnlyTakesNothing(t *testing.T) {
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")})
	m.Put(0, "high", "x")
	m.Put(1, "low", "x")
	m.Up()
	quiet()
	harness.Must(t, "mount", "-o", "remount,ro", m.Tiers[1])
	harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), ", read-only\n")
	for what, rel := range map[string]string{"demote": "high", "promote": "low"} {
		out, stderr, _ := harness.Run(t, harness.CLI, what, "--older-than", "1s", m.Path(rel))
		harness.Contains(t, out+stderr, m.Path(rel)+": stays: a tier is read-only")
	}
	harness.Must(t, "mount", "-o", "remount,rw", m.Tiers[1])
	if out := harness.Must(t, harness.CLI, "status", m.Dir); strings.Contains(out, ", read-only") {
		t.Error(out)
	}
	for what, rel := range map[string]string{"demote": "high", "promote": "low"} {
		tierfs(t, 0, what, "--older-than", "1s", m.Path(rel))
	}
	harness.WantRead(t, m.Tier(1, "high"), "x")
	harness.WantRead(t, m.Tier(0, "low"), "x")
	m.Down()
}

// TestATierThatBecomesWritableWaitsForTheNextMount: it was not locked, and what a crash
// has left there was not looked at. The status says so, whatever made it read-only.
func TestATierThatBecomesWritableWaitsForTheNextMount(t *testing.T) {
	for _, options := range []string{"", "noatime"} { // as it is, and by a view
		m := harness.NewOn(t, []string{harness.On(t, "ext4", "32M"), harness.On(t, "ext4", "32M")})
		m.Put(1, "low", "x")
		harness.Must(t, "mount", "-o", "remount,ro", m.Tiers[1])
		m.Up(options)
		harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), ", read-only\n")
		harness.Must(t, "mount", "-o", "remount,rw", m.Tiers[1])
		harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), ", read-only until the next mount: its disk has become writable, so unmount and mount anew\n")
		harness.WantErrno(t, "rename", os.Rename(m.Path("low"), m.Path("other")), unix.EROFS)
		m.Down()
		m.Up(options)
		if out := harness.Must(t, harness.CLI, "status", m.Dir); strings.Contains(out, ", read-only") {
			t.Error(out)
		}
		if err := os.Rename(m.Path("low"), m.Path("other")); err != nil {
			t.Error(err)
		}
		m.Down()
	}
}
