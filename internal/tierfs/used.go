package tierfs

import (
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"golang.org/x/sys/unix"
)

// Used is told of every open of a file: its home, the backing inode, the client,
// and how to get its path. It must cost next to nothing.
type Used func(rank int, dev, ino uint64, pid uint32, path func() string)

// tellUsed tells of an open of in, whose backing file has the attributes st.
//
// LOCKS_REQUIRED(in.Mu)
func (fs *FS) tellUsed(r *fusedev.Request, in *inode.Inode, st *unix.Stat_t) {
	if fs.used == nil {
		return
	}
	fs.used(in.Opened().File.Tier.Rank, st.Dev, st.Ino, r.PID, func() string {
		path, _ := fs.table.Path(in)
		return path
	})
}
