package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// latency is what each call for names or attributes takes on a slow tier: that of
// a disk that seeks, or of a server far away.
const latency = 5 * time.Millisecond

// pace is how many of an op a subject with a slow primary does in a second, for one
// client and for slowCrowd of them.
type pace struct {
	Subject string  `json:"subject"`
	Op      string  `json:"op"`
	One     float64 `json:"one"`
	Crowd   float64 `json:"crowd"`
}

// slowRow is the name by which this is asked for.
const slowRow = "slow tier"

// Each client does slowOps, and so many before that are not counted.
const (
	slowCrowd  = 8
	slowOps    = 24
	slowBefore = 4
)

var slowLooks = []struct {
	name string
	op   op
	plan plan
}{
	{"stat", stat, plan{files: true}},
	{"open+read+close", openReadClose, plan{files: true}},
	{"create+write+close", createWriteClose, plan{}},
	{"unlink", unlink, plan{files: true}},
}

// crawl measures what several clients gain where each call waits: nothing of one
// client's may wait for another's.
func (l *lab) crawl() ([]pace, error) {
	var all []pace
	for _, s := range l.subjects {
		if s.name != tierfs && (s.name != mergerfs || l.scale.quick) {
			continue
		}
		for _, k := range slowLooks {
			progress("%s on a slow tier: %s", k.name, s.name)
			p := pace{Subject: s.name, Op: k.name}
			var err error
			if p.One, err = l.crawlOnce(s, k.op, k.plan, 1); err == nil {
				p.Crowd, err = l.crawlOnce(s, k.op, k.plan, slowCrowd)
			}
			if err != nil {
				return nil, fmt.Errorf("%s on a slow tier: %s: %w", k.name, s.name, err)
			}
			all = append(all, p)
		}
	}
	progress("")
	return all, l.ctx.Err()
}

// crawlOnce is the ops in a second that n clients do together.
func (l *lab) crawlOnce(of *subject, do op, p plan, n int) (rate float64, err error) {
	s := *of // tierfs knows its tiers: these are others each time
	root, below := filepath.Join(of.tiers[0], "slow"), filepath.Join(of.tiers[1], "slow")
	s.tiers = []string{base + "/slow", below}
	defer os.RemoveAll(root)
	defer os.RemoveAll(below)
	if err := os.Mkdir(below, 0o755); err != nil {
		return 0, err
	}
	if err := p.grow(filepath.Join(root, treeName), n, slowBefore+slowOps); err != nil {
		return 0, err
	}
	stop, err := slowDown(l.ctx, root, s.tiers[0])
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	m := &mounted{subject: &s}
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := m.start(); err != nil {
		return 0, err
	}
	crowd := clients{root: filepath.Join(m.root(0), treeName), op: do}
	if _, err := crowd.run(names(n, 0, slowBefore)); err != nil {
		return 0, err
	}
	took, err := crowd.run(names(n, slowBefore, slowBefore+slowOps))
	return float64(n*slowOps) / took.Seconds(), err
}

// slowDown shows root at dir, slowly, until stop is called. A second self serves
// it, since a process must not touch what it serves.
func slowDown(ctx context.Context, root, dir string) (stop func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", slowArg, root, dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); !isMounted(dir); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			return nil, errors.Join(fmt.Errorf("%s: not mounted after %s", dir, patience), cmd.Wait())
		}
	}
	return func() error { unmount(dir); return cmd.Wait() }, nil
}

// slowArg is the argument that makes this program serve a slow tier.
const slowArg = "slow"

// serveSlow shows root at dir until it is unmounted. The kernel caches nothing, so
// each call of the daemon above is one here.
func serveSlow(root, dir string) error {
	unix.Umask(0)
	loopback, err := fs.NewLoopbackRoot(root)
	if err != nil {
		return err
	}
	raw := fs.NewNodeFS(loopback, &fs.Options{EntryTimeout: new(time.Duration), AttrTimeout: new(time.Duration)})
	srv, err := fuse.NewServer(slow{raw}, dir, &fuse.MountOptions{
		AllowOther: true, DirectMountStrict: true, FsName: "slow", Name: "slow", Options: []string{"default_permissions"},
	})
	if err != nil {
		return err
	}
	srv.Serve()
	return nil
}

// slow is a filesystem that lets the calls wait that ask for names and attributes,
// or change them.
type slow struct{ fuse.RawFileSystem }

type cancel = <-chan struct{}

// Init keeps the connection from the loopback: no file goes through the kernel.
func (slow) Init(*fuse.Server) {}

func (s slow) Lookup(c cancel, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	time.Sleep(latency)
	return s.RawFileSystem.Lookup(c, h, name, out)
}

func (s slow) GetAttr(c cancel, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	time.Sleep(latency)
	return s.RawFileSystem.GetAttr(c, in, out)
}

func (s slow) Open(c cancel, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	time.Sleep(latency)
	return s.RawFileSystem.Open(c, in, out)
}

func (s slow) Create(c cancel, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	time.Sleep(latency)
	return s.RawFileSystem.Create(c, in, name, out)
}

func (s slow) Unlink(c cancel, h *fuse.InHeader, name string) fuse.Status {
	time.Sleep(latency)
	return s.RawFileSystem.Unlink(c, h, name)
}
