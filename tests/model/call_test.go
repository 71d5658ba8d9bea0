package model

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// operation is what a step means: to the model, and to the mount.
type operation struct {
	rule func(s *state, st step) result
	call func(x *rig, st step) result
}

// calls are all operations. check, remount and rows are the rig's own.
var calls map[string]operation

func init() {
	calls = map[string]operation{
		"mkdir":       {ruleMkdir, func(x *rig, st step) result { return answer(unix.Mkdir(x.path(st.p), st.m)) }},
		"mknod":       {ruleMknod, func(x *rig, st step) result { return answer(unix.Mknod(x.path(st.p), st.m, int(unix.Mkdev(1, 3)))) }},
		"symlink":     {ruleSymlink, func(x *rig, st step) result { return answer(unix.Symlink(x.target(st.v), x.path(st.p))) }},
		"link":        {ruleLink, func(x *rig, st step) result { return answer(unix.Link(x.path(st.p), x.path(st.q))) }},
		"unlink":      {ruleUnlink, func(x *rig, st step) result { return answer(unix.Unlink(x.path(st.p))) }},
		"rmdir":       {ruleRmdir, func(x *rig, st step) result { return answer(unix.Rmdir(x.path(st.p))) }},
		"rename":      {ruleRename, callRename},
		"chmod":       {ruleChmod, func(x *rig, st step) result { return answer(unix.Chmod(x.path(st.p), st.m)) }},
		"lchown":      {ruleLchown, func(x *rig, st step) result { return answer(unix.Lchown(x.path(st.p), int(st.n), int(st.o))) }},
		"utimens":     {ruleUtimens, callUtimens},
		"truncate":    {ruleTruncate, func(x *rig, st step) result { return answer(unix.Truncate(x.path(st.p), st.n)) }},
		"setxattr":    {ruleSetxattr, func(x *rig, st step) result { return answer(unix.Lsetxattr(x.path(st.p), st.k, []byte(st.v), st.f)) }},
		"removexattr": {ruleRemovexattr, func(x *rig, st step) result { return answer(unix.Lremovexattr(x.path(st.p), st.k)) }},
		"getxattr":    {ruleGetxattr, callGetxattr},
		"listxattr":   {ruleListxattr, callListxattr},
		"stat":        {ruleStat, callStat},
		"readlink":    {ruleReadlink, callReadlink},
		"list":        {ruleList, callList},
		"open":        {ruleOpen, callOpen},
		"close":       {ruleClose, callClose},
		"linkhandle":  {onHandle(ruleLinkHandle), onFD(callLinkHandle)},
		"read":        {onHandle(ruleRead), onFile(callRead)},
		"pread":       {onHandle(rulePread), onFile(callPread)},
		"write":       {onHandle(ruleWrite), onFile(callWrite)},
		"pwrite":      {onHandle(rulePwrite), onFile(callPwrite)},
		"seek":        {onHandle(ruleSeek), onFile(callSeek)},
		"ftruncate":   {onHandle(ruleFtruncate), onFD(func(x *rig, fd int, st step) result { return answer(unix.Ftruncate(fd, st.n)) })},
		"fallocate":   {onHandle(ruleFallocate), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fallocate(fd, uint32(st.f), st.o, st.n)) })},
		"fsync":       {onHandle(ruleFsync), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fsync(fd)) })},
		"fdatasync":   {onHandle(ruleFsync), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fdatasync(fd)) })},
		"fstat":       {onHandle(ruleFstat), onFD(callFstat)},
		"fchmod":      {onHandle(ruleFchmod), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fchmod(fd, st.m)) })},
		"fchown":      {onHandle(ruleFchown), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fchown(fd, int(st.n), int(st.o))) })},
		"futimens":    {onHandle(ruleFutimens), onFD(callFutimens)},
		"fsetxattr":   {onHandle(ruleFsetxattr), onFD(func(x *rig, fd int, st step) result { return answer(unix.Fsetxattr(fd, st.k, []byte(st.v), st.f)) })},
		"fgetxattr":   {onHandle(ruleFgetxattr), onFD(callFgetxattr)},
		"copyrange":   {onHandle(ruleCopyRange), onFD(callCopyRange)},
		"demote":      {ruleDemote, callCarry},
		"promote":     {rulePromote, callCarry},
		"out.put":     {ruleOutPut, callOutPut},
		"out.remove":  {ruleOutRemove, func(x *rig, st step) result { return answer(os.RemoveAll(x.behind(st.r, st.p))) }},
		"out.rename":  {ruleOutRename, callOutRename},
		"out.write":   {ruleOutWrite, callOutWrite},
	}
}

