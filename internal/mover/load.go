package mover

import (
	"path"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// load is what files take of a filesystem.
type load struct {
	bytes  int64
	inodes int64 // in parts, inodeParts each
}

// inodeParts is the bytes that an inode of tmpfs counts for (BOGO_INODE_SIZE): of
// those it takes the room for extended attributes too, from Linux 6.6 on.
const inodeParts = 1024

// aRecord is what a batch has in the target's journal while it is under way.
var aRecord = load{inodes: inodeParts}

func (l load) plus(o load) load  { return load{l.bytes + o.bytes, l.inodes + o.inodes} }
func (l load) minus(o load) load { return load{l.bytes - o.bytes, l.inodes - o.inodes} }

// xfsInode is the bytes of free blocks that XFS makes an inode of (mkfs.xfs(8), -i
// size). Others have set them aside.
const xfsInode = 512

// Need is how many bytes a copy of the file st takes on a tier whose filesystem has
// the figures fs: the blocks of its content, without its holes.
func Need(st *unix.Stat_t, t *tier.Tier, fs *unix.Statfs_t) int64 {
	unit := int64(fs.Frsize)
	if t.Network {
		unit = BlockSize // the server's is how much it likes to transfer
	}
	need := min(blocks(st.Size, unit), blocks(st.Blocks*BlockSize, unit))
	if uint32(fs.Type) == unix.XFS_SUPER_MAGIC {
		need += xfsInode
	}
	return need
}

func blocks(bytes, unit int64) int64 { return (bytes + unit - 1) / unit * unit }

// loadOf is what a file takes of a tier whose filesystem has the figures st.
func (j *job) loadOf(f *found, t *tier.Tier, st *unix.Statfs_t) load {
	l := load{bytes: Need(&f.st, t, st), inodes: inodeParts}
	if uint32(st.Type) == unix.TMPFS_MAGIC && st.Files > 0 {
		l.inodes += j.attributeParts(f)
	}
	return l
}

// attributeParts is what the extended attributes of a file take on tmpfs
// (simple_xattr_space).
func (j *job) attributeParts(f *found) (parts int64) {
	const head = 40 // sizeof(struct simple_xattr)
	src, err := j.name(f)
	if err != nil {
		return 0
	}
	defer src.Close()
	all, _ := xattrs(src)
	for name, value := range all {
		parts += head + int64(len(name)+len(value))
	}
	return parts
}

// name is a descriptor that only names a file.
func (j *job) name(f *found) (*tier.File, error) {
	d, err := j.m.tree.Tiers()[f.rank].OpenPath(f.dir)
	if err != nil {
		return nil, err
	}
	defer d.Put()
	return d.OpenPath(f.name)
}

// place is a directory of a tier.
type place struct {
	rank int
	dir  string
}

// parents is what the directories take that are to be made on a tier for dir to be
// there.
func (j *job) parents(t *tier.Tier, dir string) (l load) {
	missing := int64(0)
	for ; dir != "" && dir != "." && !j.made[place{t.Rank, dir}]; dir = path.Dir(dir) {
		if _, err := t.Lstat(dir); !isAbsent(err) {
			break
		}
		missing++
	}
	if missing == 0 {
		return load{}
	}
	small, _ := t.Lstat(tier.MarkName) // a directory as small as a new one
	return load{bytes: missing * small.Blocks * BlockSize, inodes: missing * inodeParts}
}

// make notes that a plan makes dir on a tier, with all above it.
func (j *job) make(t *tier.Tier, dir string) {
	for ; dir != "" && dir != "." && !j.made[place{t.Rank, dir}]; dir = path.Dir(dir) {
		j.made[place{t.Rank, dir}] = true
	}
}
