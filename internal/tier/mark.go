package tier

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// MarkName is the directory in the root of every writable tier that belongs to
// tierfs. It holds the list of members, the lock, and the records of moves.
const MarkName = ".tierfs"

const (
	listName    = "members"
	newListName = "members.new"
	lockName    = "lock"

	listFormat    = 1
	maxList       = 1 << 20            // a list of three tiers has 1 KiB
	maxGeneration = math.MaxUint64 / 2 // counting up from it cannot wrap
	maxRank       = math.MaxUint16
	idBytes       = 16 // 128 random bits: no two tiers ever share one by chance
)

// States of a member in a list.
const (
	stateServed   = "served"   // in the options of the mount that wrote the list
	stateLeft     = "left"     // was a member, no longer in the options
	stateReplaced = "replaced" // another tier took its place: its files are stale
)

// record is the content of .tierfs/members: a mark (id, set) and a list.
//
// Generation 0 is a candidate: a mark alone, which names nobody and binds
// nothing until a list of a higher generation names its ID.
type record struct {
	Format     int      `json:"tierfs"`
	ID         string   `json:"id"`
	Set        string   `json:"set"`
	Generation uint64   `json:"generation"`
	Members    []member `json:"members,omitempty"`
	Adopt      bool     `json:"adopt,omitempty"`    // a person wants this tier taken in
	Replaces   listPath `json:"replaces,omitempty"` // and in place of the member there
}

// member is a line of a list. ID is the authority for a tier that carries a
// mark; FSID and RootInode identify one that is read-only and has none.
type member struct {
	ID        string   `json:"id"`
	Rank      int      `json:"rank"`
	Path      listPath `json:"path"`
	FSID      string   `json:"fsid,omitempty"` // empty where it is no identity
	RootInode uint64   `json:"root_inode"`
	ReadOnly  bool     `json:"read_only,omitempty"`
	State     string   `json:"state"`
	Own       uint64   `json:"own_generation,omitempty"` // of the list that it got last, if not this one
}

// listPath is the path of a tier. JSON holds Unicode and a path any bytes, so
// what is not printable is written as %XX, and "%" too.
type listPath string

// MarshalText writes p in the form lists have.
func (p listPath) MarshalText() ([]byte, error) {
	var b []byte
	for s := string(p); s != ""; {
		r, size := utf8.DecodeRuneInString(s)
		if r == '%' || !unicode.IsPrint(r) || r == utf8.RuneError && size == 1 {
			for _, c := range []byte(s[:size]) {
				b = fmt.Appendf(b, "%%%02X", c)
			}
		} else {
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return b, nil
}

// UnmarshalText takes clean absolute paths only.
func (p *listPath) UnmarshalText(text []byte) error {
	var b strings.Builder
	for s := string(text); s != ""; {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case !unicode.IsPrint(r):
			return fmt.Errorf("path %q: control character", text)
		case r != '%':
			b.WriteString(s[:size])
		default:
			size = min(3, len(s))
			c, err := hex.DecodeString(s[1:size])
			if err != nil || len(c) != 1 {
				return fmt.Errorf("path %q: bad %%XX", text)
			}
			b.Write(c)
		}
		s = s[size:]
	}
	path := b.String()
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) >= unix.PathMax || strings.ContainsRune(path, 0) {
		return fmt.Errorf("path %q: not a clean absolute path", text)
	}
	*p = listPath(path)
	return nil
}

