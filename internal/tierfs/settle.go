package tierfs

import (
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// settle ends what was done in the directories before it is answered: what is
// known of their listings holds no more, nor what was found of their times and link
// counts, and it is made durable for a mount with sync or dirsync. A local filesystem
// does so by itself (IS_DIRSYNC), but the tier is not mounted so, and FUSE leaves it
// to us.
func (fs *FS) settle(dirs ...*inode.Inode) error {
	for _, in := range dirs {
		fs.kept.changed(in)
		fs.coherence.stampInode(in)
	}
	if !fs.options.Load().DirSync {
		return nil
	}
	for _, in := range dirs {
		if err := fs.syncDir(in); err != nil {
			return err
		}
	}
	return nil
}

// syncDir syncs a directory on every tier that has it.
func (fs *FS) syncDir(in *inode.Inode) error {
	for _, c := range fs.table.Copies(in) {
		d, err := fs.dir(in, c.Rank)
		if absent(err) {
			continue
		}
		if err == nil {
			err = d.Sync()
			d.Put()
		}
		if err != nil && !fs.Tiers()[c.Rank].ReadOnly() {
			return err
		}
	}
	return nil
}

// settleFile is settle for a file whose content was changed by other means
// than write(2), after which the kernel syncs it.
func (fs *FS) settleFile(f *tier.File) error {
	if !fs.options.Load().Sync {
		return nil
	}
	open, err := f.Reopen(unix.O_RDONLY | unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer open.Close()
	return open.Sync(false)
}
