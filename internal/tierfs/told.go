package tierfs

import (
	"slices"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

// The kernel judges who may open, change or remove a file by the owner and mode
// that it was told, up to attr_timeout ago. Meanwhile the file may have got
// others out of band, or its name and number may belong to another file:
//
//	mallory: stat f through the mount, his own; rm f in the tier
//	root:    makes a file in that directory, which gets f's number
//	mallory: renames it to f in the tier; open f through the mount
//
// So what has just been found is compared with what the kernel was told. If it
// differs, the answer is ESTALE: the kernel looks the name up, and judges, anew.

// permissions is a hash of what the kernel judges by, never 0.
func permissions(st *unix.Stat_t) uint32 {
	h := (uint64(st.Uid)<<32 | uint64(st.Gid)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ uint64(st.Mode&(unix.S_IFMT|0777))) * 0xbf58476d1ce4e5b9
	return max(uint32(h>>32), 1)
}

// asTold is ESTALE if the kernel's judgement of in was not about st.
func (fs *FS) asTold(in *inode.Inode, st *unix.Stat_t) error {
	if told := in.Told.Load(); told == 0 || told == permissions(st) {
		return nil
	}
	fs.srv.InvalAttr(in.ID) // for who comes by a descriptor, not by a name
	return unix.ESTALE
}

// mayChange is asTold for what the owner may always do.
func (fs *FS) mayChange(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t) error {
	if r.UID == 0 || r.UID == st.Uid {
		return nil
	}
	return fs.asTold(in, st)
}

// mayChangeDir is mayChange for a directory: its highest copy.
func (fs *FS) mayChangeDir(r *fusedev.Request, in *inode.Inode) error {
	if r.UID == 0 {
		return nil
	}
	d, err := fs.topDir(in)
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil {
		return err
	}
	return fs.mayChange(r, in, &st)
}

// mayRemove is asTold for a name in a sticky directory, where the owner of what
// it leads to decides: the kernel has to know that.
func (fs *FS) mayRemove(r *fusedev.Request, p *inode.Inode, name string, all []copyAt) error {
	if r.UID == 0 || len(all) == 0 || all[0].st.Uid == r.UID {
		return nil
	}
	d, err := fs.topDir(p)
	if err != nil {
		return err
	}
	defer d.Put()
	var st unix.Stat_t
	if err := d.StatSelf(&st); err != nil || st.Mode&unix.S_ISVTX == 0 || st.Uid == r.UID {
		return err
	}
	in, err := fs.meant(p, name, all)
	if err != nil {
		return err
	}
	return fs.asTold(in, &all[0].st)
}

// meant is what a name leads to. It is ESTALE if the kernel was not told of that, as it
// was replaced out of band: it would take the file or directory that it knows by the name
// for the one renamed, or removed, for as long as it remembers it. A rename looks its
// target up by itself. A directory may have a copy that the table gets to know in a
// moment (makeParents): it is asked for when it is marked. One that was made out of band
// is to be looked up under the old name: nobody would hear of it under the new one, and
// what is in it be missing from listings.
func (fs *FS) meant(p *inode.Inode, name string, all []copyAt) (*inode.Inode, error) {
	in := fs.inodeOf(p, name, &all[0])
	if in == nil || in.Told.Load() == 0 || !fs.table.Named(in, p, name) {
		return nil, unix.ESTALE
	}
	if in.IsDir() && slices.ContainsFunc(all, func(c copyAt) bool { return !fs.table.HasCopy(in, fs.key(&c)) }) {
		return nil, unix.ESTALE
	}
	return in, nil
}

// disown is told that a name was found, the only one of its file. If the kernel
// knows that file under others, it was renamed out of band, or it is a new one
// with the number of a file that is gone. Then the old name must not lead to
// it: the kernel may hold it for entry_timeout.
func (fs *FS) disown(p *inode.Inode, name string, f *found) {
	in, since := fs.table.Elsewhere(f.copies[0].Key, p, name)
	if in == nil {
		return
	}
	d, err := fs.dir(p, f.rank)
	if err != nil {
		return
	}
	defer d.Put()
	if born, ok := d.Born(name); ok && born.After(since) {
		fs.table.Leave(in, nil)
		fs.forget(in.ID, 0) // if its ID was kept only
	}
}