// answer is the errno of a call.
func answer(err error) result {
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		return result{text: err.Error()}
	}
	return refuse(errno)
}

// answerWith is the errno, or what the call gave.
func answerWith(text string, err error) result {
	if err != nil {
		return answer(err)
	}
	return result{text: text}
}

// callRename looks the names up first where directories are moved behind the
// mount. The kernel cannot take note of a move while it renames (__d_unalias),
// and would say ESTALE.
func callRename(x *rig, st step) result {
	if x.cfg.outside {
		var s unix.Stat_t
		unix.Lstat(x.path(st.p), &s)
		unix.Lstat(x.path(st.q), &s)
	}
	return answer(unix.Renameat2(unix.AT_FDCWD, x.path(st.p), unix.AT_FDCWD, x.path(st.q), uint(st.f)))
}

func both(ns int64) []unix.Timespec {
	ts := unix.NsecToTimespec(ns)
	return []unix.Timespec{ts, ts}
}

func callUtimens(x *rig, st step) result {
	return answer(unix.UtimesNanoAt(unix.AT_FDCWD, x.path(st.p), both(st.n), unix.AT_SYMLINK_NOFOLLOW))
}

func callFutimens(x *rig, fd int, st step) result {
	return answer(unix.UtimesNanoAt(fd, "", both(st.n), unix.AT_EMPTY_PATH))
}

func callGetxattr(x *rig, st step) result {
	return attrOf(st, func(b []byte) (int, error) { return unix.Lgetxattr(x.path(st.p), st.k, b) })
}

func callFgetxattr(x *rig, fd int, st step) result {
	return attrOf(st, func(b []byte) (int, error) { return unix.Fgetxattr(fd, st.k, b) })
}

func attrOf(st step, get func([]byte) (int, error)) result {
	b := make([]byte, st.n)
	n, err := get(b)
	if err == nil && st.n == 0 {
		return result{text: fmt.Sprint(n, " bytes")}
	}
	return answerWith(string(b[:max(0, min(n, len(b)))]), err)
}

func callListxattr(x *rig, st step) result {
	names, err := attrNames(x.path(st.p))
	return answerWith(fmt.Sprint(names), err)
}

