package fusedev

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The wire's structs as include/uapi/linux/fuse.h has them. Tests write and
// read messages through these, not through the code under test.
type (
	inHeader struct {
		Len, Opcode          uint32
		Unique, Node         uint64
		UID, GID, PID        uint32
		TotalExtlen, Padding uint16
	}
	outHeader struct {
		Len    uint32
		Error  int32
		Unique uint64
	}
	initIn struct {
		Major, Minor, MaxReadahead, Flags, Flags2 uint32
		Unused                                    [11]uint32
	}
	initOut struct {
		Major, Minor, MaxReadahead, Flags  uint32
		MaxBackground, CongestionThreshold uint16
		MaxWrite, TimeGran                 uint32
		MaxPages, MapAlignment             uint16
		Flags2, MaxStackDepth              uint32
		RequestTimeout                     uint16
		Unused                             [11]uint16
	}
	attrWire struct {
		Ino, Size, Blocks, Atime, Mtime, Ctime                                       uint64
		Atimensec, Mtimensec, Ctimensec, Mode, Nlink, UID, GID, Rdev, Blksize, Flags uint32
	}
	entryOut struct {
		Node, Generation, EntryValid, AttrValid uint64
		EntryValidNsec, AttrValidNsec           uint32
		Attr                                    attrWire
	}
	attrOut struct {
		AttrValid            uint64
		AttrValidNsec, Dummy uint32
		Attr                 attrWire
	}
	openOut struct {
		Fh        uint64
		OpenFlags uint32
		BackingID int32
	}
	direntWire struct {
		Ino, Off      uint64
		Namelen, Type uint32
	}
	sxTime struct {
		Sec      int64
		Nsec     uint32
		Reserved int32
	}
	statxWire struct {
		Mask, Blksize                            uint32
		Attributes                               uint64
		Nlink, UID, GID                          uint32
		Mode, Spare0                             uint16
		Ino, Size, Blocks, AttributesMask        uint64
		Atime, Btime, Ctime, Mtime               sxTime
		RdevMajor, RdevMinor, DevMajor, DevMinor uint32
		Spare2                                   [14]uint64
	}
	statxOut struct {
		AttrValid            uint64
		AttrValidNsec, Flags uint32
		Spare                [2]uint64
		Stat                 statxWire
	}
)

// pack is the bytes of structs, strings (with their NUL) and raw bytes.
func pack(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
			b.WriteByte(0)
		case []byte:
			b.Write(p)
		default:
			if err := binary.Write(&b, binary.NativeEndian, p); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

// unpack reads a struct off b and returns what follows.
func unpack(t testing.TB, b []byte, v any) []byte {
	t.Helper()
	n := binary.Size(v)
	if len(b) < n {
		t.Fatalf("%d bytes for a %T of %d", len(b), v, n)
	}
	if _, err := binary.Decode(b[:n], binary.NativeEndian, v); err != nil {
		t.Fatal(err)
	}
	return b[n:]
}

// message is a request as the kernel writes it.
func message(opcode uint32, unique, node uint64, pid int, body ...any) []byte {
	b := pack(body...)
	h := inHeader{Len: uint32(40 + len(b)), Opcode: opcode, Unique: unique, Node: node, UID: 1000, GID: 100, PID: uint32(pid)}
	return append(pack(h), b...)
}

// newKernel has every feature that this package can ask for.
var newKernel = initIn{Major: 7, Minor: 45, MaxReadahead: 131072, Flags: 0xffffffff, Flags2: 0xffffffff}

// answer is a reply that the kernel got.
type answer struct {
	errno unix.Errno
	body  []byte
}

// kernel is the kernel's end of a connection. A socket pair stands in for
// /dev/fuse: one read or write is one message there too.
type kernel struct {
	*testing.T
	fd, dev int
	s       *Server

	mu      sync.Mutex
	unique  uint64                 // GUARDED_BY(mu)
	waiting map[uint64]chan answer // GUARDED_BY(mu)
	gone    sync.WaitGroup
}

// handlerFunc is a filesystem.
type handlerFunc func(r *Request, op any) error

func (f handlerFunc) Serve(r *Request, op any) error { return f(r, op) }
func (f handlerFunc) Attach(*Server)                 {}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func never(time.Duration, int) bool { return false }

// pair is a socket pair whose ends the test closes.
func pair(t *testing.T) (kernel, dev int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<18)
	}
	return fds[0], fds[1]
}

