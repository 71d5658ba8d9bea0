package model

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"golang.org/x/sys/unix"
)

// generator makes up a program step by step. It looks at the model, so that
// most steps meet something.
type generator struct {
	cfg   config
	rng   *rand.Rand
	steps int // still to make
	made  int
}

// Each program begins with what the tiers have before they are mounted.
const (
	beforeMount = 30
	mostNames   = 70
	deepest     = 4
)

func newGenerator(cfg config, seed uint64, steps int) *generator {
	return &generator{cfg: cfg, rng: rand.New(rand.NewPCG(seed, number(cfg.name))), steps: steps}
}

// number makes the programs of two configurations different ones.
func number(name string) uint64 {
	h := fnv.New64()
	h.Write([]byte(name))
	return h.Sum64()
}

func (g *generator) next(s *state) (step, bool) {
	g.made++
	switch {
	case g.made > g.steps:
		return step{op: "check"}, g.made == g.steps+1
	case g.made <= beforeMount:
		return g.outside(s, true), true
	case g.made%max(60, g.steps/15) == 0:
		return step{op: "check"}, true
	case g.one(400):
		return step{op: "remount"}, true
	case g.cfg.moves && g.one(80):
		return g.carry(s), true
	case g.cfg.outside && g.one(6):
		return g.outside(s, false), true
	case g.one(3):
		return g.onHandle(s), true
	}
	st := g.named(s)
	st.hold = !g.cfg.outside && g.one(4)
	return st, true
}

// one is true once in n times.
func (g *generator) one(n int) bool { return g.rng.IntN(n) == 0 }

func pick[T any](g *generator, of ...T) T { return of[g.rng.IntN(len(of))] }

func (g *generator) name() string { return pick(g, "a", "b", "c", "d", "e") }

// found is what a tree has.
type found struct{ dirs, all []string }

func (s *state) collect() found {
	var f found
	s.each(s.root(), func(d *dir) {
		f.dirs = append(f.dirs, d.path())
		for _, name := range s.names(d) {
			f.all = append(f.all, strings.TrimPrefix(d.path()+"/"+name, "/"))
		}
	})
	return f
}

func join(dir, name string) string { return strings.TrimPrefix(dir+"/"+name, "/") }

// existing is a path of something, mostly.
func (g *generator) existing(f found) string {
	if len(f.all) == 0 || g.one(20) {
		return g.wild()
	}
	return pick(g, f.all...)
}

// wild may lead anywhere, through files and links too.
func (g *generator) wild() string {
	path := g.name()
	for g.one(2) {
		path += "/" + g.name()
	}
	if g.one(15) {
		return hiddenName
	}
	return path
}

// fresh is a name in a directory, mostly a new one.
func (g *generator) fresh(f found) string {
	for range 8 {
		dir := pick(g, f.dirs...)
		if strings.Count(dir, "/") >= deepest-2 {
			continue
		}
		return join(dir, g.name())
	}
	return g.wild()
}

func (g *generator) directory(f found) string { return pick(g, f.dirs...) }

// outside is a change behind the mount.
func (g *generator) outside(s *state, before bool) step {
	f := s.collect()
	rank := g.rng.IntN(len(s.tiers))
	target := g.fresh(f)
	if g.one(3) {
		target = g.existing(f) // another copy of it, a conflict perhaps
	}
	switch n := g.rng.IntN(10); {
	case strings.Contains(target, hiddenName):
		return step{op: "out.remove", r: rank, p: g.name()}
	case before || n < 5 && len(f.all) < mostNames:
		return g.outPut(rank, target)
	case n < 7:
		return step{op: "out.remove", r: rank, p: g.existing(f)}
	case n == 7 && g.cfg.rewrites():
		return step{op: "out.write", r: rank, p: g.existing(f), o: g.rng.Int64N(300), n: 1 + g.rng.Int64N(300), m: g.rng.Uint32N(26)}
	}
	return step{op: "out.rename", r: rank, p: g.existing(f), q: target}
}

