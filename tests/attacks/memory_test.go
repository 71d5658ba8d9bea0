package attacks

import (
	"fmt"
	"os"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestForgottenInodesAreGivenBack: a user looks at every file there is, again
// and again. What the kernel forgets, the daemon does too, and its memory does
// not grow from one time to the next.
func TestForgottenInodesAreGivenBack(t *testing.T) {
	const dirs, files = 20, 250
	m := harness.New(t, 1)
	for d := range dirs {
		dir := fmt.Sprintf("%s/%d", m.Tiers[d%2], d)
		harness.Mkdir(t, dir)
		for f := range files {
			harness.Write(t, fmt.Sprintf("%s/document-%d", dir, f), "")
		}
	}
	m.Up()
	var first int64
	for round := range 2 {
		harness.AsUser(t, mallory, mallory, nil, "find", m.Dir, "-size", "+1G")
		if n := m.Status().Inodes; n < dirs*files {
			t.Fatalf("the daemon knows %d inodes: the test looks at the wrong thing", n)
		}
		m.DropCaches()
		harness.Eventually(t, "they are forgotten", func() bool { return m.Status().Inodes < 100 })
		switch now := resident(t, m.Pid()); {
		case round == 0:
			first = now
		case now > 2*first:
			t.Errorf("round %d: %d pages are resident, %d after the first", round, now, first)
		}
	}
}

// resident is the memory of a process, in pages.
func resident(t *testing.T, pid int) (pages int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	fmt.Sscan(string(text), &size, &pages)
	return pages
}
