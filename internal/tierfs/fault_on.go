//go:build faultpoints

package tierfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// faultAt is the point at which the process is to end, by TIERFS_FAULT.
var faultAt = os.Getenv("TIERFS_FAULT")

// fault kills the process, as a crash would, at the named point of a move.
func fault(point string) {
	if point == faultAt {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}