// rewrites reports that content changed behind the mount is seen at once, which
// is promised for passthrough.
func (c config) rewrites() bool {
	for _, o := range c.opts {
		if o == "nopassthrough" {
			return false
		}
	}
	return true
}

func (g *generator) outPut(rank int, p string) step {
	st := step{op: "out.put", r: rank, p: p}
	switch g.rng.IntN(10) {
	case 0:
		st.m, st.v = unix.S_IFLNK|0o777, g.linkTarget()
	case 1:
		st.m = unix.S_IFIFO | 0o644
	case 2, 3, 4, 5:
		st.m = unix.S_IFDIR | pick[uint32](g, 0o755, 0o700, 0o777)
	default:
		st.m, st.v = unix.S_IFREG|pick[uint32](g, 0o644, 0o600), string(pattern(g.rng.Int64N(200), g.rng.Uint32N(26)))
	}
	return st
}

// linkTarget is a name beside the link or below it, or a path in a tier, as a
// program writes it that knows where the files lie.
func (g *generator) linkTarget() string {
	if len(g.cfg.tiers) > 1 && g.one(3) {
		return "@/" + strings.ReplaceAll(g.wild(), hiddenName, "a")
	}
	return strings.ReplaceAll(g.wild(), hiddenName, "a")
}

// carry moves files to another tier, half of the time all that a directory has.
func (g *generator) carry(s *state) step {
	f := s.collect()
	st := step{op: pick(g, "demote", "promote"), p: g.directory(f)}
	if g.one(2) {
		st.p, st.hold = g.existing(f), !g.cfg.outside
	}
	return st
}

// named is an operation by path.
func (g *generator) named(s *state) step {
	f := s.collect()
	n := g.rng.IntN(100)
	switch {
	case n < 30 && len(f.all) < mostNames:
		return g.create(f)
	case n < 45:
		return g.rename(f)
	case n < 60:
		return g.remove(f)
	case n < 75:
		return g.openStep(f)
	case n < 90:
		return g.attribute(f)
	}
	return step{op: pick(g, "stat", "list", "list", "readlink", "getxattr", "listxattr"), p: g.existing(f), f: g.rng.IntN(2),
		k: g.attrName(), n: pick[int64](g, 0, 5, 1000)}
}

func (g *generator) create(f found) step {
	p := g.fresh(f)
	switch g.rng.IntN(10) {
	case 0, 1, 2:
		return step{op: "mkdir", p: p, m: pick[uint32](g, 0o755, 0o700, 0o777)}
	case 3:
		return step{op: "mknod", p: p, m: pick[uint32](g, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFREG) | 0o640}
	case 4:
		return step{op: "symlink", p: p, v: g.linkTarget()}
	case 5:
		return step{op: "link", p: g.existing(f), q: p}
	}
	return step{op: "open", p: p, h: g.slot(), f: unix.O_CREAT | pick(g, unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY) |
		pick(g, 0, 0, unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND), m: pick[uint32](g, 0o644, 0o600, 0o444, 0, 0o666)}
}

func (g *generator) rename(f found) step {
	st := step{op: "rename", p: g.existing(f), q: g.fresh(f)}
	if g.one(2) {
		st.q = g.existing(f)
	}
	switch g.rng.IntN(8) {
	case 0:
		st.f = unix.RENAME_NOREPLACE
	case 1:
		st.f = unix.RENAME_EXCHANGE
	case 2:
		st.q = join(st.p, g.name()) // into itself
	}
	if strings.Count(st.q, "/") >= deepest {
		st.q = g.name()
	}
	return st
}

func (g *generator) remove(f found) step {
	if g.one(3) {
		return step{op: "rmdir", p: g.existing(found{all: append(f.dirs[1:], f.all[:min(1, len(f.all))]...)})}
	}
	return step{op: "unlink", p: g.existing(f)}
}

func (g *generator) slot() int { return g.rng.IntN(slots) }

