package tier

import (
	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// setQuiet makes the mount through which links below the root fd are looked at.
// An ordinary user may not make one, and a network filesystem does not need it:
// there the server moves access times.
func (t *Tier) setQuiet(fd int) {
	var q *Dir
	if !t.Network {
		if quiet, err := sys.View(fd, noAtime.Set, noAtime.Clear); err == nil {
			q = newDir(t, 0, quiet)
		}
	}
	if old := t.quiet.Swap(q); old != nil {
		old.Put()
	}
}

// Peek is Readlink of a link with the attributes st, for a question that is no
// reading: stat(2) of a link must not move its access time, and readlink(2)
// does. The link is reached by its file handle in a mount that leaves access
// times alone; where that does not work, it is read.
func (d *Dir) Peek(name string, st *unix.Stat_t) (string, error) {
	if q := d.Tier.quiet.Load(); q != nil && q.tryGet() {
		defer q.Put()
		if target, err := d.peek(q, name, st); err == nil {
			return target, nil
		}
	}
	return d.Readlink(name)
}

func (d *Dir) peek(q *Dir, name string, st *unix.Stat_t) (string, error) {
	f := &File{Tier: d.Tier, gen: d.gen}
	err := d.do(func() error {
		handle, _, err := unix.NameToHandleAt(d.fd, name, 0)
		if err != nil {
			return err
		}
		f.FD, err = unix.OpenByHandleAt(q.fd, handle, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		return err
	})
	if err != nil {
		return "", err
	}
	defer f.Close()
	// A handle of a filesystem mounted inside the tier means another file here.
	var now unix.Stat_t
	if err := f.Stat(&now); err != nil {
		return "", err
	}
	if now.Ino != st.Ino || now.Dev != st.Dev {
		return "", unix.ESTALE
	}
	return f.Readlink()
}
