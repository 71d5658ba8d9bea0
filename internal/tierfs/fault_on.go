//go:build faultpoints

package tierfs

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// TIERFS_FAULT is a point, or "point:n" for the n-th time that it is passed.
var (
	faultAt, faultTime = faultOf(os.Getenv("TIERFS_FAULT"))
	faultPassed        atomic.Int64
)

func faultOf(text string) (point string, n int64) {
	point, times, found := strings.Cut(text, ":")
	if !found {
		return point, 1
	}
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil {
		panic("TIERFS_FAULT " + text + ": want point:n")
	}
	return point, n
}

// TIERFS_PAUSE is a list of point=file. The first who passes the point makes the
// file, and goes on when it is gone.
var faultPauses = pausesOf(os.Getenv("TIERFS_PAUSE"))

func pausesOf(text string) map[string]func() {
	all := map[string]func(){}
	for pause := range strings.SplitSeq(text, ",") {
		point, path, _ := strings.Cut(pause, "=")
		all[point] = sync.OnceFunc(func() { pauseFor(path) })
	}
	return all
}

func pauseFor(path string) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		panic(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(path); err != nil {
			return
		}
	}
}

// fault kills the process, as a crash would, at the named point of a move, or has it
// wait there.
func fault(point string) {
	if pause := faultPauses[point]; pause != nil {
		pause()
	}
	if point == faultAt && faultPassed.Add(1) == faultTime {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}
