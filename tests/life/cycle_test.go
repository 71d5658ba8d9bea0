package life

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// load keeps a mount busy until it is stopped. It works below a directory that
// only the mount has, so that nothing happens in an empty mount point.
type load struct {
	stop atomic.Bool
	done sync.WaitGroup
	ops  atomic.Int64
}

func startLoad(m *harness.Mount, workers int) *load {
	l := new(load)
	for w := range workers {
		l.done.Go(func() {
			for i := 0; !l.stop.Load(); i++ {
				l.work(m.Path(fmt.Sprintf("only/%d-%d", w, i%7)))
			}
		})
	}
	return l
}

// work does a few ops; errors are what a vanishing mount gives.
func (l *load) work(path string) {
	if f, err := os.Create(path); err == nil {
		f.WriteString("x")
		f.Close()
		l.ops.Add(1)
	}
	os.Stat(path)
	os.Rename(path, path+"r")
	os.ReadDir(path + "/..")
	os.Remove(path + "r")
}

func (l *load) end() {
	l.stop.Store(true)
	l.done.Wait()
}

// Seen with another union filesystem: 175 daemons left after 1,300 cycles. A
// request that arrives while the mount goes must not keep the daemon.
func TestCyclesUnderLoadLeaveNoDaemon(t *testing.T) {
	m := harness.New(t, 1)
	harness.Mkdir(t, m.Fallbacks[0]+"/only")
	cycles := harness.Times(40, 400)
	var ops int64
	for i := range cycles {
		m.Up()
		l := startLoad(m, 3)
		harness.Eventually(t, "the load runs", func() bool { return l.ops.Load() > int64(i%10) })
		switch i % 4 {
		case 0:
			harness.Must(t, "umount", "-l", m.Dir)
			l.end()
			m.Gone(0)
		case 1: // in the moment in which the last requests end
			l.stop.Store(true)
			harness.Eventually(t, "unmounted under load", func() bool { return unix.Unmount(m.Dir, 0) == nil })
			l.end()
			m.Gone(0)
		case 2:
			unix.Kill(m.Pid(), unix.SIGTERM)
			unix.Kill(m.Pid(), unix.SIGTERM)
			harness.Eventually(t, "unmounted on signals", func() bool {
				if len(harness.MountsAt(m.Dir)) == 0 {
					return true
				}
				unix.Kill(m.Pid(), unix.SIGTERM)
				return false
			})
			l.end()
			m.Gone(0)
		case 3:
			l.end()
			m.Down()
		}
		ops += l.ops.Load()
	}
	t.Logf("%d cycles, %d files made", cycles, ops)
	for _, tier := range m.Tiers {
		if harness.Exists(t, tier+"/only") {
			for _, name := range harness.List(t, tier+"/only") {
				harness.Remove(t, tier+"/only/"+name) // what an ended cycle left half done
			}
		}
	}
}
