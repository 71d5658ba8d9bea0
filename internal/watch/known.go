package watch

import (
	"time"

	"golang.org/x/sys/unix"
)

// Object is a file or directory of the watched filesystem.
type Object struct{ Dev, Ino uint64 }

// knownObjects is how many handles are remembered at least, at about 120 bytes.
const knownObjects = 8192

// known remembers which objects handles mean. A handle has the generation of its
// inode in it and so means the same for ever. It is two maps: when the newer is
// full, it becomes the older, and what was not asked for since is forgotten.
type known struct{ newer, older map[string]Object }

func (k *known) get(handle []byte) (o Object, ok bool) {
	if o, ok = k.newer[string(handle)]; ok {
		return o, true
	}
	if o, ok = k.older[string(handle)]; ok {
		k.put(handle, o)
	}
	return o, ok
}

func (k *known) put(handle []byte, o Object) {
	if k.newer == nil || len(k.newer) >= knownObjects {
		k.older, k.newer = k.newer, make(map[string]Object)
	}
	k.newer[string(handle)] = o
}

// resolve finds the object that a handle means. ESTALE says that it is gone.
func (k *known) resolve(mount int, handle []byte) (Object, error) {
	if o, ok := k.get(handle); ok {
		return o, nil
	}
	h := unix.NewFileHandle(int32(order.Uint32(handle)), handle[4:])
	fd, err := whenMade(func() (int, error) { return unix.OpenByHandleAt(mount, h, unix.O_PATH|unix.O_CLOEXEC) })
	if err != nil {
		return Object{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Object{}, err
	}
	o := Object{st.Dev, st.Ino}
	k.put(handle, o)
	return o, nil
}

// whenMade tries again what is ENOMEM: ext4 says so of a handle whose inode number
// a file is being given at that moment (iget_locked finds I_CREATING, Linux 6.18).
// To take it for lost events would have everything looked up anew.
func whenMade(open func() (int, error)) (fd int, err error) {
	for pause := 50 * time.Microsecond; pause < 50*time.Millisecond; pause *= 2 {
		if fd, err = open(); err != unix.ENOMEM {
			break
		}
		time.Sleep(pause)
	}
	return fd, err
}
