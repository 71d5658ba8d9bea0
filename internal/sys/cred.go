package sys

import (
	"errors"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Nobody is the fsuid under which tierfs writes data on local filesystems.
// ext4 opens its reserved blocks to fsuid 0 (ext4_has_free_clusters), and a
// client's root must not fill them through the daemon.
const Nobody = 65534

// ErrLostThread is what AsUser panics with.
var ErrLostThread = errors.New("cannot set a thread's fsuid and fsgid back")

// AsUser runs fn with the thread's fsuid and fsgid set to uid and gid.
//
// The daemon runs with SECBIT_NO_SETUID_FIXUP (capabilities(7)), so its
// capabilities stay as they are: the kernel has checked the client's
// permissions already, and fn is about who owns what it makes. Setting an
// fsuid reports the previous one, never an error (setfsuid(2)), so the
// restoring call is checked by a third. A thread that cannot be restored is
// left locked, and AsUser panics with ErrLostThread: the goroutine must end,
// and Go ends the thread with it.
func AsUser(uid, gid int, fn func() error) error {
	runtime.LockOSThread()
	oldGID := sameGID
	if gid != sameGID {
		oldGID, _ = unix.SetfsgidRetGid(gid)
	}
	oldUID, _ := unix.SetfsuidRetUid(uid)
	defer func() {
		if !restore(oldUID, oldGID) {
			panic(ErrLostThread)
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// AsNobody is AsUser for what takes up space or writes, where the owner is somebody
// already. The daemon keeps its group if that is root's, for which no filesystem has
// reserved anything: each change takes a copy of the thread's credentials.
func AsNobody(fn func() error) error { return AsUser(Nobody, nobodysGID(), fn) }

// sameGID is a gid of AsUser that leaves the fsgid as it is.
const sameGID = -1

// nobodysGID is the daemon's own group if it is root's.
var nobodysGID = sync.OnceValue(func() int {
	if unix.Getegid() == 0 {
		return sameGID
	}
	return Nobody
})

// restore reports whether the thread's fsuid and fsgid are uid and gid again.
func restore(uid, gid int) bool {
	unix.SetfsuidRetUid(uid)
	if gid != sameGID {
		unix.SetfsgidRetGid(gid)
		if now, _ := unix.SetfsgidRetGid(-1); now != gid {
			return false
		}
	}
	now, _ := unix.SetfsuidRetUid(-1)
	return now == uid
}
