package attacks

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestLimitsOfWhoMountsAreNotThoseOfTheClients: an administrator's shell had
// ulimit -f and -t set. Every client's files ended at that size, and the signal
// for it ended the daemon.
func TestLimitsOfWhoMountsAreNotThoseOfTheClients(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(opts, func(t *testing.T) {
			m := harness.New(t, 1, opts)
			limited(t, m, "ulimit -S -f 1; ulimit -S -t 3600; ulimit -S -v 8000000; ulimit -S -n 100")
			for _, what := range []int{unix.RLIMIT_FSIZE, unix.RLIMIT_CPU, unix.RLIMIT_AS, unix.RLIMIT_NOFILE} {
				var lim unix.Rlimit
				if err := unix.Prlimit(m.Pid(), what, nil, &lim); err != nil || lim.Cur != lim.Max {
					t.Errorf("limit %d of the daemon: %+v, %v", what, lim, err)
				}
			}
			harness.Write(t, m.Path("f"), string(make([]byte, 1<<20)))
			if err := os.Truncate(m.Path("f"), 1<<30); err != nil {
				t.Error(err)
			}
			serves(t, m)
		})
	}
}

// TestLimitThatCannotBeRaisedEndsNobody: without CAP_SYS_RESOURCE a hard limit
// stays. What is over it is EFBIG for who wants it.
func TestLimitThatCannotBeRaisedEndsNobody(t *testing.T) {
	m := harness.New(t, 1, "passthrough=off")
	m.Up()
	if err := unix.Prlimit(m.Pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096}, nil); err != nil {
		t.Fatal(err)
	}
	harness.WantErrno(t, "write", os.WriteFile(m.Path("f"), make([]byte, 1<<20), 0o644), unix.EFBIG)
	harness.WantErrno(t, "truncate", os.Truncate(m.Path("f"), 1<<30), unix.EFBIG)
	serves(t, m)
}