func (g *generator) openStep(f found) step {
	st := step{op: "open", p: g.existing(f), h: g.slot(), m: 0o644}
	switch g.rng.IntN(10) {
	case 0:
		st.f = unix.O_PATH | unix.O_NOFOLLOW
		if g.cfg.outside {
			st.f = unix.O_RDONLY | unix.O_NOFOLLOW
		}
	case 1:
		st.p, st.f = g.directory(f), unix.O_TMPFILE|pick(g, unix.O_RDWR, unix.O_WRONLY)|pick(g, 0, 0, unix.O_EXCL)
	case 2:
		st.p, st.f = g.directory(f), unix.O_DIRECTORY
	case 3:
		st.f = unix.O_DIRECTORY
	default:
		st.f = pick(g, unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY) |
			pick(g, 0, 0, unix.O_TRUNC, unix.O_APPEND, unix.O_APPEND|unix.O_TRUNC, unix.O_NOFOLLOW, unix.O_CREAT, unix.O_SYNC)
	}
	return st
}

func (g *generator) attrName() string {
	return pick(g, "user.a", "user.b", "user.b", "trusted.c")
}

func (g *generator) attribute(f found) step {
	st := step{p: g.existing(f)}
	if g.one(4) {
		st.p = g.directory(f)
	}
	switch g.rng.IntN(6) {
	case 0:
		st.op, st.m = "chmod", g.mode()
	case 1:
		st.op, st.n, st.o = "lchown", pick[int64](g, 0, 1000, 54321), pick[int64](g, 0, 1000, 54321)
	case 2:
		st.op, st.n = "utimens", g.time()
	case 3:
		st.op, st.n = "truncate", pick(g, 0, g.rng.Int64N(9000))
	case 4:
		st.op, st.k, st.v, st.f = "setxattr", g.attrName(), g.value(), pick(g, 0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE)
	case 5:
		st.op, st.k = "removexattr", g.attrName()
	}
	return st
}

// mode is without set-id bits of files, which have tests of their own, and no
// sticky directory is for all: there the kernel refuses O_CREAT on others'
// files (fs.protected_regular, fs.protected_fifos).
func (g *generator) mode() uint32 { return pick[uint32](g, 0o755, 0o700, 0o644, 0o600, 0, 0o1755) }

func (g *generator) time() int64 { return 1e18 + g.rng.Int64N(1e17) }

// value is short enough that all attributes of a file fit into ext4's one block.
func (g *generator) value() string {
	return string(pattern(pick[int64](g, 0, 3, 10, 250), g.rng.Uint32N(26)))
}

// onHandle is an operation on what is open.
func (g *generator) onHandle(s *state) step {
	st := step{h: g.slot(), n: pick(g, 1, 1+g.rng.Int64N(100), 1+g.rng.Int64N(9000)), o: pick(g, 0, g.rng.Int64N(100), g.rng.Int64N(9000)),
		m: g.rng.Uint32N(26)}
	if h := s.handles[st.h]; h != nil && h.n.isDir() && g.one(2) {
		return step{op: "rows", h: st.h, n: 64 + g.rng.Int64N(200), f: g.rng.IntN(8) / 7}
	}
	st.op = pick(g, "read", "pread", "write", "write", "pwrite", "pwrite", "seek", "ftruncate", "fallocate", "fsync", "fdatasync", "fstat",
		"fchmod", "fchown", "futimens", "fsetxattr", "fgetxattr", "copyrange", "copyrange", "linkhandle", "close")
	switch st.op {
	case "fallocate":
		st.f = pick(g, 0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)
	case "fchmod":
		st.m = g.mode()
	case "fchown":
		st.n, st.o = pick[int64](g, 0, 1000), pick[int64](g, 0, 54321)
	case "futimens":
		st.n = g.time()
	case "fsetxattr":
		st.k, st.v, st.f = g.attrName(), g.value(), pick(g, 0, 0, unix.XATTR_CREATE)
	case "fgetxattr":
		st.k = g.attrName()
	case "copyrange":
		st.h2, st.o2 = g.slot(), g.rng.Int64N(9000)
	case "linkhandle":
		st.p = g.fresh(s.collect())
	}
	return st
}
