package harness

import (
	"fmt"
	"strings"
	"testing"
)

// Fstab puts lines into the namespace's /etc/fstab until the test ends. Tests
// that use it cannot run in parallel.
func Fstab(t testing.TB, lines ...string) {
	t.Helper()
	Write(t, "/etc/fstab", strings.Join(lines, "\n")+"\n")
	t.Cleanup(func() { Write(t, "/etc/fstab", "") })
}

// FstabLine is the line of the mount, with extra options.
func (m *Mount) FstabLine(extra ...string) string {
	opts := m.Options(extra...)
	if opts == "" {
		opts = "defaults"
	}
	esc := fstabEscapes.Replace
	return fmt.Sprintf("%s %s fuse.tierfs %s 0 0", esc(m.Primary), esc(m.Dir), esc(opts))
}

// fstabEscapes are those of getmntent(3).
var fstabEscapes = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)