func attrNames(path string) ([]string, error) {
	b := make([]byte, 1000)
	n, err := unix.Llistxattr(path, b)
	if err != nil {
		return nil, err
	}
	names := strings.FieldsFunc(string(b[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	return names, nil
}

func callStat(x *rig, st step) result {
	var s unix.Stat_t
	stat, get := unix.Lstat, unix.Lgetxattr
	if st.f != 0 {
		stat, get = unix.Stat, unix.Getxattr
	}
	if err := stat(x.path(st.p), &s); err != nil {
		return answer(err)
	}
	text := briefOf(&s)
	if typ := s.Mode & unix.S_IFMT; x.union() && (typ == unix.S_IFDIR || typ == unix.S_IFREG) {
		b := make([]byte, 4096)
		n, err := get(x.path(st.p), "user.tierfs.tier", b)
		if err != nil {
			return answer(err)
		}
		text += fmt.Sprint(" tier ", slices.Index(x.m.Tiers, string(b[:n])))
	}
	return result{text: text}
}

func briefOf(s *unix.Stat_t) string {
	return brief(s.Mode&unix.S_IFMT, s.Mode&0o7777, int(s.Uid), int(s.Gid), int(s.Nlink), s.Size, s.Rdev)
}

func callFstat(x *rig, fd int, st step) result {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return answer(err)
	}
	return result{text: briefOf(&s)}
}

func callReadlink(x *rig, st step) result {
	b := make([]byte, 4096)
	n, err := unix.Readlink(x.path(st.p), b)
	return answerWith(string(b[:max(n, 0)]), err)
}

func callList(x *rig, st step) result {
	fd, err := unix.Open(x.path(st.p), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return answer(err)
	}
	defer unix.Close(fd)
	rows, err := readAll(fd)
	return answerWith(rowsText(rows), err)
}

// readAll reads a directory to its end.
func readAll(fd int) (all []row, err error) {
	for {
		rows, err := readSome(fd, 8192)
		if err != nil || len(rows) == 0 {
			return visible(all), err
		}
		all = append(all, rows...)
	}
}

func visible(rows []row) []row {
	return slices.DeleteFunc(rows, func(r row) bool { return r.name == "." || r.name == ".." })
}

// readSome is one getdents64(2).
func readSome(fd, size int) (rows []row, err error) {
	all, err := harness.Rows(fd, size)
	for _, r := range all {
		rows = append(rows, row{name: r.Name, typ: uint32(r.Kind) << 12, ino: r.Ino})
	}
	return rows, err
}

func callOpen(x *rig, st step) result {
	x.close(st.h)
	fd, err := unix.Open(x.path(st.p), st.f|unix.O_NONBLOCK|unix.O_CLOEXEC, st.m)
	if err != nil {
		return answer(err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		unix.Close(fd)
		return answer(err)
	}
	x.open[st.h] = &opened{fd, s.Mode & unix.S_IFMT, s.Ino}
	return result{}
}

func callClose(x *rig, st step) result {
	x.close(st.h)
	return result{}
}

// onFD is a call on an open file, onFile on one that is no fifo: the content of
// those is not modelled.
func onFD(call func(x *rig, fd int, st step) result) func(*rig, step) result {
	return func(x *rig, st step) result {
		if x.open[st.h] == nil {
			return result{}
		}
		return call(x, x.open[st.h].fd, st)
	}
}

func onFile(call func(x *rig, fd int, st step) result) func(*rig, step) result {
	return onFD(func(x *rig, fd int, st step) result {
		if typ := x.open[st.h].typ; typ != unix.S_IFREG && typ != unix.S_IFDIR {
			return result{}
		}
		return call(x, fd, st)
	})
}

func callLinkHandle(x *rig, fd int, st step) result {
	return answer(unix.Linkat(fd, "", unix.AT_FDCWD, x.path(st.p), unix.AT_EMPTY_PATH))
}

func callRead(x *rig, fd int, st step) result {
	b := make([]byte, st.n)
	n, err := unix.Read(fd, b)
	return answerWith(string(b[:max(n, 0)]), err)
}

func callPread(x *rig, fd int, st step) result {
	b := make([]byte, st.n)
	n, err := unix.Pread(fd, b, st.o)
	return answerWith(string(b[:max(n, 0)]), err)
}

func callWrite(x *rig, fd int, st step) result {
	return whole(st)(unix.Write(fd, pattern(st.n, st.m)))
}

func callPwrite(x *rig, fd int, st step) result {
	return whole(st)(unix.Pwrite(fd, pattern(st.n, st.m), st.o))
}

// whole is the answer of a write, which must not be short.
func whole(st step) func(n int, err error) result {
	return func(n int, err error) result {
		if err == nil && int64(n) != st.n {
			return result{text: fmt.Sprint("short: ", n)}
		}
		return answer(err)
	}
}

func callSeek(x *rig, fd int, st step) result {
	if x.open[st.h].typ == unix.S_IFDIR {
		return result{}
	}
	_, err := unix.Seek(fd, st.o, unix.SEEK_SET)
	return answer(err)
}

func callCopyRange(x *rig, fd int, st step) result {
	to := x.open[st.h2]
	if to == nil {
		return result{}
	}
	n, err := unix.CopyFileRange(fd, &st.o, to.fd, &st.o2, int(st.n), 0)
	return answerWith(fmt.Sprint(n), err)
}

// target is a link's target with a tier's directory for the @.
func (x *rig) target(t string) string {
	if rest, ok := strings.CutPrefix(t, "@/"); ok {
		return x.m.Tiers[0] + "/" + rest
	}
	return t
}

func callOutPut(x *rig, st step) result {
	path := x.behind(st.r, st.p)
	if err := os.RemoveAll(path); err != nil {
		return answer(err)
	}
	perm := st.m & 0o7777
	switch st.m & unix.S_IFMT {
	case unix.S_IFLNK:
		return answer(unix.Symlink(x.target(st.v), path))
	case unix.S_IFDIR:
		if err := unix.Mkdir(path, perm); err != nil {
			return answer(err)
		}
	case unix.S_IFREG:
		if err := os.WriteFile(path, []byte(st.v), 0o600); err != nil {
			return answer(err)
		}
	default:
		if err := unix.Mknod(path, st.m, 0); err != nil {
			return answer(err)
		}
	}
	// A set-group-ID bit that a directory inherits stays.
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return answer(err)
	}
	return answer(unix.Chmod(path, perm|s.Mode&unix.S_ISGID))
}

func callOutRename(x *rig, st step) result {
	to := x.behind(st.r, st.q)
	if err := os.RemoveAll(to); err != nil {
		return answer(err)
	}
	return answer(unix.Rename(x.behind(st.r, st.p), to))
}

func callOutWrite(x *rig, st step) result {
	f, err := os.OpenFile(x.behind(st.r, st.p), os.O_WRONLY, 0)
	if err != nil {
		return answer(err)
	}
	_, err = f.WriteAt(pattern(st.n, st.m), st.o)
	return answer(errors.Join(err, f.Close()))
}

// settle waits until the kernel has forgotten what it was told before.
func (x *rig) settle() { time.Sleep(x.cfg.wait) }
