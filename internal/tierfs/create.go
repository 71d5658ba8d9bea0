package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// create serves CREATE and TMPFILE: a new file, open.
func (fs *FS) create(r *fusedev.Request, op *fusedev.CreateOp) error {
	p, err := fs.getDir(op.Parent)
	if err != nil {
		return err
	}
	if !op.Tmpfile && fs.hidden(p, op.Name) {
		return unix.EPERM
	}
	debt, err := fs.charge(r.UID, int(op.Flags))
	if err != nil {
		return err
	}
	if err := fs.createOpen(r, p, op, debt); err != nil {
		fs.refund(debt)
		return err
	}
	return nil
}

// createOpen makes the file and its first handle, which owes debt.
func (fs *FS) createOpen(r *fusedev.Request, p *inode.Inode, op *fusedev.CreateOp, debt debt) error {
	since := fs.coherence.now()
	err := fs.place(p, func(d *tier.Dir) error {
		file, err := fs.createIn(r, d, op)
		if err != nil {
			return err
		}
		if err = fs.settle(p); err != nil {
			file.Close()
		} else {
			err = fs.created(r, p, op, file, debt, since)
		}
		if err != nil && !op.Tmpfile {
			fs.unmake(r, d, op.Name)
		}
		return err
	})
	if err == unix.EEXIST && op.Flags&unix.O_EXCL == 0 {
		return unix.ESTALE // it appeared out of band since the lookup: the kernel looks again
	}
	return err
}

// createIn makes the file in one tier. It is opened for reading and writing
// whatever the client asked for: the creating open may (open(2)), and the
// daemon needs both.
func (fs *FS) createIn(r *fusedev.Request, d *tier.Dir, op *fusedev.CreateOp) (*tier.File, error) {
	mode := masked(d, op.Mode, op.Umask) & 07777
	uid, gid, err := fs.creator(r, d, mode)
	if err != nil {
		return nil, err
	}
	flags, name := unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NONBLOCK, op.Name
	if op.Tmpfile {
		flags, name = unix.O_RDWR|unix.O_TMPFILE|int(op.Flags)&unix.O_EXCL, "."
	}
	var f *tier.File
	err = fs.as(uid, gid, func() (err error) {
		f, err = d.Open(name, flags, mode)
		return err
	})
	return f, err
}

// created enters the new file, opens its first handle and answers.
func (fs *FS) created(r *fusedev.Request, p *inode.Inode, op *fusedev.CreateOp, file *tier.File, debt debt, since moment) error {
	f := found{rank: -1}
	var st unix.Stat_t
	if err := file.Stat(&st); err != nil {
		file.Close()
		return err
	}
	f.add(fs.table, file.Tier.Rank, &st)
	parent, name := p, op.Name
	if op.Tmpfile {
		parent, name = nil, ""
		if old := fs.table.Find(f.copies[0].Key, st.Mode); old != nil { // it was removed out of band
			fs.table.Leave(old, nil)
			fs.forget(old.ID, 0) // if its ID was kept only
		}
	}
	in := fs.admit(parent, name, &f)
	h, err := fs.firstHandle(r, in, file, &f.st, int(op.Flags))
	if err != nil {
		fs.forget(in.ID, 1)
		return err
	}
	fs.owe(h, debt)
	o := fs.opened(h)
	at := entryName{parent, name}
	e := fs.entry(in, &f.st, at, since)
	fs.answer(r, in, nil, func() bool {
		if r.Created(&e, o) {
			return true
		}
		fs.release(o.Handle)
		return false
	})
	fs.coherence.confirm(e, in, at, since)
	return nil
}

// firstHandle opens the inode of a file just made with the creating
// descriptor.
//
// LOCKS_EXCLUDED(in.Mu)
func (fs *FS) firstHandle(r *fusedev.Request, in *inode.Inode, file *tier.File, st *unix.Stat_t, flags int) (*fileHandle, error) {
	in.Mu.Lock()
	defer in.Mu.Unlock()
	if in.Opened() == nil {
		in.SetOpened(&inode.Opened{File: file, Writes: true, Backing: fs.register(r, file, st)})
	} else {
		defer file.Close() // not before: its number would be another file's
	}
	h, err := fs.newHandle(in, flags&^unix.O_TRUNC, nil)
	if err == unix.EACCES {
		// A new file that its owner may not open a second time (mode 0444). The
		// creating descriptor serves; the kernel itself puts appends at the end.
		if own, e := file.Dup(); e == nil {
			h, err = fs.newHandle(in, flags, own)
		}
	}
	if err != nil {
		fs.closeIfIdle(in)
		return nil, err
	}
	return h, nil
}
