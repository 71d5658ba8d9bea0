package handles

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestRandomWritesReadBack keeps a model of a file beside it.
func TestRandomWritesReadBack(t *testing.T) {
	everywhere(t, func(p place) {
		const size = 4 << 20
		model := make([]byte, size)
		rng := rand.New(rand.NewPCG(1, 2))
		fd := p.open("f", unix.O_CREAT|unix.O_RDWR)
		p.ok("ftruncate", unix.Ftruncate(fd, size))
		mem := p.mmap(fd, size)
		for range 400 {
			off, n := rng.IntN(size), 1+rng.IntN(100000)
			n = min(n, size-off)
			switch rng.IntN(5) {
			case 0, 1:
				b := bytes.Repeat([]byte{byte(rng.IntN(256))}, n)
				copy(model[off:], b)
				p.pwrite(fd, string(b), int64(off))
			case 2:
				b := bytes.Repeat([]byte{byte(rng.IntN(256))}, n)
				copy(model[off:], b)
				copy(mem[off:], b)
			case 3:
				clear(model[off : off+n])
				p.ok("punch", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)))
			case 4:
				b := make([]byte, n)
				_, err := unix.Pread(fd, b, int64(off))
				p.ok("pread", err)
				if !bytes.Equal(b, model[off:off+n]) {
					p.Fatalf("%d bytes at %d differ", n, off)
				}
			}
		}
		if !bytes.Equal(mem, model) {
			p.Error("the map differs")
		}
		p.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		for _, path := range []string{filepath.Join(p.dir, "f"), filepath.Join(p.home, "f")} {
			if got := harness.Read(p, path); sha256.Sum256([]byte(got)) != sha256.Sum256(model) {
				p.Errorf("%s differs", path)
			}
		}
	})
}

func TestAppendersDoNotOverwriteEachOther(t *testing.T) {
	everywhere(t, func(p place) {
		var wait sync.WaitGroup
		for i := range 4 {
			fd := p.open("log", unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND)
			wait.Go(func() {
				for j := range 200 {
					if _, err := unix.Write(fd, fmt.Appendf(nil, "%d:%03d\n", i, j)); err != nil {
						p.Errorf("write: %v", err)
						return
					}
				}
			})
		}
		wait.Wait()
		lines := strings.Split(strings.TrimSpace(harness.Read(p, filepath.Join(p.home, "log"))), "\n")
		seen := map[string]bool{}
		for _, line := range lines {
			seen[line] = true
		}
		if len(lines) != 800 || len(seen) != 800 {
			p.Errorf("%d lines, %d of them different, want 800", len(lines), len(seen))
		}
	})
}

func TestDirectIO(t *testing.T) {
	everywhere(t, func(p place) {
		fd := p.open("f", unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT)
		page := alignedPage()
		for i := range page {
			page[i] = byte(i * 7)
		}
		for i := range 16 {
			n, err := unix.Pwrite(fd, page, int64(i*len(page)))
			if err != nil || n != len(page) {
				p.Fatalf("pwrite: %d %v", n, err)
			}
		}
		in := alignedPage()
		n, err := unix.Pread(fd, in, int64(5*len(page)))
		if err != nil || n != len(in) || !bytes.Equal(in, page) {
			p.Errorf("pread: %d %v", n, err)
		}
		if got := harness.Read(p, filepath.Join(p.home, "f")); got != strings.Repeat(string(page), 16) {
			p.Error("the backing file differs")
		}
	})
}

func alignedPage() []byte {
	b := make([]byte, 8192)
	skip := -uintptr(unsafe.Pointer(&b[0])) & 4095
	return b[skip : skip+4096]
}

func TestFileOverFourGigabytes(t *testing.T) {
	everywhere(t, func(p place) {
		fd := p.open("big", unix.O_CREAT|unix.O_RDWR)
		for _, off := range []int64{0, 1<<31 - 3, 1<<32 - 3, 1<<32 + 1<<20, 9 << 30} {
			p.pwrite(fd, "straddle", off)
			p.wantAt(fd, off, "straddle")
		}
		var st unix.Stat_t
		p.ok("fstat", unix.Fstat(fd, &st))
		if st.Size != 9<<30+8 || st.Blocks > 200 {
			p.Errorf("size %d, %d blocks: want a sparse file", st.Size, st.Blocks)
		}
		off, err := unix.Seek(fd, 5<<30, unix.SEEK_DATA)
		if err != nil || off < 9<<30-4096 || off > 9<<30 {
			p.Errorf("next data at %d, %v", off, err)
		}
		p.ok("ftruncate", unix.Ftruncate(fd, 1<<32))
		if st := harness.Stat(p, filepath.Join(p.home, "big")); st.Size != 1<<32 {
			p.Errorf("backing size %d", st.Size)
		}
	})
}

func TestCopyBetweenTiers(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")})
	text := strings.Repeat("content ", 50000)
	harness.Write(t, m.Fallbacks[0]+"/f", text)
	harness.Mkdir(t, m.Fallbacks[0]+"/low")
	m.Up()
	for _, to := range []string{"g", "low/h"} {
		in, err := os.Open(m.Path("f"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(m.Path(to))
		if err != nil {
			t.Fatal(err)
		}
		for left := len(text); left > 0; {
			n, err := unix.CopyFileRange(int(in.Fd()), nil, int(out.Fd()), nil, left, 0)
			if err != nil || n == 0 {
				t.Fatalf("copy_file_range with %d left: %d, %v", left, n, err)
			}
			left -= n
		}
		in.Close()
		out.Close()
		harness.WantRead(t, m.Path(to), text)
	}
}

func TestSendfileAndExec(t *testing.T) {
	everywhere(t, func(p place) {
		in, err := os.Open("/bin/echo")
		p.ok("open", err)
		defer in.Close()
		st, err := in.Stat()
		p.ok("stat", err)
		out := p.open("echo", unix.O_CREAT|unix.O_WRONLY)
		for left := int(st.Size()); left > 0; {
			n, err := unix.Sendfile(out, int(in.Fd()), nil, left)
			if err != nil || n == 0 {
				p.Fatalf("sendfile: %d, %v", n, err)
			}
			left -= n
		}
		unix.Close(out)
		harness.Chmod(p, filepath.Join(p.dir, "echo"), 0o755)
		if got := harness.Must(p, filepath.Join(p.dir, "echo"), "from the mount"); got != "from the mount\n" {
			p.Errorf("printed %q", got)
		}
		harness.Write(p, filepath.Join(p.dir, "script"), "#!/bin/sh\necho script\n")
		harness.Chmod(p, filepath.Join(p.dir, "script"), 0o755)
		if got := harness.Must(p, filepath.Join(p.dir, "script")); got != "script\n" {
			p.Errorf("printed %q", got)
		}
	})
}

func TestNoexecMount(t *testing.T) {
	harness.Require(t, "root", "fuse")
	m := harness.New(t, 0, "noexec")
	harness.Must(t, "cp", "/bin/true", m.Primary+"/true")
	m.Up()
	if _, _, code := harness.Sh(t, `"$1"`, m.Path("true")); code != 126 {
		t.Errorf("exit code %d, want 126", code)
	}
}
