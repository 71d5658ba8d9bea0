package tier

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sight is what statx(2) tells of a name.
type Sight struct {
	Stat unix.Stat_t
	// Number is what the filesystem shows, where Stat has another (Tier.TellByNode).
	Number uint64
	// Fixed is that chattr(1) has made it immutable or append-only: it cannot be
	// removed, and nothing can be removed from it if it is a directory.
	Fixed bool
	Born  time.Time // zero if its filesystem does not tell
}

// Look is Stat that sees more.
func (d *Dir) Look(name string, s *Sight) error {
	var sx unix.Statx_t
	var number uint64
	err := d.do(func() (err error) {
		number, err = d.Tier.statx(d.fd, name, sightMask, &sx)
		return err
	})
	if err == nil {
		*s = sightOf(&sx, number)
	}
	return err
}

// Look is Stat that sees more.
func (f *File) Look(s *Sight) error {
	return f.do(func() error {
		var sx unix.Statx_t
		if err := unix.Statx(f.FD, "", unix.AT_EMPTY_PATH, sightMask, &sx); err != nil {
			return err
		}
		number := sx.Ino
		sx.Ino = f.Tier.number(f.FD, number)
		*s = sightOf(&sx, number)
		return nil
	})
}

// sightMask asks for all of a Sight.
const sightMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func sightOf(sx *unix.Statx_t, number uint64) Sight {
	s := Sight{Stat: statOf(sx), Number: number, Fixed: sx.Attributes&fixed != 0}
	if sx.Mask&unix.STATX_BTIME != 0 {
		s.Born = time.Unix(sx.Btime.Sec, int64(sx.Btime.Nsec))
	}
	return s
}

const fixed = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND

// statOf is what stat(2) would have said.
func statOf(sx *unix.Statx_t) (st unix.Stat_t) {
	st.Dev, st.Rdev = unix.Mkdev(sx.Dev_major, sx.Dev_minor), unix.Mkdev(sx.Rdev_major, sx.Rdev_minor)
	st.Ino, st.Mode, st.Uid, st.Gid = sx.Ino, uint32(sx.Mode), sx.Uid, sx.Gid
	st.Size, st.Blocks = int64(sx.Size), int64(sx.Blocks)
	put(&st.Nlink, sx.Nlink)
	put(&st.Blksize, sx.Blksize)
	putTime(&st.Atim, sx.Atime)
	putTime(&st.Mtim, sx.Mtime)
	putTime(&st.Ctim, sx.Ctime)
	return st
}

func putTime(to *unix.Timespec, v unix.StatxTimestamp) {
	put(&to.Sec, v.Sec)
	put(&to.Nsec, v.Nsec)
}

// put assigns to a field that is not of one size on all machines.
func put[T, F int32 | int64 | uint32 | uint64](to *T, v F) { *to = T(v) }
