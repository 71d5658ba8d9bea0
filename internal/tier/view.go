package tier

import (
	"slices"
	"time"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// AccessTimes are the mount's rules for renewing access times, as
// mount_setattr(2) takes them. Zero leaves them to the tier's own mount.
type AccessTimes struct{ Set, Clear uint64 }

// view is the descriptor by which the directory fd is used: fd itself, or one
// in a mount of ours that renews access times as the options say. With
// passthrough it is the kernel that renews them, by the mount in which the
// backing file was opened. A server over the network has rules of its own.
//
// The view shows one filesystem, as it was mounted when it was made. So there
// is none where others are mounted inside: they would be hidden.
func (t *Tier) view(fd int) int {
	rules := t.cfg.AccessTimes
	if rules == (AccessTimes{}) || t.Network {
		return fd
	}
	why := "other filesystems are mounted inside"
	inside := func(dir string) bool { return dir != t.Root && within(dir, t.Root) }
	if !slices.ContainsFunc(t.cfg.Mounts(), inside) {
		v, err := sys.View(fd, rules.Set, rules.Clear)
		if err == nil {
			return v
		}
		why = err.Error()
	}
	t.log.Warn("access times follow the tier's own mount, not the options of this one; give them to that mount", "tier", t.Root, "reason", why)
	return fd
}

// ListingRenews reports whether each listing of a directory renews its access time
// (strictatime), and not just the first after a change and one a day (relatime). If
// that cannot be told it does. The mount of its disk may be given other options at any
// time; that is seen within renewsAge.
func (t *Tier) ListingRenews() bool {
	t.renews.Lock()
	defer t.renews.Unlock()
	if now := time.Now(); now.Sub(t.renews.at) >= renewsAge {
		t.renews.at, t.renews.each = now, listingRenews(t.RootFD())
	}
	return t.renews.each
}

const renewsAge = time.Second

func listingRenews(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return true
	}
	return st.Flags&(unix.ST_RDONLY|unix.ST_NOATIME|unix.ST_NODIRATIME|unix.ST_RELATIME) == 0
}

// anchorAt keeps fd open beside a view of it: a disk that serves as a tier
// must be busy for umount(8), and what is opened in the view does not make it
// so.
func (t *Tier) anchorAt(fd int) {
	var a *Dir
	if fd >= 0 {
		a = newDir(t, 0, fd)
	}
	if old := t.anchor.Swap(a); old != nil {
		old.Put()
	}
}

// noAtime leaves access times alone.
var noAtime = AccessTimes{Set: unix.MOUNT_ATTR_NOATIME, Clear: unix.MOUNT_ATTR__ATIME}
