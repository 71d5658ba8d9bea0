package coherent

import (
	"os"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// look looks at a path.
var look = harness.Func("look", func(args []string) error {
	_, err := os.Stat(args[0])
	return err
})

// TestFirstUserOfAMountWhoseRootChanges: the kernel asks for the root's attributes
// at the first use, and what is told of changes there must not make it drop the
// answer: an ordinary user would be refused.
func TestFirstUserOfAMountWhoseRootChanges(t *testing.T) {
	m := newMount(t, "ext4", "xfs")
	harness.Write(t, m.Tier(0, "f"), "")
	m.Down()
	defer churn(m.Tier(0, "a"), m.Tier(0, "b"))()
	for i := range 30 {
		m.Up()
		if _, stderr, code := look.AsUser(t, harness.UserA, harness.UserA, nil, m.Path("f")); code != 0 {
			t.Errorf("mount %d: %s", i, stderr)
		}
		m.Down()
	}
}
