// Package handles tests what an open file promises: data, maps, locks, space
// and life after the name is gone, on every tier, with data passed through the
// kernel and through the daemon.
package handles

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// place is where a test's file is: a directory of the mount, and the directory
// of its home tier.
type place struct {
	*testing.T
	m         *harness.Mount
	dir, home string
}

// everywhere runs a test on the primary and on the fallback, with data passed
// through and not.
func everywhere(t *testing.T, fn func(p place)) {
	t.Helper()
	harness.Require(t, "root", "fuse")
	for _, mode := range []string{"on", "off"} {
		for rank, tier := range []string{"primary", "fallback"} {
			t.Run(tier+", passthrough="+mode, func(t *testing.T) {
				if mode == "on" {
					harness.Require(t, "passthrough")
				}
				m := harness.New(t, 1, "passthrough="+mode)
				home := filepath.Join(m.Tiers[rank], "d")
				harness.Mkdir(t, home)
				m.Up()
				fn(place{t, m, m.Path("d"), home})
			})
		}
	}
}

func (p place) ok(what string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// open opens a file of the mount until the end of the test.
func (p place) open(name string, flags int) int {
	p.Helper()
	fd, err := unix.Open(filepath.Join(p.dir, name), flags|unix.O_CLOEXEC, 0o644)
	p.ok("open "+name, err)
	p.Cleanup(func() { unix.Close(fd) })
	return fd
}

func (p place) pwrite(fd int, text string, off int64) {
	p.Helper()
	n, err := unix.Pwrite(fd, []byte(text), off)
	if err != nil || n != len(text) {
		p.Fatalf("pwrite at %d: %d, %v", off, n, err)
	}
}

func (p place) wantAt(fd int, off int64, text string) {
	p.Helper()
	b := make([]byte, len(text))
	n, err := unix.Pread(fd, b, off)
	if err != nil || string(b[:max(n, 0)]) != text {
		p.Errorf("pread at %d: %q, %v, want %q", off, b[:max(n, 0)], err, text)
	}
}

// mmap maps the first n bytes of a file.
func (p place) mmap(fd, n int) []byte {
	p.Helper()
	b, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	p.ok("mmap", err)
	p.Cleanup(func() { unix.Munmap(b) })
	return b
}

// served is how many operations of each kind the daemon has answered.
func served(t *testing.T, m *harness.Mount) map[string]uint64 {
	t.Helper()
	out := harness.Must(t, harness.CLI, "status", "--json", m.Dir)
	var all []struct {
		Ops map[string]uint64 `json:"ops"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return all[0].Ops
}

// TestNoDataReachesTheDaemon: with passthrough the kernel reads and writes the
// backing file itself, whatever the way of reading and writing.
func TestNoDataReachesTheDaemon(t *testing.T) {
	harness.Require(t, "root", "fuse", "passthrough")
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/f", strings.Repeat("x", 1<<20))
	m.Up()
	for _, rel := range []string{"f", "p"} {
		fd, err := unix.Open(m.Path(rel), unix.O_RDWR|unix.O_CREAT, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<20)
		_, err1 := unix.Pwrite(fd, b, 0)
		_, err2 := unix.Pread(fd, b, 0)
		mem, err3 := unix.Mmap(fd, 0, len(b), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		mem[5000]++
		unix.Msync(mem, unix.MS_SYNC)
		unix.Munmap(mem)
		out, err := os.Create(m.Path("copy-" + rel))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Sendfile(int(out.Fd()), fd, new(int64), 1<<20); err != nil {
			t.Fatal(err)
		}
		out.Close()
		unix.Close(fd)
		harness.Append(t, m.Path(rel), "appended")
		harness.Must(t, "dd", "if="+m.Path(rel), "of="+m.Path("direct"), "iflag=direct", "oflag=direct", "bs=64k", "count=8", "status=none")
	}
	ops := served(t, m)
	if ops["READ"]+ops["WRITE"] != 0 {
		t.Errorf("%d READ and %d WRITE reached the daemon", ops["READ"], ops["WRITE"])
	}
	if ops["LOOKUP"] == 0 {
		t.Errorf("no LOOKUP was counted: the test shows nothing (%v)", ops)
	}
}

// TestDataGoesThroughTheDaemonWithoutPassthrough shows that the count above
// counts.
func TestDataGoesThroughTheDaemonWithoutPassthrough(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.New(t, 0, "passthrough=off")
	m.Up()
	harness.Write(t, m.Path("f"), "x")
	harness.Read(t, m.Path("f"))
	if ops := served(t, m); ops["WRITE"] == 0 || ops["READ"] == 0 {
		t.Errorf("%d READ and %d WRITE were counted", ops["READ"], ops["WRITE"])
	}
}