// parseRecord reads a record as hostile input: whoever prepared the disk may
// have written it.
func parseRecord(data []byte) (*record, error) {
	var head struct {
		Format int `json:"tierfs"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Format != listFormat {
		return nil, fmt.Errorf("format %d, this tierfs reads %d", head.Format, listFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	rec := new(record)
	if err := dec.Decode(rec); err != nil {
		return nil, err
	}
	if err := rec.check(); err != nil {
		return nil, err
	}
	return rec, nil
}

func (r *record) check() error {
	switch {
	case !isID(r.ID):
		return fmt.Errorf("id %q: want 32 hexadecimal digits", r.ID)
	case !isID(r.Set) && (r.Set != "" || r.Generation > 0):
		return fmt.Errorf("set %q: want 32 hexadecimal digits", r.Set)
	case r.Generation > maxGeneration:
		return fmt.Errorf("generation %d: too high", r.Generation)
	case r.Generation == 0 && len(r.Members) > 0:
		return errors.New("generation 0 names members")
	case r.Generation > 0 && (r.Adopt || r.Replaces != ""):
		return errors.New("both a list and a request to adopt")
	case r.Generation == 0:
		return nil
	}
	return r.checkMembers()
}

func (r *record) checkMembers() error {
	ids, ranks := map[string]string{}, map[int]bool{}
	for _, m := range r.Members {
		if err := m.check(); err != nil {
			return err
		}
		if ids[m.ID] != "" {
			return fmt.Errorf("member %s twice", m.ID)
		}
		ids[m.ID] = m.State
		if m.State == stateServed && ranks[m.Rank] {
			return fmt.Errorf("rank %d twice", m.Rank)
		}
		ranks[m.Rank] = ranks[m.Rank] || m.State == stateServed
		if m.Own >= r.Generation {
			return fmt.Errorf("member %s: list of generation %d", m.ID, m.Own)
		}
	}
	if ids[r.ID] != stateServed {
		return errors.New("it does not name its own tier")
	}
	return nil
}

func (m member) check() error {
	switch {
	case !isID(m.ID):
		return fmt.Errorf("member %q: want 32 hexadecimal digits", m.ID)
	case m.Rank < 0 || m.Rank > maxRank:
		return fmt.Errorf("member %s: rank %d", m.ID, m.Rank)
	case m.Path == "":
		return fmt.Errorf("member %s: no path", m.ID)
	case m.FSID != "" && !isHex(m.FSID, 8):
		return fmt.Errorf("member %s: fsid %q", m.ID, m.FSID)
	case m.State != stateServed && m.State != stateLeft && m.State != stateReplaced:
		return fmt.Errorf("member %s: state %q", m.ID, m.State)
	}
	return nil
}

// encode is the inverse of parseRecord, and never makes what that refuses.
func (r *record) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	if b.Len() > maxList {
		return nil, fmt.Errorf("%s: over %d bytes", listName, maxList)
	}
	if _, err := parseRecord(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func newID() string {
	b := make([]byte, idBytes)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

func isID(s string) bool { return isHex(s, idBytes) }

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*n && s == strings.ToLower(s)
}

// show makes a path or another foreign text fit to print: as it is where that
// is one plain word, else quoted.
func show(s string) string {
	plain := func(r rune) bool {
		return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+,:@=%", r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// OpenMarkDir opens the .tierfs of the tier whose root is rootFD, making it
// first if create. It counts only as a real directory of the daemon's user,
// mode 0700, in the same mount and on the same filesystem as the root. The error
// wraps unix.ENOENT if there is none; it does not name the tier.
func OpenMarkDir(rootFD int, create bool) (int, error) {
	fd, err := openMarkDir(rootFD)
	if !create || !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := unix.Mkdirat(rootFD, MarkName, 0o700); err != nil && err != unix.EEXIST {
		return -1, fmt.Errorf("%s: %w", MarkName, err)
	}
	return openMarkDir(rootFD)
}

func openMarkDir(rootFD int) (int, error) {
	fd, st, err := openEntry(rootFD, MarkName, unix.O_RDONLY|unix.O_DIRECTORY, unix.S_IFDIR)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", MarkName, err)
	}
	// A set-group-ID root hands that bit down to what mkdir makes in it.
	if mode := st.Mode & 0o7777 &^ unix.S_ISGID; mode != 0o700 {
		unix.Close(fd)
		return -1, fmt.Errorf("%s: mode %04o, not 0700; find out who changed it, then chmod 0700 or remove it; where chmod has no effect, mount that filesystem so that its directories are 0700 (rclone: dir_perms=0700)", MarkName, mode)
	}
	return fd, nil
}

// openEntry opens dirfd's entry name, if it is of the wanted type, ours and in
// the same mount, and follows nothing. It is looked at before the open as well,
// because to open a device or a fifo can do things; what counts is the second look.
func openEntry(dirfd int, name string, flags int, want uint32) (int, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, st, err
	}
	if err := checkEntry(&st, want); err != nil {
		return -1, st, err
	}
	fd, err := sys.Open(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, st, err
	}
	err = unix.Fstat(fd, &st)
	if err == nil {
		err = checkEntry(&st, want)
	}
	if err == nil {
		err = checkMount(dirfd, fd, want)
	}
	if err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// checkEntry judges type and owner.
func checkEntry(st *unix.Stat_t, want uint32) error {
	if st.Mode&unix.S_IFMT != want {
		return wrongType(st.Mode, want)
	}
	if euid := os.Geteuid(); int64(st.Uid) != int64(euid) {
		return fmt.Errorf("owned by user %d, not by %d who mounts; find out who made it, then chown or remove it", st.Uid, euid)
	}
	return nil
}

func wrongType(mode, want uint32) error {
	kinds := map[uint32]string{
		unix.S_IFDIR: "a directory", unix.S_IFREG: "a regular file", unix.S_IFLNK: "a symbolic link",
		unix.S_IFIFO: "a fifo", unix.S_IFSOCK: "a socket", unix.S_IFBLK: "a device", unix.S_IFCHR: "a device",
	}
	return fmt.Errorf("%s, not %s; find out who made it and move it away", kinds[mode&unix.S_IFMT], kinds[want])
}

var errMountedOver = errors.New("something is mounted over it; unmount that")

// checkMount refuses what was found in dirfd, as fd, unless it is in the same
// mount. Mounts of one filesystem differ in the mount ID alone, which statx has
// from Linux 5.8 on. Device numbers count for directories only: overlayfs shows
// its files under those of other filesystems.
func checkMount(dirfd, fd int, kind uint32) error {
	const mask = unix.STATX_MNT_ID
	var dir, entry unix.Statx_t
	for _, x := range []struct {
		fd int
		sx *unix.Statx_t
	}{{dirfd, &dir}, {fd, &entry}} {
		if err := unix.Statx(x.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, x.sx); err != nil {
			return checkDevice(dirfd, fd, kind) // ENOSYS, or EPERM of an old seccomp filter
		}
	}
	if dir.Mask&entry.Mask&mask != 0 && dir.Mnt_id != entry.Mnt_id {
		return errMountedOver
	}
	return checkDevice(dirfd, fd, kind)
}

func checkDevice(dirfd, fd int, kind uint32) error {
	var dir, entry unix.Stat_t
	if err := unix.Fstat(dirfd, &dir); err != nil {
		return err
	}
	if err := unix.Fstat(fd, &entry); err != nil {
		return err
	}
	if kind == unix.S_IFDIR && dir.Dev != entry.Dev {
		return errMountedOver
	}
	return nil
}

// readMark returns the record of a tier, nil if it has none.
func readMark(rootFD int) (*record, error) {
	dirfd, err := OpenMarkDir(rootFD, false)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(dirfd)
	rec, err := readRecord(dirfd)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", MarkName, listName, err)
	}
	return rec, nil
}

func readRecord(dirfd int) (*record, error) {
	fd, _, err := openEntry(dirfd, listName, unix.O_RDONLY, unix.S_IFREG)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), listName)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxList {
		return nil, fmt.Errorf("over %d bytes, not a list of members; move it away", maxList)
	}
	rec, err := parseRecord(data)
	if err != nil {
		return nil, fmt.Errorf("not a list of members (%s); move it away", oneLine(err))
	}
	return rec, nil
}

// oneLine quotes what an error of a parser repeats of its input.
func oneLine(err error) string {
	s := strconv.Quote(err.Error())
	return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
}

// writeRecord replaces the list in dirfd. The caller holds the tier's lock, so
// nobody else writes members.new: one that is there was left by a crash.
//
// The file is synced before it takes the name, because a rename that reaches
// the disk before the data leaves an empty list; the directory is synced
// because the lists of other tiers are written on the strength of this one.
func writeRecord(dirfd int, rec *record) error {
	data, err := rec.encode()
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(dirfd, newListName, 0); err != nil && err != unix.ENOENT {
		return err
	}
	fd, err := sys.Open(dirfd, newListName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err = writeAll(fd, data); err == nil {
		err = unix.Renameat(dirfd, newListName, dirfd, listName)
	}
	if err != nil {
		unix.Unlinkat(dirfd, newListName, 0)
		return err
	}
	return syncDir(dirfd)
}

// writeAll writes, syncs and closes.
func writeAll(fd int, data []byte) error {
	f := os.NewFile(uintptr(fd), newListName)
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	var perr *os.PathError
	if errors.As(err, &perr) {
		return perr.Err
	}
	return err
}

// syncDir makes the entries of dirfd durable, which may be an O_PATH
// descriptor. Filesystems that cannot sync directories say EINVAL.
func syncDir(dirfd int) error {
	fd, err := sys.Open(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != unix.EINVAL {
		return err
	}
	return nil
}

// lockMark takes the lock of a tier without waiting. It goes with the descriptor,
// which is -1 if another process has it: then the holder, as far as is known.
func lockMark(rootFD int) (fd int, holder Holder, err error) {
	dirfd, err := OpenMarkDir(rootFD, true)
	if err != nil {
		return -1, holder, err
	}
	defer unix.Close(dirfd)
	fd, err = openLock(dirfd)
	if err != nil {
		return -1, holder, fmt.Errorf("%s/%s: %w", MarkName, lockName, err)
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return fd, holder, nil
	}
	defer unix.Close(fd)
	if err == unix.EWOULDBLOCK {
		return -1, readHolder(fd), nil
	}
	return -1, holder, fmt.Errorf("%s/%s: flock: %w", MarkName, lockName, err)
}

// isLock reports whether fd is the lock of the tier whose root is rootFD.
func isLock(fd, rootFD int) bool {
	dirfd, err := OpenMarkDir(rootFD, false)
	if err != nil {
		return false
	}
	defer unix.Close(dirfd)
	var has, is unix.Stat_t
	return unix.Fstat(fd, &has) == nil && unix.Fstatat(dirfd, lockName, &is, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		has.Dev == is.Dev && has.Ino == is.Ino
}

// openLock opens for reading, so that a tier can be made read-only while it is locked
// (mount -o remount,ro; systemd at shutdown), which a file open for writing forbids. To
// flock(2) that is the same, except where a client or server makes byte-range locks of it,
// as NFS does: those want a file open for writing.
func openLock(dirfd int) (int, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dirfd, &fs); err != nil {
		return -1, err
	}
	mode := unix.O_RDONLY
	if sys.Network(&fs) {
		mode = unix.O_RDWR
	}
	fd, err := sys.Open(dirfd, lockName, mode|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != unix.EEXIST {
		return fd, err
	}
	fd, _, err = openEntry(dirfd, lockName, mode, unix.S_IFREG)
	return fd, err
}
