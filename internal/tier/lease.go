package tier

import "golang.org/x/sys/unix"

// Lease takes a write lease on the open file (fcntl(2), F_SETLEASE): nobody
// else has it open, and who opens it from now on waits until the lease is given
// up, /proc/sys/fs/lease-break-time at most. EAGAIN says that somebody has it
// open; any other error that its filesystem gives no leases. Where a server would
// have to give them it says EAGAIN for most files, whether they are open or not
// (nfs4_add_lease, cifs_setlease), which is ENOLCK here.
func (f *File) Lease() error {
	return f.do(func() error {
		_, err := unix.FcntlInt(uintptr(f.FD), unix.F_SETLEASE, unix.F_WRLCK)
		if err == unix.EAGAIN && f.Tier.Remote {
			return unix.ENOLCK
		}
		return err
	})
}

// Leased reports whether the lease still holds: nobody waits for it.
func (f *File) Leased() bool {
	held := 0
	err := f.do(func() (err error) {
		held, err = unix.FcntlInt(uintptr(f.FD), unix.F_GETLEASE, 0)
		return err
	})
	return err == nil && held == unix.F_WRLCK
}

// Unlease gives the lease up.
func (f *File) Unlease() {
	_ = f.do(func() error {
		_, err := unix.FcntlInt(uintptr(f.FD), unix.F_SETLEASE, unix.F_UNLCK)
		return err
	})
}
