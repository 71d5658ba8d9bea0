//go:build faultpoints

package tierfs

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"

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

// fault kills the process, as a crash would, at the named point of a move.
func fault(point string) {
	if point == faultAt && faultPassed.Add(1) == faultTime {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}
