package harness

import (
	"math/rand/v2"
	"os"
)

// Soak is a run that takes every case, for which TIERFS_SOAK asks. Others take some of
// those that are alike: Turn, which chance gives, says which, so that in time runs have
// taken all.
var (
	Soak = os.Getenv("TIERFS_SOAK") != ""
	Turn = rand.IntN(1 << 20)
)

// Takes reports whether this run takes the ith of cases, one in n.
func Takes(i, n int) bool { return Soak || (i+Turn)%n == 0 }

// Times is how often a run repeats what chance decides: few times, a soak many.
func Times(few, many int) int {
	if Soak {
		return many
	}
	return few
}