// serve starts a server on a connection to a new kernel. The end of the test
// ends the connection and wants nothing left of it.
func serve(t *testing.T, cfg Config, h handlerFunc) *kernel {
	t.Helper()
	before := descriptors(t)
	k := &kernel{T: t, unique: 2, waiting: map[uint64]chan answer{}}
	k.fd, k.dev = pair(t)
	if cfg.Log == nil {
		cfg.Log = quietLog()
	}
	if cfg.Stuck == nil {
		cfg.Stuck = never
	}
	k.write(message(opInit, 2, 0, 0, newKernel))
	first := k.expect(2)
	k.gone.Go(k.read)
	var err error
	if k.s, err = Serve(k.dev, h, cfg); err != nil {
		t.Fatal(err)
	}
	if a := k.take(first); a.errno != 0 || len(a.body) != 64 {
		t.Fatalf("INIT: %v, %d bytes", a.errno, len(a.body))
	}
	t.Cleanup(func() {
		k.hangUp()
		k.ended()
		unix.Close(k.dev)
		noneLeft(t)
		if after := descriptors(t); after != before && !leaked {
			t.Errorf("%d descriptors before the connection, %d after", before, after)
		}
	})
	return k
}

// ended wants the server to notice the end of the connection. It cannot take it
// for an unmount.
func (k *kernel) ended() {
	k.Helper()
	end := make(chan error, 1)
	go func() { end <- k.s.Wait(5 * time.Second) }()
	select {
	case err := <-end:
		if err == nil {
			k.Error("the end of a connection that was not unmounted is no error")
		}
	case <-time.After(10 * time.Second):
		k.Errorf("nobody has noticed that the connection ended:\n%s", stacks())
	}
}

// hangUp ends the connection, once.
func (k *kernel) hangUp() {
	unix.Shutdown(k.fd, unix.SHUT_RDWR)
	k.gone.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fd >= 0 {
		unix.Close(k.fd)
		k.fd = -1
	}
}

// read takes answers in until the connection ends.
func (k *kernel) read() {
	b := make([]byte, 1<<18)
	for {
		n, err := unix.Read(k.fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		var h outHeader
		body := unpack(k, b[:n], &h)
		k.mu.Lock()
		c, asked := k.waiting[h.Unique]
		delete(k.waiting, h.Unique)
		k.mu.Unlock()
		switch {
		case int(h.Len) != n:
			k.Errorf("an answer of %d bytes says that it has %d", n, h.Len)
		case !asked:
			k.Errorf("request %d has a second answer, or was not asked: error %d", h.Unique, h.Error)
		case h.Error > 0 || h.Error < -4095 || h.Error != 0 && len(body) > 0:
			k.Errorf("request %d: error %d with %d bytes", h.Unique, h.Error, len(body))
		default:
			c <- answer{unix.Errno(-h.Error), bytes.Clone(body)}
		}
	}
}

func (k *kernel) write(b []byte) {
	k.Helper()
	if _, err := unix.Write(k.fd, b); err != nil {
		k.Errorf("sending a request: %v", err)
	}
}

// expect is where the answer to a request will come.
func (k *kernel) expect(unique uint64) chan answer {
	c := make(chan answer, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting[unique] = c
	return c
}

// number is the next request's. The kernel's are even.
func (k *kernel) number() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unique += 2
	return k.unique
}

// send asks and does not wait.
func (k *kernel) send(opcode uint32, node uint64, body ...any) (uint64, chan answer) {
	k.Helper()
	unique := k.number()
	c := k.expect(unique)
	k.write(message(opcode, unique, node, os.Getpid(), body...))
	return unique, c
}

// take waits for an answer.
func (k *kernel) take(c chan answer) answer {
	k.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(10 * time.Second):
		k.Fatalf("no answer within 10 s\n%s", stacks())
		return answer{}
	}
}

// call asks and waits.
func (k *kernel) call(opcode uint32, node uint64, body ...any) answer {
	k.Helper()
	_, c := k.send(opcode, node, body...)
	return k.take(c)
}

func (k *kernel) want(a answer, errno unix.Errno, size int) []byte {
	k.Helper()
	if a.errno != errno || len(a.body) != size {
		k.Errorf("answered %d (%v) with %d bytes, want %d (%v) with %d", int(a.errno), a.errno, len(a.body), int(errno), errno, size)
		return make([]byte, size)
	}
	return a.body
}

// quiet wants no answer for a while.
func (k *kernel) quiet(c chan answer, d time.Duration) {
	k.Helper()
	select {
	case a := <-c:
		k.Errorf("answered %v with %d bytes, want none yet", a.errno, len(a.body))
	case <-time.After(d):
	}
}

// descriptors counts the sockets.
func descriptors(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// leaked is set once a test has left goroutines, which are not the next one's.
var leaked bool

// noneLeft wants every goroutine of a server to end.
func noneLeft(t *testing.T) {
	t.Helper()
	if leaked {
		return
	}
	running := ""
	for range 500 {
		running = ""
		for _, g := range strings.Split(stacks(), "\n\n") {
			if strings.Contains(g, "fusedev.(*") && !strings.Contains(g, "testing.tRunner") || strings.Contains(g, "jacobsa/fuse.") {
				running = g
			}
		}
		if running == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	leaked = true
	t.Errorf("this goroutine is left of a connection that ended:\n%s", running)
}
